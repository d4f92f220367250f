//! What the share is told of a hand-over: receipts that say who has read a drop, and who has it.

use outlast_drop::{DropAddress, HandedJob, HandedOver, ReceiptState};
use outlast_handover::ledger::{Job, Ledger, Told, Tracked};
use outlast_handover::{Desk, DropKey, JobKey, State};
use outlast_types::{ContentHash, ShareId};

/// One thing that the share is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Telling {
    /// Of which hand-over, by its place among all.
    pub(super) room: usize,
    pub(super) key: DropKey,
    pub(super) told: Told,
    pub(crate) address: DropAddress,
    pub(crate) seal: ContentHash,
    pub(crate) state: ReceiptState,
    pub(crate) handover: HandedOver,
    /// What was told is not so any more.
    pub(crate) is_taken_back: bool,
}

/// What the share with this id has not been told yet.
pub(super) fn untold(desk: &Desk, room: usize, share: ShareId, max: usize) -> Vec<Telling> {
    let (ledger, rules) = (desk.ledger(), desk.rules());
    let mut all = Vec::new();
    for (tracked, state) in ledger.states(rules) {
        if all.len() >= max {
            break;
        }
        if tracked.offer.share != share {
            continue;
        }
        let is_told = |told| tracked.told.contains(&told);
        let mut tell = |told, is_taken_back| {
            let offer = &tracked.offer;
            let (state, jobs) = match told {
                Told::HandedOver => (ReceiptState::HandedOver, readers(ledger, tracked)),
                Told::Confirmed => (ReceiptState::Confirmed, holders(ledger, tracked)),
            };
            let handover = HandedOver { handover: rules.name.clone(), stamp: offer.stamp, jobs };
            all.push(Telling {
                room,
                key: offer.key(),
                told,
                address: offer.address(),
                seal: offer.seal,
                state,
                handover,
                is_taken_back,
            });
        };
        if state >= State::Read && !is_told(Told::HandedOver) {
            tell(Told::HandedOver, false);
        }
        let is_confirmed = state >= State::Confirmed;
        if is_confirmed != is_told(Told::Confirmed) {
            tell(Told::Confirmed, !is_confirmed);
        }
    }
    all
}

fn readers(ledger: &Ledger, tracked: &Tracked) -> Vec<HandedJob> {
    ledger.reader(tracked).into_iter().map(|(key, job)| handed(key, job, None)).collect()
}

fn holders(ledger: &Ledger, tracked: &Tracked) -> Vec<HandedJob> {
    let files = |key: &JobKey| tracked.held.get(key).map(outlast_handover::FileSet::count);
    ledger.holders(tracked).map(|(key, job)| handed(key, job, files(key))).collect()
}

fn handed(key: &JobKey, job: &Job, files: Option<u64>) -> HandedJob {
    let facts = job.facts.clone();
    HandedJob {
        job: facts.job.unwrap_or_else(|| key.to_string()),
        product: job.product.clone(),
        policy: facts.policy,
        schedule: facts.schedule,
        kind: facts.kind,
        began: job.began,
        ended: job.ended,
        by: job.by.clone(),
        heard: job.evidence_at.or_else(|| job.streams.values().map(|end| end.at).max()),
        files,
    }
}
