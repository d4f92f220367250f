//! The programs that are compared: which of them are there, and how one does its work in a directory
//! of its own.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::commands::{self, Kind, Place, Task};
use super::measure::{self, Cost, Files};

pub(super) const PASSWORD: &str = "bench";

/// The program of this checkout, and the older one it may be compared with.
const OURS: &str = "outlast";
const BEFORE: &str = "before";

/// A program that is installed.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    name: &'static str,
    kind: Kind,
    program: PathBuf,
    version: String,
}

impl Tool {
    /// Ours, an older one of ours if `before` names it, and the peers that are there.
    pub(super) fn installed(outlast: &Path, before: Option<&Path>) -> Result<Vec<Self>> {
        let mut tools = Vec::new();
        let older = before.map(|program| (BEFORE, Kind::Outlast, program, "--version"));
        for (name, kind, program, arguments) in [
            (OURS, Kind::Outlast, outlast, "--version"),
            ("restic", Kind::Restic, Path::new("restic"), "version"),
            ("rustic", Kind::Rustic, Path::new("rustic"), "--version"),
            ("borg", Kind::Borg, Path::new("borg"), "--version"),
        ]
        .into_iter()
        .chain(older)
        {
            let Ok(output) = Command::new(program).arg(arguments).output() else {
                if name == BEFORE {
                    bail!("{} cannot be started", program.display());
                }
                println!("{} is not installed and left out", program.display());
                continue;
            };
            let text = String::from_utf8(output.stdout).context("a version that is no text")?;
            let mut version = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            if name == BEFORE {
                version += ", before";
            }
            tools.push(Self { name, kind, program: program.to_owned(), version });
        }
        Ok(tools)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Whether it is the program that all others are compared with.
    pub(super) fn is_measured(&self) -> bool {
        self.name == OURS
    }

    /// Whether restic has to judge what it wrote.
    pub(super) fn is_judged(&self) -> bool {
        self.kind == Kind::Outlast
    }

    /// Does a task in `home`, where its repository, its cache and its keys are.
    pub(super) fn run(&self, task: Task<'_>, home: &Path) -> Result<Cost> {
        std::fs::create_dir_all(home.join("cache")).context("cannot make a place for caches")?;
        let mut cost = Cost::default();
        for command in self.commands(task, home)? {
            cost = cost.then(measure::run(&command, home)?);
        }
        Ok(cost)
    }

    /// Whether it prints `path` of the newest snapshot as the file is. Not measured: whoever reads
    /// along takes time from the one that prints.
    pub(super) fn prints(&self, path: &Path, home: &Path) -> Result<bool> {
        for mut command in self.commands(Task::Cat(path), home)? {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut printing = command.spawn().context("cannot start a program")?;
            let printed = printing.stdout.take().context("read what is printed")?;
            let mut judge = Command::new("cmp");
            judge.args(["--silent", "-"]).arg(path).stdin(printed);
            let same = judge.status().context("cannot start cmp")?.success();
            if !printing.wait().context("wait for a program")?.success() || !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn commands(&self, task: Task<'_>, home: &Path) -> Result<Vec<Command>> {
        let snapshots = match task {
            Task::Init | Task::Backup(_) | Task::Check => Vec::new(),
            Task::Restore(_) | Task::Cat(_) | Task::Prune => self.snapshots(home)?,
        };
        let place = Place {
            repository: &self.repository(home),
            oldest: snapshots.first().map_or("", String::as_str),
            newest: snapshots.last().map_or("", String::as_str),
        };
        let directory = if let Task::Restore(target) = task { target } else { home };
        let command = |arguments: Vec<OsString>| {
            let mut command = Command::new(&self.program);
            command.args(arguments).current_dir(directory).envs(variables(home));
            command
        };
        Ok(commands::commands(self.kind, task, place).into_iter().map(command).collect())
    }

    /// Its repository below `home`.
    pub(super) fn repository(&self, home: &Path) -> PathBuf {
        home.join("repository")
    }

    /// The files of its repository that a client sends, of a path below the repository. Beside its
    /// data, borg keeps tables there that its server makes for itself.
    pub(super) fn ships(&self, path: &Path) -> bool {
        self.kind != Kind::Borg || path.starts_with("data")
    }

    /// The names of all snapshots, the oldest first.
    fn snapshots(&self, home: &Path) -> Result<Vec<String>> {
        let repository = self.repository(home);
        let names: Vec<String> = if self.kind == Kind::Borg {
            let output = Command::new(&self.program)
                .args([OsStr::new("list"), OsStr::new("--short"), repository.as_os_str()])
                .envs(variables(home))
                .output()
                .context("cannot start borg")?;
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
        } else {
            // The others name the file of a snapshot by its id.
            Files::below(&repository.join("snapshots"))?.oldest_first()
        };
        if names.is_empty() {
            bail!("{} has no snapshot; was a case left out before?", repository.display());
        }
        Ok(names)
    }
}

/// Passwords and places, for whichever program looks for them; nothing of the user's own settings.
fn variables(home: &Path) -> Vec<(&'static str, OsString)> {
    let cache = home.join("cache");
    let password = ["OUTLAST_PASSWORD", "RESTIC_PASSWORD", "RUSTIC_PASSWORD", "BORG_PASSPHRASE"];
    let caches = [
        "OUTLAST_CACHE_DIR",
        "RESTIC_CACHE_DIR",
        "RUSTIC_CACHE_DIR",
        "BORG_BASE_DIR",
        "XDG_CONFIG_HOME",
    ];
    let password = password.map(|name| (name, OsString::from(PASSWORD)));
    let caches = caches.map(|name| (name, cache.clone().into_os_string()));
    password.into_iter().chain(caches).collect()
}
