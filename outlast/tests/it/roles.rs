//! Roles as processes: they begin where a platform is rude, go on when nobody reads, end when told.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Role, Up, fail, outlast, scratch, succeed, wait_until};

/// A role by itself, of an `up` that has been on `dir`.
fn role(name: &str, dir: &Path, ready: &Path) -> Command {
    let mut command = outlast();
    command.arg(name).arg("--config").arg(dir.join(format!("{name}.toml")));
    command.arg("--ready-file").arg(ready).env("OUTLAST_AGENT_POLL", "200ms");
    command
}

/// An `up` whose log goes into a pipe; the end to read it from.
fn up_with_log(
    dir: &Path,
    settings: &[(&str, &str)],
) -> (std::process::Child, std::io::PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let ready = dir.with_extension("ready");
    let mut command = outlast();
    command.args(["up", "--listen", "127.0.0.1:0", "--dir"]).arg(dir);
    command.arg("--ready-file").arg(&ready).env("OUTLAST_AGENT_POLL", "200ms");
    command.envs(settings.iter().copied()).stdout(Stdio::null()).stderr(writer).process_group(0);
    let child = command.spawn().unwrap();
    wait_until("all roles serve", || ready.exists());
    (child, reader)
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    for (is_gone, settings) in [(true, &[][..]), (false, &[("RUST_LOG", "trace")])] {
        let directory = scratch();
        let dir = directory.path().join("up");
        let (mut child, mut reader) = up_with_log(&dir, settings);
        let reader = if is_gone {
            drop(reader);
            None
        } else {
            // There, but it does not read; the pipe fills up.
            let _ = reader.read(&mut [0; 1]).unwrap();
            Some(reader)
        };
        for content in ["one", "two", "three"] {
            let mut command = outlast();
            command.args(["drop", "--workload", "shop", "--share"]).arg(dir.join("share"));
            let drop = succeed(command.args(["--exec", "x", "--", "echo", content]));
            let receipts = dir.join("share/w/shop/receipts");
            let receipt = receipts.join(format!("{}.vaulted.json", drop.trim()));
            wait_until("the drop is vaulted although nobody reads", || {
                assert!(child.try_wait().unwrap().is_none(), "up ended");
                receipt.exists()
            });
        }
        assert!(succeed(outlast().args(["workload", "list", "--dir"]).arg(&dir)).contains("shop"));
        let process = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(process, Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "gone: {is_gone}: {status}");
        drop(reader);
    }
}

#[test]
fn an_up_whose_greeting_nobody_takes_serves_all_the_same() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let ready = directory.path().join("ready");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = outlast();
    command
        .args(["up", "--listen", "127.0.0.1:0", "--dir"])
        .arg(&dir)
        .arg("--ready-file")
        .arg(&ready);
    let mut child = command.stdout(writer).stderr(Stdio::null()).process_group(0).spawn().unwrap();
    wait_until("all roles serve", || ready.exists());
    assert!(succeed(outlast().args(["workload", "list", "--dir"]).arg(&dir)).contains("no open"));
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, Signal::HUP).unwrap();
    assert!(child.wait().unwrap().success(), "a terminal that closes ends it in order");
}

#[test]
fn an_agent_stops_although_its_vault_hangs_and_each_role_says_when_it_serves() {
    let directory = scratch();
    let place = |name: &str| directory.path().join(name);
    let dir = place("up");
    let mut first = Up::start(&dir);
    let share = first.share.clone();
    first.role.stop();
    assert!(!dir.with_extension("ready").exists(), "it does not serve any more");
    // What a process that was killed left behind says nothing of this one.
    File::create(place("agent.ready")).unwrap();
    let mut vault =
        Role::start(&mut role("vault", &dir, &place("vault.ready")), &place("vault.log"));
    wait_until("the vault serves", || place("vault.ready").exists());
    let mut agent =
        Role::start(&mut role("agent", &dir, &place("agent.ready")), &place("agent.log"));
    wait_until("the agent is at work", || {
        let ready = fs::read(place("agent.ready")).unwrap_or_default();
        serde_json::from_slice::<Value>(&ready).is_ok_and(|ready| ready["process"] == agent.pid())
    });
    let drop_there = |content: &str| {
        let mut command = outlast();
        command.args(["drop", "--workload", "shop", "--share"]).arg(&share);
        succeed(command.args(["--exec", "x", "--", "echo", content])).trim().to_owned()
    };
    let one = drop_there("one");
    let receipt = |drop: &str| share.join(format!("w/shop/receipts/{drop}.vaulted.json"));
    wait_until("the first drop is vaulted", || receipt(&one).exists());

    vault.signal(Signal::STOP);
    let two = drop_there("two");
    let url: Value = serde_json::from_slice(&fs::read(place("vault.ready")).unwrap()).unwrap();
    let port: u16 = url["url"]
        .as_str()
        .unwrap()
        .trim_end_matches('/')
        .rsplit_once(':')
        .unwrap()
        .1
        .parse()
        .unwrap();
    wait_until("the agent waits for an answer", || waits_unread(port));
    agent.stop();
    assert!(!place("agent.ready").exists());
    assert!(!receipt(&two).exists());
    vault.signal(Signal::CONT);
    vault.stop();
    assert!(!place("vault.ready").exists());

    let _up = Up::start(&dir);
    wait_until("the next agent goes on from there", || receipt(&two).exists());
}

/// Whether somebody sent something to this port of 127.0.0.1 that was not read yet.
fn waits_unread(port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let unread = fields[4].split_once(':').is_some_and(|(_, unread)| unread != "00000000");
        // Not of the one that listens, which counts connections.
        fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "01" && unread
    })
}

#[test]
fn a_service_called_like_a_role_keeps_nothing_from_starting() {
    let mut links = Vec::new();
    for service in ["AGENT", "VAULT", "SHARE", "PROMISE"] {
        for (tail, value) in [
            ("SERVICE_HOST", "10.0.0.7"),
            ("SERVICE_PORT", "8443"),
            ("SERVICE_PORT_HTTPS", "8443"),
            ("PORT", "tcp://10.0.0.7:8443"),
            ("PORT_8443_TCP", "tcp://10.0.0.7:8443"),
            ("PORT_8443_TCP_PROTO", "tcp"),
            ("PORT_8443_TCP_PORT", "8443"),
            ("PORT_8443_TCP_ADDR", "10.0.0.7"),
        ] {
            links.push((format!("OUTLAST_{service}_{tail}"), value));
        }
    }
    let links: Vec<(&str, &str)> =
        links.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let directory = scratch();
    let mut up = Up::start_with(&directory.path().join("up"), &links);
    let drop = up.drop("shop", &["--exec", "x", "--", "echo", "x"]);
    up.wait_for_receipt("shop", &drop, "vaulted");
    up.role.stop();
    let log = up.role.words();
    assert_eq!(log.matches("OUTLAST_VAULT_SERVICE_HOST").count(), 1, "said once: {log}");

    // What is meant for a role, and wrong, is named.
    let config = up.dir.join("agent.toml");
    for (name, value) in [("OUTLAST_AGENT_PUDDING", "1"), ("OUTLAST_AGENT_POLL", "soon")] {
        let words = fail(outlast().args(["agent", "--config"]).arg(&config).env(name, value), 1);
        assert!(words.contains(name), "{words}");
    }
}

#[test]
fn a_mistake_in_a_configuration_is_told_by_the_users_own_line() {
    let directory = scratch();
    let dir = directory.path().join("up");
    Up::start(&dir).role.stop();
    let config = dir.join("agent.toml");
    let text = fs::read_to_string(&config).unwrap();
    let comments = "# ours\n".repeat(20);
    let text = format!("{comments}{text}graze = \"1h\" # how long\n");
    File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
    let line = text.lines().position(|line| line.starts_with("graze")).unwrap() + 1;
    let mut alone = outlast();
    alone.args(["agent", "--config"]).arg(&config).env("OUTLAST_AGENT_POLL", "5s");
    let mut together = outlast();
    together.args(["up", "--listen", "127.0.0.1:0", "--dir"]).arg(&dir);
    for mut command in [alone, together] {
        let words = fail(&mut command, 1);
        assert!(words.contains(&format!("agent.toml, line {line}, column 1: ")), "{words}");
        assert!(words.contains("no key \"graze\"; did you mean grace?"), "{words}");
    }
    let after = fs::read_to_string(&config).unwrap();
    assert!(after.starts_with(&comments) && after.contains("# how long"), "{after}");
}

#[test]
fn a_vault_listens_where_people_say() {
    for listen in ["localhost:0", ":0"] {
        let directory = scratch();
        let dir = directory.path().join("up");
        let ready = directory.path().join("ready");
        let mut command = outlast();
        command.args(["up", "--listen", listen, "--dir"]).arg(&dir).arg("--ready-file").arg(&ready);
        let mut up = Role::start(&mut command, &directory.path().join("log"));
        wait_until("all roles serve", || {
            assert!(!up.has_ended(), "{}", up.words());
            ready.exists()
        });
        let mut list = outlast();
        assert!(succeed(list.args(["workload", "list", "--dir"]).arg(&dir)).contains("no open"));
        up.stop();
    }
    let words = fail(outlast().args(["up", "--listen", "8443", "--dir", "/nonexistent"]), 2);
    assert!(words.contains(":8443"), "{words}");
}
