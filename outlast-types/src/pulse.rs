//! Whether a loop is alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The low bit: whether the loop rests, as it may for as long as it likes.
const RESTING: u64 = 1;

/// Beaten by a loop at each step that it makes, and looked at by whoever watches over it. A copy is the
/// same one.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// A step was made.
    pub fn beat(&self) {
        self.change(|count| (count & !RESTING).wrapping_add(2));
    }

    /// The loop waits for its next round; until it beats again, silence is no harm.
    pub fn rest(&self) {
        self.change(|count| count.wrapping_add(2) | RESTING);
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        // The closure always gives a value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| Some(change(it)));
    }
}

/// Watches over a [`Pulse`].
#[derive(Debug)]
pub struct PulseWatch {
    pulse: Pulse,
    seen: u64,
}

impl PulseWatch {
    pub fn new(pulse: &Pulse) -> Self {
        // Never beaten is not alive.
        Self { pulse: pulse.clone(), seen: 0 }
    }

    /// Whether the loop has made a step since the last look, or rests.
    pub fn is_alive(&mut self) -> bool {
        let now = self.pulse.0.load(Ordering::Relaxed);
        let is_alive = now != self.seen || now & RESTING != 0;
        self.seen = now;
        is_alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_alive_while_it_makes_steps_or_rests() {
        let pulse = Pulse::default();
        let mut watch = PulseWatch::new(&pulse);
        assert!(!watch.is_alive(), "it has not begun");
        pulse.clone().beat();
        assert!(watch.is_alive());
        assert!(!watch.is_alive(), "it hangs");
        pulse.rest();
        assert!(watch.is_alive() && watch.is_alive(), "it may rest for long");
        pulse.beat();
        assert!(watch.is_alive() && !watch.is_alive());
    }
}
