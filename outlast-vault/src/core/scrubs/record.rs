//! What is remembered of the scrubs of one workload, and what is to be read next. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_promise::{due_within, overdue_after};
use outlast_types::{SnapshotId, Timestamp};
use serde::{Deserialize, Serialize};

/// The version of the form in which it is kept.
pub(super) const VERSION: u32 = 1;
/// So much is read in one go, if that does not make too many parts: a stop or a kill loses that at most.
const PART_BYTES: u64 = 1 << 30;
/// Each part looks at the structure of the whole as well.
const PARTS_MAX: u64 = 128;
/// What was found damaged is looked at again after so long: somebody may have mended it.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// A repository that could not be read is left alone for so long.
const RETRY: Duration = Duration::from_secs(600);
/// Problems that are kept in words, and snapshots that are kept by name.
const PROBLEMS_MAX: usize = 20;
const SNAPSHOTS_MAX: usize = 10_000;

/// The scrubs of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScrubRecord {
    pub(super) version: u32,
    /// In how many parts the packs are read. It stays while anything is known to be damaged.
    pub(crate) parts: u32,
    /// The round that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) round: Option<Round>,
    /// The last one that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Ended>,
    /// What was found damaged in the packs of each part, counted from 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) data: BTreeMap<u32, Findings>,
    /// What else was found wrong, as packs that are missing; each look looks at all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) structure: Option<Findings>,
    /// When anything was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) looked: Option<Timestamp>,
    /// What kept the vault from it, at the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<(Timestamp, String)>,
}

/// A round: each pack that is there all the time is read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) began: Timestamp,
    /// How many parts are read.
    pub(crate) done: u32,
    pub(crate) packs: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) packs: u64,
    pub(crate) bytes: u64,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) found: Timestamp,
    pub(crate) count: u64,
    /// The first of them, in words.
    pub(crate) problems: Vec<String>,
    /// Snapshots of which something cannot be had.
    pub(crate) hit: BTreeSet<SnapshotId>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// To begin a round.
    Begin,
    /// To read this part, from 1, in the round that is under way.
    Read(u32),
    /// To look again whether what was found is still so.
    Again(u32),
}

/// What one look found; `None` if nothing was wrong.
pub(crate) struct Looked {
    pub(crate) part: u32,
    pub(crate) packs: u64,
    pub(crate) bytes: u64,
    pub(crate) data: Option<Findings>,
    pub(crate) structure: Option<Findings>,
}

impl Default for ScrubRecord {
    fn default() -> Self {
        Self {
            version: VERSION,
            parts: 1,
            round: None,
            last: None,
            data: BTreeMap::new(),
            structure: None,
            looked: None,
            failed: None,
        }
    }
}

impl Findings {
    pub(crate) fn new(found: Timestamp, problems: Vec<String>, hit: BTreeSet<SnapshotId>) -> Self {
        let count = problems.len() as u64;
        let problems = problems.into_iter().take(PROBLEMS_MAX).collect();
        Self { found, count, problems, hit: hit.into_iter().take(SNAPSHOTS_MAX).collect() }
    }
}

impl ScrubRecord {
    pub(crate) fn is_damaged(&self) -> bool {
        !self.data.is_empty() || self.structure.is_some()
    }

    /// All that is known to be wrong, the structure first.
    pub(crate) fn findings(&self) -> impl Iterator<Item = &Findings> {
        self.structure.iter().chain(self.data.values())
    }

    /// All snapshots of which something cannot be had, as far as is known.
    pub(crate) fn hit(&self) -> BTreeSet<SnapshotId> {
        self.findings().flat_map(|findings| findings.hit.iter().copied()).collect()
    }

    /// Since when some of the data is unread. `first` is when the oldest of it came.
    pub(crate) fn unread_since(&self, first: Timestamp) -> Timestamp {
        self.last.map_or(first, |last| last.began)
    }

    pub(crate) fn is_overdue(&self, period: Duration, first: Timestamp, now: Timestamp) -> bool {
        overdue_after(period, self.unread_since(first)) <= now
    }

    /// What is to be done next, and when.
    pub(crate) fn next(&self, period: Duration, first: Timestamp, lot: u64) -> (Timestamp, Step) {
        let again = self.looked.filter(|_| self.is_damaged()).map(|looked| {
            let part = self.data.keys().next().copied().unwrap_or(1);
            (looked.saturating_add(LOOK_AGAIN.min(period)), Step::Again(part))
        });
        let regular = match self.round {
            Some(round) => (round.began, Step::Read(round.done + 1)),
            None => (due_within(period, self.unread_since(first), lot), Step::Begin),
        };
        let (due, step) = match again {
            Some(again) if again.0 < regular.0 => again,
            _ => regular,
        };
        // What failed is not tried again and again.
        let not_before = self.failed.as_ref().map(|(at, _)| at.saturating_add(RETRY.min(period)));
        (due.max(not_before.unwrap_or(due)), step)
    }

    /// Begins a round over so many bytes.
    pub(crate) fn begin(&mut self, bytes: u64, now: Timestamp) {
        if self.data.is_empty() {
            let parts = bytes.div_ceil(PART_BYTES).clamp(1, PARTS_MAX);
            self.parts = u32::try_from(parts).unwrap_or(1);
        }
        self.round = Some(Round { began: now, done: 0, packs: 0, bytes: 0 });
    }

    /// A part was looked at. What ended, if that was the last one of the round.
    pub(crate) fn looked(&mut self, looked: Looked, step: Step, now: Timestamp) -> Option<Ended> {
        let Looked { part, packs, bytes, data, structure } = looked;
        (self.looked, self.failed) = (Some(now), None);
        // What was known before was found then.
        let since = |known: Option<&Findings>, new: Findings| Findings {
            found: known.map_or(new.found, |known| known.found),
            ..new
        };
        match data {
            Some(new) => {
                let new = since(self.data.get(&part), new);
                self.data.insert(part, new);
            }
            None => drop(self.data.remove(&part)),
        }
        self.structure = structure.map(|new| since(self.structure.as_ref(), new));
        let Step::Read(_) = step else { return None };
        let round = self.round.as_mut()?;
        round.done = part;
        round.packs += packs;
        round.bytes += bytes;
        if round.done < self.parts {
            return None;
        }
        let Round { began, packs, bytes, .. } = *round;
        self.round = None;
        self.last = Some(Ended { began, ended: now, packs, bytes });
        self.last
    }

    /// Takes moments that are still to come, by a clock that was wrong, for now.
    pub(crate) fn not_after(&mut self, now: Timestamp) {
        if let Some(round) = &mut self.round {
            round.began = round.began.min(now);
        }
        if let Some(last) = &mut self.last {
            last.began = last.began.min(now);
        }
        self.looked = self.looked.map(|at| at.min(now));
        if let Some((at, _)) = &mut self.failed {
            *at = (*at).min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(30 * 24 * 3600);

    fn at(hours: u64) -> Timestamp {
        Timestamp::EPOCH.saturating_add(Duration::from_secs(hours * 3600))
    }

    fn look(part: u32, damaged: bool, now: Timestamp) -> Looked {
        let data = damaged.then(|| Findings::new(now, vec!["odd".into()], BTreeSet::new()));
        Looked { part, packs: 1, bytes: 10, data, structure: None }
    }

    #[test]
    fn damage_that_is_known_is_looked_at_daily_and_keeps_its_day_and_its_part() {
        let mut record = ScrubRecord::default();
        record.begin(3 * PART_BYTES, at(0));
        for part in 1..=3 {
            let (_, step) = record.next(PERIOD, at(0), 0);
            assert_eq!(step, Step::Read(part));
            let ended = record.looked(look(part, part == 2, at(1)), step, at(1));
            assert_eq!(ended.is_some(), part == 3);
        }
        for day in 1..5 {
            let (due, step) = record.next(PERIOD, at(0), 0);
            assert_eq!((due, step), (at(1 + (day - 1) * 24 + 24), Step::Again(2)));
            record.looked(look(2, true, due), step, due);
            assert_eq!(record.data[&2].found, at(1));
        }
        // Parts are counted otherwise when nothing is known to be in one.
        record.begin(10 * PART_BYTES, at(500));
        assert_eq!(record.parts, 3);
        record.looked(look(2, false, at(501)), Step::Again(2), at(501));
        assert!(!record.is_damaged());
        record.begin(10 * PART_BYTES, at(502));
        assert_eq!(record.parts, 10);
    }

    #[test]
    fn what_could_not_be_read_is_tried_again_after_a_while_and_is_overdue_in_the_end() {
        let mut record =
            ScrubRecord { failed: Some((at(400), "no disk".into())), ..Default::default() };
        let (due, step) = record.next(PERIOD, at(0), 0);
        assert_eq!((due, step), (at(400).saturating_add(RETRY), Step::Begin));
        assert!(!record.is_overdue(PERIOD, at(0), at(719)));
        assert!(record.is_overdue(PERIOD, at(0), at(720)));
        // A clock that was a year ahead does not put it off for a year.
        record.failed = Some((at(9000), "no disk".into()));
        record.not_after(at(401));
        assert!(record.next(PERIOD, at(0), 0).0 < at(402));
    }

    proptest! {
        #![proptest_config(outlast_testing::cases(32))]
        /// Whoever does what is due, whenever it gets round to it within a quarter of the period, has read
        /// everything within each period, over any number of restarts.
        #[test]
        fn nothing_is_ever_unread_for_longer_than_a_period(
            lot in any::<u64>(), sizes in prop::collection::vec(0..40_u64, 1..6),
            delays in prop::collection::vec(0..(PERIOD.as_secs() / 4 / 3600 - 12), 6),
        ) {
            let mut record = ScrubRecord::default();
            let mut now = at(0);
            for (size, delay) in sizes.iter().zip(delays) {
                let (due, step) = record.next(PERIOD, at(0), lot);
                prop_assert_eq!(step, Step::Begin);
                now = now.max(due).saturating_add(Duration::from_secs(delay * 3600));
                record.begin(size * PART_BYTES / 2, now);
                loop {
                    let kept = serde_json::to_vec(&record).unwrap();
                    record = serde_json::from_slice(&kept).unwrap();
                    let (due, step) = record.next(PERIOD, at(0), lot);
                    prop_assert!(due <= now);
                    let Step::Read(part) = step else { panic!("{step:?}") };
                    now = now.saturating_add(Duration::from_secs(300));
                    if record.looked(look(part, false, now), step, now).is_some() {
                        break;
                    }
                }
                prop_assert!(!record.is_overdue(PERIOD, at(0), now));
            }
        }
    }
}
