//! What is known of one job.

use std::collections::BTreeMap;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Outcome;
use crate::job::JobFacts;
use crate::offer::Offer;

/// The status of a stream of which it is known that it has ended, and not how: products that run a script after a job
/// and do not tell it that.
pub const UNTOLD: i32 = i32::MIN;

/// How one stream of a job ended, as its client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// `None`: nobody said, and its lease lapsed.
    pub status: Option<i32>,
    pub at: Timestamp,
}

/// A job of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub facts: JobFacts,
    /// When its first stream began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    #[serde(default)]
    pub streams: BTreeMap<u32, StreamEnd>,
    /// How many streams it has, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u32>,
    /// How it ended, by the product's own record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Who said how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_at: Option<Timestamp>,
    /// Its image is gone: when that was said, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<(Timestamp, String)>,
}

impl Job {
    /// It began at `began` or earlier.
    pub(super) fn began_by(&mut self, began: Option<Timestamp>) {
        self.began = match (self.began, began) {
            (Some(known), Some(said)) => Some(known.min(said)),
            (known, said) => known.or(said),
        };
    }

    pub(super) fn expects(&mut self, streams: Option<u32>) {
        self.expected = self.expected.max(streams);
    }

    /// Whether what it has counts: it ended well, or a part of it is listed, and its image is there.
    pub fn counts(&self) -> bool {
        self.withdrawn.is_none() && self.has_ended_well()
    }

    fn has_ended_well(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Well | Outcome::Partial))
    }

    /// Whether it began after a drop had appeared.
    pub fn began_after(&self, offer: &Offer) -> bool {
        self.began.is_some_and(|began| began > offer.appeared)
    }

    /// Whether its client has sent all, as it says, or the product has it, or had it: that its image is gone
    /// does not undo that it was read.
    pub fn has_sent(&self) -> bool {
        if self.has_ended_well() {
            return true;
        }
        let ended = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        let are_all_there = ended >= self.expected.unwrap_or(1);
        are_all_there && self.streams.values().all(|end| matches!(end.status, Some(0 | 1)))
    }

    /// The worst status that its client reported, if it reported one.
    pub fn client_status(&self) -> Option<i32> {
        let told = self.streams.values().filter_map(|end| end.status);
        told.filter(|status| *status != UNTOLD).max()
    }

    /// Whether it has ended, and nobody says how.
    pub fn is_untold(&self) -> bool {
        let ended = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        let are_all_there = ended >= self.expected.unwrap_or(1);
        self.outcome.is_none()
            && are_all_there
            && self.client_status().is_none()
            && self.streams.values().all(|end| end.status == Some(UNTOLD))
    }

    /// When something was last heard of it.
    pub fn last_word(&self) -> Option<Timestamp> {
        let ends = self.streams.values().map(|end| Some(end.at)).max().flatten();
        let withdrawn = self.withdrawn.as_ref().map(|(at, _)| *at);
        ends.max(self.evidence_at).max(withdrawn).max(self.began)
    }
}
