//! `outlast demo`: the blue/green story on real processes, each promise checked as it goes.
//!
//! One `outlast up` plays agent and vault, short-lived `outlast drop` processes play instances.
//! Every claim of the story is a check on what those processes left behind (receipts, incidents,
//! restored bytes); the first that does not hold ends it with a non-zero exit.

mod database;
mod handed;
mod joining;
mod pager;
mod scenes;
mod stage;
mod story;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::exit::{Advised, Code};
use crate::output::plain;
use crate::signals::Signals;

use handed::HandedOver;
use scenes::Rehearsal;
use story::Story;

pub(crate) use database::DUMP_COMMAND;

/// Rehearse a blue/green release on real processes and check every promise
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast demo                    play in a temporary directory that is removed afterwards
  outlast demo --handover         the same with a backup product that is there already
  outlast demo --dir /tmp/stage   keep everything there, to look at it with the other commands")]
pub(crate) struct Args {
    /// Play in this new directory and keep it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Play how drops are handed over to a backup product, which a small one stands in for
    #[arg(long)]
    handover: bool,
}

/// Plays the rehearsal; failed if a promise broke, after telling which.
pub(crate) fn run(arguments: &Args) -> Result<Code> {
    let (directory, mut scratch) = match &arguments.dir {
        Some(directory) => {
            std::fs::create_dir(directory).with_context(|| {
                format!("make the new directory {} to play in", directory.display())
            })?;
            let directory = directory.canonicalize().context("find the directory just made")?;
            (directory, None)
        }
        None => {
            let scratch = tempfile::Builder::new()
                .prefix("outlast-demo-")
                .tempdir()
                .context("make a temporary directory to play in")?;
            (scratch.path().to_owned(), Some(scratch))
        }
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    heed_interrupts(Arc::clone(&interrupted))?;

    let title = match arguments.handover {
        true => "Outlast: a hand-over to a backup product, rehearsed on real processes",
        false => "Outlast: a blue/green release, rehearsed on real processes",
    };
    let mut story = Story::begin(title);
    let outcome = match arguments.handover {
        true => HandedOver::open(directory.clone(), interrupted, &mut story)
            .and_then(|rehearsal| rehearsal.play(&mut story)),
        false => Rehearsal::open(directory.clone(), interrupted, &mut story)
            .and_then(|rehearsal| rehearsal.play(&mut story)),
    };
    match outcome {
        Ok(()) => {
            story.end();
            if scratch.is_none() {
                story.tell(&format!("Everything is still in {}.", directory.display()));
            }
            Ok(Code::Done)
        }
        Err(error) => {
            story.broken(&plain(&format!("{error:#}")));
            let words = error.chain().find_map(|cause| cause.downcast_ref::<Advised>());
            for line in words.iter().flat_map(|words| words.hint.lines()) {
                story.tell(&plain(line));
            }
            if let Some(scratch) = scratch.take() {
                // What went wrong can only be found where it happened.
                let kept = scratch.keep();
                story.tell(&format!("Logs and data are kept in {}.", kept.display()));
            }
            Ok(Code::Failed)
        }
    }
}

/// Prints a consistent copy of a SQLite database, for [`DUMP_COMMAND`].
pub(crate) fn dump_sqlite(path: &std::path::Path) -> Result<Code> {
    database::dump_sqlite(path, &mut std::io::stdout().lock())?;
    Ok(Code::Done)
}

/// A signal ends the waiting, and so the story, in order: the processes are stopped first.
fn heed_interrupts(interrupted: Arc<AtomicBool>) -> Result<()> {
    let signals = Signals::catch(stage::PATIENCE)?;
    std::thread::spawn(move || {
        while signals.wait(stage::PATIENCE).is_none() {}
        interrupted.store(true, Ordering::Relaxed);
    });
    Ok(())
}
