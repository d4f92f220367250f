//! What `drop` and `repo backup` share: streams, and what is nothing to back up.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use outlast_types::human;

use crate::dump::{Dump, DumpError, Handling};
use crate::exit::Advised;
use crate::output::Output;
use crate::signals::{Ended, Signals};

/// What counts as something to back up.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct InputArgs {
    /// Back up even nothing: a stream without a byte, or directories without anything in them
    #[arg(long)]
    pub(super) allow_empty: bool,
    /// How long to wait in silence for something that the command left behind, and that still
    /// holds its output open
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = human::parse_duration)]
    linger: Duration,
}

/// Where a stream comes from.
pub(super) enum Stream {
    StandardInput,
    /// What a command prints, if it ends with 0.
    Command(Command),
    /// What a reader gives up to its end, under a name for messages.
    Reader(String, Box<dyn Read + Send>),
}

impl InputArgs {
    /// Begins to read `stream`, until `signals` say that it is to be broken off.
    pub(super) fn start(
        &self,
        stream: Stream,
        signals: &Arc<Signals>,
        output: &Output,
    ) -> Result<Dump> {
        let signals = Arc::clone(signals);
        let begun = match stream {
            Stream::StandardInput => Dump::standard_input(self.allow_empty, Some(signals)),
            Stream::Command(command) => {
                let output = *output;
                let remark = Box::new(move |words: &str| output.warn(words));
                let handling = Handling { linger: self.linger, remark };
                Dump::command(command, self.allow_empty, handling, signals)
            }
            Stream::Reader(name, reader) => {
                Ok(Dump::reader(&name, reader, self.allow_empty, signals))
            }
        };
        begun.map_err(not_begun)
    }

    /// Begins to read standard input where nobody catches signals.
    pub(super) fn standard_input(&self) -> Result<Dump> {
        Dump::standard_input(self.allow_empty, None).map_err(not_begun)
    }
}

fn not_begun(error: DumpError) -> anyhow::Error {
    explained(error, "nothing was backed up")
}

/// The first of `paths` if all of them are directories without anything in them. A mount point looks
/// like that when nothing is mounted there.
pub(super) fn nothing_in(paths: &[PathBuf]) -> Option<&Path> {
    let is_empty = |path: &PathBuf| {
        // A link is something, wherever it leads.
        path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
            && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
    };
    paths.iter().all(is_empty).then(|| paths.first().map(PathBuf::as_path)).flatten()
}

/// Why a stream was not backed up: what `dump` says, or else `error`. `outcome` says what that
/// means, such as `nothing was sealed`.
pub(super) fn failed(dump: &mut Dump, error: anyhow::Error, outcome: &str) -> anyhow::Error {
    match dump.take_failure() {
        Some(failure) => explained(failure, outcome),
        None => error,
    }
}

fn explained(failure: DumpError, outcome: &str) -> anyhow::Error {
    let message = format!("{failure}; {outcome}");
    let hint = match failure {
        DumpError::Signal { command, caught } => {
            let told = format!("{command} was told to end, too; {outcome}");
            return Ended { caught, told }.into();
        }
        DumpError::Ended { caught } => return Ended { caught, told: outcome.to_owned() }.into(),
        DumpError::Nothing { .. } => {
            "This is what a dump that failed looks like: `--help` tells how to let its exit status \
             count. If nothing is what there is to back up, add --allow-empty."
        }
        DumpError::Held { .. } => {
            "Let the command wait for all that it starts, or give --linger more time."
        }
        DumpError::NotStarted { command, .. } if command.contains(' ') => {
            "The program and each of its arguments are words of their own; a line of shell is run by \
             sh -c."
        }
        DumpError::NotReadable => {
            "Redirect what is to be backed up into it, or run the dump by us."
        }
        _ => return anyhow::anyhow!(message),
    };
    Advised { message, hint: hint.to_owned() }.into()
}
