//! Which workloads a scan looks at, however many names lie among them.
//!
//! Whoever may write to a share can make a million directories in it. A workload that drops is looked
//! at in every scan; all other names come by turns, in an order that no name can choose for itself to
//! keep another from its turn: round and round.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use super::limits::ScanLimits;
use crate::files::Directory;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Names under which days of drops were found; not more than come by turns.
    established: BTreeSet<Vec<u8>>,
    /// Where the next scan goes on among all others, which are ordered by their hashes.
    next: u64,
}

/// The names to be looked at in one scan.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Sorted bytewise.
    pub(super) names: Vec<Vec<u8>>,
    /// How many wait for a later scan.
    pub(super) waiting: usize,
    /// Whether there are more than were read.
    pub(super) is_cut: bool,
}

impl Turns {
    pub(super) fn choose(
        &mut self,
        workloads: &Directory,
        limits: &ScanLimits,
    ) -> io::Result<Chosen> {
        let mut present = BTreeSet::new();
        let mut others: BTreeSet<(u64, Vec<u8>)> = BTreeSet::new();
        let mut waiting = 0;
        let is_whole = workloads.each_name(limits.names, |name| {
            if self.established.contains(name) {
                present.insert(name.to_vec());
                return;
            }
            let turn = hash(name).wrapping_sub(self.next);
            if others.len() == limits.workloads {
                waiting += 1;
                if others.last().is_none_or(|(last, _)| turn >= *last) {
                    return;
                }
                others.pop_last();
            }
            others.insert((turn, name.to_vec()));
        })?;
        if is_whole {
            self.established = present.clone();
        } else {
            // One that is not among the names that were read may be there all the same.
            present.extend(self.established.iter().cloned());
        }
        if let Some((last, _)) = others.last().filter(|_| waiting > 0) {
            self.next = self.next.wrapping_add(*last).wrapping_add(1);
        }
        present.extend(others.into_iter().map(|(_, name)| name));
        Ok(Chosen { names: present.into_iter().collect(), waiting, is_cut: !is_whole })
    }

    /// A workload drops: from now on it is looked at in every scan.
    pub(super) fn establish(&mut self, name: &[u8], limits: &ScanLimits) {
        if self.established.len() < limits.workloads && !self.established.contains(name) {
            self.established.insert(name.to_vec());
        }
    }
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

    #[test]
    fn whoever_drops_is_always_looked_at_and_all_others_come_by_turns() {
        let place = tempfile::tempdir().unwrap();
        for number in 0..95 {
            fs::create_dir(place.path().join(format!("x{number}"))).unwrap();
        }
        let directory = Directory::open(place.path()).unwrap();
        let limits = ScanLimits { names: 1000, workloads: 10, ..ScanLimits::PASS };
        let mut turns = Turns::default();
        turns.establish(b"x7", &limits);
        let mut seen = BTreeSet::new();
        for scan in 1..=10 {
            let chosen = turns.choose(&directory, &limits).unwrap();
            assert_eq!((chosen.names.len(), chosen.waiting, chosen.is_cut), (11, 84, false));
            assert!(chosen.names.is_sorted() && chosen.names.contains(&b"x7".to_vec()));
            seen.extend(chosen.names);
            assert!(scan == 10 || seen.len() <= 1 + 10 * scan);
        }
        assert_eq!(seen.len(), 95, "each had its turn");
        // Of more names than are read, one that drops is looked at all the same.
        let chosen = turns.choose(&directory, &ScanLimits { names: 5, ..limits }).unwrap();
        assert!(chosen.is_cut && chosen.names.contains(&b"x7".to_vec()));
        // One that has gone is not.
        fs::remove_dir(place.path().join("x7")).unwrap();
        let chosen = turns.choose(&directory, &limits).unwrap();
        assert!(!chosen.names.contains(&b"x7".to_vec()));
    }
}
