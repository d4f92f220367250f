//! Whether somebody has dropped a workload lately, as far as a writer can see that.
//!
//! Only for deciding whether one more drop is worth its while: everything that is asked here is a
//! claim of writers. Whoever doubts drops.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use outlast_types::{Day, DropId, Timestamp, WorkloadName};

use crate::files::NAMES_MAX;
use crate::layout::{DROPS, DropAddress, WORKLOADS};
use crate::reader::{DropReadError, read_seal};
use crate::receipt::{self, ReceiptState};
use crate::share::{Share, ShareError};

/// How far another writer's clock may be ahead before its claim is not believed.
const AHEAD_MAX: Duration = Duration::from_secs(600);
/// Seals that are read at most; the newest drops by their ids.
const SEALS_MAX: usize = 1000;

/// A drop of the workload that was begun in the time from `since` to `now`, by its writer's clock,
/// and is sealed. It may be gone from the share already: then a receipt tells of it. One that was
/// rejected does not count.
pub fn sealed_since(
    share: &Share,
    workload: &WorkloadName,
    since: Timestamp,
    now: Timestamp,
) -> Result<Option<DropId>, ShareError> {
    share.check()?;
    let until = now.saturating_add(AHEAD_MAX);
    let counts = |drop: DropId| (since..=until).contains(&drop.claimed_time());
    let mut bad = BTreeSet::new();
    let mut good = None;
    for (drop, states) in receipt::list(share, workload)? {
        if states.contains(&ReceiptState::Rejected) {
            bad.insert(drop);
        } else if counts(drop) && states.iter().any(is_of_a_seal) {
            good = Some(drop);
        }
    }
    if good.is_some() {
        return Ok(good);
    }
    let days = since.day()..=until.day();
    let path = share.workload_directory(workload).join(DROPS);
    let drops = candidates(share, workload, &days).map_err(ShareError::io("list", &path))?;
    let mut left = SEALS_MAX;
    for (drop, day) in drops.into_iter().rev() {
        if !counts(drop) || bad.contains(&drop) {
            continue;
        }
        if left == 0 {
            break;
        }
        left -= 1;
        let address = DropAddress { workload: workload.clone(), day, drop };
        if is_sealed(share, &address)? {
            return Ok(Some(drop));
        }
    }
    Ok(None)
}

/// The drops of before that were brought back and lie on the share as drops of the workload, among the newest of these.
pub fn brought_back(
    share: &Share,
    workload: &WorkloadName,
    now: Timestamp,
) -> Result<BTreeSet<DropId>, ShareError> {
    share.check()?;
    let path = share.workload_directory(workload).join(DROPS);
    let days = Timestamp::EPOCH.day()..=now.saturating_add(AHEAD_MAX).day();
    let drops = candidates(share, workload, &days).map_err(ShareError::io("list", &path))?;
    let mut found = BTreeSet::new();
    for (drop, day) in drops {
        let address = DropAddress { workload: workload.clone(), day, drop };
        let root = share.directory().map_err(ShareError::io("open", &path))?;
        // What has gone or cannot be read is not there.
        let Ok(directory) = root.descend(&address.components()) else { continue };
        if let Ok(Some((seal, _))) = read_seal(&directory) {
            found.extend(seal.claims.brought_back.map(|it| it.drop));
        }
    }
    Ok(found)
}

/// Whether a receipt in this state is about a drop that has a seal.
fn is_of_a_seal(state: &ReceiptState) -> bool {
    !matches!(state, ReceiptState::Abandoned | ReceiptState::Rejected)
}

/// The names of drops in these days, in the order of their ids.
fn candidates(
    share: &Share,
    workload: &WorkloadName,
    wanted: &std::ops::RangeInclusive<Day>,
) -> io::Result<BTreeSet<(DropId, Day)>> {
    let mut found = BTreeSet::new();
    let names = [WORKLOADS, workload.as_str(), DROPS].map(str::to_owned);
    let drops = match share.directory()?.descend(&names) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        drops => drops?,
    };
    let mut days = Vec::new();
    drops.each_name(NAMES_MAX, |name| {
        let day = std::str::from_utf8(name).ok().and_then(|name| name.parse::<Day>().ok());
        days.extend(day.filter(|day| wanted.contains(day)));
    })?;
    for day in days {
        let directory = match drops.directory(&day.to_string()) {
            // It has gone meanwhile, with all that was in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            directory => directory?,
        };
        directory.each_name(NAMES_MAX, |name| {
            let drop = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
            found.extend(drop.map(|drop: DropId| (drop, day)));
            if found.len() > SEALS_MAX {
                found.pop_first();
            }
        })?;
    }
    Ok(found)
}

/// Whether a drop has a valid seal.
pub(crate) fn is_sealed(share: &Share, address: &DropAddress) -> Result<bool, ShareError> {
    let path = share.drop_directory(address);
    let directory = match share.directory().and_then(|root| root.descend(&address.components())) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(ShareError::io("open", &path)(error)),
    };
    match read_seal(&directory) {
        Ok(Some((seal, _))) => Ok(seal.check_place(address).is_ok()),
        Ok(None) | Err(DropReadError::Refused(_)) => Ok(false),
        Err(DropReadError::Later { reason, .. }) => {
            Err(ShareError::io("read", &path)(io::Error::other(reason)))
        }
    }
}
