//! How much of a drop is new: what travels, and what the vault keeps.
//!
//! Whatever differs is somewhere in the drop, and what is changed does not change back. So of a drop of the
//! size S, after k drops (1 - a)^k · S is as it was, where a is the part of its chunks that one drop
//! changes; and what two kept snapshots do not share is what the second one adds.

use crate::description::Workload;
use crate::share::GIB;

/// Bytes that a changed byte spoils around it: its chunk, and longer ones are hit more often. A long run moves
/// cuts besides, until they fall where they fell before: so much more at most, and a run of how long for it.
/// Means over 31 keys and 10 drops each, for runs of 512 bytes to 256 KiB; one repository of 24 MiB differs
/// from the mean by 2 % (one deviation), since each cuts elsewhere.
const HIT: f64 = 82_000.0;
const MOVED: f64 = 69_500.0;
const MOVED_BY: f64 = 38_000.0;
/// The engine cuts what is longer than so many bytes into chunks so many times as long.
const LONGER: [(f64, f64); 2] = [(800.0 * GIB, 16.0), (200.0 * GIB, 4.0)];
/// Bytes of a chunk, over all.
pub(crate) const CHUNK: f64 = 72.0 * 1024.0;
/// What is stored for each new chunk besides its content: nonce and tag, its place in the pack's header, and
/// its entry in the index.
pub(crate) const CHUNK_OVERHEAD: f64 = 150.0;
/// What each drop names anew for each of its chunks, compressed: their ids.
pub(crate) const CHUNK_NAMED: f64 = 36.0;
/// Snapshot and directories of one drop.
pub(crate) const DROP_OVERHEAD: f64 = 2_048.0;

const YEAR_SECONDS: f64 = 365.25 * 86_400.0;

/// How one workload's drops follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Churn {
    size: f64,
    growth: f64,
    change: f64,
    edit: Option<f64>,
    interval: f64,
    compresses_to: f64,
}

impl Churn {
    pub(crate) fn of(workload: &Workload) -> Self {
        Self {
            size: workload.size,
            growth: workload.growth,
            change: workload.change,
            edit: workload.edit,
            interval: 86_400.0 / f64::from(workload.drops_a_day.max(1)),
            compresses_to: workload.compresses_to,
        }
    }

    /// Bytes of a drop that is made so many seconds after the beginning.
    pub(crate) fn size_at(&self, seconds: f64) -> f64 {
        self.size * (1.0 + self.growth).powf(seconds / YEAR_SECONDS)
    }

    /// Bytes of content in a drop that were not in an earlier one.
    pub(crate) fn new_since(&self, earlier: f64, seconds: f64) -> f64 {
        let drops = ((seconds - earlier) / self.interval).max(0.0);
        let size = self.size_at(seconds);
        let same =
            self.size_at(earlier) * (1.0 - changed(self.change, self.edit, size)).powf(drops);
        (size - same).max(0.0)
    }

    /// Bytes that are stored for so much new content of a drop.
    pub(crate) fn stored(&self, new: f64, seconds: f64) -> f64 {
        let named = self.size_at(seconds) / CHUNK * CHUNK_NAMED;
        new * self.compresses_to + new / CHUNK * CHUNK_OVERHEAD + named + DROP_OVERHEAD
    }
}

/// The part of chunks that differs between two drops of so many bytes: all in which at least one changed run lies.
pub(crate) fn changed(change: f64, edit: Option<f64>, size: f64) -> f64 {
    let Some(edit) = edit else { return change };
    let runs = change / edit;
    let longer = LONGER.iter().find(|(from, _)| size > *from).map_or(1.0, |(_, longer)| *longer);
    let around = longer * (HIT + MOVED * (1.0 - (-edit / (longer * MOVED_BY)).exp()));
    (1.0 - (-runs * (around + edit)).exp()).clamp(change.min(1.0), 1.0)
}
