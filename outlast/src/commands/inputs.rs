//! What `drop` and `repo backup` share: streams, and what is nothing to back up.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use outlast_fs::Excludes;
use outlast_fs::walk::Walk;
use outlast_types::human;

use crate::dump::{Dump, DumpError, Handling};
use crate::exit::{Advised, Usage};
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

/// What is left out of a tree; in the words of restic where it has them.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ExcludeArgs {
    /// Leave out what matches PATTERN (may be repeated): `*.tmp` or `cache/*` anywhere, `/srv/tmp` as
    /// a whole path; `**` stands for any number of names, and a leading `!` takes back what those before
    /// it said
    #[arg(long, short = 'e', value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Leave out what matches the patterns in FILE, one on each line; empty lines and those with `#`
    /// are none, and $NAME stands for a variable of the environment (may be repeated)
    #[arg(long, value_name = "FILE", visible_alias = "exclude-file")]
    exclude_from: Vec<PathBuf>,
    /// Leave out what directories hold that a file CACHEDIR.TAG marks as caches
    #[arg(long)]
    exclude_caches: bool,
    /// Stay on the file systems of the paths; what is mounted elsewhere is an empty directory
    #[arg(long, short = 'x')]
    one_file_system: bool,
}

impl ExcludeArgs {
    /// The walk without what is to be left out.
    pub(super) fn apply(&self, walk: Walk) -> Result<Walk> {
        let mut excludes = Excludes::default();
        for pattern in &self.exclude {
            add(&mut excludes, pattern.as_bytes()).context("--exclude")?;
        }
        for path in &self.exclude_from {
            let shown = || format!("{}", path.display());
            let text = std::fs::read(path).with_context(|| format!("cannot read {}", shown()))?;
            for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
                let line = line.trim_ascii();
                if line.is_empty() || line.starts_with(b"#") {
                    continue;
                }
                let at = || format!("line {number} of {}", shown());
                let line = expanded(line, |name| std::env::var_os(name)).with_context(at)?;
                add(&mut excludes, &line).with_context(at)?;
            }
        }
        if self.exclude_caches {
            excludes.caches();
        }
        let mut walk = walk.one_file_system(self.one_file_system);
        walk.leave_out(excludes).context("cannot find the current directory")?;
        Ok(walk)
    }
}

fn add(excludes: &mut Excludes, pattern: &[u8]) -> Result<()> {
    excludes.add(pattern).map_err(|error| Usage(error.to_string()).into())
}

/// A line with its variables, `$NAME` or `${NAME}`, in their places; `$$` stands for `$`. Where restic takes
/// one that is not set for nothing, it is refused here: `$HOME/*` would leave out everything.
fn expanded(line: &[u8], variable: impl Fn(&OsStr) -> Option<OsString>) -> Result<Vec<u8>> {
    let mut result = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        result.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let length = |bytes: &[u8]| {
            let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            bytes.iter().position(|byte| !is_of_name(byte)).unwrap_or(bytes.len())
        };
        let (name, after) = match rest.split_first() {
            Some((b'$', after)) => {
                result.push(b'$');
                rest = after;
                continue;
            }
            Some((b'{', after)) => {
                let (name, after) = after.split_at(length(after));
                let after = after.strip_prefix(b"}").context("a ${ in it is not closed by }")?;
                (name, after)
            }
            _ => rest.split_at(length(rest)),
        };
        let name = OsStr::from_bytes(name);
        let value = variable(name).filter(|value| !value.is_empty());
        let value = value.with_context(|| {
            format!("the variable {name:?} in it is not set; write $$ for a dollar sign")
        })?;
        result.extend_from_slice(value.as_bytes());
        rest = after;
    }
    result.extend_from_slice(rest);
    Ok(result)
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

/// A failure of a stream as the command's error.
pub(super) fn explained(failure: DumpError, outcome: &str) -> anyhow::Error {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_a_line_are_replaced_and_one_that_is_not_set_is_refused() {
        let variable = |name: &OsStr| match name.to_str() {
            Some("HOME") => Some("/home/me".into()),
            Some("EMPTY") => Some("".into()),
            _ => None,
        };
        for (line, wanted) in [
            ("*.tmp", "*.tmp"),
            ("$HOME/x", "/home/me/x"),
            ("${HOME}x/$HOME", "/home/mex//home/me"),
            ("a$$b", "a$b"),
        ] {
            assert_eq!(expanded(line.as_bytes(), variable).unwrap(), wanted.as_bytes(), "{line}");
        }
        for bad in ["$EMPTY/*", "$NONE/*", "${HOME/*", "$", "$/x"] {
            assert!(expanded(bad.as_bytes(), variable).is_err(), "{bad}");
        }
    }
}
