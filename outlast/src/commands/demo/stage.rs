//! The stage: a directory, the real processes on it, and waiting with a deadline.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::exit::Advised;

/// How long any single thing may take before the rehearsal is called broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Where the rehearsal plays: every process is this very program, started again.
pub(super) struct Stage {
    program: PathBuf,
    directory: PathBuf,
    patience: Patience,
}

impl Stage {
    pub(super) fn new(directory: PathBuf, interrupted: Arc<AtomicBool>) -> Result<Self> {
        let program = std::env::current_exe().context("find this program's own file")?;
        Ok(Self { program, directory, patience: Patience { interrupted } })
    }

    /// Looks again and again until `holds`; see [`Patience::wait_until`].
    pub(super) fn wait_until(
        &self,
        what: &str,
        holds: impl FnMut() -> Result<bool>,
    ) -> Result<Duration> {
        self.patience.wait_until(what, holds)
    }

    /// A path on the stage.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The program that every role and instance runs.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Starts `outlast ARGS…` in a process group of its own, its words in `NAME.log`.
    pub(super) fn start(
        &self,
        name: &str,
        arguments: &[&OsStr],
        settings: &[(&str, &str)],
    ) -> Result<Actor> {
        let log_path = self.path(&format!("{name}.log"));
        let log = File::create(&log_path)
            .with_context(|| format!("create the log {}", log_path.display()))?;
        let child = Command::new(&self.program)
            .args(arguments)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Actor { name: name.to_owned(), child, log_path, patience: self.patience.clone() })
    }

    /// Runs `outlast ARGS…` to its end and gives what it printed; an error if it failed.
    pub(super) fn run(&self, arguments: &[&OsStr]) -> Result<String> {
        run(Command::new(&self.program).args(arguments))
    }
}

/// Runs a command to its end; its standard output, or an error with its last words.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {shown}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(with_words(
            format!("{shown} ended with {}", output.status),
            words.into_owned(),
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An error with what was said before it, line by line.
pub(super) fn with_words(message: String, words: String) -> anyhow::Error {
    Advised { message, hint: words }.into()
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().take(4).map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// A process on the stage; killed with all its children when it is dropped.
pub(super) struct Actor {
    name: String,
    child: Child,
    log_path: PathBuf,
    patience: Patience,
}

impl Actor {
    /// Ends it and its children at once, as a terminated instance ends: SIGKILL, no farewell.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(group) = self.group() {
            // It may have ended by itself; only its absence matters.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        self.child.wait().with_context(|| format!("wait for the end of {}", self.name))?;
        Ok(())
    }

    /// Asks it to stop and waits; an error if it does not end well.
    pub(super) fn stop(mut self) -> Result<()> {
        if let Some(group) = self.group() {
            rustix::process::kill_process(group, rustix::process::Signal::TERM)
                .with_context(|| format!("ask {} to stop", self.name))?;
        }
        let mut status = None;
        let child = &mut self.child;
        self.patience.wait_until("the roles stop", || {
            status = child.try_wait().context("ask whether it ended")?;
            Ok(status.is_some())
        })?;
        let ended_well = status.is_some_and(|status| status.success());
        if ended_well {
            return Ok(());
        }
        Err(with_words(format!("{} did not stop cleanly", self.name), self.last_words()))
    }

    /// An error with its last words if it has ended already.
    pub(super) fn must_live(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("ask whether it ended")? {
            let message = format!("{} ended early with {status}", self.name);
            return Err(with_words(message, self.last_words()));
        }
        Ok(())
    }

    /// What it said, to be shown when something broke.
    pub(super) fn last_words(&self) -> String {
        const LINES: usize = 15;
        let log = std::fs::read(&self.log_path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn group(&self) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // A rehearsal leaves no process behind, however it ends.
            let _ = self.kill();
        }
    }
}

/// Waiting that ends: when the thing happened, when time is up, or when the user has had enough.
#[derive(Clone)]
struct Patience {
    interrupted: Arc<AtomicBool>,
}

impl Patience {
    /// Looks again and again until `holds`, or says after [`PATIENCE`] what never happened.
    fn wait_until(&self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<Duration> {
        const PAUSE: Duration = Duration::from_millis(50);
        let began = Instant::now();
        while !holds()? {
            ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
            ensure!(
                began.elapsed() < PATIENCE,
                "waited {} s, but never: {what}",
                PATIENCE.as_secs()
            );
            std::thread::sleep(PAUSE);
        }
        Ok(began.elapsed())
    }
}

/// Words of a command line.
pub(super) fn words<'a>(plain: &[&'a str]) -> Vec<&'a OsStr> {
    plain.iter().map(|&word| OsStr::new(word)).collect()
}

/// A command line as owned words, for a child that needs them longer.
pub(super) fn owned(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
