//! What is known of saves of the vault's own state.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Saves of the vault's own state.
#[derive(Debug, Default)]
pub(crate) struct Saves {
    /// The newest. Whoever works on its repository holds the lock.
    pub(crate) newest: Mutex<Saved>,
    /// Whether the next must not wait for its turn.
    pub(crate) urgency: Urgency,
}

/// The newest save.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// The number of the newest entry of the audit log that was saved: nothing changes without one.
    pub(crate) number: Option<u64>,
    /// When, by the timer, and how long it took.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    /// Of the secret that opens the repository.
    pub(crate) generation: u64,
}

/// Whether something was done that must not wait for its turn to be saved.
#[derive(Debug, Default)]
pub(crate) struct Urgency(AtomicBool);

impl Urgency {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was; from now on, it is not.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}
