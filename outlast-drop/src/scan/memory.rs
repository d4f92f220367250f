//! The memory that is kept from one scan to the next, so that a scan costs as much as there is new.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use outlast_types::{Day, DropId, Timestamp, WorkloadName};

use super::limits::ScanLimits;
use super::turns::Turns;
use crate::layout::DropAddress;
use crate::seal::SealSummary;
use crate::stillness::Fingerprint;

/// A day is closed only when it ended this long ago. Writers' clocks may be off, and a drop may
/// begin before midnight.
const AGE_MIN: Duration = Duration::from_secs(2 * 24 * 3600);

/// The modification time of a directory: seconds and nanoseconds.
type Stamp = (i64, u32);

/// Which drops are settled and which days are closed; kept by the agent between scans.
///
/// A closed day is not listed, only looked at once: a late drop in it (from a writer whose clock
/// is far off) changes the time of its directory, and that opens it again.
#[derive(Debug)]
pub struct ScanMemory {
    pub(super) limits: ScanLimits,
    pub(super) turns: Turns,
    workloads: BTreeMap<WorkloadName, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By day, too: an id that lies under two days names two drops.
    settled: HashSet<(Day, DropId)>,
    closed: BTreeMap<Day, Stamp>,
    /// Seals that were read, of drops that are not settled.
    seals: HashMap<(Day, DropId), (Fingerprint, SealSummary)>,
}

impl Default for ScanMemory {
    /// For one who looks once.
    fn default() -> Self {
        Self::new(ScanLimits::WIDE)
    }
}

impl ScanMemory {
    /// Knows nothing yet.
    pub fn new(limits: ScanLimits) -> Self {
        Self { limits, turns: Turns::default(), workloads: BTreeMap::new() }
    }

    /// Notes that a drop needs no more looking at: it is vaulted, rejected, abandoned or released.
    pub fn settle(&mut self, address: &DropAddress) {
        let known = self.workloads.entry(address.workload.clone()).or_default();
        known.settled.insert((address.day, address.drop));
        known.seals.remove(&(address.day, address.drop));
    }

    /// Takes that back, for example when an upstream lost what it held.
    pub fn unsettle(&mut self, address: &DropAddress) {
        if let Some(known) = self.workloads.get_mut(&address.workload) {
            known.settled.remove(&(address.day, address.drop));
            known.closed.remove(&address.day);
        }
    }

    /// Whether [`settle`](Self::settle) was called for the drop.
    pub fn is_settled(&self, workload: &WorkloadName, day: Day, drop: DropId) -> bool {
        self.workloads.get(workload).is_some_and(|known| known.settled.contains(&(day, drop)))
    }

    pub(super) fn is_closed(&self, workload: &WorkloadName, day: Day, stamp: Stamp) -> bool {
        self.workloads.get(workload).is_some_and(|known| known.closed.get(&day) == Some(&stamp))
    }

    /// Closes a day of which all drops are settled, if it is old enough.
    pub(super) fn close_if_old(
        &mut self,
        workload: &WorkloadName,
        day: Day,
        stamp: Stamp,
        now: Timestamp,
    ) {
        let end = day.start().saturating_add(Duration::from_secs(24 * 3600));
        if end.saturating_add(AGE_MIN) <= now {
            self.workloads.entry(workload.clone()).or_default().closed.insert(day, stamp);
        }
    }

    /// The seal of a drop, if nothing has changed in its directory since it was read.
    pub(super) fn seal(
        &self,
        address: &DropAddress,
        fingerprint: Fingerprint,
    ) -> Option<&SealSummary> {
        let known = self.workloads.get(&address.workload)?;
        let (of, seal) = known.seals.get(&(address.day, address.drop))?;
        (*of == fingerprint).then_some(seal)
    }

    pub(super) fn keep_seal(
        &mut self,
        address: &DropAddress,
        fingerprint: Fingerprint,
        seal: &SealSummary,
    ) {
        let known = self.workloads.entry(address.workload.clone()).or_default();
        known.seals.insert((address.day, address.drop), (fingerprint, seal.clone()));
    }

    /// Forgets the seals of drops that are not `sighted` any more.
    pub(super) fn retain_seals(
        &mut self,
        workload: &WorkloadName,
        sighted: &HashSet<(Day, DropId)>,
    ) {
        if let Some(known) = self.workloads.get_mut(workload) {
            known.seals.retain(|place, _| sighted.contains(place));
        }
    }
}
