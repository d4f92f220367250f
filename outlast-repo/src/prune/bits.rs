//! A set of blobs: one bit for each number that the index gives.

#[derive(Debug)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// An empty set of numbers below `length`.
    pub(super) fn new(length: u64) -> Self {
        // Memory for it was there for the index, which takes much more.
        Self(vec![0; usize::try_from(length.div_ceil(64)).unwrap_or(usize::MAX)])
    }

    /// Adds a number; whether it was new. One beyond the length is never in the set.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = place(number);
        let Some(word) = self.0.get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

fn place(number: u64) -> (usize, u64) {
    (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_added() {
        let mut bits = Bits::new(130);
        for number in [0, 63, 64, 129] {
            assert!(!bits.contains(number));
            assert!(bits.insert(number));
            assert!(!bits.insert(number));
            assert!(bits.contains(number));
        }
        assert!(!bits.contains(1) && !bits.contains(65) && !bits.contains(1 << 40));
        assert!(!bits.insert(1 << 40));
    }
}
