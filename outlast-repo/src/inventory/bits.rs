//! A set of small numbers, one bit for each: 1.2 MiB for ten million blobs.

#[derive(Debug)]
pub(crate) struct BitSet(Vec<u64>);

impl BitSet {
    /// An empty set of numbers below `length`.
    pub(crate) fn new(length: u64) -> Self {
        // Memory for it was there for what is numbered, which takes much more.
        Self(vec![0; usize::try_from(length.div_ceil(64)).unwrap_or(usize::MAX)])
    }

    /// Adds a number; whether it was new. One beyond the length is never in the set.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = place(number);
        let Some(word) = self.0.get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many numbers are in it.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

fn place(number: u64) -> (usize, u64) {
    (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_answers_as_a_set_would(numbers in prop::collection::vec(0..300_u64, 0..500)) {
            let mut bits = BitSet::new(300);
            let mut model = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(bits.contains(number), model.contains(&number));
                prop_assert_eq!(bits.insert(number), model.insert(number));
                prop_assert!(bits.contains(number));
            }
            prop_assert_eq!(bits.count(), model.len() as u64);
            prop_assert!((0..300).all(|number| bits.contains(number) == model.contains(&number)));
        }
    }

    #[test]
    fn a_number_beyond_the_length_is_never_in_it() {
        let mut bits = BitSet::new(130);
        for number in [192, 1 << 40, u64::MAX] {
            assert!(!bits.insert(number) && !bits.contains(number), "{number}");
        }
        assert_eq!(bits.count(), 0);
    }
}
