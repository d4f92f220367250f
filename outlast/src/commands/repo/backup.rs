//! `outlast repo backup`: local paths, or standard input, into a repository.

use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use outlast_fs::FileTime;
use outlast_fs::walk::{Walk, WalkWatch};
use outlast_repo::Repository;
use outlast_repo::backup::{self, Compression, Input, Options, Outcome, StreamInput, Tuning};
use outlast_types::{Clock, SystemClock, SystemRandom, human};
use serde_json::json;

use super::access::{Access, host_name, user_name};
use crate::commands::inputs::{self, ExcludeArgs, InputArgs, Stream};
use crate::dump::{self, Dump};
use crate::exit::Code;
use crate::output::{Output, counted};
use crate::signals::Signals;

/// What a stream is called in its snapshot, unless it is given a name; as stock restic does.
const STREAM_NAME: &str = "stdin";
/// How much of a stream must have come before the backup begins, at most.
const FIRST_BYTES: usize = 64 << 10;

/// Back up paths, or standard input, as a new snapshot
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What cannot be read is named and left out, and the exit code is 3; the snapshot has the rest. If
nothing at all could be read, there is no snapshot, and the exit code is 1.

A pipe into --stdin hides whether the program on its left failed, and what came before the failure
becomes a snapshot. With --stdin-from-command there is one only if the command exits with 0; where
it is a pipeline itself, use bash -o pipefail. A stream without a single byte is refused, unless
--allow-empty says that nothing is what there is.

Examples:
  outlast repo backup -r /srv/repo /etc /home
  outlast repo backup -r /srv/repo --stdin-from-command --stdin-filename shop.sql -- pg_dump shop
  outlast repo backup -r /srv/repo --journal /var/lib/repo.journal /srv   # goes on if interrupted"
)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// What to back up; with --stdin-from-command the command and its arguments
    #[arg(required_unless_present = "stdin", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Back up standard input
    #[arg(long, conflicts_with = "paths", group = "streamed")]
    stdin: bool,
    /// Back up what a command prints, if it exits with 0
    #[arg(long, group = "streamed")]
    stdin_from_command: bool,
    /// The name of standard input, or of what the command prints, in the snapshot [default: stdin]
    #[arg(long, value_name = "NAME", requires = "streamed")]
    stdin_filename: Option<String>,
    #[command(flatten)]
    excludes: ExcludeArgs,
    #[command(flatten)]
    input: InputArgs,
    /// Add a tag to the snapshot (may be repeated)
    #[arg(long)]
    tag: Vec<String>,
    /// The host name to record, instead of this host's
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// How hard to compress: `auto`, or a level of zstd from 1 (fast) to 19 (small)
    #[arg(long, default_value = "auto", value_name = "LEVEL", value_parser = compression)]
    compression: Compression,
    /// A local file that remembers what was uploaded, so that an interrupted backup goes on
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl Args {
    /// Whether the data comes from a command that we run.
    pub(in crate::commands) fn runs_a_command(&self) -> bool {
        self.stdin_from_command
    }
}

fn compression(text: &str) -> Result<Compression, String> {
    if text == "auto" {
        return Ok(Compression::Adaptive);
    }
    let level = text.parse().ok().filter(|level| (1..=19).contains(level));
    level
        .map(Compression::Level)
        .ok_or_else(|| "it is neither auto nor a level from 1 to 19".into())
}

/// Bytes of the files that are named; what directories hold is not known before they are read.
fn named_bytes(paths: &[PathBuf]) -> Option<u64> {
    let sizes = paths.iter().filter_map(|path| std::fs::metadata(path).ok());
    Some(sizes.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len()).sum())
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let from_command = arguments.stdin_from_command;
    let repository = arguments.access.open(output)?;
    if arguments.stdin || from_command {
        let mut dump = match arguments.paths.split_first() {
            Some((program, rest)) if from_command => {
                let mut command = Command::new(program);
                command.args(rest);
                let signals = Arc::new(Signals::catch(dump::PATIENCE)?);
                arguments.input.start(Stream::Command(command), &signals, output)?
            }
            _ => arguments.input.standard_input()?,
        };
        let failed = |dump: &mut Dump, error| {
            dump.stop();
            inputs::failed(dump, error, "no snapshot was made")
        };
        // Nothing is begun before there is something.
        let first = match first_bytes(&mut dump) {
            Ok(first) => first,
            Err(error) => return Err(failed(&mut dump, error.into())),
        };
        let input = stream(arguments, Cursor::new(first).chain(&mut dump));
        return save(arguments, &repository, (input, None), Vec::new(), output)
            .map_err(|error| failed(&mut dump, error));
    }
    let paths: Vec<String> = arguments
        .paths
        .iter()
        .map(|path| Ok(std::path::absolute(path)?.display().to_string()))
        .collect::<std::io::Result<_>>()
        .context("cannot find the current directory")?;
    if let (Some(path), false) = (inputs::nothing_in(&arguments.paths), arguments.input.allow_empty)
    {
        output.warn(&format!("{} has nothing in it (is it mounted?)", path.display()));
    }
    let walk = arguments.excludes.apply(Walk::new(&arguments.paths)?)?;
    let watch = Some(walk.watch());
    save(arguments, &repository, (Input::Tree(Box::new(walk)), watch), paths, output)
}

/// What a stream begins with; empty at its end.
fn first_bytes(dump: &mut Dump) -> std::io::Result<Vec<u8>> {
    let mut first = vec![0; FIRST_BYTES];
    let length = dump.read(&mut first)?;
    first.truncate(length);
    Ok(first)
}

fn stream<'a>(arguments: &Args, reader: impl Read + Send + 'a) -> Input<'a> {
    let now = SystemClock.now();
    Input::Stream(StreamInput {
        name: arguments.stdin_filename.as_deref().unwrap_or(STREAM_NAME).as_bytes().to_vec(),
        mode: 0o600,
        modified: FileTime { seconds: now.unix_seconds(), nanos: now.nanos() },
        reader: Box::new(reader),
    })
}

fn save(
    arguments: &Args,
    repository: &Repository,
    (input, watch): (Input<'_>, Option<WalkWatch>),
    paths: Vec<String>,
    output: &Output,
) -> Result<Code> {
    let expected_bytes = if paths.is_empty() { None } else { named_bytes(&arguments.paths) };
    let options = Options {
        hostname: arguments.host.clone().unwrap_or_else(host_name),
        username: user_name(),
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        paths,
        tags: arguments.tag.clone(),
        expected_bytes,
        journal: arguments.journal.clone(),
        tuning: Tuning { compression: arguments.compression, ..Tuning::default() },
        ..Options::new(SystemClock.now())
    };
    let progress = output.progress();
    let outcome =
        backup::backup(repository, input, &options, &SystemClock, &SystemRandom, &progress)?;
    progress.finish();
    let others = watch.map_or(0, |watch| watch.others());
    if outcome.problem_count > 0 && outcome.stats.files + others == 0 {
        let problem = outcome.problems.first().cloned().unwrap_or_default();
        bail!("nothing of what was asked for could be read, so there is no snapshot: {problem}");
    }
    backup::publish(repository, &outcome)?;
    tell(&outcome, output)
}

fn tell(outcome: &Outcome, output: &Output) -> Result<Code> {
    let stats = &outcome.stats;
    let stored: u64 = outcome.packs.iter().map(|(_, bytes)| bytes).sum();
    if output.is_json() {
        output.json(&json!({
            "snapshot": outcome.snapshot_id.to_string(),
            "files": stats.files,
            "directories": stats.directories,
            "bytes": stats.bytes,
            "stored_bytes": stored,
            "complete": outcome.problem_count == 0,
            "problems": outcome.problems,
            "problem_count": outcome.problem_count,
        }))?;
    } else {
        output.line(format_args!(
            "snapshot {:.8} saved: {}, {}; {} newly stored",
            outcome.snapshot_id,
            counted(stats.files, "file"),
            human::bytes(stats.bytes),
            human::bytes(stored)
        ))?;
    }
    if outcome.problem_count == 0 {
        return Ok(Code::Done);
    }
    let count = counted(outcome.problem_count, "thing");
    output.remark(format_args!("{count} could not be read and may be missing in the snapshot"));
    Ok(Code::Incomplete)
}
