//! Numbers that look random and are the same for the same seed.

/// The number at `index`. Splitmix64, which needs no state but a counter.
pub(crate) fn number(seed: u64, index: u64) -> u64 {
    let mut z = (seed << 32 ^ index).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// One after the other.
pub struct Sequence {
    seed: u64,
    index: u64,
}

impl Sequence {
    pub fn new(seed: u64) -> Self {
        Self { seed, index: 0 }
    }

    /// The next one, below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.index += 1;
        number(self.seed, self.index) % end
    }
}
