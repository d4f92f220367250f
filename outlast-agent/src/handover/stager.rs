//! The stager: brings one drop after the other from the share into the directory.

use std::path::Path;
use std::time::Duration;

use outlast_drop::{
    DropReadError, ReceiptState, Rejection, SealedDrop, Share, SignedReceipt, receipt,
};
use outlast_handover::build::{self, Wanted};
use outlast_handover::offer::Sight;
use outlast_handover::{Desk, DropKey, HandoverError, intake};

use super::room::Room;
use super::troubles::Kind;
use super::waiting::Candidate;
use crate::Shutdown;
use crate::declaration;
use crate::receipts::Reader;

/// So long nothing is tried after the directory took nothing.
const PAUSE: Duration = Duration::from_secs(5);
/// The pause while there is nothing to do.
const TICK: Duration = Duration::from_secs(1);

/// Why a drop is not in the directory.
enum Failed {
    /// It lies on the share no more, or is another one.
    Gone,
    /// The share cannot be read now.
    Later(String),
    /// It cannot be handed over as it is.
    Refused(String),
    /// Nobody can take it.
    Rejected(Rejection),
    /// The directory.
    Here(HandoverError),
    Stopped,
}

impl From<HandoverError> for Failed {
    fn from(error: HandoverError) -> Self {
        match error {
            HandoverError::Stopped => Self::Stopped,
            HandoverError::Drop(error) => error.into(),
            HandoverError::NotOffered { reason } => Self::Refused(reason),
            error @ HandoverError::Fetch(_) => Self::Refused(error.to_string()),
            error => Self::Here(error),
        }
    }
}

impl From<DropReadError> for Failed {
    fn from(error: DropReadError) -> Self {
        match error {
            DropReadError::Refused(rejection) => Self::Rejected(rejection),
            later @ DropReadError::Later { .. } => Self::Later(later.to_string()),
        }
    }
}

/// Brings drops until the end is asked for.
pub(super) fn run(room: &Room, shutdown: &Shutdown) {
    let mut is_ready = false;
    while !shutdown.is_requested() {
        if !is_ready {
            is_ready = begin_above(room);
            if !is_ready && room.environment.timer.pause(TICK, shutdown) {
                return;
            }
            continue;
        }
        if let Some((share, key, candidate)) = room.next() {
            stage(room, &share, &key, &candidate, shutdown);
        }
    }
}

/// Where nothing is remembered of the hand-over, another host may have served it: what appears must be changed later than all
/// that has appeared there, as far as receipts tell. Whether it is known.
fn begin_above(room: &Room) -> bool {
    let Some(desk) = room.door.desk() else { return false };
    if !intake::at(&desk).is_new() {
        return true;
    }
    let Some(share) = room.share().filter(|_| room.is_all_seen()) else { return false };
    let reader = Reader { share: &share, authority: &room.authority };
    for workload in room.workloads() {
        let Ok(states) = receipt::list(&share, &workload) else { return false };
        let is_read = |states: &std::collections::BTreeSet<ReceiptState>| {
            states.contains(&ReceiptState::HandedOver)
        };
        // By their ids, which is near enough: it is for a clock that was set back.
        let newest = states.iter().rev().find(|(_, states)| is_read(states));
        let Some((drop, _)) = newest else { continue };
        match reader.handed(&workload, *drop, ReceiptState::HandedOver) {
            Ok(Some(said)) => {
                let stamps = said.handover.all().map(|it| it.stamp);
                stamps.for_each(|stamp| intake::at(&desk).begin_above(stamp));
            }
            Ok(None) => {}
            Err(_) => return false,
        }
    }
    true
}

fn stage(room: &Room, share: &Share, key: &DropKey, candidate: &Candidate, shutdown: &Shutdown) {
    let Some(desk) = room.door.desk() else {
        return room.came(|waiting, now| waiting.pause(key, now.saturating_add(PAUSE)));
    };
    let brought = bring(room, &desk, share, key, candidate, shutdown);
    let refuse = |reason: String, rejection| {
        tracing::warn!(drop = %candidate.address, handover = room.name(), "not handed over: {reason}");
        room.came(|waiting, now| waiting.refuse(key, (reason, rejection), now));
    };
    let random = &*room.environment.random;
    match brought {
        Ok(()) => {
            room.has_offered();
            room.came(|waiting, _| waiting.done(key));
        }
        Err(Failed::Gone) => room.came(|waiting, _| waiting.is_none(key)),
        Err(Failed::Later(reason)) => {
            tracing::debug!(drop = %candidate.address, "not handed over yet: {reason}");
            room.came(|waiting, now| waiting.failed(key, now, random));
        }
        Err(Failed::Refused(reason)) => refuse(reason, None),
        Err(Failed::Rejected(rejection)) => refuse(rejection.to_string(), Some(rejection)),
        Err(Failed::Here(error)) => {
            let is_full = error.is_full();
            let reason = error.to_string();
            room.trouble(if is_full { Kind::Full } else { Kind::Staging }, Some(reason));
            if is_full {
                make_room(room, &desk);
            }
            room.came(|waiting, now| waiting.pause(key, now.saturating_add(PAUSE)));
        }
        Err(Failed::Stopped) => room.came(|waiting, now| waiting.pause(key, now)),
    }
}

/// Removes copies that shipping would have read: it reads the share.
fn make_room(room: &Room, desk: &std::sync::Mutex<Desk>) {
    let mut desk = intake::at(desk);
    let staged: Vec<DropKey> =
        desk.staged().filter(|key| !room.is_under_way(key)).cloned().collect();
    for key in staged {
        if let Err(error) = desk.unstage(&key) {
            tracing::debug!(drop = %key, "its copy stays for now: {error}");
        }
    }
}

/// Brings one drop, unless it is there or was.
fn bring(
    room: &Room,
    desk: &std::sync::Mutex<Desk>,
    share: &Share,
    key: &DropKey,
    candidate: &Candidate,
    shutdown: &Shutdown,
) -> Result<(), Failed> {
    let is_again = room.is_again(key);
    let is_there = {
        let desk = intake::at(desk);
        desk.ledger().get(key).is_some() || (!is_again && desk.ledger().is_gone(key))
    };
    if is_there {
        return Ok(());
    }
    let reader = Reader { share, authority: &room.authority };
    let said = |state| {
        let said = reader.handed(&key.workload, key.drop, state).map_err(Failed::Later)?;
        let said = said.filter(|said| said.seal == candidate.seal);
        Ok::<_, Failed>(said.and_then(|said| said.handover.of(room.name()).cloned()))
    };
    // Which schedules have it no receipt says, so that where they count it is offered again.
    if room.rules.keep_until.is_empty()
        && !is_again
        && let Some(confirmed) = said(ReceiptState::Confirmed)?
    {
        // The product has it, whoever offered it: it is not offered again.
        room.is_elsewhere(key, confirmed.stamp);
        return Ok(());
    }
    let read = said(ReceiptState::HandedOver)?;
    if let Some(read) = &read {
        intake::at(desk).begin_above(read.stamp);
    }
    let cleared = reader.is_cleared(&candidate.address, candidate.seal);
    let is_cleared = cleared.map_err(|error| Failed::Later(error.to_string()))?;
    let is_stopped = || {
        room.moved();
        shutdown.is_requested()
    };
    let mut copied = copy(room, desk, share, key, candidate, &is_stopped)?;
    // What cannot be read now is told to its team by the pass; the vault goes by its own rules then.
    let sanity_rule = declaration::sanity_rule(share, &key.workload).ok().flatten();
    // One that does not wait any more was there when it was accepted.
    let accepted = || reader.standing(&candidate.address, ReceiptState::Accepted);
    let is_it = |receipt: &SignedReceipt| receipt.receipt().seal == Some(candidate.seal);
    let accepted_at = || accepted().filter(is_it).map(|receipt| receipt.receipt().at);
    let first_seen = candidate.first_seen.or_else(accepted_at);
    // Of two that are offered once more, the order stays; and each is older than all that came since.
    let shown_before = is_again.then(|| read.map(|read| read.stamp).or(first_seen)).flatten();
    copied.sight = Sight { first_seen, shown_before, sanity_rule };
    let keys = &*room.keys;
    match intake::offer_until(desk, share, copied, keys, is_cleared, &is_stopped) {
        // A copy condemns nobody: what it is refused for is looked for on the share.
        Err(HandoverError::Drop(DropReadError::Refused(rejection))) => {
            let (rules, random) = (&room.rules, &*room.environment.random);
            let (opener, is_stopped, of) = (keys, &is_stopped, share.id());
            let wanted = Wanted { rules, share: of, opener, random, is_cleared, is_stopped };
            build::judge(&mut SealedDrop::open(share, &candidate.address)?, &wanted)?;
            Err(Failed::Later(format!("its copy is no good: {rejection}")))
        }
        offered => Ok(offered.map(drop)?),
    }
}

/// Copies a drop, from where another hand-over has it already, else from the share.
fn copy(
    room: &Room,
    desk: &std::sync::Mutex<Desk>,
    share: &Share,
    key: &DropKey,
    candidate: &Candidate,
    is_stopped: &dyn Fn() -> bool,
) -> Result<intake::Copied, Failed> {
    let is_it = |sealed: &SealedDrop| sealed.seal_digest() == candidate.seal;
    let opened = |path: &Path| SealedDrop::open_copy(path, share.id(), &candidate.address).ok();
    for path in room.copies_elsewhere(key) {
        let Some(sealed) = opened(&path).filter(is_it) else { continue };
        match intake::copy(desk, &sealed, is_stopped) {
            // It may go while it is read, and says nothing of the drop.
            Err(HandoverError::Drop(_)) => {}
            copied => return Ok(copied?),
        }
    }
    let sealed = match SealedDrop::open(share, &candidate.address) {
        Ok(sealed) if is_it(&sealed) => sealed,
        Ok(_) => return Err(Failed::Gone),
        Err(error) => {
            let is_gone = share.drop_directory(&candidate.address).try_exists();
            return Err(if matches!(is_gone, Ok(false)) { Failed::Gone } else { error.into() });
        }
    };
    sealed.check(&candidate.limits)?;
    Ok(intake::copy(desk, &sealed, is_stopped)?)
}
