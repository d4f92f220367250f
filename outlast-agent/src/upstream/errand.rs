//! What is done for one workload: opening its repository, and having a ticket in hand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_types::{Backoff, Environment, WorkloadName};
use outlast_wire::client::{OpenError, OpenedWorkload};
use outlast_wire::{ApiClient, CallError, IdentityHandle, Role, Speaker, ticket};

use super::kept::KeptAnswers;

/// The pauses after a ticket could not be renewed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);
const RENEWAL_PAUSE_MAX: Duration = Duration::from_secs(600);

/// What all errands need.
pub(super) struct Common {
    pub(super) identity: IdentityHandle,
    pub(super) environment: Environment,
    pub(super) answers: KeptAnswers,
}

/// What is done for one workload.
pub(super) struct Errand {
    pub(super) client: ApiClient,
    workload: WorkloadName,
    common: Arc<Common>,
    ticket: Mutex<Ticket>,
}

/// When the ticket that is shown came, by the timer.
#[derive(Default)]
struct Ticket {
    since: Option<Duration>,
    backoff: Backoff,
}

impl Errand {
    pub(super) fn new(client: ApiClient, workload: &WorkloadName, common: &Arc<Common>) -> Self {
        let (workload, common) = (workload.clone(), Arc::clone(common));
        Self { client, workload, common, ticket: Mutex::default() }
    }

    /// Opens the repository; by an answer of before, if nobody answers now.
    pub(super) fn open(&self) -> Result<OpenedWorkload, OpenError> {
        let Common { identity, environment, answers } = &*self.common;
        let current = identity.get();
        let now = environment.clock.now();
        let speaker = Speaker { identity: &current, clock: &*environment.clock };
        let error = match self.client.open_workload(&self.workload, speaker) {
            Ok(opened) => {
                answers.keep(&opened.answered, opened.at, now);
                self.bear(&opened);
                return Ok(opened);
            }
            Err(error) => error,
        };
        let is_revoked = identity.revocations().of(current.certified()).is_some();
        match &error {
            // Nobody who may say so refused it.
            OpenError::Call(call) if is_away(call) && !is_revoked => {}
            OpenError::Call(CallError::Refused { .. } | CallError::Unreachable { .. }) => {
                answers.forget(&self.workload);
                return Err(error);
            }
            _ => return Err(error),
        }
        let Some(answered) = answers.get(&self.workload, now) else { return Err(error) };
        // Of another certificate, or signed by somebody who is revoked since, it does not open.
        match self.client.open_again(answered, &current) {
            Ok(opened) => {
                tracing::warn!(
                    workload = %self.workload,
                    "nobody gives its key now ({error}); going on by the answer of {}", opened.at
                );
                self.bear(&opened);
                Ok(opened)
            }
            Err(unusable) => {
                tracing::info!(workload = %self.workload, "its kept key is not used: {unusable}");
                answers.forget(&self.workload);
                Err(error)
            }
        }
    }

    /// Shows from now on the ticket that came with the key.
    fn bear(&self, opened: &OpenedWorkload) {
        let text = opened.ticket.as_ref().and_then(|ticket| ticket::header_text(ticket).ok());
        self.client.bear(text.as_deref());
        let since = Some(self.common.environment.timer.elapsed());
        *self.ticket() = Ticket { since, backoff: Backoff::default() };
    }

    /// Asks for a new ticket if the one at hand is as old as that. Only whoever asks waits for it; others go
    /// on with the one that there is.
    pub(super) fn renew(&self, age: Duration) {
        if self.client.met() == Some(Role::Vault) {
            return;
        }
        let environment = &self.common.environment;
        {
            let now = environment.timer.elapsed();
            let mut ticket = self.ticket();
            let is_young = ticket.since.is_none_or(|since| now.saturating_sub(since) < age);
            if is_young || ticket.backoff.is_waiting(now) {
                return;
            }
            // Also while this one asks, so that nobody else does.
            ticket.backoff.failed(now, RENEWAL_PAUSE, RENEWAL_PAUSE_MAX, &*environment.random);
        }
        if let Err(error) = self.open() {
            tracing::info!(workload = %self.workload, "its ticket is not renewed yet: {error}");
        }
    }

    fn ticket(&self) -> MutexGuard<'_, Ticket> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody was there who could have refused.
fn is_away(error: &CallError) -> bool {
    match error {
        CallError::Unreachable { .. } => error.certificate_trouble().is_none(),
        CallError::Unable { status, .. } => matches!(status, 502..=504),
        CallError::Refused { .. } | CallError::Unintelligible { .. } => false,
    }
}

#[cfg(test)]
mod tests;
