//! Asking whoever waits to stop waiting.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// A wish that work ends, shared between whoever asks and whoever works: in pauses, and in calls of
/// a client that [heeds](crate::RestStore::heeding) it.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_requested: Mutex<bool>,
    changed: Condvar,
    woken: Notify,
}

impl Interrupt {
    /// Asks for the end. What is being shipped is broken off, and resumed at the next start.
    pub fn request(&self) {
        *self.0.is_requested.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
        self.0.woken.notify_waiters();
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        *self.0.is_requested.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `pause`, or until the end is asked for; whether it was.
    pub fn wait(&self, pause: Duration) -> bool {
        let requested = self.0.is_requested.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.changed.wait_timeout_while(requested, pause, |requested| !*requested);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Completes when the end was asked for.
    pub(crate) async fn requested(&self) {
        let mut woken = std::pin::pin!(self.0.woken.notified());
        // Before the look: a wish between look and wait must not be missed.
        woken.as_mut().enable();
        if !self.is_requested() {
            woken.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_the_end_is_asked_for() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.wait(Duration::from_millis(1)));
        let other = interrupt.clone();
        let asking = std::thread::spawn(move || other.request());
        assert!(interrupt.wait(Duration::from_secs(600)));
        asking.join().unwrap();
        assert!(interrupt.is_requested());
    }
}
