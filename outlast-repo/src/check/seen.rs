//! Which trees were looked at: one bit for each blob of the repository.

/// A set of blobs by their number in the index: 1.2 MiB for ten million of them.
pub(super) struct Seen {
    words: Vec<u64>,
    count: u64,
}

impl Seen {
    /// An empty set of numbers below `ordinals`.
    pub(super) fn new(ordinals: u64) -> Self {
        let words = usize::try_from(ordinals.div_ceil(64)).unwrap_or(usize::MAX);
        Self { words: vec![0; words], count: 0 }
    }

    /// Notes a blob; whether it is new. A blob without a number is always new: no index file lists
    /// it, so it cannot be read, and nothing comes after it.
    pub(super) fn insert(&mut self, ordinal: Option<u64>) -> bool {
        let Some(ordinal) = ordinal else { return true };
        let word = usize::try_from(ordinal / 64).ok().and_then(|place| self.words.get_mut(place));
        let Some(word) = word else { return true };
        let bit = 1 << (ordinal % 64);
        let new = *word & bit == 0;
        *word |= bit;
        self.count += u64::from(new);
        new
    }

    /// How many different blobs were noted, those without a number left out.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_answers_as_a_set_would(numbers in prop::collection::vec(0..300_u64, 0..500)) {
            let mut seen = Seen::new(300);
            let mut model = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(seen.insert(Some(number)), model.insert(number));
                prop_assert!(seen.insert(None));
            }
            prop_assert_eq!(seen.count(), model.len() as u64);
        }
    }
}
