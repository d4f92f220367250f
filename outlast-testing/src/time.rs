//! Time that goes only when a test says so.

use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use outlast_types::{Clock, Environment, Interrupt, Timer, Timestamp};

/// A clock and a timer that go together, and only when told to: a test plays months in a moment,
/// and waits for nothing. Copies show the same time.
#[derive(Clone)]
pub struct ManualTime(Arc<Shared>);

struct Shared {
    began: Timestamp,
    /// Whether a pause makes the time go on by itself.
    hurries: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    elapsed: Duration,
    /// When each pause that is under way ends.
    pauses: Vec<Duration>,
}

impl ManualTime {
    /// Begins at `began`. Pauses last until the time was [advanced](Self::advance) far enough.
    pub fn new(began: Timestamp) -> Self {
        Self::made(began, false)
    }

    /// The same, where a pause lets the time go on and takes none. For one thread that pauses:
    /// with more, each pushes the others ahead.
    pub fn hurrying(began: Timestamp) -> Self {
        Self::made(began, true)
    }

    fn made(began: Timestamp, hurries: bool) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { began, hurries, state, changed }))
    }

    /// Lets `time` pass.
    pub fn advance(&self, time: Duration) {
        self.0.state().elapsed += time;
        self.0.changed.notify_all();
    }

    /// Waits until somebody pauses, and lets the time pass until the first pause ends.
    pub fn finish_pause(&self) {
        let mut state = self.0.state();
        loop {
            if let Some(end) = state.pauses.iter().min() {
                state.elapsed = state.elapsed.max(*end);
                self.0.changed.notify_all();
                return;
            }
            state = self.0.wait(state);
        }
    }

    /// The world with this time; the rest is the system's.
    pub fn environment(&self) -> Environment {
        Environment {
            clock: Arc::new(self.clone()),
            timer: Arc::new(self.clone()),
            ..Environment::system()
        }
    }
}

impl Clock for ManualTime {
    fn now(&self) -> Timestamp {
        self.0.began.saturating_add(self.elapsed())
    }
}

impl Timer for ManualTime {
    fn elapsed(&self) -> Duration {
        self.0.state().elapsed
    }

    fn pause(&self, pause: Duration, interrupt: &Interrupt) -> bool {
        let waker = Waker::from(Arc::clone(&self.0));
        let mut context = Context::from_waker(&waker);
        let mut requested = pin!(interrupt.requested());
        let mut state = self.0.state();
        let end = state.elapsed.saturating_add(pause);
        if self.0.hurries {
            state.elapsed = end;
        }
        state.pauses.push(end);
        self.0.changed.notify_all();
        let is_interrupted = loop {
            // Under the lock that the waker takes, so that no wish falls between look and wait.
            if requested.as_mut().poll(&mut context).is_ready() {
                break true;
            }
            if state.elapsed >= end {
                break false;
            }
            state = self.0.wait(state);
        };
        if let Some(own) = state.pauses.iter().position(|other| *other == end) {
            state.pauses.swap_remove(own);
        }
        is_interrupted
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        drop(self.state());
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: Duration = Duration::from_secs(30 * 86_400);

    #[test]
    fn a_pause_of_a_month_ends_when_the_month_is_over_or_the_end_is_asked_for() {
        let time = ManualTime::new(Timestamp::EPOCH);
        let paused = |interrupt: Interrupt| {
            let time = time.clone();
            std::thread::spawn(move || time.pause(MONTH, &interrupt))
        };
        let sleeper = paused(Interrupt::default());
        time.finish_pause();
        assert!(!sleeper.join().unwrap());
        assert_eq!(time.now(), Timestamp::EPOCH.saturating_add(MONTH));

        let interrupt = Interrupt::default();
        let sleeper = paused(interrupt.clone());
        interrupt.request();
        assert!(sleeper.join().unwrap());
        assert_eq!(time.elapsed(), MONTH);
    }

    #[test]
    fn a_hurried_pause_takes_no_time_and_lets_it_pass() {
        let time = ManualTime::hurrying(Timestamp::EPOCH);
        assert!(!time.pause(MONTH, &Interrupt::default()));
        assert_eq!(time.elapsed(), MONTH);
    }
}
