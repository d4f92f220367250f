//! Everything that a program sees of the world besides files and networks, in one bundle.

use std::sync::Arc;

use crate::{Clock, Monitor, Pulse, Random, Silent, SystemClock, SystemRandom, SystemTimer, Timer};

/// The doors through which the roles see the world. A copy leads to the same doors.
#[derive(Clone)]
pub struct Environment {
    pub clock: Arc<dyn Clock>,
    pub timer: Arc<dyn Timer>,
    pub random: Arc<dyn Random>,
    pub monitor: Arc<dyn Monitor>,
    /// Beaten by whoever works, for whoever watches over it.
    pub pulse: Pulse,
}

impl Environment {
    /// Those of the host; nobody watches.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            timer: Arc::new(SystemTimer::new()),
            random: Arc::new(SystemRandom),
            monitor: Arc::new(Silent),
            pulse: Pulse::default(),
        }
    }
}
