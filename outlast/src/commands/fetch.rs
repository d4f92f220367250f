//! `outlast fetch`: what an instance runs to get a backup from the share.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use outlast_drop::fetch::{self, FetchError, FetchOptions, Found, Wanted};
use outlast_drop::{Share, Verifier};
use outlast_types::{DropId, Timestamp, WorkloadName, human};
use serde_json::json;

use super::repo::Rights;
use super::share::Ca;
use crate::exit::Code;
use crate::output::{Output, counted};
use crate::snapshots::{deviations, tell_deviations};
use outlast_wire::receipts::Authority;

/// How often the share is looked at while waiting; a network share shows new names only after
/// seconds anyway.
const PAUSE: Duration = Duration::from_secs(1);

/// Get a drop that is on the share, every hash verified
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A stream becomes one file of its name in DIR; a tree is unpacked below DIR. What would \
give rights on this host is withheld, counted and named; see --privileged.

The newest drop is the one that the vault took last, by its receipt on the share; a drop that the vault
does not hold yet comes after all those that it does, and is taken with --drop. With --ca, only receipts
count that the vault signed; without it, whoever may write to the share may have made them up.

Examples:
  outlast fetch --share /mnt/efs --workload shop-db --into ./seed
  outlast fetch --share /mnt/efs --workload shop-db --at 2026-01-31T04:00:00Z --into ./seed
  outlast fetch --share /mnt/efs --workload shop-db --timeout 10m --into ./seed   # wait for one"
)]
pub(crate) struct Args {
    /// The share's directory
    #[arg(long, value_name = "DIR", env = "OUTLAST_SHARE")]
    share: PathBuf,
    /// The workload whose backup is wanted
    #[arg(long, value_name = "NAME")]
    workload: WorkloadName,
    /// This drop, instead of the newest
    #[arg(long, value_name = "ID", conflicts_with = "at")]
    drop: Option<DropId>,
    /// The newest drop that the vault had taken by this time
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    #[command(flatten)]
    ca: Ca,
    /// Where to; made if missing, refused if not empty
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Write into a directory that is not empty; entries of the same name are replaced
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    rights: Rights,
    /// How long to wait for a drop that is not there yet (exit code 3 if it does not come)
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = human::parse_duration)]
    timeout: Duration,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let share = Share::open(&arguments.share)?;
    let wanted = match (arguments.drop, arguments.at) {
        (Some(drop), _) => Wanted::Drop(drop),
        (None, Some(at)) => Wanted::At(at),
        (None, None) => Wanted::Newest,
    };
    let authority = arguments.ca.load()?;
    let found = wait_for(&share, arguments, &wanted, authority.as_ref())?;
    let progress = output.progress();
    let options =
        FetchOptions { overwrite: arguments.overwrite, privileged: arguments.rights.privileged };
    let summary = fetch::read_out(&found.sealed, &arguments.into, options, &progress)?;
    progress.finish();
    let drop = found.sealed.address().drop;
    if output.is_json() {
        output.json(&json!({
            "drop": drop.to_string(),
            "workload": arguments.workload.as_str(),
            "into": arguments.into.display().to_string(),
            "files": summary.files,
            "bytes": summary.bytes,
            "vaulted": found.vaulted.map(|at| at.to_string()),
            "receipt_verified": found.vaulted.is_some() && authority.is_some(),
            "newer": found.newer.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "withheld": deviations(&summary.withheld),
            "copied": deviations(&summary.copied),
            "problems": summary.problems,
        }))?;
    } else {
        output.line(format_args!(
            "fetched drop {drop} of {} into {}: {}, {}",
            arguments.workload,
            arguments.into.display(),
            counted(summary.files, "file"),
            human::bytes(summary.bytes)
        ))?;
        tell_choice(&found, authority.is_some(), output);
        tell_deviations(&summary.withheld, &summary.copied, output);
    }
    Ok(if summary.problems.is_empty() { Code::Done } else { Code::Failed })
}

/// Says why it is this drop, and of which others one may have thought.
fn tell_choice(found: &Found, is_verified: bool, output: &Output) {
    let proof = if is_verified { "verified" } else { "not verified: --ca does that" };
    match found.vaulted {
        Some(at) => output.remark(format_args!("the vault has held it since {at} ({proof})")),
        None => output.remark("the vault does not hold it yet: it was chosen by its id"),
    }
    if let Some(newest) = found.newer.first() {
        let count = counted(found.newer.len() as u64, "newer drop");
        output.warn(&format!(
            "the share has {count} that the vault does not hold yet; --drop {newest} takes the last"
        ));
    }
}

fn wait_for(
    share: &Share,
    arguments: &Args,
    wanted: &Wanted,
    authority: Option<&Authority>,
) -> Result<Found> {
    let began = Instant::now();
    let verifier = authority.map(|authority| authority as &dyn Verifier);
    loop {
        match fetch::find(share, &arguments.workload, wanted, verifier) {
            Err(error @ FetchError::NotYet { .. }) => {
                let left = arguments.timeout.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Err(error.into());
                }
                std::thread::sleep(left.min(PAUSE));
            }
            result => return Ok(result?),
        }
    }
}
