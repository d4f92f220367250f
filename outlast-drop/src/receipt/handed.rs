//! The part of a receipt that says which jobs of another backup product read a drop, or have it.

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

/// The most jobs that one receipt names.
const JOBS_MAX: usize = 16;
const WORD_CHARS_MAX: usize = 200;

/// What a receipt `handed-over` or `confirmed` says beside its state: where the drop lay, and for `handed-over` who
/// has read it, for `confirmed` who has it. All that is said of jobs are the product's words, as far as they were heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The name of the hand-over.
    pub handover: String,
    /// The time of change of the drop's files there. Whoever hands over in this agent's place begins above it.
    pub stamp: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<HandedJob>,
    /// The vault's own word that it was told so and believes it, as it signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countersigned: Option<String>,
}

/// One job of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedJob {
    /// By its own id, or whatever tells it apart.
    pub job: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The evidence: who says so, when that was heard, and how many of the drop's files it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
}

impl HandedOver {
    /// The same with so many jobs and words of such a length that a receipt has room for them.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.jobs.truncate(JOBS_MAX);
        let cut = |word: &mut String| {
            if let Some((at, _)) = word.char_indices().nth(WORD_CHARS_MAX) {
                word.truncate(at);
            }
        };
        cut(&mut self.handover);
        for job in &mut self.jobs {
            cut(&mut job.job);
            let HandedJob { product, policy, schedule, kind, by, .. } = job;
            [product, policy, schedule, kind, by].into_iter().flatten().for_each(cut);
        }
        self
    }
}
