//! Chance that can be repeated: the same seed gives the same numbers, on every machine and for ever.

/// A generator of numbers (SplitMix64). Each thing in the world has its own, so that taking one away
/// changes nothing for the others.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of one thing: the `number`th of its `kind`, under a `seed`.
    pub(crate) fn of(seed: u64, kind: u64, number: u64) -> Self {
        let mut dice = Self(seed ^ kind.wrapping_mul(0xA24B_AED4_963E_E407));
        let mixed = dice.next() ^ number.wrapping_mul(0x9FB2_1C65_1E98_DF25);
        Self(mixed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// One of `from..until`; `from` if that is empty.
    pub(crate) fn within(&mut self, from: u64, until: u64) -> u64 {
        let width = until.saturating_sub(from);
        if width == 0 { from } else { from + self.next() % width }
    }

    /// Whether it comes to pass, as it does so many times in a thousand.
    pub(crate) fn permille(&mut self, times: u64) -> bool {
        self.within(0, 1000) < times
    }
}
