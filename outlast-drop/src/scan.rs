//! Looking for what is new on the share.
//!
//! A scan opens everything afresh, looks at workloads in which nothing is new by turns, lists only days in
//! which something may be new and reads only drops that are not settled, so that it costs as much as there is
//! new. One bad workload is a problem in the result and never stops the others; what more lies there than
//! [`ScanLimits`] allow is told, and waits.

mod limits;
mod look;
mod memory;
mod problem;
mod turns;
mod workload;

use std::io;
use std::sync::Arc;

use outlast_types::{Timestamp, WorkloadName};

use self::limits::Allowance;
use self::workload::{Look, is_stray};
use crate::files::{Directory, is_not_a_directory};
use crate::layout::{DROPS, WORKLOADS};
use crate::rejection::Rejection;
use crate::share::{Share, ShareError};

pub use limits::ScanLimits;
pub use look::{DropState, Sighting};
pub use memory::{ScanMemory, WorkloadMemory};
pub use problem::ScanProblem;
pub use workload::WorkloadScan;

/// The outcome of a scan.
#[derive(Debug, Default)]
pub struct Scan {
    pub workloads: Vec<WorkloadScan>,
    /// Problems that belong to no workload.
    pub problems: Vec<ScanProblem>,
    /// How many names beside the workloads are not ours.
    pub foreign: u64,
    /// How many names beside the workloads wait for a later scan.
    pub waiting: u64,
}

/// What a scan is going to look at. Whoever carries it out looks at each workload with the memory of it that
/// [`ScanMemory::lend`] gives, at as many at once as is good.
#[derive(Debug)]
pub struct Plan {
    /// The workloads to be looked at, in this order: those that may take all there is come last.
    pub workloads: Vec<WorkloadName>,
    /// Those that were there and are not any more.
    pub gone: Vec<WorkloadName>,
    pub problems: Vec<ScanProblem>,
    pub foreign: u64,
    pub waiting: u64,
    pub visit: Visit,
}

/// Looks at workloads in one scan, from any thread.
#[derive(Debug, Clone)]
pub struct Visit {
    workloads: Arc<Directory>,
    limits: ScanLimits,
    allowance: Arc<Allowance>,
    now: Timestamp,
}

impl Visit {
    /// Whether this scan has looked at as much as one may: the rest is for the next.
    pub fn is_over(&self) -> bool {
        self.allowance.is_used_up()
    }

    /// Looks at one workload; `None` if its name is that of a file, and so no workload's.
    pub fn look(
        &self,
        workload: &WorkloadName,
        memory: &mut WorkloadMemory,
    ) -> Option<WorkloadScan> {
        let look = Look::new(workload, memory, &self.limits, &self.allowance, self.now);
        look.take(&self.workloads)
    }
}

/// Decides what a scan of the share looks at; `None` if there are no workloads at all. `now` decides which days are
/// old.
pub fn plan(
    share: &Share,
    memory: &mut ScanMemory,
    now: Timestamp,
) -> Result<Option<Plan>, ShareError> {
    let path = share.path().join(WORKLOADS);
    let Some(workloads) = open_workloads(share)? else { return Ok(None) };
    let limits = memory.limits;
    let urgent = memory.urgent();
    let chosen = memory.turns.choose(&workloads, &limits, &urgent);
    let chosen = chosen.map_err(ShareError::io("list", &path))?;
    let name = |name: &Vec<u8>| WorkloadName::new(std::str::from_utf8(name).ok()?).ok();
    let mut names: Vec<_> = chosen.names.iter().filter_map(name).collect();
    names.retain(|name| !memory.is_lent(name));
    names.sort_by_key(|name| memory.workloads.get(name).is_some_and(|known| known.is_crowded));
    let gone: Vec<_> = chosen.gone.iter().filter_map(name).collect();
    gone.iter().for_each(|name| drop(memory.workloads.remove(name)));
    let waiting = chosen.others.saturating_sub(limits.workloads);
    let mut plan = Plan {
        workloads: names,
        gone,
        problems: Vec::new(),
        foreign: chosen.foreign,
        waiting: waiting as u64,
        visit: Visit {
            workloads: Arc::new(workloads),
            limits,
            allowance: Arc::new(Allowance::of(&limits)),
            now,
        },
    };
    if waiting > 0 || chosen.is_cut {
        let more = if chosen.is_cut { "more than " } else { "" };
        let reason = format!(
            "{more}{} directories lie here in which nobody has dropped yet; {} are looked at in one \
             pass, and the others later; remove those that are no workloads",
            chosen.others, limits.workloads
        );
        plan.problems.push(ScanProblem::Crowded { path, reason });
    }
    for name in chosen.strange {
        let workloads = &plan.visit.workloads;
        if is_stray(workloads, &name) || !holds_drops(workloads, &name) {
            plan.foreign += 1;
        } else {
            let path = workloads.path_of(&name);
            let Err(rejection) = workload_name(&name) else { continue };
            plan.problems.push(ScanProblem::Refused { path, rejection });
        }
    }
    Ok(Some(plan))
}

/// Looks through the share. `now` decides which days are old.
pub fn scan(share: &Share, memory: &mut ScanMemory, now: Timestamp) -> Result<Scan, ShareError> {
    share.check()?;
    let mut result = Scan::default();
    let Some(plan) = plan(share, memory, now)? else { return Ok(result) };
    (result.problems, result.foreign, result.waiting) = (plan.problems, plan.foreign, plan.waiting);
    for workload in plan.workloads {
        let mut lent = memory.lend(&workload);
        match plan.visit.look(&workload, &mut lent) {
            Some(found) => result.workloads.push(found),
            None => result.foreign += 1,
        }
        memory.take_back(&workload, lent);
    }
    result.workloads.sort_by(|one, other| one.workload.cmp(&other.workload));
    Ok(result)
}

/// Looks through one workload and opens nothing of any other, however many there are; `None` if
/// it has no directory.
pub fn scan_one(
    share: &Share,
    workload: &WorkloadName,
) -> Result<Option<WorkloadScan>, ShareError> {
    share.check()?;
    let Some(workloads) = open_workloads(share)? else { return Ok(None) };
    // A fresh memory and the beginning of time: nothing is left out.
    let (mut memory, limits) = (WorkloadMemory::default(), ScanLimits::WIDE);
    let allowance = Allowance::of(&limits);
    let look = Look::new(workload, &mut memory, &limits, &allowance, Timestamp::EPOCH);
    Ok(look.take(&workloads))
}

fn open_workloads(share: &Share) -> Result<Option<Directory>, ShareError> {
    match share.directory().and_then(|root| root.directory(WORKLOADS)) {
        Ok(workloads) => Ok(Some(workloads)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ShareError::io("open", &share.path().join(WORKLOADS))(error)),
    }
}

/// Whether somebody drops in what has no workload's name, and thinks that it is backed up.
fn holds_drops(workloads: &Directory, name: &[u8]) -> bool {
    // What cannot be looked at may hold some.
    std::str::from_utf8(name).is_ok_and(|name| match workloads.directory(name) {
        Ok(directory) => directory.facts(DROPS.as_bytes()).is_ok_and(|facts| facts.is_directory),
        Err(error) => !is_not_a_directory(&error),
    })
}

/// Takes the name of a workload's directory.
pub(crate) fn workload_name(name: &[u8]) -> Result<WorkloadName, Rejection> {
    let shown = || outlast_fs::entry::show(&name[..name.len().min(100)]);
    let text = std::str::from_utf8(name).map_err(|_| Rejection::WorkloadName {
        name: shown(),
        reason: "it is not UTF-8".to_owned(),
    })?;
    WorkloadName::new(text)
        .map_err(|error| Rejection::WorkloadName { name: shown(), reason: error.to_string() })
}
