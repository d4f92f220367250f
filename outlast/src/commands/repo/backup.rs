//! `outlast repo backup`: local paths, or standard input, into a repository.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};
use outlast_fs::FileTime;
use outlast_fs::walk::Walk;
use outlast_repo::backup::{self, Compression, Input, Options, Outcome, StreamInput, Tuning};
use outlast_types::{Clock, SystemClock, SystemRandom, human};
use serde_json::json;

use super::access::{Access, host_name, user_name};
use crate::exit::Code;
use crate::output::{Output, counted};

/// Back up paths, or standard input, as a new snapshot
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What cannot be read is named and left out, and the exit code is 1; the snapshot has the rest.

Examples:
  outlast repo backup -r /srv/repo /etc /home
  pg_dump shop | outlast repo backup -r /srv/repo --stdin --stdin-filename shop.sql
  outlast repo backup -r /srv/repo --journal /var/lib/repo.journal /srv   # goes on if interrupted"
)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// What to back up
    #[arg(required_unless_present = "stdin", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Back up standard input
    #[arg(long, conflicts_with = "paths")]
    stdin: bool,
    /// The name of standard input in the snapshot
    #[arg(long, default_value = "stdin", conflicts_with = "paths", value_name = "NAME")]
    stdin_filename: String,
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
    let repository = arguments.access.open()?;
    let paths: Vec<String> = arguments
        .paths
        .iter()
        .map(|path| Ok(std::path::absolute(path)?.display().to_string()))
        .collect::<std::io::Result<_>>()
        .context("cannot find the current directory")?;
    let input = if arguments.stdin {
        let now = SystemClock.now();
        let reader: Box<dyn Read + Send> = Box::new(std::io::stdin());
        Input::Stream(StreamInput {
            name: arguments.stdin_filename.clone().into_bytes(),
            mode: 0o600,
            modified: FileTime { seconds: now.unix_seconds(), nanos: now.nanos() },
            reader,
        })
    } else {
        Input::Tree(Box::new(Walk::new(&arguments.paths)?))
    };
    let options = Options {
        hostname: arguments.host.clone().unwrap_or_else(host_name),
        username: user_name(),
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        paths,
        tags: arguments.tag.clone(),
        expected_bytes: named_bytes(&arguments.paths),
        journal: arguments.journal.clone(),
        tuning: Tuning { compression: arguments.compression, ..Tuning::default() },
        ..Options::new(SystemClock.now())
    };
    let progress = output.progress();
    let outcome =
        backup::backup(&repository, input, &options, &SystemClock, &SystemRandom, &progress)?;
    backup::publish(&repository, &outcome)?;
    progress.finish();
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
            "problems": outcome.problems,
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
    if outcome.problems.is_empty() {
        return Ok(Code::Done);
    }
    let count = counted(outcome.problem_count, "thing");
    output.remark(format_args!("{count} could not be read and may be missing in the snapshot"));
    Ok(Code::Failed)
}
