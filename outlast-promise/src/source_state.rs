//! What is known of one source: an agent and the share of which it speaks.

use std::time::Duration;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Validity;
use crate::incident::Recovering;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceState {
    pub(crate) heard: Timestamp,
    /// How long the vault itself did not listen since then; that silence is not the agent's.
    pub(crate) unheard: Duration,
    pub(crate) problem: Option<String>,
    /// Whether the share could be looked over, with or without a problem.
    pub(crate) usable: bool,
    /// What keeps the agent from getting drops into the vault although its share is well.
    #[serde(default)]
    pub(crate) hindrance: Option<String>,
    /// What lies on its share and can be nobody's drop.
    #[serde(default)]
    pub(crate) stray: Option<String>,
    /// By how many minutes the agent's clock is ahead of the vault's, or behind it, if that is too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clock_off: Option<i64>,
    /// After an incident of this source resolved.
    pub(crate) recovering: Option<Recovering>,
    /// When the agent began the last look at the whole share of which all was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) looked: Option<Timestamp>,
    /// How long the certificate is valid that was shown last.
    pub(crate) certificate: Option<Validity>,
}

impl SourceState {
    pub(crate) fn new(heard: Timestamp) -> Self {
        Self {
            heard,
            unheard: Duration::ZERO,
            problem: None,
            usable: true,
            hindrance: None,
            stray: None,
            clock_off: None,
            recovering: None,
            looked: None,
            certificate: None,
        }
    }

    /// When it counts as silent, if nothing is heard of it before.
    pub(crate) fn silent_at(&self, deadline: Duration) -> Timestamp {
        self.heard.saturating_add(self.unheard).saturating_add(deadline)
    }

    /// Whether nothing was heard of it for the whole deadline.
    pub(crate) fn is_silent(&self, deadline: Duration, now: Timestamp) -> bool {
        self.silent_at(deadline) <= now
    }

    /// The moments at which time alone changes what follows.
    pub(crate) fn deadlines(&self, deadline: Duration) -> impl Iterator<Item = Timestamp> {
        let recovering = self.recovering.as_ref().map(|recovering| recovering.until);
        let certificate = self.certificate.iter().flat_map(Validity::turning_points);
        [Some(self.silent_at(deadline)), recovering].into_iter().flatten().chain(certificate)
    }
}
