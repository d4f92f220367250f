//! `outlast repo repair …`: what can be made anew from what is there.

use anyhow::Result;
use clap::Subcommand;
use outlast_repo::lock::Here;
use outlast_repo::repair::{self, Options, Outcome};
use outlast_types::{SystemClock, SystemRandom};
use serde_json::json;

use super::access::{Access, holder, lives};
use crate::exit::Code;
use crate::output::{Output, counted};

/// Make anew what can be made from the rest
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast repo repair index -r /srv/repo")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make index files anew from the packs
    #[command(
        after_help = "Index files that are damaged or wrong are replaced; packs that none lists are listed. \
No pack is changed or removed, and the new files are durable before the old ones go. Of a pack that \
is damaged, all blobs stay listed that are sound. Packs that nobody can list and blobs that are lost are \
named, and the exit code is 1. While somebody holds a lock, such as a prune or \
stock restic, nothing is done, and the exit code is 4.

Examples:
  outlast repo repair index -r /srv/repo --dry-run
  outlast repo repair index -r /srv/repo && outlast repo check -r /srv/repo"
    )]
    Index {
        #[command(flatten)]
        access: Access,
        /// Say what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Believe no index file: read the header of every pack
        #[arg(long)]
        read_all_packs: bool,
    },
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let What::Index { access, dry_run, read_all_packs } = &arguments.what;
    let (dry_run, read_all_packs) = (*dry_run, *read_all_packs);
    let repository = access.open(output)?;
    let progress = output.progress();
    let options = Options { read_all_packs, dry_run };
    let here = Here { holder: holder(), lives: &lives };
    let outcome =
        repair::index(&repository, options, &here, &SystemClock, &SystemRandom, &progress)?;
    progress.finish();
    if output.is_json() {
        output.json(&document(&outcome, dry_run))?;
    } else {
        tell(&outcome, dry_run, output)?;
    }
    Ok(if outcome.is_whole() { Code::Done } else { Code::Failed })
}

fn document(outcome: &Outcome, dry_run: bool) -> serde_json::Value {
    json!({
        "dry_run": dry_run,
        "headers_read": outcome.headers_read,
        "packs_listed": outcome.packs,
        "blobs_listed": outcome.blobs,
        "indexes_written": outcome.written.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "indexes_removed": outcome.removed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "indexes_damaged": outcome.damaged.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "packs_missing": outcome.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "packs_damaged": outcome.remains.iter().map(|remains| json!({
            "pack": remains.pack.to_string(),
            "blobs_kept": remains.kept,
            "blobs_lost": remains.lost,
        })).collect::<Vec<_>>(),
        "packs_unlisted": outcome.unlisted.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn tell(outcome: &Outcome, dry_run: bool, output: &Output) -> Result<()> {
    for damaged in &outcome.damaged {
        output.remark(damaged);
    }
    for pack in &outcome.missing {
        output.remark(format_args!("data/{pack} is in an index, but not there"));
    }
    if outcome.is_unchanged() {
        return output.line("the index fits the packs; nothing is to be done");
    }
    let (listed, removed) = if dry_run {
        ("would be listed anew", "would be removed")
    } else {
        ("were listed anew", "were removed")
    };
    output.line(format_args!(
        "{} with {} {listed}; {} {removed}",
        counted(outcome.packs, "pack"),
        counted(outcome.blobs, "blob"),
        counted(outcome.removed.len() as u64, "index file"),
    ))?;
    if !dry_run {
        output.remark("Run `outlast repo check` to see whether anything is still missing.");
    }
    Ok(())
}
