//! Stock restic, run on a repository in a temporary directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct Restic {
    repository: PathBuf,
    cache: tempfile::TempDir,
}

impl Restic {
    pub(crate) fn new(repository: &Path) -> Self {
        Self { repository: repository.to_owned(), cache: tempfile::tempdir().unwrap() }
    }

    /// Runs restic; it must succeed. Gives what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "restic {arguments:?} failed: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        Command::new("restic")
            .arg("--repo")
            .arg(&self.repository)
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", self.cache.path())
            // A zone with a half hour shows whether offsets survive.
            .env("TZ", "Asia/Kathmandu")
            .output()
            .expect("restic must be installed to judge the format: run `cargo xtask test`")
    }
}
