//! The time by which this vault forgets: kept over restarts, and never moved by a clock that jumps.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_promise::SlowClock;
use outlast_types::{Environment, Timestamp};

use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

const KEY: &str = "forgetting.json";
const BYTES_MAX: u64 = 4096;

/// The clock, and where it is kept.
pub(crate) struct SlowTime {
    storage: Storage,
    environment: Environment,
    state: Mutex<State>,
}

struct State {
    clock: SlowClock,
    /// When it last passed, by the timer that nobody sets.
    passed: Duration,
}

impl SlowTime {
    /// Goes on where it stood. One that cannot be read is an error: it must not begin with a wall's clock
    /// that may be wrong.
    pub(crate) fn open(storage: &Storage, environment: &Environment) -> Result<Self, VaultError> {
        let cannot = |action| StorageError::of(&**storage, action, KEY);
        let clock = match storage.read(KEY, BYTES_MAX).map_err(cannot("read"))? {
            None => SlowClock::new(environment.clock.now()),
            Some(content) => serde_json::from_slice(&content)
                .map_err(|error| cannot("understand")(error.into()))?,
        };
        let passed = environment.timer.elapsed();
        let state = Mutex::new(State { clock, passed });
        Ok(Self { storage: Storage::clone(storage), environment: environment.clone(), state })
    }

    /// The time, and what is wrong with the wall's clock. It is written down with `keep`.
    pub(crate) fn now(&self, keep: bool) -> Result<(Timestamp, Option<String>), VaultError> {
        let wall = self.environment.clock.now();
        let elapsed = self.environment.timer.elapsed();
        let mut state = self.lock();
        let since = elapsed.saturating_sub(state.passed);
        state.passed = elapsed;
        state.clock.pass(since, wall);
        let clock = state.clock;
        drop(state);
        if keep {
            let cannot = || StorageError::of(&*self.storage, "write", KEY);
            let content = serde_json::to_vec(&clock).map_err(|error| cannot()(error.into()))?;
            let written = self.storage.replace(KEY, &content, Durability::Durable);
            written.map_err(cannot())?;
        }
        Ok((clock.time(), clock.problem(wall)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
