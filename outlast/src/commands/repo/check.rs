//! `outlast repo check`: is everything there that snapshots need, and undamaged?

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use outlast_fs::durable;
use outlast_repo::Repository;
use outlast_repo::check::{self, Counts, Defect, Options, Report, Resume, Subset};
use outlast_store::{Kind, Paced};
use outlast_types::{Clock, Interrupt, SystemClock, SystemTimer, human};
use serde_json::json;

use super::access::Access;
use crate::exit::{Advised, Code};
use crate::output::{Output, counted};

/// Verify that everything is there that snapshots need, and undamaged
#[derive(Debug, clap::Args)]
#[command(after_help = "Every problem is named, and the exit code is 1 if there are any.

Examples:
  outlast repo check -r /srv/repo
  outlast repo check -r /srv/repo --subset 3/7              # the data in seven nights, this is the third
  outlast repo check -r /srv/repo --read-data --resume --limit-rate 50M
  outlast repo check -r rest:https://vault.example:8443/repo/shop-db/ --identity ./id --read-data")]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// Also read every pack and verify every blob in it
    #[arg(long)]
    read_data: bool,
    /// Read the data of one part only, n of m: m runs, one for each n, read every pack once
    #[arg(long, value_name = "N/M", visible_alias = "read-data-subset")]
    subset: Option<Subset>,
    /// Read at most so much per second, for example 50M
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    limit_rate: Option<NonZeroU64>,
    /// Go on where an interrupted check of the data was, and let this one be gone on with
    #[arg(long)]
    resume: bool,
    /// The file that remembers what was read, instead of one beside the index; with --resume
    #[arg(long, value_name = "FILE", requires = "resume")]
    state: Option<PathBuf>,
}

fn rate(text: &str) -> Result<NonZeroU64, String> {
    let bytes = human::parse_bytes(text).map_err(|error| error.to_string())?;
    NonZeroU64::new(bytes).ok_or_else(|| "nothing could be read at that rate".to_owned())
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let repository = arguments.access.open_through(output, |store| match arguments.limit_rate {
        None => store,
        Some(rate) => {
            let timer = Arc::new(SystemTimer::new());
            Arc::new(Paced::new(store, Some(rate), timer, &Interrupt::default()))
        }
    })?;
    // A part of the data, or going on with it, makes sense of the data only.
    let read_data = arguments.read_data || arguments.subset.is_some() || arguments.resume;
    let resume = arguments.resume.then(|| resume(arguments, &repository));
    let options = Options { read_data, subset: arguments.subset, resume: resume.transpose()? };
    let progress = output.progress();
    let report = check::check(&repository, &options, &progress)?;
    progress.finish();
    if output.is_json() {
        output.json(&document(&report))?;
    } else {
        tell(&report, read_data, output)?;
    }
    Ok(if report.is_clean() { Code::Done } else { Code::Failed })
}

/// Where the state is kept: in the file that was named, or beside the index.
fn resume(arguments: &Args, repository: &Repository) -> Result<Resume> {
    let now = SystemClock.now();
    if let Some(state) = arguments.state.clone() {
        return Ok(Resume { state, now });
    }
    let caches = arguments.access.cache_directory().ok_or_else(|| Advised {
        message: "there is no home directory to remember in what was checked".to_owned(),
        hint: "Name a file with --state.".to_owned(),
    })?;
    let directory = caches.join(repository.config().id.to_string());
    durable::create_directories(&directory, 0o700)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(Resume { state: directory.join("check"), now })
}

fn document(report: &Report) -> serde_json::Value {
    let counts = report.counts;
    json!({
        "clean": report.is_clean(),
        "problems": report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "leftover_packs": report.leftovers.len(),
        "keys": counts.keys,
        "indexes": counts.indexes,
        "packs": counts.packs,
        "blobs": counts.blobs,
        "snapshots": counts.snapshots,
        "trees": counts.trees,
        "bytes": counts.bytes,
        "packs_read": counts.packs_read,
        "bytes_read": counts.bytes_read,
        "packs_resumed": counts.packs_resumed,
        "bytes_resumed": counts.bytes_resumed,
    })
}

fn tell(report: &Report, read_data: bool, output: &Output) -> Result<()> {
    let counts = report.counts;
    output.line(format_args!(
        "checked {}, {}, {}{}",
        counted(counts.snapshots, "snapshot"),
        counted(counts.packs, "pack"),
        counted(counts.blobs, "blob"),
        if read_data { share_read(&counts) } else { String::new() }
    ))?;
    if !report.leftovers.is_empty() {
        output.remark(format_args!(
            "{} in no index: left by an interrupted backup, and harmless",
            counted(report.leftovers.len() as u64, "pack")
        ));
    }
    output.line(if report.is_clean() {
        "no problems were found".to_owned()
    } else {
        format!("found {}", counted(report.problems.len() as u64, "problem"))
    })?;
    if report.problems.iter().any(|problem| index_is_damaged(&problem.defect)) {
        output.remark(
            "What the packs hold may be whole. `outlast repo repair index` makes index files anew \
             from the packs; then check again.",
        );
    }
    Ok(())
}

/// What of the data was read: all of it, or how much.
fn share_read(counts: &Counts) -> String {
    let Counts { bytes, bytes_read, bytes_resumed, packs_read, packs_resumed, .. } = *counts;
    let mut text = format!(", and read {}", human::bytes(bytes_read));
    if bytes_read < bytes {
        text += &format!(" of {} in {}", human::bytes(bytes), counted(packs_read, "pack"));
    }
    if packs_resumed > 0 {
        text += &format!(
            "; {} in {} had been read before",
            human::bytes(bytes_resumed),
            counted(packs_resumed, "pack")
        );
    }
    text
}

/// Whether making index files anew may cure a problem.
fn index_is_damaged(defect: &Defect) -> bool {
    match defect {
        Defect::Object(error) => error.object().is_some_and(|object| object.kind() == Kind::Index),
        Defect::UnknownBlobs { .. }
        | Defect::PackLayout { .. }
        | Defect::PackHeaderDiffers { .. }
        | Defect::MissingPack { .. } => true,
        _ => false,
    }
}
