//! Which drop is brought back.
//!
//! Whoever may write to the share may set the time of a file and claim any time in a drop's id. So
//! the newest drop is the one that the *vault* took last, by the time in its receipt, which nobody
//! but the vault can sign. Drops that the vault does not hold come after those that it does, and
//! among themselves in the order of their ids: a claim, but nothing better is known of them. Times
//! of files choose nothing. What the vault holds and does not take for a recovery point is passed over, and
//! taken by its id alone.

use std::collections::{BTreeMap, BTreeSet};

use outlast_types::{DropId, Timestamp, WorkloadName};

use super::{FetchError, unusable};
use crate::layout::{DropAddress, SEAL_FILE};
use crate::proven::{Verifier, counts};
use crate::reader::{DropReadError, SealedDrop};
use crate::receipt::{self, ReceiptError, ReceiptState};
use crate::scan::{DropState, ScanProblem, Sighting, WorkloadScan, scan_one};
use crate::share::Share;

/// Which drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The one that the vault took last.
    Newest,
    /// This one.
    Drop(DropId),
    /// The one that the vault had taken last at that time.
    At(Timestamp),
}

/// A drop that was found.
#[derive(Debug)]
pub struct Found {
    pub sealed: SealedDrop,
    /// When the vault took it, by its receipt on the share.
    pub vaulted: Option<Timestamp>,
    /// Drops with later ids that are sealed and that the vault does not hold, the latest first.
    pub newer: Vec<DropId>,
}

/// A sealed drop that nobody has rejected.
struct Candidate {
    address: DropAddress,
    vaulted: Option<Timestamp>,
    /// Whether the vault holds it and does not take it for a recovery point.
    is_suspect: bool,
}

/// Finds a sealed drop of `workload` that nobody has rejected. Looks at nothing of other workloads.
/// Without an authority to verify receipts by, all of them are believed.
pub fn find(
    share: &Share,
    workload: &WorkloadName,
    wanted: &Wanted,
    verifier: Option<&dyn Verifier>,
) -> Result<Found, FetchError> {
    let not_yet = || FetchError::NotYet { workload: workload.clone() };
    let seen = scan_one(share, workload)?.ok_or_else(not_yet)?;
    check_read(&seen, wanted)?;
    let candidates = candidates(share, &seen, verifier)?;
    if let Wanted::Drop(drop) = wanted {
        let vaulted = |found: SealedDrop| {
            let known = candidates.iter().find(|known| known.address == *found.address());
            let vaulted = known.and_then(|known| known.vaulted);
            Found { sealed: found, vaulted, newer: Vec::new() }
        };
        return named(share, &seen, &candidates, *drop).map(vaulted);
    }
    let is_later = |time| matches!(wanted, Wanted::At(at) if time > *at);
    let mut failure = None;
    let mut suspect = None;
    for Candidate { address, vaulted, is_suspect } in &candidates {
        if is_later(vaulted.unwrap_or_else(|| address.drop.claimed_time())) {
            continue;
        }
        if *is_suspect {
            suspect.get_or_insert(address.drop);
            continue;
        }
        let sealed = match SealedDrop::open(share, address) {
            Ok(sealed) => sealed,
            Err(DropReadError::Refused(source)) => {
                failure.get_or_insert(FetchError::Drop { drop: address.drop, source });
                continue;
            }
            Err(error) => return Err(unusable(address.drop, error)),
        };
        // Of a drop that the vault does not hold, neither its id nor the time of its seal may say
        // that it is of later.
        if vaulted.is_none() && is_later(sealed_at(&sealed)) {
            continue;
        }
        let newer = candidates.iter().filter(|other| other.vaulted.is_none());
        let newer = newer.map(|other| other.address.drop).filter(|drop| *drop > address.drop);
        return Ok(Found { sealed, vaulted: *vaulted, newer: newer.collect() });
    }
    let only_suspect =
        suspect.map(|drop| FetchError::OnlySuspect { workload: workload.clone(), drop });
    Err(failure.or(only_suspect).unwrap_or_else(not_yet))
}

/// A drop that cannot be read now may be the newest; an older one in its place would look right and
/// be wrong. Whoever names a drop is not affected, as long as that one is seen.
fn check_read(seen: &WorkloadScan, wanted: &Wanted) -> Result<(), FetchError> {
    let unread = seen.problems.iter().find_map(|problem| match problem {
        ScanProblem::Later { path, reason } | ScanProblem::Crowded { path, reason } => {
            Some((path.clone(), reason.clone()))
        }
        ScanProblem::Refused { .. } => None,
    });
    let is_seen = |id: &DropId| seen.sightings.iter().any(|seen| seen.address.drop == *id);
    match unread {
        Some((path, reason)) if !matches!(wanted, Wanted::Drop(id) if is_seen(id)) => {
            Err(FetchError::Unreadable(DropReadError::Later { path, reason }))
        }
        _ => Ok(()),
    }
}

/// The sealed drops that nobody has rejected or released, the newest first.
fn candidates(
    share: &Share,
    seen: &WorkloadScan,
    verifier: Option<&dyn Verifier>,
) -> Result<Vec<Candidate>, FetchError> {
    let receipts = receipt::list(share, &seen.workload)?;
    let mut candidates = Vec::new();
    for sighting in &seen.sightings {
        if !matches!(sighting.state, DropState::Sealed(_)) {
            continue;
        }
        let word = |state| word(share, sighting, state, &receipts, verifier);
        let gone = [ReceiptState::Rejected, ReceiptState::Released];
        let is_gone = gone
            .iter()
            .try_fold(false, |gone, state| word(*state).map(|said| gone || said.is_some()))?;
        if !is_gone {
            let said = word(ReceiptState::Vaulted)?;
            let (vaulted, is_suspect) =
                said.map_or((None, false), |said| (Some(said.at), said.doubts));
            let address = sighting.address.clone();
            candidates.push(Candidate { address, vaulted, is_suspect });
        }
    }
    candidates.sort_by(|one, other| {
        (other.vaulted, other.address.drop).cmp(&(one.vaulted, one.address.drop))
    });
    Ok(candidates)
}

/// What a receipt says of a drop.
struct Word {
    at: Timestamp,
    /// Whether its signer does not take the drop for a recovery point.
    doubts: bool,
}

/// What a drop's receipt of `state` says, if there is one that speaks of this drop and is believed.
fn word(
    share: &Share,
    sighting: &Sighting,
    state: ReceiptState,
    receipts: &BTreeMap<DropId, BTreeSet<ReceiptState>>,
    verifier: Option<&dyn Verifier>,
) -> Result<Option<Word>, FetchError> {
    let DropAddress { workload, drop, .. } = &sighting.address;
    if !receipts.get(drop).is_some_and(|states| states.contains(&state)) {
        return Ok(None);
    }
    match receipt::read(share, workload, *drop, state) {
        Ok(Some(signed)) => {
            // One that is no good counts as absent.
            let counts = counts(&signed, share, sighting, state, verifier).unwrap_or(false);
            let receipt = signed.receipt();
            let doubts = receipt.verdict.as_ref().is_some_and(|verdict| !verdict.counts());
            Ok(counts.then_some(Word { at: receipt.at, doubts }))
        }
        // Without it, another drop may look newer than this one.
        Err(ReceiptError::Io { path, source }) => {
            let reason = source.to_string();
            Err(FetchError::Unreadable(DropReadError::Later { path, reason }))
        }
        Ok(None) | Err(_) => Ok(None),
    }
}

/// The drop that was asked for by its id.
fn named(
    share: &Share,
    seen: &WorkloadScan,
    candidates: &[Candidate],
    drop: DropId,
) -> Result<SealedDrop, FetchError> {
    let open = |address| SealedDrop::open(share, address).map_err(|error| unusable(drop, error));
    let of_id: Vec<_> = candidates.iter().filter(|known| known.address.drop == drop).collect();
    let mut vaulted = of_id.clone();
    vaulted.retain(|known| known.vaulted.is_some());
    match (&of_id[..], &vaulted[..]) {
        ([one], _) | (_, [one]) => return open(&one.address),
        ([], _) => {}
        ([first, second, ..], _) => {
            let of = [first.address.clone(), second.address.clone()];
            return Err(FetchError::Ambiguous { of: Box::new(of) });
        }
    }
    // Not sealed, or refused: whoever names it hears why.
    let other = seen.sightings.iter().find(|seen| seen.address.drop == drop);
    match other {
        Some(sighting) if !sighting.state.may_heal() => open(&sighting.address),
        _ => Err(FetchError::NotYet { workload: seen.workload.clone() }),
    }
}

fn sealed_at(sealed: &SealedDrop) -> Timestamp {
    let facts = sealed.directory().facts(SEAL_FILE.as_bytes());
    facts.ok().and_then(|facts| facts.modified_at()).unwrap_or(Timestamp::EPOCH)
}
