//! The last bytes of a stream.

/// Remembers the last `limit` bytes, and how many there were.
pub(super) struct Ending {
    /// At most twice as many, so that most pieces are only appended.
    bytes: Vec<u8>,
    limit: usize,
    total: u64,
}

impl Ending {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::with_capacity(2 * limit), limit, total: 0 }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.total = self.total.saturating_add(piece.len() as u64);
        let piece = &piece[piece.len().saturating_sub(self.limit)..];
        if self.bytes.len() + piece.len() > 2 * self.limit {
            let kept = self.limit.saturating_sub(piece.len()).min(self.bytes.len());
            self.bytes.drain(..self.bytes.len() - kept);
        }
        self.bytes.extend_from_slice(piece);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.bytes.len().saturating_sub(self.limit)..]
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_bytes_stay_however_they_come(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            limit in 1_usize..30,
        ) {
            let mut ending = Ending::new(limit);
            pieces.iter().for_each(|piece| ending.push(piece));
            let all = pieces.concat();
            prop_assert_eq!(ending.bytes(), &all[all.len().saturating_sub(limit)..]);
            prop_assert_eq!(ending.total(), all.len() as u64);
        }
    }
}
