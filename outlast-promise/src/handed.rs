//! Hand-overs to another backup product: what an agent says of them, what policy allows them, and what is wrong.

use std::fmt;
use std::time::Duration;

use outlast_types::{DropId, Timestamp};
use serde::{Deserialize, Serialize};

/// A hand-over, by the name of its agent and its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HandoverId {
    pub agent: String,
    pub name: String,
}

/// `road-1/nbu`.
impl fmt::Display for HandoverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.agent, self.name)
    }
}

/// What policy expects of a product, and whom it asks if that is not so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoverRule {
    /// How long a drop may lie in the directory before a job has sent it.
    pub read_within: Duration,
    /// How long after that the product may take to confirm it.
    pub confirm_within: Duration,
    /// The team that runs the product.
    pub owner: String,
    /// By which route it is told first; the routes' own rules, if none.
    pub route: Option<String>,
}

impl HandoverRule {
    /// A day and two hours: for a product that reads once a day.
    pub const WITHIN_DEFAULT: Duration = Duration::from_secs(26 * 3600);
    pub const WITHIN_MIN: Duration = Duration::from_secs(60);
    /// A month, for those that read once in one.
    pub const WITHIN_MAX: Duration = Duration::from_secs(62 * 86400);
    /// The team, if nobody names one.
    pub const OWNER_DEFAULT: &str = "backup team";
}

impl Default for HandoverRule {
    fn default() -> Self {
        Self {
            read_within: Self::WITHIN_DEFAULT,
            confirm_within: Self::WITHIN_DEFAULT,
            owner: Self::OWNER_DEFAULT.to_owned(),
            route: None,
        }
    }
}

/// What an agent says of a hand-over, in the vault's time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handed {
    /// What reads it: `NetBackup`.
    pub product: Option<String>,
    /// When the oldest drop appeared that no job has sent.
    pub unread: Option<Timestamp>,
    /// When the oldest drop appeared that the product has not confirmed.
    pub unconfirmed: Option<Timestamp>,
    /// The last job, if it failed.
    pub failed: Option<FailedJob>,
    /// What keeps drops from being offered.
    pub room: Option<Room>,
}

/// A job of the product that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedJob {
    /// As people know it.
    pub job: String,
    /// When it began, or if nobody knows, when it was heard of.
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// What the status means, and what is done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What is the matter with the directory of a hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// Whether it is only full; else it cannot be used.
    pub is_full: bool,
    /// Whether it is well, and nobody can ask the product what it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_mute: bool,
    pub text: String,
}

/// What is wrong with a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum ProductTrouble {
    /// A job failed, and drops that it should have taken are not confirmed.
    Failed(FailedJob),
    /// Nothing has read what lies there since then.
    Unread { since: Timestamp, within: Duration },
    /// It was read, and the product has not said that it has it.
    Unconfirmed { since: Timestamp, within: Duration },
}

/// A drop that a product has: a recovery point, where policy counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delivered {
    pub(crate) drop: DropId,
    /// The moment that it brings back: its first sight.
    pub(crate) at: Timestamp,
    /// Whether the vault holds it, too.
    #[serde(default)]
    pub(crate) vaulted: bool,
}

/// A drop that a product had, and has no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdrawn {
    pub(crate) drop: DropId,
    pub(crate) at: Timestamp,
    pub(crate) handover: HandoverId,
    pub(crate) reason: String,
}

/// Drops of a workload that lie in a hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lies {
    /// The last one in which one lay.
    pub(crate) handover: HandoverId,
    /// Since when one is known that is not confirmed, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unconfirmed: Option<Timestamp>,
    /// Whether jobs have sent all of them.
    #[serde(default)]
    pub(crate) read: bool,
}
