//! Which workloads a scan looks at, however many names lie among them.
//!
//! A workload in which something is under way is looked at in every scan. All others come by turns, in
//! an order that no name can choose for itself to keep another from its turn: round and round. Whoever may write
//! to a share can make a million directories in it, so names in which nobody has ever dropped have turns of their own.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use outlast_types::WorkloadName;

use super::limits::ScanLimits;
use crate::files::{Directory, NAMES_MAX};
use crate::layout::is_foreign;

/// Names that none of ours can have and that are looked at in one scan.
const STRANGE_MAX: usize = 100;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Names under which something was dropped or declared.
    known: BTreeSet<Vec<u8>>,
    /// The hashes of all others that were looked at.
    empty: HashSet<u64>,
    /// Where the next scan goes on among those that come by turns.
    next_known: u64,
    next_new: u64,
    next_empty: u64,
}

/// The names to be looked at in one scan.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Names of workloads, sorted bytewise.
    pub(super) names: BTreeSet<Vec<u8>>,
    /// Names that none of ours can have.
    pub(super) strange: BTreeSet<Vec<u8>>,
    /// Known names that are not there any more.
    pub(super) gone: Vec<Vec<u8>>,
    pub(super) foreign: u64,
    /// How many are there in which nobody has dropped.
    pub(super) others: usize,
    /// Whether there are more than were read.
    pub(super) is_cut: bool,
}

impl Turns {
    /// The names whose turn it is, with all that are `urgent`.
    pub(super) fn choose(
        &mut self,
        workloads: &Directory,
        limits: &ScanLimits,
        urgent: &BTreeSet<Vec<u8>>,
    ) -> io::Result<Chosen> {
        let mut chosen = Chosen::default();
        let mut missing = self.known.clone();
        // Those that share a limit each get it all, and are cut to size below.
        let mut known = Ring::new(limits.idle, self.next_known);
        let mut new = Ring::new(limits.workloads, self.next_new);
        let mut empty = Ring::new(limits.idle.saturating_add(limits.idle / 4), self.next_empty);
        let is_whole = workloads.each_name(limits.names, |name| {
            if is_foreign(name) {
                chosen.foreign += 1;
            } else if missing.remove(name) {
                if urgent.contains(name) {
                    chosen.names.insert(name.to_vec());
                } else {
                    known.offer(hash(name), name);
                }
            } else if urgent.contains(name) {
                chosen.others += 1;
                chosen.names.insert(name.to_vec());
            } else if !is_workload(name) {
                chosen.strange.insert(name.to_vec());
                if chosen.strange.len() > STRANGE_MAX {
                    chosen.strange.pop_last();
                }
            } else {
                chosen.others += 1;
                let hash = hash(name);
                let ring = if self.empty.contains(&hash) { &mut empty } else { &mut new };
                ring.offer(hash, name);
            }
        })?;
        // One that is not among the names that were read may be there all the same.
        if is_whole {
            self.known.retain(|name| !missing.contains(name));
            chosen.gone = missing.into_iter().collect();
        } else {
            chosen.names.extend(missing.into_iter().filter(|name| urgent.contains(name)));
        }
        let left = limits.idle.saturating_sub(known.taken.len());
        let of_empty = left.saturating_add(limits.idle / 4);
        chosen.names.extend(known.end(limits.idle, &mut self.next_known));
        chosen.names.extend(new.end(limits.workloads, &mut self.next_new));
        chosen.names.extend(empty.end(of_empty, &mut self.next_empty));
        chosen.is_cut = !is_whole;
        Ok(chosen)
    }

    /// A name was looked at: whether something was dropped or declared there.
    pub(super) fn note(&mut self, name: &[u8], is_used: bool, limits: &ScanLimits) {
        // Beyond, they come by turns with those in which nothing is.
        if is_used && self.known.len() < limits.workloads.saturating_mul(10) {
            self.known.insert(name.to_vec());
            return;
        }
        self.known.remove(name);
        if self.empty.len() >= NAMES_MAX {
            self.empty.clear();
        }
        self.empty.insert(hash(name));
    }
}

/// Names that come by turns, as many as have a turn in one scan.
struct Ring {
    max: usize,
    next: u64,
    taken: BTreeSet<(u64, Vec<u8>)>,
    is_cut: bool,
}

impl Ring {
    fn new(max: usize, next: u64) -> Self {
        Self { max, next, taken: BTreeSet::new(), is_cut: false }
    }

    fn offer(&mut self, hash: u64, name: &[u8]) {
        let turn = hash.wrapping_sub(self.next);
        if self.taken.len() >= self.max {
            self.is_cut = true;
            if self.taken.last().is_none_or(|(last, _)| turn >= *last) {
                return;
            }
            self.taken.pop_last();
        }
        self.taken.insert((turn, name.to_vec()));
    }

    /// The first `max` of them; the next scan goes on behind them.
    fn end(self, max: usize, next: &mut u64) -> impl Iterator<Item = Vec<u8>> {
        let is_cut = self.is_cut || self.taken.len() > max;
        let last = max.checked_sub(1).and_then(|last| self.taken.iter().nth(last));
        let last = last.or(self.taken.last()).map(|(turn, _)| *turn);
        if let Some(last) = last.filter(|_| is_cut && max > 0) {
            *next = next.wrapping_add(last).wrapping_add(1);
        }
        self.taken.into_iter().take(max).map(|(_, name)| name)
    }
}

fn is_workload(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| WorkloadName::new(name).is_ok())
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LIMITS: ScanLimits =
        ScanLimits { names: 1000, workloads: 10, idle: 8, ..ScanLimits::PASS };

    fn directory(names: impl Iterator<Item = String>) -> (tempfile::TempDir, Directory) {
        let place = tempfile::tempdir().unwrap();
        names.for_each(|name| fs::create_dir(place.path().join(name)).unwrap());
        let directory = Directory::open(place.path()).unwrap();
        (place, directory)
    }

    #[test]
    fn where_something_is_under_way_is_always_looked_at_and_new_names_come_by_turns() {
        let (place, directory) = directory((0..95).map(|number| format!("x{number}")));
        let mut turns = Turns::default();
        turns.note(b"x7", true, &LIMITS);
        let urgent = BTreeSet::from([b"x7".to_vec()]);
        let mut seen = BTreeSet::new();
        for scan in 1..=10 {
            let chosen = turns.choose(&directory, &LIMITS, &urgent).unwrap();
            assert_eq!((chosen.others, chosen.is_cut), (94, false));
            assert!(chosen.names.contains(b"x7".as_slice()));
            seen.extend(chosen.names);
            assert!(scan == 10 || seen.len() <= 1 + 10 * scan);
        }
        assert_eq!(seen.len(), 95, "each had its turn");
        // Of more names than are read, one that is urgent is looked at all the same.
        let few = ScanLimits { names: 5, ..LIMITS };
        let chosen = turns.choose(&directory, &few, &urgent).unwrap();
        assert!(chosen.is_cut && chosen.names.contains(b"x7".as_slice()) && chosen.gone.is_empty());
        // One that has gone is not.
        fs::remove_dir(place.path().join("x7")).unwrap();
        let chosen = turns.choose(&directory, &LIMITS, &urgent).unwrap();
        assert!(!chosen.names.contains(b"x7".as_slice()) && chosen.gone == [b"x7".to_vec()]);
    }

    #[test]
    fn idle_workloads_come_by_turns_and_empty_names_take_none_of_theirs() {
        let names = |prefix: char, count| (0..count).map(move |number| format!("{prefix}{number}"));
        let (_place, directory) = directory(names('k', 40).chain(names('e', 200)));
        let mut turns = Turns::default();
        names('k', 40).for_each(|name| turns.note(name.as_bytes(), true, &LIMITS));
        names('e', 200).for_each(|name| turns.note(name.as_bytes(), false, &LIMITS));
        let mut seen = BTreeSet::new();
        for _ in 0..5 {
            let chosen = turns.choose(&directory, &LIMITS, &BTreeSet::new()).unwrap();
            let known = chosen.names.iter().filter(|name| name[0] == b'k').count();
            assert_eq!((known, chosen.names.len()), (8, 10));
            seen.extend(chosen.names);
        }
        assert_eq!(seen.iter().filter(|name| name[0] == b'k').count(), 40, "all, in five scans");
        for _ in 0..100 {
            seen.extend(turns.choose(&directory, &LIMITS, &BTreeSet::new()).unwrap().names);
        }
        assert_eq!(seen.len(), 240, "and all others in a hundred");
    }

    #[test]
    fn names_that_none_of_ours_can_have_take_no_turns() {
        let strange = (0..150).map(|number| format!("X{number:03}"));
        let foreign = [".snapshot".to_owned(), "@eaDir".to_owned()];
        let (_place, directory) = directory(strange.chain(foreign).chain(["shop".to_owned()]));
        let chosen = Turns::default().choose(&directory, &LIMITS, &BTreeSet::new()).unwrap();
        assert_eq!((chosen.names.len(), chosen.foreign, chosen.others), (1, 2, 1));
        assert_eq!(chosen.strange.len(), STRANGE_MAX);
        assert_eq!(chosen.strange.first().unwrap(), b"X000", "always the same ones are told");
    }
}
