//! A schedule that is kept for an agent, which backs up its `[[source]]` so.
//!
//! The agent starts this program for each source, and holds the other end of its standard input: where that
//! ends, the agent has, however that came, and so does the schedule. A directory of the source's own is held by
//! a lock, so that whatever an earlier agent left behind never drops beside a later one.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outlast_fs::{DirectoryLock, durable};
use outlast_types::{SystemTimer, Timer};
use rustix::process::{Signal, getpid, kill_process};

use crate::signals::{Ended, Signals};

const LOCK: &str = "source.lock";
const STATUS: &str = "status.json";
/// Beside the directories of the sources, under a name that no workload can have.
const TURNS: &str = "+turns";
const DIRECTORY_MODE: u32 = 0o700;
/// How long the one before may take to end. It is told to as soon as its agent is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether it is one's turn.
const LOOK: Duration = Duration::from_millis(500);

/// What an agent says to whom it starts. Users need none of it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SupervisedArgs {
    /// Keep the state in DIR, and end when standard input does
    #[arg(long, hide = true, value_name = "DIR", requires = "every")]
    pub(super) supervised: Option<PathBuf>,
    /// How many of those whose directories lie beside DIR drop side by side
    #[arg(long, hide = true, value_name = "COUNT", requires = "supervised", default_value_t = 1)]
    at_once: usize,
}

/// The hold on a source.
pub(super) struct Supervised {
    turns: PathBuf,
    at_once: usize,
    _lock: DirectoryLock,
}

/// Where the status lies of a source whose directory this is.
pub(crate) fn status_file(directory: &Path) -> PathBuf {
    directory.join(STATUS)
}

impl Supervised {
    /// Takes hold of the source, if an agent has started this; and watches that it lives.
    pub(super) fn begin(
        arguments: &SupervisedArgs,
        signals: &Arc<Signals>,
    ) -> Result<Option<Self>> {
        let Some(directory) = &arguments.supervised else { return Ok(None) };
        let turns = directory.with_file_name(TURNS);
        for directory in [directory, &turns] {
            durable::create_directories(directory, DIRECTORY_MODE)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let heard = Arc::clone(signals);
        std::thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || end_with_standard_input(&heard))
            .context("cannot start a thread")?;
        let timer = SystemTimer::new();
        let lock = loop {
            if let Some(lock) = DirectoryLock::take(directory, LOCK)? {
                break lock;
            }
            if timer.elapsed() >= PATIENCE {
                bail!("another process holds {}, and does not end", directory.display());
            }
            rest(&timer, signals)?;
        };
        Ok(Some(Self { turns, at_once: arguments.at_once.max(1), _lock: lock }))
    }

    /// Waits until no more than so many others drop. It is this one's turn until what is given back goes.
    pub(super) fn turn(&self, signals: &Signals) -> Result<DirectoryLock> {
        let timer = SystemTimer::new();
        loop {
            for place in 0..self.at_once {
                if let Some(turn) = DirectoryLock::take(&self.turns, &place.to_string())? {
                    return Ok(turn);
                }
            }
            rest(&timer, signals)?;
        }
    }
}

fn rest(timer: &SystemTimer, signals: &Signals) -> Result<()> {
    if timer.pause(LOOK, signals.asked())
        && let Some(caught) = signals.first()
    {
        let told = "other sources were read; nothing was begun here".to_owned();
        return Err(Ended { caught, told }.into());
    }
    Ok(())
}

/// Asks for the end, as a service manager does, when nobody holds the other end of standard input.
fn end_with_standard_input(signals: &Signals) {
    let mut nothing = [0; 64];
    // An error is an end, too.
    while std::io::stdin().read(&mut nothing).is_ok_and(|length| length > 0) {}
    // Told twice, it would not wait for what is under way to be given up in order.
    if !signals.asked().is_requested() {
        let _ = kill_process(getpid(), Signal::TERM);
    }
}
