//! Reading what the vault holds: `snapshots`, `ls`, `cat`, `restore`.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use outlast_promise::Keep;
use outlast_repo::Repository;
use outlast_repo::read::{self, ReadError, Resolved};
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::Errand;
use outlast_wire::api::{KeepingOrder, Purpose, SnapshotView};

use super::keeping;
use super::repo::RestoreHow;
use super::vault_access::VaultAccess;
use crate::exit::{Code, Usage};
use crate::output::Output;
use crate::snapshots::{self, Arrived};

/// List the snapshots of a workload, tell what keeps each, and forget some
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  outlast snapshots shop-db --dir ./outlast-data
  outlast snapshots shop-db --kept --dir ./outlast-data
  outlast snapshots shop-db --keep daily=7,monthly=12 --dir ./outlast-data
  outlast snapshots shop-db --vault https://vault.example:8443/ --identity ./id --json")]
pub(crate) struct SnapshotsArgs {
    #[command(subcommand)]
    order: Option<Order>,
    /// The workload's name, as `outlast workload list` shows it
    #[arg(required = true)]
    workload: Option<WorkloadName>,
    /// Tell what keeps each snapshot, and which ones nothing keeps; changes nothing
    #[arg(long)]
    kept: bool,
    /// The same, as if these rules had been in force for ever
    #[arg(long, value_name = "RULES")]
    keep: Option<Keep>,
    #[command(flatten)]
    vault: VaultAccess,
}

/// What is ordered of single snapshots.
#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Hide snapshots; they go for good in seven days
    #[command(
        after_help = "A snapshot that a rule keeps is refused, and named with what keeps it (exit code 4). With --request,
another operator is asked to agree: see `outlast approve`. What is held or immutable goes for nobody.

Example:
  outlast snapshots forget shop-db 4f0b12ac --reason \"a test\" --dir ./outlast-data"
    )]
    Forget {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// Snapshots, each by its id or the beginning of it
        #[arg(required = true, value_name = "ID")]
        snapshots: Vec<String>,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Ask another operator to agree, although rules keep them
        #[arg(long)]
        request: bool,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Show snapshots again that were forgotten, and keep them for 30 days
    ///
    /// Those that were forgotten less than seven days ago are still there.
    #[command(after_help = "Examples:
  outlast snapshots undelete shop-db 4f0b12ac --reason \"still needed\" --dir ./outlast-data
  outlast snapshots undelete shop-db --reason \"all of them\" --dir ./outlast-data")]
    Undelete {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// Snapshots, each by its id or the beginning of it; all that are hidden if none is named
        #[arg(value_name = "ID")]
        snapshots: Vec<String>,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        vault: VaultAccess,
    },
}

/// List what is in a snapshot of a workload
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A name that is not printable text is shown in the quotes in which a shell takes it, as in \
$'/srv/caf\\xe9'. With --json, `path` is the path as it is; one that is not UTF-8 is quoted so, and has its bytes in \
`path_base64`.

Examples:
  outlast ls shop-files --dir ./outlast-data
  outlast ls shop-files --dir ./outlast-data --snapshot 4f0b12ac /srv/uploads"
)]
pub(crate) struct LsArgs {
    /// The workload's name, as `outlast workload list` shows it
    workload: WorkloadName,
    /// Only this path and what is below it
    path: Option<OsString>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    vault: VaultAccess,
}

/// Print a file of a snapshot of a workload
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast cat shop-db /shop.sql --dir ./outlast-data | psql shop")]
pub(crate) struct CatArgs {
    /// The workload's name, as `outlast workload list` shows it
    workload: WorkloadName,
    /// The file's path in the snapshot, as `outlast ls` shows it
    path: OsString,
    #[command(flatten)]
    which: Which,
    /// Why, for those who read the audit log and the month's report
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    vault: VaultAccess,
}

/// Restore a snapshot of a workload into a directory
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What cannot be restored is named, the rest is restored, and the exit code is 1. What would \
give rights on this host is withheld, counted and named; see --privileged.

Examples:
  outlast restore shop-db --dir ./outlast-data --into ./restored --why \"ticket 4711\"
  outlast restore shop-db --dir ./outlast-data --at 2026-01-31T04:00:00Z --into ./restored
  outlast restore shop-files --vault https://vault.example:8443/ --identity ./id --into ./restored"
)]
pub(crate) struct RestoreArgs {
    /// The workload's name, as `outlast workload list` shows it
    workload: WorkloadName,
    /// Where to; made if missing, refused if not empty without --overwrite or --resume
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Why, for those who read the audit log and the month's report
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    how: RestoreHow,
    #[command(flatten)]
    vault: VaultAccess,
}

/// Which snapshot; the one that came last if nothing is said.
#[derive(Debug, Clone, clap::Args)]
struct Which {
    /// A snapshot's id, or the beginning of one [default: the one that the vault received last, of those
    /// that are not suspect if there are any]
    #[arg(long, value_name = "ID", conflicts_with = "at")]
    snapshot: Option<String>,
    /// The last snapshot that the vault received at this time or before, by the vault's clock
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

impl Which {
    /// Which one came last, the vault knows: a snapshot's own time is what its writer says.
    fn resolve(
        &self,
        repository: &Repository,
        vault: &VaultAccess,
        workload: &WorkloadName,
    ) -> Result<Resolved> {
        let wanted = self.snapshot.as_deref().filter(|wanted| *wanted != "latest");
        if let Some(id) = wanted {
            return snapshots::resolve(repository, id);
        }
        let arrived = vault.client()?.snapshots(Some(workload))?;
        let in_time = |view: &&SnapshotView| self.at.is_none_or(|at| view.received <= at);
        // What is suspect is restored by default only if there is nothing else.
        let (good, doubtful): (Vec<_>, Vec<_>) =
            arrived.iter().filter(in_time).partition(|view| view.counts);
        let fitting = good.iter().chain(&doubtful).map(|view| view.snapshot);
        match (self.at, arrived.last()) {
            (Some(at), Some(first)) if fitting.clone().next().is_none() => {
                let (location, first) = (repository.location(), first.received);
                Err(ReadError::NothingSoEarly { location, at, first })?
            }
            _ => Ok(read::resolve_first(repository, fitting)?),
        }
    }
}

pub(crate) fn snapshots(arguments: &SnapshotsArgs, output: &Output) -> Result<Code> {
    let workload = match (&arguments.order, &arguments.workload) {
        (Some(order), _) => return carry_out(order, output),
        (None, Some(workload)) => workload,
        (None, None) => return Err(Usage("no workload is named".to_owned()).into()),
    };
    if arguments.kept || arguments.keep.is_some() {
        let keep = arguments.keep.as_ref().map(ToString::to_string);
        let kept = arguments.vault.client()?.keeping(workload, keep.as_deref())?;
        return keeping::show(&kept, output);
    }
    let repository = arguments.vault.open_repository(workload, LISTING, output)?;
    let mut arrived = arguments.vault.client()?.snapshots(Some(workload))?;
    arrived.reverse();
    let known = |view: SnapshotView| Arrived {
        snapshot: view.snapshot,
        received: view.received,
        sanity: view.sanity,
        counts: view.counts,
        drop: view.drop,
        claims: view.claims,
    };
    let arrived: Vec<Arrived> = arrived.into_iter().map(known).collect();
    snapshots::list(&repository, Some(&arrived), output)
}

fn carry_out(order: &Order, output: &Output) -> Result<Code> {
    let (workload, vault, order) = match order {
        Order::Forget { workload, snapshots, reason, request, vault } => {
            let (snapshots, reason) = (snapshots.clone(), reason.clone());
            let order = match request {
                true => KeepingOrder::RequestForget { snapshots, reason },
                false => KeepingOrder::Forget { snapshots, reason },
            };
            (workload, vault, order)
        }
        Order::Undelete { workload, snapshots, reason, vault } => {
            let (snapshots, reason) = (snapshots.clone(), reason.clone());
            (workload, vault, KeepingOrder::Undelete { snapshots, reason })
        }
    };
    keeping::order(&vault.client()?, workload, &order, output)
}

/// To see what is there, which is no restore.
const LISTING: Errand<'_> = Errand { purpose: Some(Purpose::List), why: None };

fn restoring(why: Option<&str>) -> Errand<'_> {
    Errand { purpose: Some(Purpose::Restore), why }
}

pub(crate) fn ls(arguments: &LsArgs, output: &Output) -> Result<Code> {
    let repository = arguments.vault.open_repository(&arguments.workload, LISTING, output)?;
    let resolved = arguments.which.resolve(&repository, &arguments.vault, &arguments.workload)?;
    let below = arguments.path.as_deref().map(snapshots::path_in).transpose()?.flatten();
    snapshots::ls(&repository, &resolved, below.as_ref(), output)
}

pub(crate) fn cat(arguments: &CatArgs, output: &Output) -> Result<Code> {
    let repository = arguments.vault.open_repository(
        &arguments.workload,
        restoring(arguments.why.as_deref()),
        output,
    )?;
    let resolved = arguments.which.resolve(&repository, &arguments.vault, &arguments.workload)?;
    snapshots::cat(&repository, &resolved, &arguments.path, output)
}

pub(crate) fn restore(arguments: &RestoreArgs, output: &Output) -> Result<Code> {
    let why = arguments.why.as_deref();
    let repository =
        arguments.vault.open_repository(&arguments.workload, restoring(why), output)?;
    let resolved = arguments.which.resolve(&repository, &arguments.vault, &arguments.workload)?;
    snapshots::restore(&repository, &resolved, &arguments.into, &arguments.how.options()?, output)
}
