//! The writer in shell, as the document prints it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use outlast_drop::fetch::{Wanted, find};
use outlast_drop::{ClosedDays, DropState, Share, scan};
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
    let path = directory.join("backup.sh");
    File::create(&path).unwrap().write_all(script().as_bytes()).unwrap();
    let shell = if Path::new("/bin/dash").exists() { "dash" } else { "sh" };
    Command::new(shell)
        .arg(path)
        .arg(share.path())
        .args(["shop-db", "shop.sql"])
        .args(command)
        .output()
        .unwrap()
}

#[test]
fn the_documents_shell_writer_makes_a_drop_that_we_read() {
    let (directory, share) = new_share();
    let output = run(directory.path(), &share, &["seq", "100000"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let sealed = find(&share, &workload("shop-db"), &Wanted::Drop(id)).unwrap();
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(read_all(&share, sealed.address()).unwrap(), expected.into_bytes());

    let output = run(directory.path(), &share, &["true"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let empty = find(&share, &workload("shop-db"), &Wanted::Drop(id)).unwrap();
    assert_eq!(read_all(&share, empty.address()).unwrap(), b"");
}

#[test]
fn the_documents_shell_writer_seals_nothing_when_the_command_fails() {
    let (directory, share) = new_share();
    let output = run(directory.path(), &share, &["sh", "-c", "echo half a dump; exit 3"]);
    assert!(!output.status.success());
    let seen = scan(&share, &mut ClosedDays::default(), SystemClock.now()).unwrap();
    let state = &seen.workloads[0].sightings[0].state;
    assert!(matches!(state, DropState::Open(Some(_))), "{state:?}");

    fs::remove_file(share.path().join("outlast-share.json")).unwrap();
    let output = run(directory.path(), &share, &["true"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is it mounted?"));
}
