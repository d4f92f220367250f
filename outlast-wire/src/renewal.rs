//! Certificates that renew themselves: each role asks for its next one in time, and goes on with the
//! one that it has until the next is there.

use std::time::Duration;

use outlast_types::{Backoff, Environment, Interrupt, Timestamp};

use crate::api::ErrorCode;
use crate::certificate::{Certified, Fingerprint};
use crate::client::{ApiClient, CallError};
use crate::enrollment::{Anchor, GrantError, Keys, RenewalRequest, RequestError};
use crate::identity::{Identity, IdentityError, InvalidIdentity};
use crate::identity_handle::IdentityHandle;
use crate::request::PendingError;
use crate::waiting_keys;

/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_secs(60);
/// How long a renewal that failed is left alone, at first and at most.
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_LONGEST: Duration = Duration::from_secs(3600);
/// When a vault that does not renew a certificate is asked again: it may be another release by then.
const ASK_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Whether it is time to renew a certificate: a third of its life is over. Those that were issued in one
/// moment come one after the other, spread over a thirtieth of it.
pub fn is_due(certified: &Certified, now: Timestamp) -> bool {
    let life = certified.validity.until.since(certified.validity.from);
    let share = u32::from(certified.fingerprint.first_byte());
    now.since(certified.validity.from) >= life / 3 + life / 30 * share / 256
}

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Pending(#[from] PendingError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the vault's answer is not taken: {0}")]
    Grant(#[from] GrantError),
    #[error("the new certificate is of no use: {0}")]
    Unusable(#[from] InvalidIdentity),
    #[error("the new certificate is of {0}, and not ours")]
    OtherPeer(String),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl RenewalError {
    /// Whether others issued the certificate, and have to renew it.
    fn is_for_others(&self) -> bool {
        let code = match self {
            Self::Call(error) => error.code(),
            _ => None,
        };
        matches!(code, Some(ErrorCode::NotRenewable | ErrorCode::NoIssuer | ErrorCode::NotFound))
    }
}

/// Renews an identity that is in use.
pub struct Renewal {
    identity: IdentityHandle,
    environment: Environment,
    backoff: Backoff,
    /// The certificate that others have to renew, and until when the vault is not asked again.
    for_others: Option<(Fingerprint, Duration)>,
}

impl Renewal {
    pub fn new(identity: &IdentityHandle, environment: &Environment) -> Self {
        let (identity, environment) = (identity.clone(), environment.clone());
        Self { identity, environment, backoff: Backoff::default(), for_others: None }
    }

    /// Renews it whenever it is time, until the end is asked for.
    pub fn keep_doing(&mut self, client: &ApiClient, stop: &Interrupt) {
        loop {
            self.attend(client);
            if self.environment.timer.pause(LOOK, stop) {
                return;
            }
        }
    }

    /// Renews it if it is time, and tells in the log what came of that.
    pub fn attend(&mut self, client: &ApiClient) {
        let (timer, clock) = (&self.environment.timer, &self.environment.clock);
        let (elapsed, now) = (timer.elapsed(), clock.now());
        let identity = self.identity.get();
        let certified = identity.certified();
        let is_others = self
            .for_others
            .is_some_and(|(others, until)| others == certified.fingerprint && elapsed < until);
        if is_others || self.backoff.is_waiting(elapsed) || !is_due(certified, now) {
            return;
        }
        let until = identity.validity().until;
        match self.renew(client, &identity) {
            Ok(until) => {
                self.backoff.succeeded();
                tracing::info!(peer = %identity.peer(), %until, "the certificate is renewed");
            }
            Err(error) if error.is_for_others() => {
                self.for_others = Some((certified.fingerprint, elapsed + ASK_AGAIN));
                tracing::warn!(
                    peer = %identity.peer(), %until,
                    "this certificate does not renew itself: put another one in its place before \
                     it ends ({error})"
                );
            }
            Err(error) => {
                let random = &*self.environment.random;
                let pause = self.backoff.failed(elapsed, RETRY_FIRST, RETRY_LONGEST, random);
                tracing::warn!(
                    peer = %identity.peer(), %until, again_in = ?pause,
                    "the certificate is not renewed: {error}"
                );
            }
        }
    }

    /// Until when the new certificate is valid.
    fn renew(&self, client: &ApiClient, identity: &Identity) -> Result<Timestamp, RenewalError> {
        let directory = self.identity.directory();
        let random = &*self.environment.random;
        let pending = match directory {
            // What was asked for with keys that are lost would be of no use.
            Some(directory) => waiting_keys::take_up(directory, Some(identity), random)?,
            None => crate::request::PendingIdentity::generate(random)?,
        };
        let keys = Keys::of_pending(&pending)?;
        let answer = client.renew(&RenewalRequest::new(identity, &pending)?)?;
        let (granted, certified) = answer.verify(&keys, Anchor::Authorities(identity.ca_pem()))?;
        if certified.peer != *identity.peer() {
            return Err(RenewalError::OtherPeer(certified.peer.to_string()));
        }
        let new = pending.certified(&granted.certificate, granted.authorities)?;
        let until = new.validity().until;
        self.identity.replace(new)?;
        if let Some(directory) = directory {
            waiting_keys::forget(directory);
        }
        Ok(until)
    }
}

#[cfg(test)]
mod tests;
