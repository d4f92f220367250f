//! The part of a receipt that says which jobs of another backup product read a drop, or have it.

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

/// The most jobs that one receipt names.
const JOBS_MAX: usize = 16;
const WORD_CHARS_MAX: usize = 200;
/// The most other hand-overs that one receipt speaks of.
const OTHERS_MAX: usize = 32;

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
    /// The same of other hand-overs of this drop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<HandedOver>,
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
    /// What is said of each hand-over, by itself.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// What is said of the hand-over with this name.
    pub fn of(&self, name: &str) -> Option<&Self> {
        self.all().find(|it| it.handover == name)
    }

    /// This, and what was `said` of other hand-overs before.
    #[must_use]
    pub fn beside(mut self, said: Option<Self>) -> Self {
        self.others =
            said.and_then(|it| it.without(&self.handover)).map(Self::apart).unwrap_or_default();
        self
    }

    /// What is said of all but the hand-over with this name; nothing, if there is no other.
    pub fn without(self, name: &str) -> Option<Self> {
        let mut left = self.apart().into_iter().filter(|it| it.handover != name);
        let first = left.next()?;
        Some(Self { others: left.collect(), ..first })
    }

    fn apart(mut self) -> Vec<Self> {
        let others = std::mem::take(&mut self.others);
        std::iter::once(self).chain(others).collect()
    }

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
        self.others.truncate(OTHERS_MAX);
        let others = std::mem::take(&mut self.others).into_iter();
        self.others = others.map(|it| Self { others: Vec::new(), ..it }.bounded()).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(handover: &str, second: i64) -> HandedOver {
        let stamp = Timestamp::from_unix(second, 0).unwrap();
        let (handover, others) = (handover.to_owned(), Vec::new());
        HandedOver { handover, stamp, jobs: Vec::new(), countersigned: None, others }
    }

    #[test]
    fn each_hand_over_of_a_drop_is_spoken_of_by_itself_and_the_last_word_of_each_counts() {
        let names = |it: &HandedOver| {
            let each = it.all().map(|it| (it.handover.clone(), it.stamp.unix_seconds()));
            each.collect::<Vec<_>>()
        };
        let of = |name: &str, second| (name.to_owned(), second);
        let both = said("b", 2).beside(Some(said("a", 1)));
        assert_eq!(names(&both), [of("b", 2), of("a", 1)]);
        let again = said("a", 3).beside(Some(both.clone()));
        assert_eq!(names(&again), [of("a", 3), of("b", 2)]);
        assert_eq!(again.of("b").unwrap().stamp, both.stamp);
        assert_eq!(again.of("c"), None);
        let left = again.without("a").unwrap();
        assert_eq!(names(&left), [of("b", 2)]);
        assert_eq!(left.clone().without("c").as_ref(), Some(&left));
        assert_eq!(left.without("b"), None);
        assert_eq!(names(&said("a", 1).beside(None)), [of("a", 1)]);
    }

    #[test]
    fn a_receipt_of_before_speaks_of_one_hand_over() {
        let text = r#"{"handover":"nbu","stamp":"2026-01-31T04:05:06Z"}"#;
        let read: HandedOver = serde_json::from_str(text).unwrap();
        assert_eq!(read.all().count(), 1);
        assert_eq!(serde_json::to_string(&read).unwrap(), text, "and is written as it was");
    }
}
