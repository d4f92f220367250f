//! Looking for what is new on the share.
//!
//! A scan opens everything afresh, lists only days that are not closed and reads only drops that
//! are not settled, so that it costs as much as there is new. One bad workload is a problem in
//! the result and never stops the others.

mod closed;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;

use outlast_types::{Day, DropId, Timestamp, WorkloadName};

use crate::files::{Directory, is_not_a_directory};
use crate::layout::{DROPS, DropAddress, DropFile, WORKLOADS, is_foreign};
use crate::open::OpenRecord;
use crate::reader::{DropReadError, read_seal};
use crate::rejection::Rejection;
use crate::seal::SealSummary;
use crate::share::{Share, ShareError, hint};
use crate::stillness::Fingerprint;

pub use closed::ClosedDays;

/// What a scan saw.
#[derive(Debug, Default)]
pub struct Scan {
    pub workloads: Vec<WorkloadScan>,
    /// Problems that belong to no workload.
    pub problems: Vec<ScanProblem>,
    /// What lies beside the workloads and is not ours.
    pub foreign: u64,
}

/// What a scan saw of one workload.
#[derive(Debug)]
pub struct WorkloadScan {
    pub workload: WorkloadName,
    /// Drops that are not settled, in the order of their days and ids.
    pub sightings: Vec<Sighting>,
    pub problems: Vec<ScanProblem>,
    /// What lies among its days and drops, as far as they were listed, and is not ours.
    pub foreign: u64,
}

/// One drop, as it looked.
#[derive(Debug, Clone)]
pub struct Sighting {
    pub address: DropAddress,
    pub state: DropState,
    /// Changes whenever the writer does something; for [`StillnessTracker`](crate::StillnessTracker).
    pub fingerprint: Fingerprint,
    /// The newest change of a file in it, by the clock of the file server.
    pub changed: Option<Timestamp>,
    /// What lies in it and is not ours.
    pub foreign: u64,
}

/// What a drop is.
#[derive(Debug, Clone)]
pub enum DropState {
    /// Being written, or left behind by a writer that died. What `open.json` says, if it is
    /// there and whole.
    Open(Option<OpenRecord>),
    /// Its writer said that it gave up.
    Failed { exit_status: Option<i32> },
    /// Its seal is valid; whether the segments are as sealed shows when they are read.
    Sealed(SealSummary),
    /// Its seal is no good.
    Refused(Rejection),
}

impl DropState {
    /// Whether it may still become sealed: a seal is not written in one instant, so a torn one is
    /// no verdict before it has been still for a while.
    pub fn may_heal(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Refused(rejection) => rejection.is_torn_seal(),
            Self::Failed { .. } | Self::Sealed(_) => false,
        }
    }
}

/// What kept a scan from seeing something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanProblem {
    /// The share could not be read there; the next scan may succeed. The reason ends with what
    /// to do.
    Later { path: PathBuf, reason: String },
    /// Something that does not belong there.
    Refused { path: PathBuf, rejection: Rejection },
}

impl fmt::Display for ScanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Later { path, reason } => {
                write!(f, "cannot read {} now: {reason}", path.display())
            }
            Self::Refused { path, rejection } => write!(f, "{}: {rejection}", path.display()),
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
pub fn scan(share: &Share, closed: &mut ClosedDays, now: Timestamp) -> Result<Scan, ShareError> {
    share.check()?;
    let path = share.path().join(WORKLOADS);
    let mut result = Scan::default();
    let workloads = match share.directory().and_then(|root| root.directory(WORKLOADS)) {
        Ok(workloads) => workloads,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(result),
        Err(error) => return Err(ShareError::io("open", &path)(error)),
    };
    for name in workloads.names().map_err(ShareError::io("list", &path))? {
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
        match scan_workload(&workloads, workload, closed, now) {
            Some(found) => result.workloads.push(found),
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
    let (mut closed, now) = (ClosedDays::default(), Timestamp::EPOCH);
    Ok(scan_workload(&workloads, workload.clone(), &mut closed, now))
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

/// What there is of a workload; `None` if its name is that of a file, and so no workload's.
fn scan_workload(
    workloads: &Directory,
    workload: WorkloadName,
    closed: &mut ClosedDays,
    now: Timestamp,
) -> Option<WorkloadScan> {
    let mut result =
        WorkloadScan { workload, sightings: Vec::new(), problems: Vec::new(), foreign: 0 };
    let name = result.workload.as_str();
    let path = workloads.path().join(name).join(DROPS);
    let drops = workloads
        .directory(name)
        .and_then(|workload| workload.directory(DROPS))
        .and_then(|drops| Ok((drops.names()?, drops)));
    let (days, drops) = match drops {
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
        if let Err(error) = scan_day(&drops, day, closed, now, &mut result) {
            // A day that went away in the meantime had only released drops.
            if error.kind() != io::ErrorKind::NotFound {
                result.problems.push(ScanProblem::of(drops.path_of(&name), &error));
            }
        }
    }
    Some(result)
}

fn scan_day(
    drops: &Directory,
    day: Day,
    closed: &mut ClosedDays,
    now: Timestamp,
    result: &mut WorkloadScan,
) -> io::Result<()> {
    let name = day.to_string();
    let facts = drops.facts(name.as_bytes())?;
    if closed.is_closed(&result.workload, day, facts.modified) {
        return Ok(());
    }
    let directory = drops.directory(&name)?;
    let mut all_settled = true;
    for name in directory.names()? {
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
        if closed.is_settled(&result.workload, day, drop) {
            continue;
        }
        all_settled = false;
        let address = DropAddress { workload: result.workload.clone(), day, drop };
        match look_at(&directory, address) {
            Ok(Some(sighting)) => {
                result.foreign += sighting.foreign;
                result.sightings.push(sighting);
            }
            Ok(None) => {}
            Err(problem) => result.problems.push(problem),
        }
    }
    if all_settled {
        // The time from before the listing: a drop that came during it opens the day again.
        closed.close_if_old(&result.workload, day, facts.modified, now);
    }
    Ok(())
}

/// Looks at one drop; `None` if it went away.
fn look_at(day: &Directory, address: DropAddress) -> Result<Option<Sighting>, ScanProblem> {
    let name = address.drop.to_string();
    let path = day.path_of(name.as_bytes());
    let directory = match day.directory(&name) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ScanProblem::of(path, &error)),
    };
    match sighting(&directory, address) {
        Ok(sighting) => Ok(Some(sighting)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ScanProblem::of(path, &error)),
    }
}

/// What the drop in `directory` is.
pub(crate) fn sighting(directory: &Directory, address: DropAddress) -> io::Result<Sighting> {
    let mut fingerprint = DefaultHasher::new();
    let mut newest = directory.own_facts()?.modified;
    let mut sealed = false;
    let mut foreign = 0;
    for name in directory.names()? {
        let facts = match directory.facts(&name) {
            Ok(facts) => facts,
            // A beat may be removed by its writer right now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // It may be the seal, and a sealed drop must never pass for an open one.
            Err(error) => return Err(error),
        };
        (&name, facts.size, facts.modified).hash(&mut fingerprint);
        newest = newest.max(facts.modified);
        match DropFile::of(&name) {
            DropFile::Seal => sealed = true,
            DropFile::Foreign => foreign += 1,
            DropFile::Open | DropFile::Beat | DropFile::Segment => {}
        }
    }
    let state = if sealed {
        match read_seal(directory) {
            Ok(Some((seal, digest))) => match seal.check_place(&address) {
                Ok(()) => DropState::Sealed(seal.summary(digest)),
                Err(rejection) => DropState::Refused(rejection),
            },
            // Removed between two looks: on its way to release.
            Ok(None) => DropState::Open(None),
            Err(DropReadError::Refused(rejection)) => DropState::Refused(rejection),
            Err(later @ DropReadError::Later { .. }) => return Err(io::Error::other(later)),
        }
    } else {
        match OpenRecord::read(directory)? {
            Some(OpenRecord { failed: Some(exit_status), .. }) => DropState::Failed { exit_status },
            record => DropState::Open(record),
        }
    };
    let changed = Timestamp::from_unix(newest.0, newest.1);
    Ok(Sighting {
        address,
        state,
        fingerprint: Fingerprint(fingerprint.finish()),
        changed,
        foreign,
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
