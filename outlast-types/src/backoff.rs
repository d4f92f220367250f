//! How long to leave something alone that failed.

use std::time::Duration;

use crate::Random;

const DOUBLINGS_MAX: u32 = 16;

/// Failures in a row, and until when to wait because of them. Times are those of a
/// [`Timer`](crate::Timer), so a wall clock that is set makes no pause longer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    failures: u32,
    until: Duration,
}

impl Backoff {
    /// Whether it is too early to try again.
    pub fn is_waiting(&self, now: Duration) -> bool {
        now < self.until
    }

    /// Notes a failure, and gives the pause after it: it doubles with each, from `first` to
    /// `longest`, and lies between half of that and all of it, so that many clients do not come
    /// back at once.
    pub fn failed(
        &mut self,
        now: Duration,
        first: Duration,
        longest: Duration,
        random: &dyn Random,
    ) -> Duration {
        let doubled = first.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(longest);
        let mut byte = [0];
        random.fill(&mut byte);
        let pause = doubled / 2 + doubled / 2 * u32::from(byte[0]) / 255;
        self.failures = self.failures.saturating_add(1);
        self.until = now.saturating_add(pause);
        pause
    }

    /// How long it is still to be left alone.
    pub fn left(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }

    /// How many failures there were in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes a success.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    const FIRST: Duration = Duration::from_secs(30);
    const LONGEST: Duration = Duration::from_secs(600);

    #[test]
    fn the_pause_doubles_up_to_the_longest_and_ends_with_a_success() {
        let at = Duration::from_secs;
        let mut backoff = Backoff::default();
        assert!(!backoff.is_waiting(at(0)));
        for (failures, seconds) in (1..).zip([30, 60, 120, 240, 480, 600, 600, 600]) {
            let pause = backoff.failed(at(1000), FIRST, LONGEST, &Always(255));
            assert_eq!((pause, backoff.failures()), (at(seconds), failures));
            assert!(backoff.is_waiting(at(999 + seconds)));
            assert!(!backoff.is_waiting(at(1000 + seconds)));
        }
        backoff.succeeded();
        assert!(!backoff.is_waiting(at(1000)));
        assert_eq!(backoff.failed(at(0), FIRST, LONGEST, &Always(0)), FIRST / 2);
    }
}
