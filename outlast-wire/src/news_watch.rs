//! The news of trust, as holders of an identity hear them: whom the vault revoked, and which authorities
//! are of the past.
//!
//! What was learnt counts at once, for connections and signatures, is kept in the directory of the
//! identity, and is never unlearnt: an older list, no list and a vault that was put back change nothing.
//! News take trust away and never give any.

use std::time::Duration;

use outlast_types::{Backoff, Environment, Interrupt, Pulse};

use crate::authorities::{Authorities, PastAuthority};
use crate::certificate;
use crate::client::{ApiClient, CallError};
use crate::identity::IdentityError;
use crate::identity_handle::IdentityHandle;
use crate::learned::LearnedError;
use crate::news::{NewsError, SignedTrustNews, TrustNews};
use crate::signature;
use crate::trust::Trust;

/// How long after an answer the next is asked for, at most: a revocation is known everywhere a minute
/// after the vault's word.
const EVERY: Duration = Duration::from_secs(45);
/// How much earlier it may be, so that not all ask in one moment.
const SPREAD: Duration = Duration::from_secs(10);
/// How long the vault is left alone that gave no good answer, at first and at most.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = EVERY;

/// Why nothing, or not all, was learnt.
#[derive(Debug, thiserror::Error)]
pub enum HearError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    News(#[from] NewsError),
    #[error("what was learnt counts and is not kept: {0}")]
    Keep(#[from] LearnedError),
    #[error("authorities that are of the past are not let go: {0}")]
    Authorities(#[from] IdentityError),
    #[error(
        "the vault calls {count} of the authorities that are believed here past, and they are \
         believed on: none that began later would be left that vouches for the vault"
    )]
    NoneLeft { count: usize },
}

/// Hears the news for one identity.
pub struct NewsWatch {
    identity: IdentityHandle,
    trust: Trust,
    environment: Environment,
    backoff: Backoff,
    /// The number of the list that is in the directory, if one was written or read.
    kept: Option<u64>,
    /// What went wrong, said once.
    complaint: Option<String>,
    /// Beaten when the vault was heard.
    heard: Pulse,
}

impl NewsWatch {
    pub fn new(identity: &IdentityHandle, environment: &Environment) -> Self {
        let trust = Trust::new(identity, &environment.clock);
        let (identity, environment) = (identity.clone(), environment.clone());
        let kept = Some(identity.revocations().number());
        let (backoff, heard) = (Backoff::default(), Pulse::default());
        Self { identity, trust, environment, backoff, kept, complaint: None, heard }
    }

    /// Lets `heard` be beaten whenever the vault was heard.
    #[must_use]
    pub fn telling(self, heard: &Pulse) -> Self {
        Self { heard: heard.clone(), ..self }
    }

    /// Asks the vault again and again, until the end is asked for.
    pub fn keep_watching(&mut self, client: &ApiClient, stop: &Interrupt) {
        loop {
            let pause = self.attend(client);
            if self.environment.timer.pause(pause, stop) {
                return;
            }
        }
    }

    /// Asks the vault, and tells in the log what is wrong if it is something else than before; how long to
    /// wait until the next time.
    pub fn attend(&mut self, client: &ApiClient) -> Duration {
        let heard = self.hear(client);
        let random = &*self.environment.random;
        match heard {
            Ok(()) => {
                self.backoff.succeeded();
                if self.complaint.take().is_some() {
                    tracing::info!("the vault tells again whom to trust");
                }
                let mut byte = [0];
                random.fill(&mut byte);
                EVERY - SPREAD * u32::from(byte[0]) / 255
            }
            Err(error) => {
                let words = error.to_string();
                if self.complaint.as_ref() != Some(&words) {
                    tracing::warn!("the news of whom to trust: {words}");
                    self.complaint = Some(words);
                }
                let elapsed = self.environment.timer.elapsed();
                self.backoff.failed(elapsed, RETRY_FIRST, RETRY_LONGEST, random)
            }
        }
    }

    /// Asks the vault once, and takes over what is news.
    pub fn hear(&mut self, client: &ApiClient) -> Result<(), HearError> {
        let signed = client.trust_news()?;
        let known = self.identity.revocations();
        let judge = |chain: &str, message: &[u8], signature: &[u8]| {
            self.trust.judge_signer(chain, message, signature)
        };
        let news = signed.verify_by(known.number(), judge)?;
        self.heard.beat();
        self.learn(&news)?;
        if news.authorities.past.is_empty() {
            return Ok(());
        }
        let past = self.past(&news.authorities.past);
        let mut left = self.identity.get().authorities().clone();
        // One that cannot be read is let go by nobody.
        let moved = left.retire(&news.authorities.past).unwrap_or(0);
        // Whoever says so must be believed without those that go.
        if moved < past || moved > 0 && !self.is_said_under(&left, &signed) {
            return Err(HearError::NoneLeft { count: past });
        }
        let moved = self.identity.retire(&news.authorities.past)?;
        if moved > 0 {
            tracing::warn!(moved, "authorities are of the past, by the vault's word");
        }
        Ok(())
    }

    /// Whether somebody signed the news whom these authorities vouch for.
    fn is_said_under(&self, authorities: &Authorities, signed: &SignedTrustNews) -> bool {
        let (ca_pem, names) = (&authorities.ca_pem, self.identity.names());
        let judge = |chain: &str, message: &[u8], proof: &[u8]| {
            Ok(signature::signer(chain, ca_pem, names, message, proof)?)
        };
        signed.verify_by(0, judge).is_ok()
    }

    fn learn(&mut self, news: &TrustNews) -> Result<(), HearError> {
        let known = self.identity.revocations();
        let list = news.list().with(&known);
        let is_new =
            (list.number(), list.entries().len()) != (known.number(), known.entries().len());
        if is_new {
            tracing::info!(
                number = list.number(),
                entries = list.entries().len(),
                "the vault's list of revocations is in force"
            );
            self.identity.learn(list.clone());
        }
        if is_new || self.kept != Some(list.number()) {
            self.kept = None;
            self.identity.keep_learned()?;
            self.kept = Some(list.number());
        }
        Ok(())
    }

    /// How many of the authorities that are believed for connections are in `past`.
    fn past(&self, past: &[PastAuthority]) -> usize {
        let identity = self.identity.get();
        let believed = certificate::fingerprints(identity.ca_pem()).unwrap_or_default();
        let ended = past.iter().filter_map(|one| one.fingerprint().ok());
        ended.filter(|ended| believed.contains(ended)).count()
    }
}
