//! How hard to compress: the level of zstd that spends least of what is scarce.
//!
//! Three questions are answered while a backup runs, because nobody knows them before:
//!
//! - *Is the content worth it?* Some pieces are compressed both fast and as usual. If the usual
//!   level saves less than two percent, as in most database dumps, the fast one is taken: it needs
//!   two thirds of the time.
//! - *Is the link the bottleneck?* If the packer mostly waits for uploads, processors are idle, and
//!   a higher level makes the upload shorter. If it does not wait, the level comes down again.
//! - *Is it compressible at all?* What is compressed or encrypted already looks like noise, which a
//!   sample of it tells for a hundredth of the price.
//!
//! None of it changes what a reader gets, or any id.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::tuning::Compression;

/// zstd's fast strategy with its best table.
const FAST: i32 = 1;
/// The level of stock restic.
const USUAL: i32 = 3;
/// Levels that are taken, one after the other, while uploads are what the backup waits for. Two cores
/// compress 130 MB of text in a second at the last one, which leaves more than 100 Mbit/s carry;
/// higher ones take much more memory and time for little.
const PATIENT: [i32; 3] = [USUAL, 6, 9];

/// The first pieces are all compared, …
const COMPARED_FIRST: u64 = 8;
/// … later every so many.
const COMPARED_EVERY: u64 = 64;
/// Sums of compared bytes are halved beyond this, so that content which changes is noticed.
const COMPARED_BYTES_MAX: u64 = 8 << 20;
/// How many packs make an observation of the link.
const PACKS_OBSERVED: u32 = 4;

/// The work on the next piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Compress(i32),
    /// Compress it with both levels, take the second and tell [`CompressionPolicy::compared`].
    Compare(i32, i32),
}

/// The observations of all workers and of the packer.
#[derive(Debug)]
pub(super) struct CompressionPolicy {
    compression: Compression,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pieces: u64,
    /// Bytes of the compared pieces by the fast and by the usual level.
    fast_bytes: u64,
    usual_bytes: u64,
    /// How far up [`PATIENT`], plus one; 0 while the link keeps up.
    patience: usize,
    packs: u32,
    waited: Duration,
    elapsed: Duration,
}

impl CompressionPolicy {
    pub(super) fn new(compression: Compression) -> Self {
        Self { compression, state: Mutex::default() }
    }

    /// How to compress the next piece of data.
    pub(super) fn plan(&self) -> Plan {
        if let Compression::Level(level) = self.compression {
            return Plan::Compress(level);
        }
        let mut state = self.state();
        let piece = state.pieces;
        state.pieces += 1;
        match state.patience.checked_sub(1) {
            Some(step) => Plan::Compress(PATIENT[step]),
            None if piece < COMPARED_FIRST || piece.is_multiple_of(COMPARED_EVERY) => {
                Plan::Compare(FAST, USUAL)
            }
            None => Plan::Compress(state.usual()),
        }
    }

    /// How to compress a tree: there are few, and they compress well.
    pub(super) fn tree_level(&self) -> i32 {
        match self.compression {
            Compression::Level(level) => level,
            Compression::Adaptive => USUAL,
        }
    }

    /// Hears how many bytes a piece had by both levels of [`Plan::Compare`].
    pub(super) fn compared(&self, fast: usize, usual: usize) {
        let mut state = self.state();
        state.fast_bytes += fast as u64;
        state.usual_bytes += usual as u64;
        if state.fast_bytes > COMPARED_BYTES_MAX {
            state.fast_bytes /= 2;
            state.usual_bytes /= 2;
        }
    }

    /// Hears how long the packer waited until somebody took a pack, and how long ago it gave away
    /// the one before.
    pub(super) fn handed_over(&self, waited: Duration, elapsed: Duration) {
        let mut state = self.state();
        state.waited += waited;
        state.elapsed += elapsed;
        state.packs += 1;
        if state.packs < PACKS_OBSERVED {
            return;
        }
        if state.waited > state.elapsed / 2 {
            state.patience = (state.patience + 1).min(PATIENT.len());
        } else if state.waited < state.elapsed / 8 {
            state.patience = state.patience.saturating_sub(1);
        }
        (state.packs, state.waited, state.elapsed) = (0, Duration::ZERO, Duration::ZERO);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The level while processors are what the backup waits for.
    fn usual(&self) -> i32 {
        if self.usual_bytes * 100 < self.fast_bytes * 98 { USUAL } else { FAST }
    }
}

/// How often each byte is to be expected in a sample of noise.
const EXPECTED: u32 = 4;
/// Bytes of a piece that are looked at.
const SAMPLE: usize = 256 * EXPECTED as usize;
/// In how many places.
const SAMPLED_PLACES: usize = 16;
/// Random bytes have 255 ± 23 here; text has tens of thousands.
const NOISE_MAX: u32 = 400;
/// After a piece that looks like noise did not shrink, so many others that look so are believed.
const BELIEVED: u32 = 31;

/// Recognises content that compression cannot make smaller; one per worker.
#[derive(Debug, Default)]
pub(super) struct NoiseFilter {
    believed: u32,
}

/// The verdict of a [`NoiseFilter`] on a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Try to compress it.
    Promising,
    /// It looks like noise. Try nevertheless, and tell [`NoiseFilter::tried`].
    Doubtful,
    /// It is noise.
    Noise,
}

impl NoiseFilter {
    pub(super) fn judge(&mut self, content: &[u8]) -> Verdict {
        if !looks_like_noise(content) {
            return Verdict::Promising;
        }
        match self.believed.checked_sub(1) {
            Some(left) => {
                self.believed = left;
                Verdict::Noise
            }
            None => Verdict::Doubtful,
        }
    }

    /// Hears whether a doubtful piece became smaller after all.
    pub(super) fn tried(&mut self, smaller: bool) {
        self.believed = if smaller { 0 } else { BELIEVED };
    }
}

/// Whether the bytes in a sample are spread evenly: Pearson's chi-squared test.
fn looks_like_noise(content: &[u8]) -> bool {
    if content.len() < 4 * SAMPLE {
        return false;
    }
    let mut counts = [0_u32; 256];
    let step = content.len() / SAMPLED_PLACES;
    for place in content.chunks(step).take(SAMPLED_PLACES) {
        for byte in &place[..SAMPLE / SAMPLED_PLACES] {
            counts[usize::from(*byte)] += 1;
        }
    }
    let squares: u32 = counts.iter().map(|count| count.abs_diff(EXPECTED).pow(2)).sum();
    squares / EXPECTED < NOISE_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn level(policy: &CompressionPolicy) -> i32 {
        match policy.plan() {
            Plan::Compress(level) | Plan::Compare(_, level) => level,
        }
    }

    /// The level after all first pieces were compared, with these sizes.
    fn settled(fast: usize, usual: usize) -> CompressionPolicy {
        let policy = CompressionPolicy::new(Compression::Adaptive);
        for _ in 0..COMPARED_FIRST {
            assert_eq!(policy.plan(), Plan::Compare(FAST, USUAL));
            policy.compared(fast, usual);
        }
        policy
    }

    #[test]
    fn the_usual_level_is_taken_only_where_it_saves_something() {
        assert_eq!(settled(1000, 990).plan(), Plan::Compress(FAST));
        assert_eq!(settled(1000, 950).plan(), Plan::Compress(USUAL));
    }

    #[test]
    fn content_that_changes_is_noticed() {
        let policy = settled(20_000, 20_000);
        let mut compared = 0;
        for _ in 0..COMPARED_EVERY * 2000 {
            if policy.plan() == Plan::Compare(FAST, USUAL) {
                policy.compared(20_000, 15_000);
                compared += 1;
            }
        }
        assert_eq!(policy.plan(), Plan::Compress(USUAL));
        assert!(compared <= 2001, "{compared}");
    }

    #[test]
    fn a_slow_link_raises_the_level_and_a_fast_one_lowers_it_again() {
        let policy = settled(1000, 1000);
        for expected in PATIENT.into_iter().chain([9]) {
            for _ in 0..PACKS_OBSERVED {
                policy.handed_over(SECOND, SECOND);
            }
            assert_eq!(level(&policy), expected);
        }
        for expected in [6, USUAL, FAST, FAST] {
            for _ in 0..PACKS_OBSERVED {
                policy.handed_over(Duration::ZERO, SECOND);
            }
            assert_eq!(level(&policy), expected);
        }
    }

    #[test]
    fn a_level_that_was_asked_for_is_kept() {
        let policy = CompressionPolicy::new(Compression::Level(7));
        policy.handed_over(SECOND, SECOND);
        policy.handed_over(SECOND, SECOND);
        assert_eq!(policy.plan(), Plan::Compress(7));
        assert_eq!(policy.tree_level(), 7);
    }

    #[test]
    fn noise_is_believed_only_after_one_piece_proved_it_and_not_for_ever() {
        let (noise, text) = (noise(70_000), b"INSERT INTO orders VALUES ".repeat(3000));
        let mut filter = NoiseFilter::default();
        assert_eq!(filter.judge(&text), Verdict::Promising);
        assert_eq!(filter.judge(&noise), Verdict::Doubtful);
        filter.tried(false);
        for _ in 0..BELIEVED {
            assert_eq!(filter.judge(&noise), Verdict::Noise);
            assert_eq!(filter.judge(&text), Verdict::Promising);
        }
        assert_eq!(filter.judge(&noise), Verdict::Doubtful);
        // Noise that repeats itself looks the same and shrinks.
        filter.tried(true);
        assert_eq!(filter.judge(&noise), Verdict::Doubtful);
    }

    proptest! {
        #[test]
        fn any_content_is_judged(content in prop::collection::vec(any::<u8>(), 0..9000)) {
            NoiseFilter::default().judge(&content);
        }

        #[test]
        fn the_level_stays_on_the_ladder(
            observed in prop::collection::vec((0..3000_u64, 0..3000_u64), 0..60)
        ) {
            let policy = settled(1000, 1000);
            for (waited, elapsed) in observed {
                policy.handed_over(Duration::from_millis(waited), Duration::from_millis(elapsed));
                prop_assert!(level(&policy) == FAST || PATIENT.contains(&level(&policy)));
            }
        }
    }
}
