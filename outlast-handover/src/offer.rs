//! Drops that are offered.

use std::fmt;

use outlast_drop::DropAddress;
use outlast_types::{
    ContentHash, Day, DropId, Sanity, SanityRule, ShareId, Timestamp, WorkloadName,
};
use serde::{Deserialize, Serialize};

use crate::rules::Layout;

/// One drop. An id alone names none: whoever writes on a share may use it for two workloads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DropKey {
    pub workload: WorkloadName,
    pub drop: DropId,
}

impl fmt::Display for DropKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workload, self.drop)
    }
}

/// Somebody's word that a drop may leave, although the rules would keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub drop: DropKey,
    /// Who says it.
    pub by: String,
    pub reason: String,
    /// Who else holds it, as far as is known.
    pub held_by: String,
    /// Whether that is the vault, by its signed word. Else it is the product, and the drop goes only while that stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vaulted: bool,
}

/// What was known of a drop when it was copied from the share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// When the agent first saw it there, by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// When it was here before, if it is offered once more: it is as old as then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_before: Option<Timestamp>,
    /// What its team declared that its content must be like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sanity_rule: Option<SanityRule>,
}

/// A drop in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub share: ShareId,
    pub workload: WorkloadName,
    pub day: Day,
    pub drop: DropId,
    /// The digest of its seal.
    pub seal: ContentHash,
    pub layout: Layout,
    /// Where it is, from the directory on.
    pub path: String,
    /// When it appeared. Later than all that appeared, and all jobs that were known to have begun, before it.
    pub appeared: Timestamp,
    /// The time of change of all its files, a little later.
    pub stamp: Timestamp,
    /// How many files it has, its manifest among them.
    pub files: u32,
    /// Bytes in the directory.
    pub bytes: u64,
    #[serde(flatten)]
    pub sight: Sight,
    /// What its content looks like, where somebody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sanity: Option<Sanity>,
}

impl Offer {
    pub fn key(&self) -> DropKey {
        DropKey { workload: self.workload.clone(), drop: self.drop }
    }

    /// Its place among drops of its workload: when it first appeared.
    pub fn since(&self) -> Timestamp {
        self.sight.shown_before.map_or(self.appeared, |before| before.min(self.appeared))
    }

    pub fn address(&self) -> DropAddress {
        DropAddress { workload: self.workload.clone(), day: self.day, drop: self.drop }
    }
}
