//! What the vault does by itself, again and again, as data.

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::code::ErrorCode;

/// `GET /api/v1/jobs` gives a list of these, by name: what the vault does by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    pub name: String,
    /// `waiting`, `running`, or `failed`: then it is tried again soon.
    pub state: String,
    /// The time from the end of a run to the next.
    pub every_seconds: u64,
    /// When the run that is under way began, or else the last one; by the vault's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When the last run that ended did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What that run did, or why it could not: for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Why it could not, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCode>,
    /// How many runs in a row could not.
    #[serde(default)]
    pub failures: u32,
    /// How far the run of `started` is, if it counts.
    #[serde(default)]
    pub done: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}
