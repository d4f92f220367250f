//! Drops that are to be copied: which is the next, and which are not to be tried now. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_drop::{DropAddress, DropLimits, Rejection};
use outlast_handover::DropKey;
use outlast_types::{Backoff, ContentHash, Random, Timestamp, WorkloadName};

/// Drops that are remembered at a time. Beyond, passes show all that lies on the share again.
const WAITING_MAX: usize = 50_000;
const REFUSED_MAX: usize = 10_000;
/// Drops of which it is remembered that they need nothing more; of more, it is found out again.
const KNOWN_MAX: usize = 100_000;
/// Drops that are to be in the directory once more, at a time.
const AGAIN_MAX: usize = 1000;
/// After that what was refused is tried again: somebody may have changed what it was refused for.
const AGAIN: Duration = Duration::from_secs(3600);
/// The longest pause after the share could not be read.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// So long shipping waits for a drop's turn to be copied, while others are.
const HELD_MAX: Duration = Duration::from_secs(600);
/// It waits for no copy that does not come further for so long.
const STILL_MAX: Duration = Duration::from_secs(20);

/// The drop at a place, as hand-overs know it.
pub(super) fn key_of(address: &DropAddress) -> DropKey {
    DropKey { workload: address.workload.clone(), drop: address.drop }
}

/// A drop to be copied.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) address: DropAddress,
    pub(super) seal: ContentHash,
    pub(super) limits: DropLimits,
    /// When the agent first saw it, by its own clock, where that is known.
    pub(super) first_seen: Option<Timestamp>,
    /// When it was first seen here, by the timer.
    since: Duration,
    backoff: Backoff,
}

/// A drop as a pass sees it: where, its seal, how much of it is taken, and since when it is there.
pub(super) type Sighted<'a> = (&'a DropAddress, ContentHash, DropLimits, Option<Timestamp>);

/// A drop that cannot be handed over as it is.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    seal: ContentHash,
    at: Duration,
    pub(super) reason: String,
    /// Why nobody can take it, if that is so.
    rejection: Option<Rejection>,
}

/// What waits, of one hand-over.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    drops: BTreeMap<DropKey, Candidate>,
    refused: BTreeMap<DropKey, Refused>,
    /// Those that are in the directory, or were.
    known: BTreeSet<DropKey>,
    /// Those that have left it, and are to be there once more.
    again: BTreeSet<DropKey>,
    /// Those that shipping has not read yet.
    wanted: BTreeSet<DropKey>,
    /// The one that is being copied, and when that last came a step further.
    under_way: Option<(DropKey, Duration)>,
    /// Whether one was seen for which there was no room.
    is_cut: bool,
    /// Until when nothing is tried, since the directory cannot take anything.
    until: Duration,
}

impl Waiting {
    /// A drop lies on the share; `is_wanted` by shipping.
    pub(super) fn see(
        &mut self,
        key: &DropKey,
        candidate: Sighted<'_>,
        is_wanted: bool,
        now: Duration,
    ) {
        let (address, seal, limits, first_seen) = candidate;
        if is_wanted {
            if self.wanted.len() < WAITING_MAX {
                self.wanted.insert(key.clone());
            }
        } else {
            self.wanted.remove(key);
        }
        if self.known.contains(key) {
            return;
        }
        let is_refused = |it: &Refused| it.seal == seal && now.saturating_sub(it.at) < AGAIN;
        if self.refused.get(key).is_some_and(is_refused) {
            return;
        }
        if let Some(known) = self.drops.get_mut(key) {
            (known.address, known.seal, known.limits) = (address.clone(), seal, limits);
        } else if self.drops.len() < WAITING_MAX {
            let (address, backoff) = (address.clone(), Backoff::default());
            let candidate = Candidate { address, seal, limits, first_seen, since: now, backoff };
            self.drops.insert(key.clone(), candidate);
        } else {
            self.is_cut = true;
        }
    }

    /// A drop is in the directory, or was, and needs nothing more.
    pub(super) fn done(&mut self, key: &DropKey) {
        self.drops.remove(key);
        self.refused.remove(key);
        self.again.remove(key);
        self.end(key);
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(key.clone());
    }

    /// A drop is none, or does not lie on the share any more.
    pub(super) fn is_none(&mut self, key: &DropKey) {
        self.drops.remove(key);
        self.refused.remove(key);
        self.again.remove(key);
        self.wanted.remove(key);
        self.end(key);
    }

    /// A drop has left the directory and is to be there once more; whether that is new.
    pub(super) fn again(&mut self, key: &DropKey) -> bool {
        if self.again.len() >= AGAIN_MAX || !self.again.insert(key.clone()) {
            return false;
        }
        self.known.remove(key);
        self.is_cut = true;
        true
    }

    /// Whether a drop that has left is to be there once more.
    pub(super) fn is_again(&self, key: &DropKey) -> bool {
        self.again.contains(key)
    }

    /// A drop cannot be handed over as it is.
    pub(super) fn refuse(
        &mut self,
        key: &DropKey,
        (reason, rejection): (String, Option<Rejection>),
        now: Duration,
    ) {
        self.end(key);
        let Some(candidate) = self.drops.remove(key) else { return };
        if self.refused.len() < REFUSED_MAX {
            let seal = candidate.seal;
            self.refused.insert(key.clone(), Refused { seal, at: now, reason, rejection });
        }
    }

    /// A drop cannot be read now.
    pub(super) fn failed(&mut self, key: &DropKey, now: Duration, random: &dyn Random) {
        self.end(key);
        if let Some(candidate) = self.drops.get_mut(key) {
            candidate.backoff.failed(now, PAUSE_FIRST, PAUSE_MAX, random);
        }
    }

    /// Nothing can be taken now, whatever it is.
    pub(super) fn pause(&mut self, key: &DropKey, until: Duration) {
        self.end(key);
        self.until = until;
    }

    fn end(&mut self, key: &DropKey) {
        if self.under_way.as_ref().is_some_and(|(it, _)| it == key) {
            self.under_way = None;
        }
    }

    /// The drop to be copied now: that which has waited longest, of several the oldest.
    pub(super) fn next(&mut self, now: Duration) -> Option<(DropKey, Candidate)> {
        if now < self.until {
            return None;
        }
        let due = self.drops.iter().filter(|(_, it)| !it.backoff.is_waiting(now));
        let next = due.min_by_key(|(key, it)| (it.since, key.drop));
        let (key, candidate) = next.map(|(key, it)| (key.clone(), it.clone()))?;
        self.under_way = Some((key.clone(), now));
        Some((key, candidate))
    }

    /// The copy under way has come further.
    pub(super) fn moved(&mut self, now: Duration) {
        if let Some((_, moved)) = &mut self.under_way {
            *moved = now;
        }
    }

    /// The workloads whose shipping waits for a copy.
    pub(super) fn holding(&self, now: Duration) -> BTreeSet<WorkloadName> {
        let is_late = |since: Duration, max: Duration| now.saturating_sub(since) >= max;
        let Some((current, moved)) = &self.under_way else {
            // The next one begins in a moment, or nothing can be copied now.
            let is_fresh = |it: &&Candidate| {
                it.backoff.failures() == 0 && !is_late(it.since, STILL_MAX) && now >= self.until
            };
            let fresh = self.drops.iter().filter(|(key, it)| self.is_wanted(key) && is_fresh(it));
            return fresh.map(|(key, _)| key.workload.clone()).collect();
        };
        if is_late(*moved, STILL_MAX) {
            return BTreeSet::new();
        }
        let is_next = |key: &DropKey, it: &Candidate| {
            key == current || (it.backoff.failures() == 0 && !is_late(it.since, HELD_MAX))
        };
        let held = self.drops.iter().filter(|(key, it)| self.is_wanted(key) && is_next(key, it));
        held.map(|(key, _)| key.workload.clone()).collect()
    }

    pub(super) fn is_under_way(&self, key: &DropKey) -> bool {
        self.under_way.as_ref().is_some_and(|(it, _)| it == key)
    }

    /// Whether shipping has not read a drop yet.
    pub(super) fn is_wanted(&self, key: &DropKey) -> bool {
        self.wanted.contains(key)
    }

    /// Shipping has read a drop.
    pub(super) fn loaded(&mut self, key: &DropKey) {
        self.wanted.remove(key);
    }

    /// Whether all that was seen has been tried.
    pub(super) fn is_through(&self) -> bool {
        self.under_way.is_none() && self.drops.values().all(|it| it.backoff.failures() > 0)
    }

    /// What was known of the directory may not be so any more.
    pub(super) fn begin_anew(&mut self) {
        self.known.clear();
        self.is_cut = true;
    }

    /// Whether not all that lies on the share is remembered; and then begins anew.
    pub(super) fn take_cut(&mut self) -> bool {
        self.drops.len() < WAITING_MAX / 2 && std::mem::take(&mut self.is_cut)
    }

    pub(super) fn count(&self) -> usize {
        self.drops.len()
    }

    pub(super) fn workloads(&self) -> BTreeSet<WorkloadName> {
        self.drops.keys().map(|key| key.workload.clone()).collect()
    }

    pub(super) fn refused(&self) -> impl Iterator<Item = (&DropKey, &Refused)> {
        self.refused.iter()
    }

    /// Whether a drop is in the directory, or was.
    pub(super) fn is_known(&self, key: &DropKey) -> bool {
        self.known.contains(key)
    }

    /// Why nobody can take the drop with this seal, if that is so.
    pub(super) fn rejection(&self, key: &DropKey, seal: ContentHash) -> Option<Rejection> {
        self.refused.get(key).filter(|it| it.seal == seal)?.rejection.clone()
    }

    pub(super) fn is_refused(&self, key: &DropKey) -> bool {
        self.refused.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    fn address(workload: &str, number: u8) -> DropAddress {
        DropAddress {
            workload: WorkloadName::new(workload).unwrap(),
            day: Timestamp::EPOCH.day(),
            drop: format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap(),
        }
    }

    fn see(waiting: &mut Waiting, workload: &str, number: u8, seconds: u64) -> DropKey {
        let address = address(workload, number);
        let key = DropKey { workload: address.workload.clone(), drop: address.drop };
        let candidate = (&address, ContentHash([number; 32]), DropLimits::default(), None);
        waiting.see(&key, candidate, true, Duration::from_secs(seconds));
        key
    }

    fn broken() -> (String, Option<Rejection>) {
        ("broken".to_owned(), None)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_oldest_is_copied_first_and_one_that_fails_keeps_no_other_waiting() {
        let mut waiting = Waiting::default();
        let second = see(&mut waiting, "a", 2, 1);
        let first = see(&mut waiting, "b", 1, 1);
        let late = see(&mut waiting, "a", 0, 2);
        assert_eq!(waiting.next(at(3)).unwrap().0, first);
        waiting.failed(&first, at(3), &SystemRandom);
        assert_eq!(waiting.next(at(3)).unwrap().0, second);
        waiting.done(&second);
        assert_eq!(waiting.next(at(3)).unwrap().0, late);
        waiting.done(&late);
        assert!(waiting.next(at(3)).is_none() && waiting.is_through());
        assert_eq!(waiting.next(at(100)).unwrap().0, first);
    }

    #[test]
    fn shipping_waits_for_a_copy_and_never_for_one_that_stands_still_or_cannot_be_made() {
        let mut waiting = Waiting::default();
        let a = see(&mut waiting, "a", 1, 0);
        see(&mut waiting, "b", 2, 0);
        let names = |waiting: &Waiting, now| waiting.holding(at(now)).len();
        assert_eq!(names(&waiting, 1), 2, "they begin in a moment");
        assert_eq!(names(&waiting, 30), 0, "they did not");
        waiting.next(at(1)).unwrap();
        assert_eq!(names(&waiting, 2), 2);
        assert_eq!(names(&waiting, 22), 0, "it stands still");
        waiting.moved(at(22));
        assert_eq!(names(&waiting, 23), 2);
        waiting.moved(at(700));
        assert_eq!(names(&waiting, 701), 1, "the one under way; others have waited long enough");
        waiting.loaded(&a);
        assert_eq!(names(&waiting, 701), 0);
        waiting.pause(&a, at(800));
        assert_eq!((names(&waiting, 702), waiting.next(at(702)).is_none()), (0, true));
    }

    #[test]
    fn what_was_refused_is_not_tried_again_until_it_is_another_or_an_hour_has_passed() {
        let mut waiting = Waiting::default();
        let key = see(&mut waiting, "a", 1, 0);
        waiting.next(at(0)).unwrap();
        waiting.refuse(&key, broken(), at(0));
        see(&mut waiting, "a", 1, 10);
        assert!(waiting.next(at(10)).is_none() && waiting.is_refused(&key));
        let candidate = (&address("a", 1), ContentHash([9; 32]), DropLimits::default(), None);
        waiting.see(&key, candidate, true, at(11));
        assert_eq!(waiting.next(at(11)).unwrap().1.seal, ContentHash([9; 32]));
        waiting.refuse(&key, broken(), at(11));
        waiting.see(&key, candidate, true, at(11 + 3600));
        assert!(waiting.next(at(11 + 3600)).is_some());
    }
}
