//! A clock that destroys nothing: it follows the wall's, and never runs away with it.

use std::time::Duration;

use outlast_types::{Timestamp, human};
use serde::{Deserialize, Serialize};

/// So much behind the wall's clock is told to people.
const TOLERATED: Duration = Duration::from_secs(8 * 86_400);

/// The time by which things are forgotten. While its owner runs it catches up with the wall's clock, but
/// passes at most twice as fast as time does; while nothing runs it stands. So a clock that is set forward by
/// years, or by hand for a moment, makes nothing old, and there are days to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowClock {
    time: Timestamp,
}

impl SlowClock {
    /// One that begins with what the wall shows: there is nothing yet that it could make old.
    pub fn new(wall: Timestamp) -> Self {
        Self { time: wall }
    }

    /// What it shows.
    pub fn time(self) -> Timestamp {
        self.time
    }

    /// Time passed: so much by a clock that nobody sets, and the wall shows `wall`.
    pub fn pass(&mut self, passed: Duration, wall: Timestamp) {
        let most = self.time.saturating_add(passed.saturating_mul(2));
        // A wall's clock that is behind makes nothing older either.
        self.time = most.min(wall);
    }

    /// What is wrong with the wall's clock, or was.
    pub fn problem(self, wall: Timestamp) -> Option<String> {
        let behind = wall.since(self.time);
        (behind > TOLERATED).then(|| {
            format!(
                "its clock shows {wall}, which is {} more than has passed while it ran: if the clock is \
                 wrong, set it right; if it is right, as after a long rest, it catches up by a day each day",
                human::duration(behind)
            )
        })
    }
}
