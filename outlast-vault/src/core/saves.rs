//! What is known of saves of the vault's own state.

use std::time::Duration;

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
