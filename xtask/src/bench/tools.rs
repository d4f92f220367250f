//! The programs that are compared, and how each says what is to be done.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::measure::{self, Cost};

pub(super) const PASSWORD: &str = "bench";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Outlast,
    Restic,
    Borg,
}

/// A program that is installed.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    kind: Kind,
    program: PathBuf,
    version: String,
}

/// What a program is asked to do with its repository.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task<'a> {
    Init,
    /// Back this up, and read all of it, whatever was backed up before.
    Backup(&'a Path),
    /// Restore the newest snapshot into an empty directory.
    Restore(&'a Path),
    Check,
}

impl Tool {
    /// Ours, and the peers that are there.
    pub(super) fn installed(outlast: &Path) -> Result<Vec<Self>> {
        let mut tools = Vec::new();
        for (kind, program, arguments) in [
            (Kind::Outlast, outlast, "--version"),
            (Kind::Restic, Path::new("restic"), "version"),
            (Kind::Borg, Path::new("borg"), "--version"),
        ] {
            let Ok(output) = Command::new(program).arg(arguments).output() else {
                println!("{} is not installed and left out", program.display());
                continue;
            };
            let text = String::from_utf8(output.stdout).context("a version that is no text")?;
            let version = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            tools.push(Self { kind, program: program.to_owned(), version });
        }
        Ok(tools)
    }

    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Outlast => "outlast",
            Kind::Restic => "restic",
            Kind::Borg => "borg",
        }
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn is_ours(&self) -> bool {
        self.kind == Kind::Outlast
    }

    /// Does a task in `home`, where its repository, its cache and its keys are.
    pub(super) fn run(&self, task: Task<'_>, home: &Path) -> Result<Cost> {
        let repository = self.repository(home);
        let cache = home.join("cache");
        std::fs::create_dir_all(&cache).context("cannot make the directory for caches")?;
        let arguments = match self.kind {
            Kind::Outlast => words(&outlast(task), &repository, task),
            Kind::Restic => words(&restic(task), &repository, task),
            Kind::Borg => self.borg(task, &repository),
        };
        let password = OsStr::new(PASSWORD);
        let variables = [
            ("OUTLAST_PASSWORD", password),
            ("OUTLAST_CACHE_DIR", cache.as_os_str()),
            ("RESTIC_PASSWORD", password),
            ("RESTIC_CACHE_DIR", cache.as_os_str()),
            ("BORG_PASSPHRASE", password),
            ("BORG_BASE_DIR", cache.as_os_str()),
        ];
        // borg extracts to where it stands, whatever it is told.
        let here = std::env::current_dir().context("find the current directory")?;
        if let (Kind::Borg, Task::Restore(target)) = (self.kind, task) {
            std::env::set_current_dir(target).context("go to the target")?;
        }
        let arguments: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
        let cost = measure::run(&self.program, &arguments, &variables, home);
        std::env::set_current_dir(here).context("go back")?;
        cost
    }

    /// Its repository below `home`.
    pub(super) fn repository(&self, home: &Path) -> PathBuf {
        home.join("repository")
    }

    fn borg(&self, task: Task<'_>, repository: &Path) -> Vec<OsString> {
        let repository = repository.to_string_lossy();
        let archive = |name: &str| OsString::from(format!("{repository}::{name}"));
        let text = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        match task {
            Task::Init => [text(&["init", "-e", "repokey-blake2"]), vec![(&*repository).into()]],
            Task::Backup(path) => [
                text(&["create", "-C", "zstd,3", "--files-cache", "disabled"]),
                vec![archive("{now:%s.%f}"), path.into()],
            ],
            Task::Restore(_) => [text(&["extract"]), vec![archive(&self.newest(&repository))]],
            Task::Check => [text(&["check", "--verify-data"]), vec![OsString::from(&*repository)]],
        }
        .concat()
    }

    /// The name of borg's newest archive; empty if there is none, which borg then says.
    fn newest(&self, repository: &str) -> String {
        let home = Path::new(repository).with_file_name("cache");
        let output = Command::new(&self.program)
            .args(["list", "--short", "--last", "1", repository])
            .env("BORG_PASSPHRASE", PASSWORD)
            .env("BORG_BASE_DIR", home)
            .output();
        output.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
    }
}

fn outlast(task: Task<'_>) -> Vec<&'static str> {
    match task {
        Task::Init => vec!["repo", "init", "-q"],
        Task::Backup(_) => vec!["repo", "backup", "-q"],
        Task::Restore(_) => vec!["repo", "restore", "-q", "latest", "--target"],
        Task::Check => vec!["repo", "check", "-q", "--read-data"],
    }
}

fn restic(task: Task<'_>) -> Vec<&'static str> {
    match task {
        Task::Init => vec!["-q", "init"],
        Task::Backup(_) => vec!["-q", "backup", "--force"],
        Task::Restore(_) => vec!["-q", "restore", "latest", "--target"],
        Task::Check => vec!["-q", "check", "--read-data"],
    }
}

/// The words of a command, then the path of its task, then the repository.
fn words(command: &[&str], repository: &Path, task: Task<'_>) -> Vec<OsString> {
    let mut words: Vec<OsString> = command.iter().map(OsString::from).collect();
    if let Task::Backup(path) | Task::Restore(path) = task {
        words.push(path.into());
    }
    words.extend(["-r".into(), repository.into()]);
    words
}
