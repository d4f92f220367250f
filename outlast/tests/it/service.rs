//! Roles under a service manager: what it hears, and the units with which they are shipped.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use crate::harness::{Role, Up, outlast, run, scratch, wait_until};

/// Words that came and were not looked at.
fn heard(socket: &UnixDatagram) -> Vec<String> {
    let mut words = Vec::new();
    let mut buffer = [0; 64];
    while let Ok(bytes) = socket.recv(&mut buffer) {
        words.push(String::from_utf8_lossy(&buffer[..bytes]).into_owned());
    }
    words
}

#[test]
fn a_service_manager_hears_that_each_role_serves_goes_on_and_ends() {
    let directory = scratch();
    let dir = directory.path().join("up");
    Up::start(&dir).role.stop();
    let socket = directory.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_nonblocking(true).unwrap();
    for name in ["vault", "agent"] {
        let mut command = outlast();
        command.arg(name).arg("--config").arg(dir.join(format!("{name}.toml")));
        // A third of it is how often it speaks.
        command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "1500000");
        let log = directory.path().join(format!("{name}.log"));
        let mut role = Role::start(&mut command, &log);
        let mut words = Vec::new();
        wait_until("it says that it serves, and lives", || {
            assert!(!role.has_ended(), "{}", role.words());
            words.extend(heard(&manager));
            words.iter().filter(|word| *word == "WATCHDOG=1").count() >= 3
        });
        assert_eq!(words[0], "READY=1", "{name}: {words:?}");
        // One that hangs is not said to live; here the whole process does.
        role.signal(rustix::process::Signal::STOP);
        heard(&manager);
        role.signal(rustix::process::Signal::CONT);
        wait_until("it lives on", || heard(&manager).contains(&"WATCHDOG=1".to_owned()));
        role.stop();
        let last = heard(&manager);
        assert_eq!(last.last().map(String::as_str), Some("STOPPING=1"), "{name}: {last:?}");
    }
}

#[test]
fn the_units_are_hardened_and_start_what_there_is() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/systemd");
    for role in ["agent", "media", "vault"] {
        let unit = units.join(format!("outlast-{role}.service"));
        let text = fs::read_to_string(&unit).unwrap();
        for line in ["Type=notify", "WatchdogSec=", "RequiresMountsFor=", "Restart=always"] {
            assert!(text.lines().any(|it| it.starts_with(line)), "{role}: {line}");
        }
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("/usr/bin/outlast"));
        let words: Vec<&str> = words.collect();
        // The command line is understood: what is wrong is only that the file is not here.
        let output = run(outlast().args(&words).current_dir(&units));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("/etc/outlast/{role}.toml")), "{said}");

        let mut security = Command::new("systemd-analyze");
        // The threshold is ten times the number that is shown.
        security.args(["security", "--offline=true", "--threshold=20"]).arg(&unit);
        let Ok(judged) = security.output() else {
            println!("skipped: there is no systemd-analyze");
            continue;
        };
        let table = String::from_utf8_lossy(&judged.stdout).into_owned();
        assert!(judged.status.success(), "{role}:\n{table}");
        assert!(table.contains("Overall exposure level"), "{role}:\n{table}");
    }
}
