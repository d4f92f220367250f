//! The vault as it is seen from here: there, or away since some time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_types::{Backoff, Environment, Timestamp};
use outlast_wire::{ApiClient, CallError};

/// How long a vault that does not answer is left alone, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(20);

/// The way to the vault, and whether it leads there.
pub(crate) struct Link {
    client: ApiClient,
    environment: Environment,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    backoff: Backoff,
    away: Option<Away>,
}

/// Since when the vault does not answer, and how that shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Away {
    pub(crate) since: Timestamp,
    pub(crate) reason: String,
}

impl Link {
    pub(crate) fn new(client: ApiClient, environment: &Environment) -> Self {
        Self { client, environment: environment.clone(), state: Mutex::default() }
    }

    /// The client, for those who wait for the vault however long that takes.
    pub(crate) fn client(&self) -> &ApiClient {
        &self.client
    }

    /// Makes a call, unless the vault did not answer a moment ago: nobody waits for that again and again.
    pub(crate) fn call<T>(
        &self,
        call: impl FnOnce(&ApiClient) -> Result<T, CallError>,
    ) -> Result<Result<T, CallError>, Away> {
        if let Some(away) = self.left_alone() {
            return Err(away);
        }
        let answer = call(&self.client);
        match self.note(&answer) {
            Some(away) => Err(away),
            None => Ok(answer),
        }
    }

    /// Takes notice of how a call went; who is away, if it is that.
    pub(crate) fn note<T>(&self, answer: &Result<T, CallError>) -> Option<Away> {
        let reason = match answer {
            Err(error @ (CallError::Unreachable { .. } | CallError::Unintelligible { .. })) => {
                error.to_string()
            }
            _ => {
                self.answered();
                return None;
            }
        };
        let mut state = self.lock();
        let now = self.environment.timer.elapsed();
        // Several calls that fail in one moment are one failure.
        if !state.backoff.is_waiting(now) {
            state.backoff.failed(now, RETRY_FIRST, RETRY_LONGEST, &*self.environment.random);
        }
        let since = match &state.away {
            Some(away) => away.since,
            None => {
                tracing::warn!(reason, "the vault cannot be reached");
                self.environment.clock.now()
            }
        };
        let away = Away { since, reason };
        state.away = Some(away.clone());
        Some(away)
    }

    fn answered(&self) {
        let mut state = self.lock();
        if let Some(away) = state.away.take() {
            tracing::info!(since = %away.since, "the vault answers again");
        }
        state.backoff.succeeded();
    }

    /// Who is away, while it is left alone.
    pub(crate) fn left_alone(&self) -> Option<Away> {
        let state = self.lock();
        let waits = state.backoff.is_waiting(self.environment.timer.elapsed());
        state.away.clone().filter(|_| waits)
    }

    /// Who is away, by the last call.
    pub(crate) fn away(&self) -> Option<Away> {
        self.lock().away.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
