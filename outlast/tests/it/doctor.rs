//! `outlast doctor` on hosts that are well, and on hosts with one thing wrong.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outlast_types::{Clock, SystemClock, SystemRandom, Timestamp};
use outlast_wire::ca::Request;
use outlast_wire::{CertificateAuthority, Peer, Role, RootAuthority};
use serde_json::Value;

use crate::disks::Tmpfs;
use crate::harness::{Role as Process, Up, outlast, run, scratch, succeed, wait_until};

/// What the doctor finds, and with which code it ends.
#[track_caller]
fn findings(command: &mut Command) -> (i32, Vec<Value>) {
    let output = run(command.arg("--json"));
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let code = output.status.code().unwrap();
    assert_eq!(told["code"], code);
    (code, told["findings"].as_array().unwrap().clone())
}

/// The findings that are as bad as `verdict` says, as `check: message -> fix`.
fn with(verdict: &str, findings: &[Value]) -> Vec<String> {
    let said = |it: &Value| {
        let text = |member: &str| it[member].as_str().unwrap_or_default().to_owned();
        format!("{}: {} -> {}", text("check"), text("message"), text("fix"))
    };
    findings.iter().filter(|it| it["verdict"] == verdict).map(said).collect()
}

/// One thing must be bad, of this check and with these words.
#[track_caller]
fn only_bad(command: &mut Command, check: &str, words: &[&str]) -> Vec<Value> {
    let (code, found) = findings(command);
    let bad = with("bad", &found);
    assert_eq!(bad.len(), 1, "{bad:#?}");
    assert!(bad[0].starts_with(&format!("{check}: ")), "{bad:?}");
    assert!(!bad[0].ends_with("-> "), "it says what to do: {bad:?}");
    for word in words {
        assert!(bad[0].contains(word), "{word:?} in {bad:?}");
    }
    assert_eq!(code, 1);
    found
}

/// `outlast doctor agent` by this file, with some of its keys replaced.
fn of_agent(dir: &Path, keys: &[(&str, &str)]) -> Command {
    let mut command = outlast();
    command.args(["doctor", "agent", "--config"]).arg(dir.join("agent.toml"));
    for (key, value) in keys {
        command.env(format!("OUTLAST_AGENT_{key}"), value);
    }
    command
}

/// An identity of the authority of `dir`, issued by a clock that `when` sets.
fn issue(dir: &Path, into: &Path, role: Role, hosts: &[&str], when: fn(Timestamp) -> Timestamp) {
    issue_to(Peer::new(role, "up").unwrap(), (dir, into), hosts, when);
}

/// The same, of any name.
pub(crate) fn issue_to(
    peer: Peer,
    (dir, into): (&Path, &Path),
    hosts: &[&str],
    when: fn(Timestamp) -> Timestamp,
) {
    struct Stopped(Timestamp);
    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            self.0
        }
    }
    // As if the authority had been there for long: nobody is certified before it was.
    let early = Stopped(SystemClock.now().saturating_sub(Duration::from_secs(700 * 86400)));
    let known = CertificateAuthority::open(&dir.join("ca")).unwrap();
    let root = RootAuthority::renew(&dir.join("ca/root"), &early, &SystemRandom).unwrap();
    let (issuer, known) = (dir.join("ca/issuer"), Some(known.authorities()));
    let authority = root.make_issuer(&issuer, known, None, &early, &SystemRandom).unwrap();
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let request = Request { hosts, ..Request::new(peer, Duration::from_secs(86400)) };
    let clock = Stopped(when(SystemClock.now()));
    authority.issue(&request, &clock, &SystemRandom).unwrap().save(into).unwrap();
}

#[test]
fn a_host_that_is_well_is_told_so_for_each_step_in_words_and_as_json() {
    let directory = scratch();
    let up = Up::start(&directory.path().join("up"));
    let (code, found) = findings(outlast().args(["doctor", "--dir"]).arg(&up.dir));
    assert_eq!(with("bad", &found), Vec::<String>::new());
    assert_eq!(with("unknown", &found), Vec::<String>::new());
    assert_eq!(code, 0);
    for check in [
        "configuration",
        "share",
        "state",
        "vault",
        "certificate",
        "name",
        "route",
        "tls",
        "role",
        "clock",
        "throughput",
    ] {
        assert!(found.iter().any(|it| it["check"] == check), "{check}: {found:#?}");
    }
    let words = succeed(outlast().args(["doctor", "--dir"]).arg(&up.dir));
    assert!(words.contains("this is agent up") && words.contains("this is operator up"), "{words}");
    assert!(words.ends_with("nothing has to be mended\n"), "{words}");
    let listed = succeed(&mut up.ask(&["workload", "list", "--json"]));
    assert!(listed.contains("\"incidents\": []"), "whoever looks is no agent: {listed}");
    // From a desk, by the address alone.
    let serving: Value =
        serde_json::from_slice(&fs::read(up.dir.join("serving.json")).unwrap()).unwrap();
    let mut desk = outlast();
    desk.args(["doctor", "--vault", serving["url"].as_str().unwrap(), "--identity"]);
    let (code, found) = findings(desk.arg(up.dir.join("identity/operator")));
    assert_eq!((code, with("bad", &found)), (0, vec![]));
}

#[test]
fn each_thing_that_is_wrong_is_found_and_said_how_to_mend() {
    let directory = scratch();
    let mut up = Up::start(&directory.path().join("up"));
    let dir = up.dir.clone();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();

    only_bad(&mut of_agent(&dir, &[("SHARE", &place("nowhere"))]), "share", &["nowhere", "mount"]);
    fs::create_dir(place("empty")).unwrap();
    let words = ["outlast-share.json", "is it mounted?", "outlast share init"];
    only_bad(&mut of_agent(&dir, &[("SHARE", &place("empty"))]), "share", &words);
    fs::create_dir(place("odd")).unwrap();
    let mut mark = File::create(format!("{}/outlast-share.json", place("odd"))).unwrap();
    mark.write_all(b"{\"version\":99}").unwrap();
    only_bad(&mut of_agent(&dir, &[("SHARE", &place("odd"))]), "share", &["version 99", "newer"]);

    let wrong_name = [("UPSTREAM", "https://vault.invalid:8443/")];
    let found = only_bad(&mut of_agent(&dir, &wrong_name), "name", &["vault.invalid", "getent"]);
    let not_judged = with("unknown", &found);
    assert_eq!(not_judged.len(), 5, "the rest of the way: {not_judged:#?}");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = format!("https://{closed}/");
    only_bad(&mut of_agent(&dir, &[("UPSTREAM", &refused)]), "route", &["refuses it", "listens"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let no_tls = format!("https://{}/", silent.local_addr().unwrap());
    std::thread::spawn(move || {
        silent.incoming().for_each(|stream| drop(stream.unwrap().write_all(b"220 mail\r\n")));
    });
    only_bad(&mut of_agent(&dir, &[("UPSTREAM", &no_tls)]), "tls", &["does not speak TLS"]);

    let wrong_role = dir.join("identity/operator");
    let words = ["operator up", "agent"];
    only_bad(&mut of_agent(&dir, &[("IDENTITY", wrong_role.to_str().unwrap())]), "role", &words);
    only_bad(&mut of_agent(&dir, &[("POLL", "fast")]), "configuration", &["OUTLAST_AGENT_POLL"]);
    let key = dir.join("identity/agent/identity.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, found) = findings(&mut of_agent(&dir, &[]));
    assert_eq!(code, 0);
    assert!(with("warning", &found).iter().any(|it| it.contains("chmod 600")), "{found:#?}");

    up.role.stop();
    only_bad(&mut of_agent(&dir, &[]), "route", &["refuses it", "is the vault running"]);
}

#[test]
fn certificates_of_strangers_and_those_that_ended_are_told_apart_from_clocks() {
    let directory = scratch();
    let mut up = Up::start(&directory.path().join("up"));
    let dir = up.dir.clone();
    let other = Up::start(&directory.path().join("other"));
    let stranger = other.dir.join("identity/agent");
    let words = ["not from the authority that we trust", "ca.pem"];
    let of_stranger = [("IDENTITY", stranger.to_str().unwrap())];
    only_bad(&mut of_agent(&dir, &of_stranger), "tls", &words);

    let mine = directory.path().join("mine");
    let mine_is = [("IDENTITY", mine.to_str().unwrap())];
    let long_ago = |now: Timestamp| now.saturating_sub(Duration::from_secs(99 * 86400));
    issue(&dir, &mine, Role::Agent, &[], long_ago);
    let (code, found) = findings(&mut of_agent(&dir, &mine_is));
    let bad = with("bad", &found);
    assert!(bad[0].starts_with("certificate: ") && bad[0].contains("was valid until"), "{bad:?}");
    assert!(bad[1].starts_with("tls: ") && bad[1].contains("refuses our certificate"), "{bad:?}");
    assert_eq!((code, bad.len()), (1, 2));
    issue(&dir, &mine, Role::Agent, &[], |now| now.saturating_sub(Duration::from_secs(80_000)));
    let (code, found) = findings(&mut of_agent(&dir, &mine_is));
    assert_eq!((code, with("bad", &found)), (0, vec![]));
    assert!(with("warning", &found).iter().any(|it| it.contains("renew it")), "{found:#?}");

    // The vault's own has ended, and then is for another host.
    let vault = dir.join("identity/vault");
    up.role.stop();
    issue(&dir, &vault, Role::Vault, &["localhost", "127.0.0.1"], long_ago);
    let mut role = vault_of(&dir, directory.path());
    only_bad(&mut of_agent(&dir, &[]), "tls", &["the server's certificate was valid until"]);
    role.stop();
    issue(&dir, &vault, Role::Vault, &["elsewhere.test"], |now| now);
    let mut role = vault_of(&dir, directory.path());
    only_bad(&mut of_agent(&dir, &[]), "tls", &["another host", "elsewhere.test"]);
    let mut itself = outlast();
    itself.args(["doctor", "vault", "--config"]).arg(dir.join("vault.toml"));
    let (code, found) = findings(&mut itself);
    assert_eq!((code, with("bad", &found)), (0, vec![]), "by itself it has no name");
    role.stop();
}

/// The vault of an `up`, by itself.
fn vault_of(dir: &Path, logs: &Path) -> Process {
    let ready = logs.join("vault.ready");
    let mut command = outlast();
    command.args(["vault", "--config"]).arg(dir.join("vault.toml"));
    command.arg("--ready-file").arg(&ready);
    let role = Process::start(&mut command, &logs.join("vault.log"));
    wait_until("the vault serves", || ready.exists());
    role
}

/// By another clock: `+605` is ten minutes, and some seconds for what takes its time, ahead.
fn at<'a>(offset: &str, command: &'a mut Command) -> &'a mut Command {
    let library = fs::read_dir("/usr/lib").unwrap().find_map(|entry| {
        let path = entry.unwrap().path().join("faketime/libfaketimeMT.so.1");
        path.exists().then_some(path)
    });
    let library = library.expect("faketime is installed: `cargo xtask test` does it");
    // Pauses go by the clock that only goes forward.
    command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.env("LD_PRELOAD", library).env("FAKETIME", offset)
}

#[test]
fn a_clock_that_is_off_is_named_whichever_way_and_however_far() {
    let directory = scratch();
    let up = Up::start(&directory.path().join("up"));
    for (offset, words) in [
        ("+605", ["10 min", "ahead of"]),
        ("-245", ["4 min", "behind"]),
        ("+172805", ["2 d", "ahead of"]),
    ] {
        only_bad(at(offset, &mut of_agent(&up.dir, &[])), "clock", &words);
    }
    // Before the certificates begin, TLS is what fails, and says why.
    for offset in ["-605", "-172805"] {
        let (code, found) = findings(at(offset, &mut of_agent(&up.dir, &[])));
        assert_eq!(code, 1);
        let bad = with("bad", &found);
        let about_time = |it: &String| it.contains("clock") && it.contains("timedatectl");
        assert!(bad.len() == 2 && bad.iter().all(about_time), "{bad:#?}");
    }
}

#[test]
fn an_agent_whose_clock_is_off_is_an_incident_of_its_own_that_resolves_when_it_is_set() {
    let directory = scratch();
    let dir = directory.path().join("up");
    Up::start(&dir).role.stop();
    let mut vault = vault_of(&dir, directory.path());
    let agent = |offset: Option<&str>| {
        let mut command = outlast();
        command.args(["agent", "--config"]).arg(dir.join("agent.toml"));
        command.env("OUTLAST_AGENT_REPORT", "500ms");
        if let Some(offset) = offset {
            at(offset, &mut command);
        }
        Process::start(&mut command, &directory.path().join("agent.log"))
    };
    let open = || succeed(outlast().args(["incident", "list", "--dir"]).arg(&dir));
    for (offset, words) in [("+605", "10 min ahead of"), ("+172805", "2 d ahead of")] {
        let mut off = agent(Some(offset));
        wait_until("the vault sees whose clock is off", || open().contains(words));
        assert!(open().contains("the clock of agent up's host is"), "{}", open());
        off.stop();
        let mut right = agent(None);
        wait_until("it is right again", || open() == "no open incident\n");
        right.stop();
    }
    // Before its own certificate begins, it gets no further than TLS, and says why.
    let mut off = agent(Some("-172805"));
    wait_until("the agent says what is wrong", || {
        off.words().contains("by this host's clock it is")
    });
    off.stop();
    vault.stop();
}

#[test]
fn a_full_share_is_found() {
    let directory = scratch();
    let up = Up::start(&directory.path().join("up"));
    let place = directory.path().join("small");
    let Some(small) = Tmpfs::mount(&place, "size=4m") else { return };
    succeed(outlast().args(["share", "init"]).arg(&small.path));
    let share = [("SHARE", small.path.to_str().unwrap())];
    only_bad(&mut of_agent(&up.dir, &share), "share", &["are free", "free space"]);
}

#[test]
fn without_anything_to_look_at_it_says_what_to_name() {
    if Path::new("/etc/outlast").exists() {
        return;
    }
    only_bad(outlast().args(["doctor", "vault"]), "configuration", &["/etc/outlast/vault.toml"]);
    let words = crate::harness::fail(outlast().arg("doctor"), 2);
    assert!(words.contains("--config") && words.contains("--dir"), "{words}");
}
