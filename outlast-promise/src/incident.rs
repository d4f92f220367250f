//! Incidents: the only thing that pages.

use std::fmt;

use outlast_types::{Owner, Timestamp, human};
use serde::{Deserialize, Serialize};

use crate::catching_up::CatchingUp;
use crate::cause::{Cause, Key};
use crate::class::Quiet;

/// A broken promise, or one that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Counts up from 1 within one ledger.
    pub id: u64,
    pub cause: Cause,
    /// The team that is asked: the promise's owner, or `platform`.
    pub team: String,
    pub opened: Timestamp,
    pub resolved: Option<Timestamp>,
    /// The incident that explains this one; it is not paged then.
    pub folded_into: Option<u64>,
    /// Its cause is gone, and it stays open while what it held up comes.
    pub catching_up: Option<CatchingUp>,
    /// The time in which its page waits, if it does.
    pub waits: Option<Quiet>,
    /// Who is told, too, since a share asks for it.
    pub also: Vec<String>,
    /// By which road they are told, if the class says so.
    pub route: Option<String>,
}

impl Incident {
    pub fn key(&self) -> Key {
        self.cause.key()
    }

    pub fn owner(&self) -> Owner {
        self.cause.owner()
    }
}

/// What somebody has to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Opened(Incident),
    Resolved(Incident),
}

impl Change {
    /// The incident that changed.
    pub fn incident(&self) -> &Incident {
        match self {
            Self::Opened(incident) | Self::Resolved(incident) => incident,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let incident = self.incident();
        match (self, incident.resolved) {
            (Self::Resolved(_), Some(at)) => write!(
                f,
                "incident {} resolved after {}: {}",
                incident.id,
                human::duration(at.since(incident.opened)),
                incident.key()
            ),
            _ => write!(
                f,
                "incident {} for {} ({}): {}",
                incident.id,
                incident.team,
                incident.owner(),
                incident.cause
            ),
        }
    }
}

/// An incident that is open, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenIncident {
    pub(crate) id: u64,
    pub(crate) cause: Cause,
    pub(crate) team: String,
    pub(crate) opened: Timestamp,
    pub(crate) folded_into: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits: Option<Quiet>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<String>,
    /// Whether somebody was told; a folded incident that resolves untold is nobody's news.
    pub(crate) announced: bool,
    /// Since its cause is gone: what it held up comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) catching_up: Option<CatchingUp>,
}

impl OpenIncident {
    pub(crate) fn view(&self, resolved: Option<Timestamp>) -> Incident {
        Incident {
            id: self.id,
            cause: self.cause.clone(),
            team: self.team.clone(),
            opened: self.opened,
            resolved,
            folded_into: self.folded_into,
            catching_up: self.catching_up.clone().filter(|_| resolved.is_none()),
            waits: self.waits.clone(),
            also: self.also.clone(),
            route: self.route.clone(),
        }
    }
}

/// An incident that resolved, and until when what it held up may arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recovering {
    pub(crate) incident: u64,
    pub(crate) until: Timestamp,
}

impl Recovering {
    /// The incident, if there is still time.
    pub(crate) fn explains(of: Option<&Self>, now: Timestamp) -> Option<u64> {
        of.filter(|recovering| now < recovering.until).map(|recovering| recovering.incident)
    }
}
