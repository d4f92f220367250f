//! Asking whoever waits to stop waiting.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A wish that work ends, shared between whoever asks and whoever works. Pauses of a
/// [`Timer`](crate::Timer) end with it, and calls of a client that heeds it.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_requested: bool,
    /// Futures that wait, each under a number of its own.
    waiting: Vec<(u64, Waker)>,
    numbered: u64,
}

impl Interrupt {
    /// Asks for the end. What is being shipped is broken off, and resumed at the next start.
    pub fn request(&self) {
        let mut state = self.state();
        state.is_requested = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.0.changed.notify_all();
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.state().is_requested
    }

    /// Completes when the end was asked for.
    pub fn requested(&self) -> Requested {
        Requested { interrupt: self.clone(), number: None }
    }

    /// Waits for `pause` of the system's time, or until the end is asked for; whether it was.
    pub(crate) fn wait(&self, pause: Duration) -> bool {
        let asked = |state: &mut State| !state.is_requested;
        let waited = self.0.changed.wait_timeout_while(self.state(), pause, asked);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_requested
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Interrupt::requested`].
#[derive(Debug)]
pub struct Requested {
    interrupt: Interrupt,
    number: Option<u64>,
}

impl Future for Requested {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let interrupt = self.interrupt.clone();
        let mut state = interrupt.state();
        if state.is_requested {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert_with(|| {
            state.numbered += 1;
            state.numbered
        });
        match state.waiting.iter_mut().find(|(other, _)| *other == number) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => state.waiting.push((number, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Requested {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.interrupt.state().waiting.retain(|(other, _)| *other != number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Wake;

    use super::*;

    struct Told(mpsc::Sender<()>);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }

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

    #[test]
    fn a_future_is_woken_by_the_wish_and_leaves_nothing_behind() {
        let interrupt = Interrupt::default();
        let (tell, told) = mpsc::channel();
        let waker = Waker::from(Arc::new(Told(tell)));
        let mut context = Context::from_waker(&waker);
        let mut requested = Box::pin(interrupt.requested());
        for _ in 0..2 {
            assert!(requested.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(interrupt.state().waiting.len(), 1);
        drop(requested);
        assert!(interrupt.state().waiting.is_empty());

        let mut requested = Box::pin(interrupt.requested());
        assert!(requested.as_mut().poll(&mut context).is_pending());
        interrupt.request();
        assert_eq!(told.try_recv(), Ok(()));
        assert!(requested.as_mut().poll(&mut context).is_ready());
    }
}
