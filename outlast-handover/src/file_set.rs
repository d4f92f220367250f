//! Sets of files of one drop, by their place in its manifest: small, however many files there are.

use serde::{Deserialize, Serialize};

/// Numbers of files, as ranges: from, and up to but without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSet(Vec<(u32, u32)>);

impl FileSet {
    /// All of `count` files.
    pub fn whole(count: u32) -> Self {
        Self(if count == 0 { Vec::new() } else { vec![(0, count)] })
    }

    /// These files, in any order.
    pub fn of(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut numbers: Vec<u32> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, end)) if number < *end => {}
                Some((_, end)) if number == *end => *end = end.saturating_add(1),
                _ => ranges.push((number, number.saturating_add(1))),
            }
        }
        Self(ranges)
    }

    /// Those of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all: Vec<(u32, u32)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (from, to) in all {
            match ranges.last_mut() {
                Some((_, end)) if from <= *end => *end = (*end).max(to),
                _ => ranges.push((from, to)),
            }
        }
        Self(ranges)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(from, to)| u64::from(to.saturating_sub(*from))).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of `count` files are in it.
    pub fn is_whole(&self, count: u32) -> bool {
        count == 0 || self.0.iter().any(|(from, to)| *from == 0 && *to >= count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn expand(set: &FileSet) -> BTreeSet<u32> {
        set.0.iter().flat_map(|(from, to)| *from..*to).collect()
    }

    proptest! {
        #[test]
        fn a_set_of_files_is_a_set(
            one in proptest::collection::vec(0_u32..40, 0..30),
            other in proptest::collection::vec(0_u32..40, 0..30),
        ) {
            let (a, b) = (FileSet::of(one.clone()), FileSet::of(other.clone()));
            let wanted: BTreeSet<u32> = one.iter().chain(&other).copied().collect();
            prop_assert_eq!(expand(&a.union(&b)), wanted.clone());
            prop_assert_eq!(a.union(&b).count(), wanted.len() as u64);
            let is_whole = (0..20).all(|number| wanted.contains(&number));
            prop_assert_eq!(a.union(&b).is_whole(20), is_whole);
            prop_assert_eq!(a.union(&b), b.union(&a));
        }
    }
}
