//! Looking for what is new on the share.
//!
//! A scan opens everything afresh, lists only days that are not closed and reads only drops that
//! are not settled, so that it costs as much as there is new. One bad workload is a problem in
//! the result and never stops the others; what more lies there than [`ScanLimits`] allow is told,
//! and waits.

mod limits;
mod look;
mod memory;
mod turns;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use outlast_types::{Day, DropId, Timestamp, WorkloadName};

use crate::files::{Directory, is_not_a_directory};
use crate::layout::{DROPS, DropAddress, WORKLOADS, is_foreign};
use crate::reader::DropReadError;
use crate::rejection::Rejection;
use crate::share::{Share, ShareError, hint};

pub use limits::ScanLimits;
pub use look::{DropState, Sighting};
pub use memory::ScanMemory;

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

/// One workload, as a scan saw it.
#[derive(Debug)]
pub struct WorkloadScan {
    pub workload: WorkloadName,
    /// Whether days of drops lie there.
    pub has_days: bool,
    /// Drops that are not settled, in the order of their days and ids.
    pub sightings: Vec<Sighting>,
    pub problems: Vec<ScanProblem>,
    /// How many names among its days and drops are not ours, as far as they were listed.
    pub foreign: u64,
    /// Whether all that is not settled was looked at. If not, the problems say why.
    pub is_whole: bool,
}

/// A reason for which a scan did not see something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanProblem {
    /// The share could not be read there; the next scan may succeed. The reason ends with what
    /// to do.
    Later { path: PathBuf, reason: String },
    /// Something that does not belong there.
    Refused { path: PathBuf, rejection: Rejection },
    /// More than one scan looks at; the reason says what becomes of the rest.
    Crowded { path: PathBuf, reason: String },
}

impl fmt::Display for ScanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Later { path, reason } => {
                write!(f, "cannot read {} now: {reason}", path.display())
            }
            Self::Refused { path, rejection } => write!(f, "{}: {rejection}", path.display()),
            Self::Crowded { path, reason } => write!(f, "{}: {reason}", path.display()),
        }
    }
}

impl ScanProblem {
    fn of(path: PathBuf, error: &io::Error) -> Self {
        if is_not_a_directory(error) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Self::Refused { path, rejection: Rejection::NotADirectory { name } }
        } else if let Some(DropReadError::Later { path, reason }) = DropReadError::of(error) {
            Self::Later { path: path.clone(), reason: reason.clone() }
        } else {
            Self::Later { path, reason: format!("{error}{}", hint(error)) }
        }
    }
}

/// Looks through the share. `now` decides which days are old enough to be closed.
pub fn scan(share: &Share, memory: &mut ScanMemory, now: Timestamp) -> Result<Scan, ShareError> {
    share.check()?;
    let path = share.path().join(WORKLOADS);
    let mut result = Scan::default();
    let workloads = match share.directory().and_then(|root| root.directory(WORKLOADS)) {
        Ok(workloads) => workloads,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(result),
        Err(error) => return Err(ShareError::io("open", &path)(error)),
    };
    let limits = memory.limits;
    let chosen = memory.turns.choose(&workloads, &limits);
    let chosen = chosen.map_err(ShareError::io("list", &path))?;
    result.waiting = chosen.waiting as u64;
    if chosen.waiting > 0 || chosen.is_cut {
        let more = if chosen.is_cut { "more than " } else { "" };
        let reason = format!(
            "{more}{} directories lie here in which nobody has dropped yet; {} are looked at in one \
             pass, and the others later; remove those that are no workloads",
            chosen.waiting + limits.workloads,
            limits.workloads
        );
        result.problems.push(ScanProblem::Crowded { path, reason });
    }
    for name in chosen.names {
        let workload = match workload_name(&name) {
            Ok(workload) => workload,
            Err(_) if is_stray(&workloads, &name) || !holds_drops(&workloads, &name) => {
                result.foreign += 1;
                continue;
            }
            Err(rejection) => {
                let path = workloads.path_of(&name);
                result.problems.push(ScanProblem::Refused { path, rejection });
                continue;
            }
        };
        match scan_workload(&workloads, workload, memory, now) {
            Some(found) => {
                if found.has_days {
                    memory.turns.establish(&name, &limits);
                }
                result.workloads.push(found);
            }
            None => result.foreign += 1,
        }
    }
    Ok(result)
}

/// Looks through one workload and opens nothing of any other, however many there are; `None` if
/// it has no directory.
pub fn scan_one(
    share: &Share,
    workload: &WorkloadName,
) -> Result<Option<WorkloadScan>, ShareError> {
    share.check()?;
    let workloads = match share.directory().and_then(|root| root.directory(WORKLOADS)) {
        Ok(workloads) => workloads,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ShareError::io("open", &share.path().join(WORKLOADS))(error)),
    };
    // A fresh memory and the beginning of time: nothing is left out.
    let (mut memory, now) = (ScanMemory::default(), Timestamp::EPOCH);
    Ok(scan_workload(&workloads, workload.clone(), &mut memory, now))
}

/// Whether somebody drops in what has no workload's name, and thinks that it is backed up.
fn holds_drops(workloads: &Directory, name: &[u8]) -> bool {
    // What cannot be looked at may hold some.
    std::str::from_utf8(name).is_ok_and(|name| match workloads.directory(name) {
        Ok(directory) => directory.facts(DROPS.as_bytes()).is_ok_and(|facts| facts.is_directory),
        Err(error) => !is_not_a_directory(&error),
    })
}

/// Whether what has a name that none of ours can have is nothing to tell anybody of: it is known
/// to be foreign, or a file where only directories count. A directory or a link may be meant: who
/// drops there must hear that nobody sees it.
fn is_stray(directory: &Directory, name: &[u8]) -> bool {
    is_foreign(name) || directory.facts(name).is_ok_and(|facts| facts.is_file)
}

/// How much one scan still looks at of a workload.
struct Budget {
    names: usize,
    drops: usize,
}

/// The drops of a workload; `None` if its name is that of a file, and so no workload's.
fn scan_workload(
    workloads: &Directory,
    workload: WorkloadName,
    memory: &mut ScanMemory,
    now: Timestamp,
) -> Option<WorkloadScan> {
    let mut result = WorkloadScan {
        workload,
        has_days: false,
        sightings: Vec::new(),
        problems: Vec::new(),
        foreign: 0,
        is_whole: true,
    };
    let limits = memory.limits;
    let mut budget = Budget { names: limits.names, drops: limits.drops };
    let name = result.workload.as_str();
    let path = workloads.path().join(name).join(DROPS);
    let drops = workloads
        .directory(name)
        .and_then(|workload| workload.directory(DROPS))
        .and_then(|drops| Ok((drops.names_up_to(budget.names)?, drops)));
    let ((days, is_whole), drops) = match drops {
        Ok(found) => found,
        // A workload that has only been declared.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(result),
        Err(error) if is_not_a_directory(&error) && is_stray(workloads, name.as_bytes()) => {
            return None;
        }
        Err(error) => {
            result.problems.push(ScanProblem::of(path, &error));
            return Some(result);
        }
    };
    result.is_whole = is_whole;
    budget.names -= days.len();
    for name in days {
        let day = std::str::from_utf8(&name).ok().and_then(|name| name.parse::<Day>().ok());
        let Some(day) = day else {
            if is_stray(&drops, &name) {
                result.foreign += 1;
                continue;
            }
            let shown = outlast_fs::entry::show(&name);
            let rejection = Rejection::DayName { name: shown };
            result.problems.push(ScanProblem::Refused { path: drops.path_of(&name), rejection });
            continue;
        };
        result.has_days = true;
        if let Err(error) = scan_day(&drops, day, memory, now, &mut budget, &mut result) {
            // A day that went away in the meantime had only released drops.
            if error.kind() != io::ErrorKind::NotFound {
                result.problems.push(ScanProblem::of(drops.path_of(&name), &error));
            }
        }
    }
    if result.is_whole {
        let sighted = result.sightings.iter().map(|it| (it.address.day, it.address.drop));
        memory.retain_seals(&result.workload, &sighted.collect::<HashSet<_>>());
    } else {
        let reason = format!(
            "more lies below it than is looked at in one pass ({} drops that are not done with, {} \
             names): what is beyond waits until that has become less",
            limits.drops, limits.names
        );
        result.problems.push(ScanProblem::Crowded { path, reason });
    }
    Some(result)
}

fn scan_day(
    drops: &Directory,
    day: Day,
    memory: &mut ScanMemory,
    now: Timestamp,
    budget: &mut Budget,
    result: &mut WorkloadScan,
) -> io::Result<()> {
    let name = day.to_string();
    let facts = drops.facts(name.as_bytes())?;
    if memory.is_closed(&result.workload, day, facts.modified) {
        return Ok(());
    }
    let directory = drops.directory(&name)?;
    let (names, mut all_settled) = directory.names_up_to(budget.names)?;
    result.is_whole &= all_settled;
    budget.names -= names.len();
    for name in names {
        let drop = std::str::from_utf8(&name).ok().and_then(|name| name.parse::<DropId>().ok());
        let Some(drop) = drop else {
            if is_stray(&directory, &name) {
                result.foreign += 1;
                continue;
            }
            all_settled = false;
            let rejection = Rejection::DropName { name: outlast_fs::entry::show(&name) };
            let path = directory.path_of(&name);
            result.problems.push(ScanProblem::Refused { path, rejection });
            continue;
        };
        if memory.is_settled(&result.workload, day, drop) {
            continue;
        }
        all_settled = false;
        if budget.drops == 0 || budget.names == 0 {
            result.is_whole = false;
            break;
        }
        budget.drops -= 1;
        let address = DropAddress { workload: result.workload.clone(), day, drop };
        match look_at(&directory, address, memory) {
            Ok(Some((sighting, names))) => {
                budget.names = budget.names.saturating_sub(names);
                result.foreign += sighting.foreign;
                result.sightings.push(sighting);
            }
            Ok(None) => {}
            Err(problem) => result.problems.push(problem),
        }
    }
    if all_settled {
        // The time from before the listing: a drop that came during it opens the day again.
        memory.close_if_old(&result.workload, day, facts.modified, now);
    }
    Ok(())
}

/// Looks at one drop, and says how many names that took; `None` if it went away.
fn look_at(
    day: &Directory,
    address: DropAddress,
    memory: &mut ScanMemory,
) -> Result<Option<(Sighting, usize)>, ScanProblem> {
    let name = address.drop.to_string();
    let path = day.path_of(name.as_bytes());
    let directory = match day.directory(&name) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ScanProblem::of(path, &error)),
    };
    match look::sighting(&directory, address, memory) {
        Ok(seen) => Ok(Some(seen)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ScanProblem::of(path, &error)),
    }
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
