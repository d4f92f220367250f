//! `outlast drop`: what an instance runs to write its backup to the share.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use outlast_drop::tar::{self, TreeSummary};
use outlast_drop::{Claims, Content, DropWriter, Gaps, Share, WriterOptions};
use outlast_fs::walk::Walk;
use outlast_types::{Clock, Monitor, SystemClock, SystemRandom, WorkloadName, human};
use serde_json::json;

use super::inputs::{self, InputArgs};
use crate::dump::Dump;
use crate::exit::{Advised, Code};
use crate::output::{Output, Progress, counted};

/// How much is read from a pipe at once.
const PIPE_BYTES: usize = 1 << 20;

/// Write one backup to the share and seal it; prints the drop's id
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is a backup before it is sealed: a writer that is killed, a command that fails, or a
share that is full leaves no seal, and the agent cleans up after it.

A tree of which something could not be read is sealed all the same, because the rest is worth
having; each thing that is missing is named, the seal says so, and the exit code is 3. If nothing at
all could be read, nothing is sealed, and the exit code is 1. Sockets are skipped: they hold no data.

A pipe hides whether the program on its left failed: `pg_dump | outlast drop --stdin` seals what
came before the failure. With --exec the command's exit status counts; where it is a pipeline
itself, let the shell tell of any part that failed: bash -o pipefail. A stream without a single
byte is refused, and so are directories without anything in them (is it mounted?), unless
--allow-empty says that nothing is what there is.

Examples:
  outlast drop --share /mnt/efs --workload shop-files /srv/uploads
  outlast drop --share /mnt/efs --workload shop-db --exec shop.sql -- pg_dump shop
  outlast drop --share /mnt/efs --workload shop-db --exec shop.sql.age -- \\
    bash -o pipefail -c 'pg_dump shop | age -R /etc/backup.pub'"
)]
pub(crate) struct Args {
    /// The share's directory
    #[arg(long, value_name = "DIR", env = "OUTLAST_SHARE")]
    share: PathBuf,
    /// The workload that this is a backup of
    #[arg(long, value_name = "NAME")]
    workload: WorkloadName,
    /// This instance's id [default: the host name]
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// The release that this instance runs
    #[arg(long)]
    release: Option<String>,
    /// The colour of this instance in a blue/green release
    #[arg(long, value_name = "COLOR")]
    color: Option<String>,
    /// The last drop of this instance before it is terminated
    #[arg(long = "final")]
    is_final: bool,
    /// Compression of what lies on the share: a zstd level from 1 to 19, or `off`
    #[arg(long, value_name = "LEVEL", default_value = "1", value_parser = compression)]
    compress: Compression,
    /// Size of the segments in which the data is written
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = segment_bytes)]
    segment_size: u64,
    /// Back up standard input as a file of this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["exec", "paths"])]
    stdin: Option<String>,
    /// Back up what COMMAND prints as a file of this name; sealed only if it exits with 0
    #[arg(long, value_name = "NAME", conflicts_with = "paths", requires = "command")]
    exec: Option<String>,
    #[command(flatten)]
    input: InputArgs,
    /// Files and directories to back up, with everything that belongs to them
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "exec"])]
    paths: Vec<PathBuf>,
    /// The command for --exec and its arguments
    #[arg(last = true, value_name = "COMMAND", requires = "exec")]
    command: Vec<OsString>,
}

impl Args {
    /// Whether the data comes from a command that we run.
    pub(super) fn runs_a_command(&self) -> bool {
        self.exec.is_some()
    }
}

#[derive(Debug, Clone, Copy)]
struct Compression(Option<i32>);

fn compression(text: &str) -> Result<Compression, String> {
    match text {
        "off" => Ok(Compression(None)),
        _ => match text.parse() {
            Ok(level @ 1..=19) => Ok(Compression(Some(level))),
            _ => Err("a level from 1 to 19, or off".to_owned()),
        },
    }
}

fn segment_bytes(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 1 << 20;
    match human::parse_bytes(text) {
        Ok(bytes) if bytes >= LEAST => Ok(bytes),
        Ok(_) => Err("segments have at least 1 MiB".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let share = Share::open(&arguments.share)?;
    let progress = output.progress();
    progress.begin(&format!("drop {}", arguments.workload), None);
    let mut tree = TreeSummary::default();
    let writer = match arguments.stdin.as_ref().or(arguments.exec.as_ref()) {
        Some(name) => {
            // What cannot be named or read is refused before there is a drop.
            let content = Content::stream(name)?;
            let from_command = arguments.exec.as_ref().map(|_| arguments.command.as_slice());
            let mut dump = arguments.input.start(from_command, output)?;
            match open(&share, arguments, content) {
                Ok(writer) => write_stream(writer, &mut dump, &progress)?,
                Err(error) => {
                    dump.stop();
                    return Err(error);
                }
            }
        }
        None => {
            let (writer, summary) = write_tree(&share, arguments, &progress)?;
            tree = summary;
            writer
        }
    };
    let drop = writer.drop_id();
    let (raw, stored) = (writer.raw_bytes(), writer.stored_bytes());
    let seal = writer.seal(&SystemClock)?;
    progress.finish();
    if output.is_json() {
        output.json(&json!({
            "drop": drop.to_string(),
            "workload": arguments.workload.as_str(),
            "bytes": raw,
            "stored_bytes": seal.stored_bytes(),
            "segments": seal.segments.len(),
            "complete": tree.problem_count == 0,
            "problems": tree.problems,
            "problem_count": tree.problem_count,
            "remarks": tree.remarks,
        }))?;
    } else {
        output.line(drop)?;
        tree.remarks.iter().for_each(|remark| output.remark(remark));
        output.remark(format_args!(
            "sealed drop {drop} of {}: {}, {} on the share",
            arguments.workload,
            human::bytes(raw),
            human::bytes(stored.max(seal.stored_bytes()))
        ));
    }
    if tree.problem_count == 0 {
        return Ok(Code::Done);
    }
    if !output.is_json() {
        let count = counted(tree.problem_count, "thing");
        output.warn(&format!(
            "{count} could not be read as it should: drop {drop} is sealed, but incomplete"
        ));
    }
    Ok(Code::Incomplete)
}

fn open(share: &Share, arguments: &Args, content: Content) -> Result<DropWriter> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let claims = Claims {
        instance: Some(arguments.instance.clone().unwrap_or_else(|| host.clone())),
        release: arguments.release.clone(),
        color: arguments.color.clone(),
        host: Some(host),
        is_final: arguments.is_final,
        started: Some(SystemClock.now()),
        gaps: None,
    };
    let options = WriterOptions {
        segment_bytes: arguments.segment_size,
        compression: arguments.compress.0,
        ..WriterOptions::default()
    };
    let workload = &arguments.workload;
    Ok(DropWriter::create(share, workload, content, claims, options, &SystemClock, &SystemRandom)?)
}

/// Writes what `dump` gives as a stream. Its failure is the drop's failure, because half a dump is
/// no backup.
fn write_stream(
    mut writer: DropWriter,
    dump: &mut Dump,
    progress: &Progress,
) -> Result<DropWriter> {
    match copy(dump, &mut writer, progress) {
        Ok(()) => Ok(writer),
        Err(Copy::Write(error)) => {
            // Nobody takes what the command prints any more; it may not notice by itself.
            dump.stop();
            Err(error)
        }
        Err(Copy::Read(error)) => {
            // A courtesy: a drop without a seal is none in any case.
            let _ = writer.fail(dump.exit_code());
            Err(inputs::failed(dump, error, "nothing was sealed"))
        }
    }
}

/// Which side of a copy failed.
enum Copy {
    Read(anyhow::Error),
    Write(anyhow::Error),
}

/// Copies all of `dump` into the drop.
fn copy(dump: &mut Dump, writer: &mut DropWriter, progress: &Progress) -> Result<(), Copy> {
    let mut buffer = vec![0; PIPE_BYTES];
    loop {
        let length = match dump.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) => return Err(Copy::Read(error.into())),
        };
        writer.write_all(&buffer[..length]).map_err(|error| Copy::Write(error.into()))?;
        progress.advance(length as u64);
    }
}

/// Writes paths as a tree; what could not be read is left out of it.
fn write_tree(
    share: &Share,
    arguments: &Args,
    progress: &Progress,
) -> Result<(DropWriter, TreeSummary)> {
    refuse_the_share_itself(share, &arguments.paths)?;
    if let (Some(path), false) = (inputs::nothing_in(&arguments.paths), arguments.input.allow_empty)
    {
        return Err(Advised {
            message: format!(
                "{} has nothing in it (is it mounted?); nothing was sealed",
                path.display()
            ),
            hint: "If nothing is what there is to back up, add --allow-empty.".to_owned(),
        }
        .into());
    }
    let mut walk = Walk::new(&arguments.paths)?;
    let watch = walk.watch();
    walk.exclude(share.path()).context("cannot look at the share")?;
    let mut writer = open(share, arguments, Content::Tree)?;
    let summary =
        tar::write_tree(&mut walk, &mut writer, progress).map_err(|error| match error {
            // The writer has said all: what failed, where, and what to do.
            tar::TarError::Write(error) => error.into(),
            error => anyhow::Error::new(error).context("nothing was sealed"),
        })?;
    if summary.problem_count > 0 && summary.files + watch.others() == 0 {
        let problem = summary.problems.first().cloned().unwrap_or_default();
        writer.fail(None)?;
        bail!("nothing of what was asked for could be read, so nothing was sealed: {problem}");
    }
    writer.note_gaps(Gaps::of(summary.problem_count, &summary.problems));
    Ok((writer, summary))
}

/// The share is left out of every drop, so that drops do not contain drops. Whoever names it, or
/// what lies on it, would get an empty backup and never know.
fn refuse_the_share_itself(share: &Share, paths: &[PathBuf]) -> Result<()> {
    let root = share.path().canonicalize().context("cannot look at the share")?;
    for path in paths {
        // A path that does not exist is named by the walk.
        if path.canonicalize().is_ok_and(|path| path.starts_with(&root)) {
            return Err(Advised {
                message: format!("{} is on the share itself; nothing was sealed", path.display()),
                hint: "Back up where the data comes from; drops do not contain drops.".to_owned(),
            }
            .into());
        }
    }
    Ok(())
}
