//! What is handed out, judged by those who take it: dpkg, lintian, umoci, runc, tar, cargo.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "these are tests")]

mod image;
mod package;
mod release;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Of which moment all of it is, in these tests.
const MOMENT: &str = "1700000000";

/// The program that tests of the whole workspace build beside ours.
fn program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("outlast");
    if !program.exists() {
        println!("SKIPPED: there is no {}: cargo build", program.display());
        return None;
    }
    Some(program)
}

/// Makes all that is handed out, with more words; `None` if there is nothing to pack.
fn pack(into: &Path, words: &[&str]) -> Option<()> {
    let mut dist = Command::new(env!("CARGO_BIN_EXE_xtask"));
    dist.args(["dist", "--fast", "--binary"]).arg(program()?).arg("--into").arg(into).args(words);
    succeed(dist.env("SOURCE_DATE_EPOCH", MOMENT));
    Some(())
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a command prints that must succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{printed}\n{said}", output.status);
    printed
}

/// Whether a program is here; says loudly what is skipped without it.
fn has(program: &str, package: &str) -> bool {
    let found = run(Command::new("sh").args(["-c", &format!("command -v {program}")]));
    if !found.status.success() {
        println!("SKIPPED: there is no {program} (Debian: {package})");
    }
    found.status.success()
}

/// The only file in a directory whose name ends so.
fn made(directory: &Path, end: &str) -> PathBuf {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    assert_eq!(found.len(), 1, "{end}: {found:?}");
    found.remove(0)
}
