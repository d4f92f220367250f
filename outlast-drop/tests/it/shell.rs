//! The writer in shell, as the document prints it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use outlast_drop::fetch::{Wanted, find};
use outlast_drop::{DropState, Fingerprint, ScanMemory, Share, scan};
use outlast_types::{Clock, SystemClock};

use crate::support::{new_share, read_all, workload};

/// The last shell block of the document.
fn script() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/drop-protocol.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, script) = document.rsplit_once("```sh\n").unwrap();
    script.split_once("```").unwrap().0.to_owned()
}

fn run(directory: &Path, share: &Share, command: &[&str]) -> Output {
    shell_command(directory, share, &script(), command).output().unwrap()
}

fn shell_command(directory: &Path, share: &Share, script: &str, command: &[&str]) -> Command {
    let path = directory.join("backup.sh");
    File::create(&path).unwrap().write_all(script.as_bytes()).unwrap();
    let shell = if Path::new("/bin/dash").exists() { "dash" } else { "sh" };
    let mut shell = Command::new(shell);
    shell.arg(path).arg(share.path()).args(["shop-db", "shop.sql"]).args(command);
    shell
}

/// A program in place of `name` that first waits until there is a file `gate`.
fn gated(directory: &Path, name: &str, gate: &Path) {
    let path = directory.join(name);
    let text = format!(
        "#!/bin/sh\nwhile [ ! -e '{}' ]; do sleep 0.01; done\nexec /usr/bin/{name} \"$@\"\n",
        gate.display()
    );
    File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The newest sign of life in the only drop.
fn fingerprint(share: &Share) -> Option<Fingerprint> {
    let seen = scan(share, &mut ScanMemory::default(), SystemClock.now()).unwrap();
    let sighting = seen.workloads.first()?.sightings.first()?;
    assert!(matches!(sighting.state, DropState::Open(_)), "{sighting:?}");
    Some(sighting.fingerprint)
}

#[test]
fn the_documents_shell_writer_shows_that_it_lives_while_its_command_is_silent_and_while_it_hashes()
{
    let (directory, share) = new_share();
    let programs = directory.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let (printed, hashed) = (programs.join("printed"), programs.join("hashed"));
    gated(&programs, "seq", &printed);
    gated(&programs, "sha256sum", &hashed);
    let script = script();
    assert!(script.contains("sleep 20 "), "as often as the document asks for");
    let script = script.replace("sleep 20 ", "sleep 0.02 ");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut writer = shell_command(directory.path(), &share, &script, &["seq", "10"]);
    let mut writer =
        writer.env("PATH", path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    for gate in [&printed, &hashed] {
        let mut pulses = BTreeSet::new();
        while pulses.len() < 4 {
            assert!(Instant::now() < deadline, "no sign of life before {}", gate.display());
            pulses.extend(fingerprint(&share).map(|fingerprint| fingerprint.0));
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(File::create(gate).unwrap());
    }
    let mut id = String::new();
    // To the end: nothing that the writer leaves behind holds its output open.
    writer.stdout.take().unwrap().read_to_string(&mut id).unwrap();
    assert!(writer.wait().unwrap().success());
    let wanted = Wanted::Drop(id.trim().parse().unwrap());
    let sealed = find(&share, &workload("shop-db"), &wanted, None).unwrap().sealed;
    assert_eq!(read_all(&share, sealed.address()).unwrap(), b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
}

#[test]
fn what_the_documents_shell_writer_makes_is_open_to_those_to_whom_the_share_is() {
    let (directory, share) = new_share();
    let opened = fs::Permissions::from_mode(0o2770);
    fs::set_permissions(share.path().join("w"), opened).unwrap();
    let narrow = format!("umask 077\n{}", script());
    let mut writer = shell_command(directory.path(), &share, &narrow, &["seq", "3"]);
    assert!(writer.output().unwrap().status.success());
    let mut places = vec![share.path().join("w/shop-db")];
    while let Some(place) = places.pop() {
        let mode = fs::metadata(&place).unwrap().permissions().mode() & 0o7777;
        if place.is_dir() {
            assert_eq!(mode, 0o2770, "{}", place.display());
            places.extend(fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode & 0o447, 0o440, "{}: {mode:o}", place.display());
        }
    }
}

#[test]
fn the_documents_shell_writer_makes_a_drop_that_we_read() {
    let (directory, share) = new_share();
    let output = run(directory.path(), &share, &["seq", "100000"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let sealed = find(&share, &workload("shop-db"), &Wanted::Drop(id), None).unwrap().sealed;
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(read_all(&share, sealed.address()).unwrap(), expected.into_bytes());

    let output = run(directory.path(), &share, &["true"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let empty = find(&share, &workload("shop-db"), &Wanted::Drop(id), None).unwrap().sealed;
    assert_eq!(read_all(&share, empty.address()).unwrap(), b"");
}

#[test]
fn the_documents_shell_writer_seals_nothing_when_the_command_fails() {
    let (directory, share) = new_share();
    let output = run(directory.path(), &share, &["sh", "-c", "echo half a dump; exit 3"]);
    assert!(!output.status.success());
    let seen = scan(&share, &mut ScanMemory::default(), SystemClock.now()).unwrap();
    let state = &seen.workloads[0].sightings[0].state;
    assert!(matches!(state, DropState::Open(Some(_))), "{state:?}");

    fs::remove_file(share.path().join("outlast-share.json")).unwrap();
    let output = run(directory.path(), &share, &["true"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is it mounted?"));
}
