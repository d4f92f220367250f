//! Stock restic as a peer: it makes repositories that ours must read.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use outlast_repo::{Credential, RepoError, Repository};
use outlast_store::directory::DirectoryStore;

pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const SECOND_PASSWORD: &str = "battery staple";

/// The formats and compressions that restic writes.
pub(crate) const FORMATS: [(&str, &str); 4] =
    [("1", "auto"), ("2", "off"), ("2", "auto"), ("2", "max")];

/// A command line of restic on `repository`, in the directory `current`.
pub(crate) fn command(repository: &Path, current: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("restic");
    command
        .args(["--no-cache", "--quiet", "--repo"])
        .arg(repository)
        .args(arguments)
        .current_dir(current)
        .env("RESTIC_PASSWORD", PASSWORD)
        .env_remove("RESTIC_COMPRESSION");
    command
}

/// Runs restic, which must succeed.
#[track_caller]
pub(crate) fn run(repository: &Path, current: &Path, arguments: &[&str]) -> Output {
    let output = command(repository, current, arguments)
        .output()
        .expect("stock restic is installed (`cargo xtask test` installs it)");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "restic {arguments:?}: {message}");
    output
}

/// Makes a repository of a format with one snapshot of what is in `source`.
#[track_caller]
pub(crate) fn back_up(repository: &Path, source: &Path, version: &str, compression: &str) {
    run(repository, source, &["init", "--repository-version", version]);
    run(repository, source, &["backup", "--compression", compression, "."]);
}

pub(crate) fn try_open(repository: &Path, password: &str) -> Result<Repository, RepoError> {
    let store = DirectoryStore::open(repository).unwrap();
    Repository::open(Arc::new(store), Credential::Password(password.as_bytes()))
}

#[track_caller]
pub(crate) fn open(repository: &Path) -> Repository {
    try_open(repository, PASSWORD).unwrap()
}

/// Copies a repository for a test that damages it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
