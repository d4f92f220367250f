//! Which receipts a workload has, by their names only: there may be any number of them, and of other
//! names among them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use outlast_types::{DropId, WorkloadName};

use super::{ReceiptState, STATES, file_name};
use crate::files::NAMES_MAX;
use crate::layout::{RECEIPTS, WORKLOADS};
use crate::share::{Share, ShareError};

/// The most drops of which [`list`] tells; the newest by their ids.
const LISTED_MAX: usize = 100_000;

/// The states of drops of which a workload has receipts.
pub type States = BTreeMap<DropId, BTreeSet<ReceiptState>>;

/// Which receipts a workload has, by their names only.
pub fn list(share: &Share, workload: &WorkloadName) -> Result<States, ShareError> {
    let mut receipts = States::new();
    each(share, workload, NAMES_MAX, |drop, state| {
        receipts.entry(drop).or_default().insert(state);
        if receipts.len() > LISTED_MAX {
            receipts.pop_first();
        }
    })?;
    Ok(receipts)
}

/// Receipts of some drops, and a little of all others.
#[derive(Debug, Default)]
pub struct Found {
    /// The states of those that were asked for, by the names of their receipts.
    pub states: States,
    /// The newest drop that has a `vaulted` receipt, by its id.
    pub newest_vaulted: Option<DropId>,
    /// Whether all names were read. If not, those of the drops that were asked for were.
    pub is_whole: bool,
}

/// Which receipts the `wanted` drops of a workload have, however many there are of others: as many
/// as `max` names are read.
pub fn find(
    share: &Share,
    workload: &WorkloadName,
    wanted: &BTreeSet<DropId>,
    max: usize,
) -> Result<Found, ShareError> {
    let mut found = Found::default();
    found.is_whole = each(share, workload, max, |drop, state| {
        if wanted.contains(&drop) {
            found.states.entry(drop).or_default().insert(state);
        }
        if state == ReceiptState::Vaulted {
            found.newest_vaulted = found.newest_vaulted.max(Some(drop));
        }
    })?;
    if found.is_whole {
        return Ok(found);
    }
    let names = [WORKLOADS, workload.as_str(), RECEIPTS].map(str::to_owned);
    let path = share.workload_directory(workload).join(RECEIPTS);
    let receipts = share.directory().and_then(|root| root.descend(&names));
    let receipts = receipts.map_err(ShareError::io("open", &path))?;
    for (drop, (state, _)) in wanted.iter().flat_map(|drop| STATES.map(|state| (*drop, state))) {
        match receipts.facts(file_name(drop, state).as_bytes()) {
            Ok(_) => {
                found.states.entry(drop).or_default().insert(state);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ShareError::io("look into", &path)(error)),
        }
    }
    Ok(found)
}

/// Which receipts the drops have that `is_wanted` picks: as many as `max` drops, the oldest by their ids.
pub fn oldest(
    share: &Share,
    workload: &WorkloadName,
    is_wanted: impl Fn(DropId) -> bool,
    max: usize,
) -> Result<States, ShareError> {
    let mut receipts = States::new();
    each(share, workload, NAMES_MAX, |drop, state| {
        let is_among = receipts.len() < max
            || receipts.last_key_value().is_some_and(|(last, _)| drop <= *last);
        if is_among && is_wanted(drop) {
            receipts.entry(drop).or_default().insert(state);
            if receipts.len() > max {
                receipts.pop_last();
            }
        }
    })?;
    Ok(receipts)
}

/// Shows what the names of as many as `max` receipts tell; whether these are all.
fn each(
    share: &Share,
    workload: &WorkloadName,
    max: usize,
    mut see: impl FnMut(DropId, ReceiptState),
) -> Result<bool, ShareError> {
    let path = share.workload_directory(workload).join(RECEIPTS);
    let names = [WORKLOADS, workload.as_str(), RECEIPTS].map(str::to_owned);
    let mut see = |name: &[u8]| {
        if let Some((drop, state)) = parse_file_name(name) {
            see(drop, state);
        }
    };
    let seen = share.directory().and_then(|root| root.descend(&names)?.each_name(max, &mut see));
    match seen {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        seen => seen.map_err(ShareError::io("list", &path)),
    }
}

/// The drop and state that a receipt's file name tells.
pub(crate) fn parse_file_name(name: &[u8]) -> Option<(DropId, ReceiptState)> {
    let (drop, state) = std::str::from_utf8(name).ok()?.strip_suffix(".json")?.split_once('.')?;
    Some((drop.parse().ok()?, state.parse().ok()?))
}
