//! When a drop can have been seen first, by what the vault knows itself.
//!
//! A recovery point's time is the agent's signed word of when it first saw the drop. The vault corrects it by
//! how far the agent's clock is off, as its last report showed, and bounds it: a drop that the last report
//! before it did not list was not there then, and what is here was seen before it came. So a forged or wrong
//! time moves a recovery point by no more than lies between two reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_types::{ShareId, Timestamp, WorkloadName};

/// Shares that are remembered; they are forgotten together.
const SHARES_MAX: usize = 4096;
/// Workloads of one share that wait.
const WAITING_MAX: usize = 100_000;

/// So many seconds are the way of a report, and no fault of a clock.
const WAY: u64 = 5;

/// What reports told of shares.
#[derive(Default)]
pub(crate) struct Sights {
    shares: Mutex<BTreeMap<ShareId, Seen>>,
}

/// One share.
#[derive(Default)]
struct Seen {
    /// When the last whole report came.
    last: Option<Timestamp>,
    /// How many seconds the agent's clock was ahead.
    ahead: i64,
    /// The workloads of which drops wait, and the last report before the first that said so.
    waiting: BTreeMap<WorkloadName, Option<Timestamp>>,
}

/// What a report tells of its share.
pub(crate) struct Told<'a> {
    pub(crate) share: ShareId,
    pub(crate) received: Timestamp,
    pub(crate) ahead: i64,
    /// Which part it is, and of how many.
    pub(crate) part: (u32, u32),
    /// The workloads that it names, and whether drops of them wait.
    pub(crate) workloads: &'a [(WorkloadName, bool)],
}

impl Sights {
    /// Hears a report of an agent that could look over its share.
    pub(crate) fn reported(&self, told: &Told<'_>) {
        let mut shares = self.lock();
        if shares.len() >= SHARES_MAX && !shares.contains_key(&told.share) {
            shares.clear();
        }
        let seen = shares.entry(told.share).or_default();
        seen.ahead = told.ahead;
        let (part, parts) = told.part;
        if parts <= 1 {
            // It names all that wait.
            let waiting = told.workloads.iter().filter(|(_, waits)| *waits);
            let waiting: BTreeSet<&WorkloadName> = waiting.map(|(name, _)| name).collect();
            seen.waiting.retain(|name, _| waiting.contains(name));
        }
        for (name, waits) in told.workloads {
            if !waits {
                seen.waiting.remove(name);
            } else if seen.waiting.len() < WAITING_MAX && !seen.waiting.contains_key(name) {
                seen.waiting.insert(name.clone(), seen.last);
            }
        }
        if part >= parts {
            seen.last = Some(told.received);
        }
    }

    /// The recovery point of a drop that came at `received` and that its agent says to have seen first at
    /// `said`.
    pub(crate) fn recovery_point(
        &self,
        (share, workload): (ShareId, &WorkloadName),
        said: Timestamp,
        received: Timestamp,
    ) -> Timestamp {
        let shares = self.lock();
        let Some(seen) = shares.get(&share) else { return said.min(received) };
        let corrected = right(said, seen.ahead);
        let not_before = seen.waiting.get(workload).copied().unwrap_or(seen.last);
        corrected.max(not_before.unwrap_or(Timestamp::EPOCH)).min(received)
    }

    /// A moment by the clock of the agent of a share, by the vault's: never later than `received`.
    pub(crate) fn corrected(
        &self,
        share: ShareId,
        said: Timestamp,
        received: Timestamp,
    ) -> Timestamp {
        let ahead = self.lock().get(&share).map_or(0, |seen| seen.ahead);
        right(said, ahead).min(received)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShareId, Seen>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a clock says that is ahead by so many seconds.
fn right(said: Timestamp, ahead: i64) -> Timestamp {
    let skew = Duration::from_secs(ahead.unsigned_abs());
    match ahead {
        ahead if ahead.unsigned_abs() <= WAY => said,
        ..0 => said.saturating_add(skew),
        0.. => said.saturating_sub(skew),
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    struct Scene {
        sights: Sights,
        share: ShareId,
        shop: WorkloadName,
    }

    impl Scene {
        fn new() -> Self {
            let (sights, share) = (Sights::default(), ShareId::new(&SystemRandom));
            Self { sights, share, shop: WorkloadName::new("shop-db").unwrap() }
        }

        fn report(&self, received: &str, ahead: i64, waits: bool) {
            let workloads = [(self.shop.clone(), waits)];
            let (share, received) = (self.share, at(received));
            let part = (1, 1);
            self.sights.reported(&Told { share, received, ahead, part, workloads: &workloads });
        }

        fn point(&self, said: &str, received: &str) -> Timestamp {
            self.sights.recovery_point((self.share, &self.shop), at(said), at(received))
        }
    }

    #[test]
    fn after_three_days_without_a_line_each_drop_is_of_its_own_day() {
        let scene = Scene::new();
        scene.report("2026-11-23T00:59:00Z", 0, false);
        // The line is down; on Thursday the agent tells that drops wait, and ships them.
        scene.report("2026-11-26T09:00:00Z", 0, true);
        for (said, received) in [
            ("2026-11-23T01:00:10Z", "2026-11-26T09:01:00Z"),
            ("2026-11-24T01:00:10Z", "2026-11-26T09:02:00Z"),
            ("2026-11-25T01:00:10Z", "2026-11-26T09:03:00Z"),
        ] {
            assert_eq!(scene.point(said, received), at(said));
        }
        // What nobody had listed then was not there.
        let bound = at("2026-11-23T00:59:00Z");
        assert_eq!(scene.point("2026-11-20T01:00:00Z", "2026-11-26T09:04:00Z"), bound);
    }

    #[test]
    fn a_wrong_clock_is_corrected_and_a_forged_time_changes_nothing_much() {
        let scene = Scene::new();
        scene.report("2026-11-23T01:00:00Z", 3600, false);
        let received = "2026-11-23T01:02:00Z";
        assert_eq!(scene.point("2026-11-23T02:01:00Z", received), at("2026-11-23T01:01:00Z"));
        for forged in ["1970-01-01T00:00:00Z", "2026-11-22T00:00:00Z"] {
            assert_eq!(scene.point(forged, received), at("2026-11-23T01:00:00Z"), "{forged}");
        }
        for forged in ["2031-01-01T00:00:00Z", "9999-12-31T00:00:00Z"] {
            assert_eq!(scene.point(forged, received), at(received), "{forged}");
        }
        scene.report("2026-11-23T01:00:00Z", -60, false);
        assert_eq!(scene.point("2026-11-23T01:00:30Z", received), at("2026-11-23T01:01:30Z"));
    }

    #[test]
    fn of_a_report_in_parts_only_the_whole_says_what_was_not_there() {
        let scene = Scene::new();
        scene.report("2026-11-23T01:00:00Z", 0, false);
        let told = |part, received: &str, workloads: &[(WorkloadName, bool)]| {
            let (share, received) = (scene.share, at(received));
            scene.sights.reported(&Told { share, received, ahead: 0, part: (part, 2), workloads });
        };
        told(1, "2026-11-23T02:00:00Z", &[(scene.shop.clone(), true)]);
        told(2, "2026-11-23T02:00:01Z", &[]);
        told(1, "2026-11-23T03:00:00Z", &[]);
        assert_eq!(
            scene.point("2026-11-23T00:00:00Z", "2026-11-23T04:00:00Z"),
            at("2026-11-23T01:00:00Z"),
            "it still waits by all that was heard"
        );
    }
}
