//! `outlast fetch`: what an instance runs to get a backup: from the share, or through it.

mod ask;
mod brought_back;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use outlast_drop::fetch::{self, FetchError, FetchOptions, Found, Wanted};
use outlast_drop::{Share, Verifier, asking};
use outlast_types::{DropId, Timestamp, WorkloadName, human};
use serde_json::json;

use super::repo::Rights;
use super::share::Ca;
use crate::exit::{Code, Usage};
use crate::output::{Output, counted};
use crate::snapshots::{deviations, tell_deviations};

/// How often the share is looked at while waiting; a network share shows new names only after
/// seconds anyway.
const PAUSE: Duration = Duration::from_secs(1);

/// Get a backup onto this instance, from the share or by way of it from the vault
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A stream becomes one file of its name in DIR; a tree is unpacked below DIR. What would \
give rights on this host is withheld, counted and named; see --privileged.

The newest drop is the one that the vault took last, by its receipt on the share; a drop that the vault
does not hold yet comes after all those that it does, and is taken with --drop. With --ca, only receipts
count that the vault signed; without it, whoever may write to the share may have made them up. A drop that
the vault holds and does not take for a recovery point (a suspect one) is taken with --drop alone.

With --from, the backup comes out of a hand-over's directory that a backup product brought back, wherever it lies: each
file is compared with the manifest first, and times, modes and owners are those of before.

With --ca, what has left the share is asked for: the agent brings it back from the vault, if the vault's policy
lets instances of this workload have it (`fetch` in [workloads.NAME] of vault.toml). It comes encrypted to a key of
this run, and every byte is verified by what the vault signed. --resume goes on where an earlier run was killed.

Exit codes: 0 done; 1 it failed, or is not what was dropped; 3 there is none, or it did not come in time;
4 policy refuses it.

Examples:
  outlast fetch --share /mnt/efs --workload shop-db --into ./seed
  outlast fetch --share /mnt/efs --workload shop-db --ca /etc/outlast/ca.pem --resume --into /var/lib/seed
  outlast fetch --share /mnt/efs --workload shop-db --at 2026-01-31T04:00:00Z --into ./seed
  outlast fetch --share /mnt/efs --workload shop-db --timeout 10m --into ./seed   # wait for one
  outlast fetch --from /restore/srv/handover --workload shop-db --into ./seed"
)]
pub(crate) struct Args {
    /// The share's directory
    #[arg(long, value_name = "DIR", env = "OUTLAST_SHARE", required_unless_present = "from")]
    share: Option<PathBuf>,
    /// A hand-over's directory that a backup product brought back, in place of a share
    #[arg(long, value_name = "DIR", conflicts_with_all = ["at", "instance", "timeout"])]
    from: Option<PathBuf>,
    /// The secret keys that read what a hand-over was encrypted to, as age-keygen writes them
    #[arg(long, value_name = "FILE", requires = "from")]
    age_identity: Option<PathBuf>,
    /// The workload whose backup is wanted
    #[arg(long, value_name = "NAME")]
    workload: WorkloadName,
    /// This drop, instead of the newest
    #[arg(long, value_name = "ID", conflicts_with = "at")]
    drop: Option<DropId>,
    /// The newest, which is so without it, too
    #[arg(long, conflicts_with_all = ["at", "drop"])]
    latest: bool,
    /// The newest drop that the vault had taken by this time
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    #[command(flatten)]
    ca: Ca,
    /// Look at the share alone, and ask nobody for what has left it
    #[arg(long)]
    no_ask: bool,
    /// Who asks, for whoever reads the agent's and the vault's records [default: the host's name]
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Where to; made if missing, refused if not empty
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Write into a directory that is not empty; entries of the same name are replaced
    #[arg(long)]
    overwrite: bool,
    /// Go on with what an earlier run left there: as --overwrite, and what is right of a file stays
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    rights: Rights,
    /// How long to wait for a drop that is not there yet, or for what was asked for (exit code 3 if it does
    /// not come). Without it: not for a drop, and for what was asked as long as somebody attends to it
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let share = match (&arguments.from, &arguments.share) {
        (Some(from), _) => {
            let wish = brought_back::Wish {
                from,
                workload: &arguments.workload,
                drop: arguments.drop,
                into: &arguments.into,
                options: options(arguments),
                age_identity: arguments.age_identity.as_deref(),
            };
            return brought_back::fetch(&wish, output);
        }
        (None, Some(share)) => Share::open(share)?,
        (None, None) => return Err(Usage("name --share or --from".to_owned()).into()),
    };
    let wanted = match (arguments.drop, arguments.at) {
        (Some(drop), _) => Wanted::Drop(drop),
        (None, Some(at)) => Wanted::At(at),
        (None, None) => Wanted::Newest,
    };
    let authority = arguments.ca.load()?;
    let verifier = authority.as_ref().map(|authority| authority as &dyn Verifier);
    let is_not_there = |error: &FetchError| {
        matches!(error, FetchError::NotYet { .. } | FetchError::OnlySuspect { .. })
    };
    // Where no agent answers, it is as if nobody had asked.
    let may_ask = authority.is_some() && !arguments.no_ask && asking::is_open(&share)?;
    match (fetch::find(&share, &arguments.workload, &wanted, verifier), &authority) {
        (Err(error), Some(authority)) if may_ask && is_not_there(&error) => {
            let wish = ask::Wish {
                workload: &arguments.workload,
                wanted,
                into: &arguments.into,
                overwrite: arguments.overwrite,
                resume: arguments.resume,
                privileged: arguments.rights.privileged,
                instance: arguments.instance.clone(),
                timeout: arguments.timeout,
            };
            return ask::fetch(&share, &wish, authority, output);
        }
        (Ok(found), _) => return read_out(&found, arguments, authority.is_some(), output),
        _ => {}
    }
    let found = wait_for(&share, arguments, &wanted, verifier)?;
    read_out(&found, arguments, authority.is_some(), output)
}

fn options(arguments: &Args) -> FetchOptions {
    FetchOptions {
        overwrite: arguments.overwrite || arguments.resume,
        privileged: arguments.rights.privileged,
    }
}

/// Reads out a drop that lies on the share.
fn read_out(found: &Found, arguments: &Args, is_verified: bool, output: &Output) -> Result<Code> {
    let progress = output.progress();
    let options = options(arguments);
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
            "receipt_verified": found.vaulted.is_some() && is_verified,
            "from": "share",
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
        tell_choice(found, is_verified, output);
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
    verifier: Option<&dyn Verifier>,
) -> Result<Found> {
    let began = Instant::now();
    let timeout = arguments.timeout.unwrap_or_default();
    loop {
        match fetch::find(share, &arguments.workload, wanted, verifier) {
            Err(error @ FetchError::NotYet { .. }) => {
                let left = timeout.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Err(error.into());
                }
                std::thread::sleep(left.min(PAUSE));
            }
            result => return Ok(result?),
        }
    }
}
