//! How all stages end when one cannot go on: every wait also waits for that.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, select_biased};
use outlast_fs::Interrupter;
use outlast_store::StoreError;

use crate::RepoError;

/// Why a stage ends early.
#[derive(Debug)]
pub(super) enum Halt {
    /// Another stage failed, or is gone.
    Stopped,
    /// This stage failed.
    Failed(Box<RepoError>),
}

impl From<RepoError> for Halt {
    fn from(error: RepoError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        RepoError::from(error).into()
    }
}

/// The switch that ends all stages, and the first failure that threw it.
pub(super) struct Stop {
    cause: Mutex<Option<RepoError>>,
    /// Dropped to wake everybody who waits on `thrown`.
    held: Mutex<Option<Sender<Infallible>>>,
    thrown: Receiver<Infallible>,
    /// End the waits of the input, and of others.
    wakes: Mutex<Vec<Interrupter>>,
}

impl Stop {
    pub(super) fn new() -> Self {
        let (held, thrown) = crossbeam_channel::bounded(0);
        let (cause, wakes) = (Mutex::default(), Mutex::default());
        Self { cause, held: Mutex::new(Some(held)), thrown, wakes }
    }

    /// Whom else to wake when the switch is thrown.
    pub(super) fn wakes(&self, interrupter: Interrupter) {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).push(interrupter);
    }

    /// Runs a stage; its failure (or panic) stops all others. `None` if it did not reach its end.
    pub(super) fn run<T>(&self, stage: impl FnOnce() -> Result<T, Halt>) -> Option<T> {
        let on_panic = ThrowOnPanic(self);
        let result = stage();
        drop(on_panic);
        match result {
            Ok(value) => return Some(value),
            Err(Halt::Stopped) => {}
            Err(Halt::Failed(error)) => {
                let mut cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
                cause.get_or_insert(*error);
            }
        }
        self.throw();
        None
    }

    fn throw(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.iter().for_each(|wake| wake());
    }

    /// The first failure, once all stages have ended.
    pub(super) fn take_cause(&self) -> Option<RepoError> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Closed when everything is to stop; for a stage's own `select`.
    pub(super) fn thrown(&self) -> &Receiver<Infallible> {
        &self.thrown
    }

    /// Whether everything is to stop.
    pub(super) fn is_thrown(&self) -> bool {
        self.thrown.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Sends, waiting for room.
    pub(super) fn send<T>(&self, sender: &Sender<T>, value: T) -> Result<(), Halt> {
        match sender.try_send(value) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(Halt::Stopped),
            Err(TrySendError::Full(value)) => select_biased! {
                recv(self.thrown) -> _ => Err(Halt::Stopped),
                send(sender, value) -> sent => sent.map_err(|_| Halt::Stopped),
            },
        }
    }

    /// Receives; `None` when all senders are done.
    pub(super) fn receive<T>(&self, receiver: &Receiver<T>) -> Result<Option<T>, Halt> {
        // To wait for two queues at once is dear, and mostly something is there.
        if let Ok(value) = receiver.try_recv() {
            return Ok(Some(value));
        }
        select_biased! {
            recv(self.thrown) -> _ => Err(Halt::Stopped),
            recv(receiver) -> received => Ok(received.ok()),
        }
    }
}

/// A panicking stage must not leave the others waiting for it: the panic surfaces when they end.
struct ThrowOnPanic<'a>(&'a Stop);

impl Drop for ThrowOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.throw();
        }
    }
}
