//! The door to the wall clock.

use crate::Timestamp;

/// Tells the time. Passed in wherever a decision depends on it, so that tests and simulations
/// can say what time it is.
pub trait Clock: Send + Sync {
    /// The present moment, by the host's wall clock.
    fn now(&self) -> Timestamp;
}

/// The host's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_system_time(std::time::SystemTime::now())
    }
}
