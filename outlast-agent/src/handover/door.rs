//! The door of a desk: opened once its directory can be used, and closed again when that cannot be used any more, so that
//! whoever mends its file system can unmount it.
//!
//! What was there before and is gone is not made anew: its file system may not be mounted, and a product would find an empty
//! directory. The agent's own directory has a note of each that was ever opened.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use outlast_fs::durable;
use outlast_handover::{Desk, HandoverError, Place, Rules};
use outlast_types::{Environment, Interrupt};

/// So long a pass waits for a desk at most, and after that for none of its questions for a while.
const PATIENCE: Duration = Duration::from_millis(300);
const BUSY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);
const NOTE_MODE: u32 = 0o600;

/// Leads to the desk.
pub(super) struct Door {
    rules: Rules,
    environment: Environment,
    /// Says that it was opened before.
    note: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    desk: Option<Arc<Mutex<Desk>>>,
    /// Until when no pass waits for it.
    busy_until: Duration,
}

impl Door {
    pub(super) fn new(rules: Rules, environment: Environment, note: PathBuf) -> Self {
        Self { rules, environment, note, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk, if it is open.
    pub(super) fn desk(&self) -> Option<Arc<Mutex<Desk>>> {
        self.state().desk.clone()
    }

    /// Opens the desk, if it is not, and whether it was not. Only the clerk does that.
    pub(super) fn open(&self) -> Result<(Arc<Mutex<Desk>>, bool), HandoverError> {
        if let Some(desk) = self.desk() {
            return Ok((desk, false));
        }
        let place = Place::of(&self.rules.directory);
        let is_known = self.note.try_exists().map_err(HandoverError::io("look at", &self.note))?;
        if is_known && !place.rules().exists() {
            let (path, note) = (place.directory().to_owned(), self.note.clone());
            return Err(HandoverError::Lost { path, note });
        }
        let desk = Desk::open(self.rules.clone(), self.environment.clone())?;
        if !is_known {
            let path = place.directory().display().to_string();
            let written = durable::replace(&self.note, path.as_bytes(), NOTE_MODE);
            written.map_err(HandoverError::io("write", &self.note))?;
        }
        let desk = Arc::new(Mutex::new(desk));
        self.state().desk = Some(Arc::clone(&desk));
        Ok((desk, true))
    }

    /// Closes it, when nobody is there any more.
    pub(super) fn close(&self) {
        self.state().desk = None;
    }

    /// Does something with the desk at once, or not now: for passes.
    pub(super) fn soon<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> Option<T> {
        let desk = self.desk()?;
        let began = self.environment.timer.elapsed();
        let is_busy = began < self.state().busy_until;
        loop {
            match desk.try_lock() {
                Ok(mut desk) => return Some(work(&mut desk)),
                Err(TryLockError::Poisoned(poisoned)) => {
                    return Some(work(&mut poisoned.into_inner()));
                }
                Err(TryLockError::WouldBlock) if is_busy => return None,
                Err(TryLockError::WouldBlock) => {}
            }
            let now = self.environment.timer.elapsed();
            if now.saturating_sub(began) >= PATIENCE {
                self.state().busy_until = now.saturating_add(BUSY);
                return None;
            }
            self.environment.timer.pause(PAUSE, &Interrupt::default());
        }
    }
}
