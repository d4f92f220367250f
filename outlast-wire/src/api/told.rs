//! How a workload stands, for people.

use std::collections::BTreeMap;

use outlast_types::{ShareId, Timestamp};
use serde::{Deserialize, Serialize};

/// What holds of a workload and how it stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldView {
    /// How it stands and why, with human times.
    pub sentence: String,
    /// What to do next, if there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// `nothing older than 26 h`, `one after each 0 2 * * *, within 4 h`.
    pub promise: String,
    /// The class that policy keeps it by, if that names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The time zone in which its schedule, days off and maintenance are meant.
    pub zone: String,
    /// What else policy says of it, by the keys of policy: `weekdays`, `maintenance`, `safe`. `None` from a vault
    /// that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<BTreeMap<String, String>>,
    /// Who is told beside the owner, because a share says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// When the next recovery point is due, or was.
    pub due: Timestamp,
    /// Until when its pages wait, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_wait: Option<PagesWait>,
    /// What its team declares, on each share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<DeclaredView>,
}

/// A time in which pages wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagesWait {
    pub until: Timestamp,
    pub reason: String,
}

/// What a share declares of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredView {
    pub share: ShareId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}
