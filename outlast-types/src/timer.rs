//! The door to time that passes: how long something took, and pauses.

use std::time::{Duration, Instant};

use crate::Interrupt;

/// Measures time that passes, whatever is done to the wall clock, and lets it pass. Passed in
/// wherever something waits or measures, so that a simulation plays months in a moment.
pub trait Timer: Send + Sync {
    /// The time since some start; it never goes back.
    fn elapsed(&self) -> Duration;

    /// Lets `pause` pass, or less if `interrupt` asks for the end; whether it did.
    fn pause(&self, pause: Duration, interrupt: &Interrupt) -> bool;
}

/// The host's own time, since this was made.
#[derive(Debug, Clone, Copy)]
pub struct SystemTimer(Instant);

impl SystemTimer {
    /// Begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemTimer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer for SystemTimer {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn pause(&self, pause: Duration, interrupt: &Interrupt) -> bool {
        interrupt.wait(pause)
    }
}
