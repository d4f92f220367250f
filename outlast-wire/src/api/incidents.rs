//! Incidents, and what operators say to them.

use std::collections::BTreeMap;

use outlast_types::{Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

/// `GET /api/v1/incidents` gives a list of these, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentView {
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// `app` or `platform`: whose it is.
    pub owner: String,
    /// The team that was told: what the promise's owner is called, or `platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Why, for programs: `nothing-dropped`. None if an older vault opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, for people: a whole sentence.
    pub cause: String,
    pub opened: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Timestamp>,
    /// Its cause is gone, and what it held up comes: how far that is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catching_up: Option<String>,
    /// Who is at it, and until when that keeps everybody else from being told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_until: Option<Timestamp>,
    /// What was said of it while it is open; for ever, that is in the audit log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<SaidOfIncident>,
    /// By which routes it was told, and when last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, Timestamp>,
}

/// A comment on an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidOfIncident {
    pub by: String,
    pub at: Timestamp,
    pub text: String,
}

/// `POST /api/v1/incidents/ack`: somebody is at an open incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckIncident {
    pub key: String,
    /// Eight hours if it is not said, and 72 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// `POST /api/v1/incidents/comment`: somebody says something of an open incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentIncident {
    pub key: String,
    pub text: String,
}

/// The answer to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentAnswered {
    pub key: String,
    /// Until when an acknowledgement counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
