//! How long chunks are: short enough to find what is the same, long enough that the index stays
//! small.
//!
//! | average | for |
//! |---|---|
//! | 64 KiB | inputs up to 200 GiB, in repositories of up to 10 million blobs |
//! | 256 KiB | up to 800 GiB, 20 million |
//! | 1 MiB | beyond |
//!
//! A chunk has a quarter of the average at least (but for the last of a file) and four times as
//! much at most. Whoever backs up the next day must cut alike, or nothing would be recognised:
//! every index file notes the average with which its writer cut, and nobody takes a smaller one
//! than the largest that is noted. It grows twice in a repository's life, and each time one drop
//! is stored as if all of it were new.

use outlast_format::chunker::Params;

/// Averages, each with the longest input, in bytes, and the most blobs for which it is meant.
const STEPS: [(u32, u64, u64); 3] = [
    (64 << 10, 200 << 30, 10_000_000),
    (256 << 10, 800 << 30, 20_000_000),
    (1 << 20, u64::MAX, u64::MAX),
];

/// How to cut an input of `expected` bytes in a repository of so many `blobs`, whose index files
/// note `noted` as their largest average, if any.
pub(super) fn params(expected: u64, blobs: u64, noted: Option<u32>) -> Params {
    let fits = |&(average, bytes_max, blobs_max): &(u32, u64, u64)| {
        expected <= bytes_max && blobs <= blobs_max && noted.is_none_or(|noted| noted <= average)
    };
    // What is noted may be any number; nobody cuts longer chunks than the last step's.
    let average = STEPS.iter().find(|step| fits(step)).unwrap_or(&STEPS[STEPS.len() - 1]).0;
    Params { min: average / 4, average, max: average * 4 }
}

#[cfg(test)]
mod tests {
    use outlast_format::chunker;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks_grow_with_the_input_and_with_the_index() {
        assert_eq!(params(0, 0, None), chunker::DEFAULT);
        assert_eq!(params(200 << 30, 10_000_000, None).average, 64 << 10);
        assert_eq!(params((200 << 30) + 1, 0, None).average, 256 << 10);
        assert_eq!(params(0, 10_000_001, None).average, 256 << 10);
        assert_eq!(params(900 << 30, 0, None).average, 1 << 20);
        assert_eq!(params(0, 20_000_001, None).max, 4 << 20);
    }

    proptest! {
        #[test]
        fn what_one_agent_noted_the_next_one_cuts_by(
            expected: u64, blobs: u64, later: u64, more: u64, noted: Option<u32>,
        ) {
            let first = params(expected, blobs, noted).average;
            let next = params(later.min(expected), more.min(blobs), Some(first)).average;
            prop_assert_eq!(first, next);
            prop_assert!(params(later, more, Some(first)).average >= first);
            prop_assert!(first.is_power_of_two() && first <= 1 << 20);
        }
    }
}
