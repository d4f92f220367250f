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
    pub(super) tolds: Vec<Told>,
    pub(crate) address: DropAddress,
    pub(crate) seal: ContentHash,
    pub(crate) state: ReceiptState,
    pub(crate) handover: HandedOver,
    /// What was told is not so any more.
    pub(crate) is_taken_back: bool,
}

impl Telling {
    /// Whether it says what `other` does.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let word = |it: &Self| (it.state, it.is_taken_back, it.handover.countersigned.is_some());
        self.key == other.key && word(self) == word(other)
    }
}

/// What the share with this id has not been told yet. `word` is the vault's own word that a drop is confirmed.
pub(super) fn untold(
    desk: &Desk,
    word: impl Fn(&DropKey) -> Option<String>,
    (room, share): (usize, ShareId),
    max: usize,
) -> Vec<Telling> {
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
        let mut tell = |state, jobs, countersigned, tolds, is_taken_back| {
            let offer = &tracked.offer;
            let (handover, stamp) = (rules.name.clone(), offer.stamp);
            all.push(Telling {
                room,
                key: offer.key(),
                tolds,
                address: offer.address(),
                seal: offer.seal,
                state,
                handover: HandedOver { handover, stamp, jobs, countersigned, others: Vec::new() },
                is_taken_back,
            });
        };
        if state >= State::Read && !is_told(Told::HandedOver) {
            let jobs = readers(ledger, tracked);
            tell(ReceiptState::HandedOver, jobs, None, vec![Told::HandedOver], false);
        }
        if state >= State::Confirmed {
            let word = word(&tracked.offer.key()).filter(|_| !is_told(Told::Countersigned));
            if word.is_some() || !is_told(Told::Confirmed) {
                let jobs = holders(ledger, tracked);
                let countersigned = word.is_some().then_some(Told::Countersigned);
                let tolds = std::iter::once(Told::Confirmed).chain(countersigned).collect();
                tell(ReceiptState::Confirmed, jobs, word, tolds, false);
            }
        } else if is_told(Told::Confirmed) {
            tell(ReceiptState::Confirmed, Vec::new(), None, Vec::new(), true);
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
