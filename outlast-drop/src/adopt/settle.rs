//! When a file is believed: two equal looks at it, apart by the settle time. Pure.
//!
//! The times are the looker's own, and monotonic: the times of a file are its writer's and its file server's, and
//! whoever copies a file may set them. A file that grows, is written again or is renamed over begins
//! anew. After a restart everything begins anew, which errs on the side of waiting.

use std::time::Duration;

use crate::files::FileFacts;

/// Since when the files of a sighting look the same.
#[derive(Debug, Clone, Default)]
pub struct Settling {
    first: Option<(Vec<FileFacts>, Duration)>,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stillness {
    /// It has looked the same for the settle time.
    Settled,
    /// It is to look the same for so long still.
    Waits(Duration),
}

impl Settling {
    /// Notes that the files look so at `now`, by a clock that never goes back.
    pub fn look(&mut self, facts: &[FileFacts], now: Duration, settle: Duration) -> Stillness {
        let since = match &self.first {
            Some((first, since)) if first == facts => *since,
            _ => {
                self.first = Some((facts.to_vec(), now));
                // One look is never two, however short the time.
                return Stillness::Waits(settle.max(Duration::from_nanos(1)));
            }
        };
        let left = settle.saturating_sub(now.saturating_sub(since));
        if left.is_zero() && now > since {
            Stillness::Settled
        } else {
            Stillness::Waits(left.max(Duration::from_nanos(1)))
        }
    }

    /// Begins anew: what was seen turned out not to be so.
    pub fn reset(&mut self) {
        self.first = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(size: u64) -> FileFacts {
        FileFacts { size, is_file: true, ..FileFacts::default() }
    }

    const SETTLE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_file_is_believed_after_two_equal_looks_apart_by_the_settle_time() {
        let mut settling = Settling::default();
        let mut look = |size, seconds| settling.look(&[facts(size)], at(seconds), SETTLE);
        assert_eq!(look(1, 1000), Stillness::Waits(SETTLE), "however old it says it is");
        assert_eq!(look(1, 1059), Stillness::Waits(at(1)));
        assert_eq!(look(2, 1059), Stillness::Waits(SETTLE), "it grows");
        assert_eq!(look(2, 1119), Stillness::Settled);
        assert_eq!(look(2, 5000), Stillness::Settled);
        assert_eq!(look(1, 5001), Stillness::Waits(SETTLE), "written in place");
    }

    #[test]
    fn one_look_is_never_enough_and_a_reset_begins_anew() {
        let mut settling = Settling::default();
        let none = Duration::ZERO;
        assert!(matches!(settling.look(&[facts(1)], at(5), none), Stillness::Waits(_)));
        assert!(matches!(settling.look(&[facts(1)], at(5), none), Stillness::Waits(_)));
        assert_eq!(settling.look(&[facts(1)], at(6), none), Stillness::Settled);
        settling.reset();
        assert!(matches!(settling.look(&[facts(1)], at(7), none), Stillness::Waits(_)));
    }

    proptest! {
        #[test]
        fn what_is_believed_was_the_same_at_each_look_of_the_settle_time(
            looks in prop::collection::vec((0_u64..3, 0_u64..50), 1..40),
        ) {
            let mut settling = Settling::default();
            let (mut now, mut seen) = (0, Vec::new());
            for (size, pause) in looks {
                now += pause;
                seen.push((size, now));
                let stillness = settling.look(&[facts(size)], at(now), SETTLE);
                let same = seen.iter().rev().take_while(|(other, _)| *other == size);
                let since = same.map(|(_, at)| *at).min().unwrap();
                let expected = now - since >= SETTLE.as_secs();
                prop_assert_eq!(stillness == Stillness::Settled, expected);
            }
        }
    }
}
