//! `outlast repo forget` and `outlast repo prune`: removing snapshots, and what nobody needs then.

use std::time::Duration;

use anyhow::Result;
use outlast_repo::lock::Here;
use outlast_repo::prune::{self, Options, Outcome};
use outlast_repo::{RepoError, Repository, forget};
use outlast_store::StoreError;
use outlast_types::{SystemClock, SystemRandom, human};
use outlast_vault::Awaited;
use serde_json::{Value, json};

use super::access::{Access, holder, lives};
use crate::exit::{Advised, Code};
use crate::output::{Output, counted};

/// Remove snapshots; their data stays until a prune
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Which snapshots may go is for you to say; nothing else is touched. A vault \
removes by its own policy only, and refuses (exit code 4).

Examples:
  outlast repo forget -r /srv/repo 4f0b12ac 81c20e5d
  outlast repo forget -r /srv/repo 4f0b12ac --prune
  outlast repo forget -r /srv/repo 4f0b12ac --dry-run"
)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    access: Access,
    /// Ids of snapshots, beginnings of ids, or `latest`
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Prune afterwards
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    how: How,
}

/// Remove data that no snapshot needs, in two steps, while backups may go on
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What nobody needs is marked first, and removed by the first prune after the \
grace time, if still nobody needs it. Run it daily, and each run frees what the day before marked. \
A pack goes when everything that is needed of it was read where it stays. On a full disk, packs that may \
go are removed before anything is written.

Examples:
  outlast repo prune -r /srv/repo
  outlast repo prune -r /srv/repo --dry-run
  outlast repo prune -r /srv/repo --max-unused 0% --max-repack 50G
  outlast repo prune -r /srv/repo --grace 0s      # at once; nobody else may use the repository"
)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct How {
    /// Tell what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How long marked data stays; longer than a backup may sleep before its snapshot is there
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = grace)]
    grace: Duration,
    /// Leave this much of the repository unneeded rather than copy what lies beside it
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = share)]
    max_unused: f64,
    /// Copy at most this much
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = human::parse_bytes)]
    max_repack: u64,
}

fn grace(text: &str) -> Result<Duration, String> {
    // Nothing needs no unit.
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    human::parse_duration(text).map_err(|error| error.to_string())
}

fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "it is not a part such as 5%, from 0% to 100%".to_owned())
}

pub(super) fn run_forget(arguments: &ForgetArgs, output: &Output) -> Result<Code> {
    let repository = arguments.access.open(output)?;
    let chosen = forget::choose(&repository, &arguments.ids)?;
    let dry_run = arguments.how.dry_run;
    if !dry_run {
        forget::forget(&repository, &chosen)?;
    }
    if !output.is_json() {
        let words = if dry_run { "would be forgotten" } else { "forgotten" };
        for id in &chosen {
            output.line(format_args!("snapshot {id:.8} {words}"))?;
        }
    }
    let pruned = match (arguments.prune, dry_run) {
        (false, _) => None,
        (true, false) => {
            let awaited = arguments.access.awaited()?;
            Some((work(&repository, &arguments.how, awaited, output)?, awaited))
        }
        (true, true) => {
            // The snapshots are still there, and so is the need for their data.
            output.remark("what a prune would free is known when they are forgotten");
            None
        }
    };
    if output.is_json() {
        let ids: Vec<String> = chosen.iter().map(ToString::to_string).collect();
        output.json(&json!({
            "forgotten": ids,
            "dry_run": dry_run,
            "prune": pruned.as_ref().map(|(outcome, awaited)| document(outcome, *awaited, dry_run)),
        }))?;
    } else if let Some((outcome, awaited)) = &pruned {
        tell(outcome, *awaited, dry_run, output)?;
    } else if !dry_run {
        output.remark("Their data stays until `outlast repo prune`.");
    }
    Ok(Code::Done)
}

pub(super) fn run_prune(arguments: &PruneArgs, output: &Output) -> Result<Code> {
    let repository = arguments.access.open(output)?;
    let awaited = arguments.access.awaited()?;
    let outcome = work(&repository, &arguments.how, awaited, output)?;
    let dry_run = arguments.how.dry_run;
    if output.is_json() {
        output.json(&document(&outcome, awaited, dry_run))?;
    } else {
        tell(&outcome, awaited, dry_run, output)?;
    }
    Ok(Code::Done)
}

fn work(
    repository: &Repository,
    how: &How,
    awaited: Option<Awaited>,
    output: &Output,
) -> Result<Outcome> {
    let options = Options {
        grace: how.grace,
        max_unused: how.max_unused,
        max_repack: how.max_repack,
        awaited_since: awaited.map(|awaited| awaited.since),
        dry_run: how.dry_run,
    };
    let here = Here { holder: holder(), lives: &lives };
    let progress = output.progress();
    let outcome = prune::prune(repository, &options, &here, &SystemClock, &SystemRandom, &progress)
        .map_err(advised)?;
    progress.finish();
    Ok(outcome)
}

/// What to do where the disk is full and nothing may go yet.
fn advised(error: RepoError) -> anyhow::Error {
    match error {
        RepoError::Store(StoreError::Full { .. }) => Advised {
            message: format!("{error}; nothing was removed, because nothing may go now"),
            hint:
                "If nobody else works on the repository, --grace 0 waits for nobody and needs no \
                   room. `outlast repo forget` gives up snapshots, which needs none either."
                    .to_owned(),
        }
        .into(),
        error => error.into(),
    }
}

fn document(outcome: &Outcome, awaited: Option<Awaited>, dry_run: bool) -> Value {
    json!({
        "dry_run": dry_run,
        "freed_packs": outcome.freed_packs,
        "freed_bytes": outcome.freed_bytes,
        "room_packs": outcome.room_packs,
        "spared_packs": outcome.spared_packs,
        "unproven_packs": outcome.unproven_packs,
        "repacked_packs": outcome.repacked_packs,
        "repacked_bytes": outcome.repacked_bytes,
        "unused_bytes": outcome.unused_bytes,
        "waiting": outcome.waiting.map(|waiting| json!({
            "packs": waiting.packs,
            "bytes": waiting.bytes,
            "due": waiting.due,
        })),
        "on_their_way": awaited.map(|awaited| json!({
            "drops": awaited.shipments,
            "since": awaited.since,
            "kept": outcome.awaited,
        })),
        "postponed": outcome.postponed.as_ref().map(|lock| json!({
            "lock": lock.object.to_string(),
            "hostname": lock.lock.as_ref().map(|lock| &lock.holder.hostname),
            "pid": lock.lock.as_ref().map(|lock| lock.holder.pid),
            "since": lock.lock.as_ref().map(|lock| lock.time),
        })),
    })
}

fn tell(outcome: &Outcome, awaited: Option<Awaited>, dry_run: bool, output: &Output) -> Result<()> {
    let would = if dry_run { "would be " } else { "" };
    output.line(format_args!(
        "{} {would}freed: {}",
        human::bytes(outcome.freed_bytes),
        counted(outcome.freed_packs, "pack"),
    ))?;
    if outcome.room_packs > 0 {
        output.remark(format_args!(
            "The disk was full: {} went before anything was written.",
            counted(outcome.room_packs, "pack")
        ));
    }
    if outcome.spared_packs > 0 {
        let packs = counted(outcome.spared_packs, "pack");
        output.line(format_args!("{packs} spared, because somebody needs them again"))?;
    }
    if outcome.unproven_packs > 0 {
        let packs = counted(outcome.unproven_packs, "pack");
        output.remark(format_args!(
            "{packs} stay, because what is needed of them could not be read anywhere else, though an \
             index says so; `outlast repo check --read-data` tells what is damaged"
        ));
    }
    if outcome.repacked_packs > 0 {
        output.line(format_args!(
            "{} {would}copied out of {} that were mostly not needed",
            human::bytes(outcome.repacked_bytes),
            counted(outcome.repacked_packs, "pack"),
        ))?;
    }
    if let Some(waiting) = outcome.waiting {
        output.line(format_args!(
            "{} in {} will be freed by a prune after {}",
            human::bytes(waiting.bytes),
            counted(waiting.packs, "pack"),
            waiting.due,
        ))?;
    }
    if let Some(bytes) = outcome.unused_bytes.filter(|&bytes| bytes > 0) {
        output.remark(format_args!("{} stay unneeded beside what is needed", human::bytes(bytes)));
    }
    if let Some(Awaited { shipments, since }) = awaited.filter(|_| outcome.awaited) {
        let drops = counted(shipments as u64, "drop");
        output.remark(format_args!(
            "{drops} on the way to this repository, since {since}: what was marked since then stays until \
             they have come, were cancelled, or gave no sign for two weeks."
        ));
    }
    if let Some(lock) = &outcome.postponed {
        output.remark(format_args!(
            "Nothing could be removed now, because the repository is locked {lock}; prune again when \
             that has ended. `outlast repo unlock` removes the locks of those that died."
        ));
    }
    Ok(())
}
