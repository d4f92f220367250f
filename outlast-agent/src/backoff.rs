//! How long to leave something alone that failed.

use std::time::Duration;

use outlast_types::{Random, Timestamp};

const DOUBLINGS_MAX: u32 = 16;

/// Failures in a row, and until when to wait because of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    failures: u32,
    /// When the last failure was and how long to wait from then.
    waiting: Option<(Timestamp, Duration)>,
}

impl Backoff {
    /// Whether it is too early to try again. A clock that went back never makes it wait longer.
    pub(crate) fn is_waiting(&self, now: Timestamp) -> bool {
        self.waiting.is_some_and(|(since, pause)| now >= since && now.since(since) < pause)
    }

    /// Notes a failure: the pause doubles with each, from `first` to `longest`, and lies between
    /// half of that and all of it, so that many agents do not come back at once.
    pub(crate) fn failed(
        &mut self,
        now: Timestamp,
        first: Duration,
        longest: Duration,
        random: &dyn Random,
    ) {
        let doubled = first.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(longest);
        let mut byte = [0];
        random.fill(&mut byte);
        let pause = doubled / 2 + doubled / 2 * u32::from(byte[0]) / 255;
        self.failures = self.failures.saturating_add(1);
        self.waiting = Some((now, pause));
    }

    /// How many failures there were in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes a success.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Highest;

    impl Random for Highest {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(255);
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds, 0).unwrap()
    }

    #[test]
    fn the_pause_doubles_up_to_the_longest_and_ends_with_a_success() {
        let mut backoff = Backoff::default();
        assert!(!backoff.is_waiting(at(0)));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let (first, longest) = (Duration::from_secs(30), Duration::from_secs(600));
            backoff.failed(at(1000), first, longest, &Highest);
            pauses.push((1000..).find(|&s| !backoff.is_waiting(at(s))).unwrap() - 1000);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600, 600]);
        assert!(!backoff.is_waiting(at(500)), "a clock that went back must not make it wait");
        backoff.succeeded();
        assert!(!backoff.is_waiting(at(1001)));
    }
}
