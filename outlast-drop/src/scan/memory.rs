//! The memory that is kept from one scan to the next, so that a scan costs as much as there is new.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use outlast_types::{Day, DropId, WorkloadName};

use super::limits::ScanLimits;
use super::problem::ScanProblem;
use super::turns::Turns;
use crate::layout::DropAddress;
use crate::seal::SealSummary;
use crate::stillness::Fingerprint;

/// The modification time of a directory: seconds and nanoseconds.
pub(super) type Stamp = (i64, u32);

/// An id that lies under two days names two drops.
pub(super) type Place = (Day, DropId);

/// The most problems of one workload that are remembered: more help nobody.
const PROBLEMS_MAX: usize = 20;

/// Which drops are settled, and which days need no reading; kept by the agent between scans.
#[derive(Debug)]
pub struct ScanMemory {
    pub(super) limits: ScanLimits,
    pub(super) turns: Turns,
    pub(super) workloads: BTreeMap<WorkloadName, WorkloadMemory>,
    /// Workloads whose memory is with somebody who looks at them, and what became known since.
    away: BTreeMap<WorkloadName, Vec<Change>>,
    /// Names in which something is said to be new.
    rung: BTreeSet<Vec<u8>>,
}

/// Something became known of a workload.
#[derive(Debug)]
enum Change {
    Settled(Place),
    Gone(Place),
    Unsettled(Place),
    Closed(Day),
    NotClosed(Day),
    KeptOpen,
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
        let (turns, workloads, away, rung) = Default::default();
        Self { limits, turns, workloads, away, rung }
    }

    /// Notes that a drop needs no more looking at: it is vaulted or rejected, and lies there.
    pub fn settle(&mut self, address: &DropAddress) {
        self.change(&address.workload, Change::Settled((address.day, address.drop)));
    }

    /// Notes that a drop is released or abandoned, and its data has gone.
    pub fn forget(&mut self, address: &DropAddress) {
        self.change(&address.workload, Change::Gone((address.day, address.drop)));
    }

    /// Notes that a drop is to be looked at again, and its day with it.
    pub fn unsettle(&mut self, address: &DropAddress) {
        self.change(&address.workload, Change::Unsettled((address.day, address.drop)));
    }

    /// Notes that a day of a workload was closed, and its directory has gone.
    pub fn closed(&mut self, workload: &WorkloadName, day: Day) {
        self.change(workload, Change::Closed(day));
    }

    /// Notes that something lies in a day that was to be closed: it is to be read.
    pub fn not_closed(&mut self, workload: &WorkloadName, day: Day) {
        self.change(workload, Change::NotClosed(day));
    }

    /// Notes that the share does not let us close days of a workload.
    pub fn kept_open(&mut self, workload: &WorkloadName) {
        self.change(workload, Change::KeptOpen);
    }

    fn change(&mut self, workload: &WorkloadName, change: Change) {
        match self.away.get_mut(workload) {
            Some(changes) => changes.push(change),
            None => self.workloads.entry(workload.clone()).or_default().apply(change),
        }
    }

    /// Somebody says that there is something new in a workload: the next scan looks there, at all that may be new.
    pub fn ring(&mut self, workload: &WorkloadName) {
        self.rung.insert(workload.as_str().as_bytes().to_vec());
        if let Some(memory) = self.workloads.get_mut(workload) {
            memory.is_rung = true;
        }
    }

    /// Lends the memory of a workload to whoever looks at it.
    pub fn lend(&mut self, workload: &WorkloadName) -> WorkloadMemory {
        self.away.insert(workload.clone(), Vec::new());
        self.workloads.remove(workload).unwrap_or_default()
    }

    /// Takes back what was lent. Whether nothing became known of its drops since: what was seen is as
    /// it is, then.
    pub fn take_back(&mut self, workload: &WorkloadName, mut memory: WorkloadMemory) -> bool {
        let changes = self.away.remove(workload).unwrap_or_default();
        let is_as_it_was = changes.is_empty();
        memory.is_urgent |= !is_as_it_was;
        changes.into_iter().for_each(|change| memory.apply(change));
        let is_used = memory.is_used();
        self.turns.note(workload.as_str().as_bytes(), is_used, &self.limits);
        if is_used || memory.is_urgent {
            self.workloads.insert(workload.clone(), memory);
        }
        is_as_it_was
    }

    /// Takes back what was lent to one who did not look after all; the next scan does.
    pub fn put_off(&mut self, workload: &WorkloadName, mut memory: WorkloadMemory) {
        let changes = self.away.remove(workload).unwrap_or_default();
        changes.into_iter().for_each(|change| memory.apply(change));
        if memory.is_used() {
            memory.is_urgent = true;
            self.workloads.insert(workload.clone(), memory);
        }
    }

    /// Whether somebody looks at a workload right now.
    pub fn is_lent(&self, workload: &WorkloadName) -> bool {
        self.away.contains_key(workload)
    }

    /// The names that are looked at in this scan, whoever else's turn it is.
    pub(super) fn urgent(&mut self) -> BTreeSet<Vec<u8>> {
        let mut urgent = std::mem::take(&mut self.rung);
        // Who is being looked at is not looked at now: the bell counts for the next time.
        let is_away = |name: &&WorkloadName| urgent.contains(name.as_str().as_bytes());
        let away = self.away.keys().filter(is_away);
        self.rung = away.map(|name| name.as_str().as_bytes().to_vec()).collect();
        let known = self.workloads.iter().filter(|(_, memory)| memory.is_urgent);
        urgent.extend(known.map(|(name, _)| name.as_str().as_bytes().to_vec()));
        urgent
    }

    /// Bytes of all drops of a workload that lie on the share, as far as they were seen.
    pub fn bytes(&self, workload: &WorkloadName) -> u64 {
        self.workloads.get(workload).map_or(0, WorkloadMemory::bytes)
    }
}

/// The memory of one workload.
#[derive(Debug, Default)]
pub struct WorkloadMemory {
    /// The days that there are, in order, as they were last listed; and as of when.
    pub(super) days: Vec<Day>,
    pub(super) listed: Option<Reading>,
    /// Days in which all is settled.
    pub(super) quiet: BTreeMap<Day, Quiet>,
    /// Settled drops that lie there, with their bytes.
    pub(super) settled: HashMap<Place, u64>,
    /// All others that were seen, with their bytes.
    pub(super) sighted: HashMap<Place, u64>,
    /// Seals that were read, of drops that are not settled.
    seals: HashMap<Place, (Fingerprint, SealSummary)>,
    /// What was wrong, and where: in a day, or beside the days.
    problems: Vec<(Option<Day>, ScanProblem)>,
    /// Days that could not be closed, since something lies in them.
    pub(super) not_closed: BTreeSet<Day>,
    /// Whether the share does not let us close days.
    pub(super) is_kept_open: bool,
    /// Whether somebody declared something.
    pub(super) is_declared: bool,
    /// Whether something was ever dropped, as far as can be seen.
    pub(super) has_dropped: bool,
    /// Whether it is to be looked at in the next scan.
    pub(super) is_urgent: bool,
    /// Whether somebody says that there is something new.
    pub(super) is_rung: bool,
    /// Whether more lay there than one scan looks at: others come first.
    pub(super) is_crowded: bool,
    /// Counts looks, for what comes by turns.
    pub(super) turn: usize,
}

/// When a directory was read: its stamp from before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) stamp: Stamp,
    /// Whether it was read with this stamp in two looks. Of one that was read once something may have come
    /// in the same tick of the file server's clock.
    pub(super) is_sure: bool,
}

impl Reading {
    pub(super) fn after(before: Option<Self>, stamp: Stamp) -> Self {
        Self { stamp, is_sure: before.is_some_and(|before| before.stamp == stamp) }
    }

    /// Whether nothing has come since, if the stamp of now can be believed.
    pub(super) fn is_of(&self, stamp: Stamp) -> bool {
        self.is_sure && self.stamp == stamp
    }
}

/// A day in which all is settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet {
    pub(super) read: Reading,
    pub(super) is_empty: bool,
}

impl WorkloadMemory {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Settled(place) => {
                let bytes = self.sighted.remove(&place).or(self.settled.remove(&place));
                self.settled.insert(place, bytes.unwrap_or(0));
                self.seals.remove(&place);
            }
            // Its directory may stay, with what is not ours in it.
            Change::Gone(place) => {
                self.sighted.remove(&place);
                self.settled.insert(place, 0);
                self.seals.remove(&place);
            }
            Change::Unsettled(place) => {
                self.settled.remove(&place);
                self.quiet.remove(&place.0);
                self.is_urgent = true;
            }
            Change::Closed(day) => {
                self.days.retain(|other| *other != day);
                self.quiet.remove(&day);
                self.settled.retain(|(other, _), _| *other != day);
            }
            Change::NotClosed(day) => {
                self.quiet.remove(&day);
                self.not_closed.insert(day);
                self.is_urgent = true;
            }
            Change::KeptOpen => self.is_kept_open = true,
        }
    }

    /// Bytes of all drops that lie there, as far as they were seen.
    pub fn bytes(&self) -> u64 {
        self.settled.values().chain(self.sighted.values()).sum()
    }

    /// Whether there is anything here that is to be remembered.
    pub(super) fn is_used(&self) -> bool {
        self.is_declared || self.has_dropped || !self.problems.is_empty()
    }

    pub(super) fn is_settled(&self, place: &Place) -> bool {
        self.settled.contains_key(place)
    }

    /// The seal of a drop, if nothing has changed in its directory since it was read.
    pub(super) fn seal(&self, place: Place, fingerprint: Fingerprint) -> Option<&SealSummary> {
        let (of, seal) = self.seals.get(&place)?;
        (*of == fingerprint).then_some(seal)
    }

    pub(super) fn keep_seal(&mut self, place: Place, fingerprint: Fingerprint, seal: &SealSummary) {
        self.seals.insert(place, (fingerprint, seal.clone()));
    }

    /// Forgets the seals of drops that are not `sighted` any more.
    pub(super) fn retain_seals(&mut self, sighted: &HashSet<Place>) {
        self.seals.retain(|place, _| sighted.contains(place));
    }

    /// Forgets all that is of no day that is there now.
    pub(super) fn retain_days(&mut self, days: &BTreeSet<Day>) {
        self.days = days.iter().copied().collect();
        self.quiet.retain(|day, _| days.contains(day));
        self.settled.retain(|(day, _), _| days.contains(day));
        self.not_closed.retain(|day| days.contains(day));
        self.problems.retain(|(day, _)| day.is_none_or(|day| days.contains(&day)));
    }

    /// There are no days: forgets all but whether something was dropped or declared.
    pub(super) fn forget_days(&mut self) {
        let (is_declared, has_dropped) = (self.is_declared, self.has_dropped);
        *self = Self { is_declared, has_dropped, ..Self::default() };
    }

    /// A place is read anew: what was wrong there is told again if it still is.
    pub(super) fn forget_problems(&mut self, place: Option<Day>) {
        self.problems.retain(|(day, _)| *day != place);
    }

    pub(super) fn note_problem(&mut self, place: Option<Day>, problem: ScanProblem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push((place, problem));
        }
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &ScanProblem> {
        self.problems.iter().map(|(_, problem)| problem)
    }
}
