//! Tidying a share up by hand: what nobody needs any more goes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use outlast_types::{DropId, Timestamp};
use serde::Serialize;

use crate::layout::{RECEIPTS, WORKLOADS};
use crate::proven::{Verifier, last_state};
use crate::receipt::{self, ReceiptState};
use crate::release::remove_data;
use crate::scan::{DropState, ScanMemory, Sighting, WorkloadScan, scan};
use crate::share::{Share, ShareError};

type States = BTreeSet<ReceiptState>;

/// The leftovers that [`clean`] may remove.
#[derive(Debug, Clone)]
pub struct CleanOptions {
    /// How long a leftover must have been still, by the clock of the file server.
    pub grace: Duration,
    /// How long receipts are kept once the data of their drop has gone.
    pub receipts_keep: Duration,
    /// Only tell what would be removed.
    pub dry_run: bool,
}

impl Default for CleanOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(24 * 3600),
            receipts_keep: Duration::from_secs(90 * 24 * 3600),
            dry_run: false,
        }
    }
}

/// The work of [`clean`], done or to be done.
#[derive(Debug, Default, Serialize)]
pub struct Cleaned {
    pub removed: Vec<Removal>,
    /// Drops that stayed because nobody could verify that they were rejected.
    pub unproven: u64,
    pub problems: Vec<String>,
}

/// One thing that was removed.
#[derive(Debug, Serialize)]
pub struct Removal {
    pub path: PathBuf,
    pub why: &'static str,
    pub bytes: u64,
}

/// Removes leftovers: of abandoned, failed and rejected drops that have been still for the
/// grace time, what is left of released drops, and old receipts. A drop that is sealed is touched
/// only if an agent rejected it, which a receipt must prove: without a verifier, never.
pub fn clean(
    share: &Share,
    now: Timestamp,
    options: &CleanOptions,
    verifier: Option<&dyn Verifier>,
) -> Result<Cleaned, ShareError> {
    let mut cleaned = Cleaned::default();
    let seen = scan(share, &mut ScanMemory::default(), Timestamp::EPOCH)?;
    for workload in &seen.workloads {
        let receipts = match receipt::list(share, &workload.workload) {
            Ok(receipts) => receipts,
            Err(error) => {
                // Without them nothing is known to be released or rejected.
                cleaned.problems.push(error.to_string());
                continue;
            }
        };
        let none = States::new();
        for sighting in &workload.sightings {
            let states = receipts.get(&sighting.address.drop).unwrap_or(&none);
            let last = last_state(share, sighting, states, verifier, |problem| {
                cleaned.problems.push(problem);
            });
            let still = sighting.changed.map_or(Duration::ZERO, |changed| now.since(changed));
            let is_proven = verifier.is_some();
            if last == Some(ReceiptState::Rejected) && !is_proven {
                cleaned.unproven += 1;
            }
            let last = last.filter(|_| is_proven);
            if let Some(why) = leftover(sighting, last, still >= options.grace) {
                remove_drop(share, sighting, why, options, &mut cleaned);
            }
        }
        // What could not be looked at might still need its receipts.
        if workload.problems.is_empty() {
            let present = workload.sightings.iter().map(|sighting| sighting.address.drop).collect();
            clean_receipts(share, workload, &present, now, options, &mut cleaned);
        }
    }
    Ok(cleaned)
}

/// Why a drop's directory is only a leftover; `None` if it is not. `last` is the last state that
/// a receipt proves.
fn leftover(sighting: &Sighting, last: Option<ReceiptState>, still: bool) -> Option<&'static str> {
    let is_rejected = last == Some(ReceiptState::Rejected);
    let why = match &sighting.state {
        DropState::Sealed(_) | DropState::Refused(_) if is_rejected => "rejected",
        // Released or not: while it has its seal it is a drop, which the agent alone lets go, when
        // the vault says that it holds it.
        DropState::Sealed(_) => return None,
        DropState::Open(_) | DropState::Failed { .. } if last == Some(ReceiptState::Released) => {
            return Some("released");
        }
        DropState::Open(_) => "abandoned by its writer",
        DropState::Failed { .. } => "failed",
        DropState::Refused(rejection) if rejection.is_torn_seal() => "abandoned by its writer",
        // Not rejected by anybody yet: the agent must see it first.
        DropState::Refused(_) => return None,
    };
    still.then_some(why)
}

fn remove_drop(
    share: &Share,
    sighting: &Sighting,
    why: &'static str,
    options: &CleanOptions,
    cleaned: &mut Cleaned,
) {
    let path = share.drop_directory(&sighting.address);
    let bytes = if options.dry_run {
        Ok(match &sighting.state {
            DropState::Sealed(seal) => seal.stored_bytes,
            _ => 0,
        })
    } else {
        remove_data(share, &sighting.address).map(|freed| freed.bytes)
    };
    match bytes {
        Ok(bytes) => cleaned.removed.push(Removal { path, why, bytes }),
        Err(error) => cleaned.problems.push(error.to_string()),
    }
}

/// Removes receipts of drops whose data has gone, when they are old by the file server's clock.
fn clean_receipts(
    share: &Share,
    workload: &WorkloadScan,
    present: &BTreeSet<DropId>,
    now: Timestamp,
    options: &CleanOptions,
    cleaned: &mut Cleaned,
) {
    let names = [WORKLOADS, workload.workload.as_str(), RECEIPTS].map(str::to_owned);
    let Ok(directory) = share.directory().and_then(|root| root.descend(&names)) else { return };
    for name in directory.names().unwrap_or_default() {
        let Some((drop, _)) = receipt::parse_file_name(&name) else { continue };
        let Ok(facts) = directory.facts(&name) else { continue };
        let age = facts.modified_at().map_or(Duration::ZERO, |at| now.since(at));
        if present.contains(&drop) || age < options.receipts_keep {
            continue;
        }
        let path = directory.path_of(&name);
        let removed = if options.dry_run { Ok(()) } else { directory.remove_file(&name) };
        match removed {
            Ok(()) => {
                cleaned.removed.push(Removal { path, why: "old receipt", bytes: facts.size });
            }
            Err(error) => {
                cleaned.problems.push(format!("cannot remove {}: {error}", path.display()))
            }
        }
    }
}
