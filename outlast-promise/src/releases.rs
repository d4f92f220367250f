//! Releases of a workload, as its drops tell of them: how much later than usual the first drop of a new one
//! comes. What they tell moves no promise: it lets a page wait, as long as policy allows and no longer.

use std::collections::VecDeque;
use std::time::Duration;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

/// Releases from which is learnt how long one takes.
const REMEMBERED_MAX: usize = 8;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Releases {
    /// By which release the last drop was written.
    last: Option<String>,
    /// Since when one is under way: an instance said goodbye, or somebody said that it begins.
    under_way: Option<Timestamp>,
    /// When that is over, as far as somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<Timestamp>,
    /// By how much the first drops of the last releases came after they were due, in seconds.
    late_by: VecDeque<u64>,
}

impl Releases {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One begins, and is over by then if somebody says so.
    pub(crate) fn begin(&mut self, at: Timestamp, ends: Option<Timestamp>) {
        (self.under_way, self.ends) = (Some(at), ends);
    }

    /// When one that is under way is over, as far as somebody said.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        self.ends
    }

    /// A drop came, so late after it was due.
    pub(crate) fn dropped(
        &mut self,
        at: Timestamp,
        release: Option<String>,
        is_last: bool,
        late_by: Duration,
    ) {
        let is_new = release.is_some() && self.last.is_some() && release != self.last;
        if is_new {
            if self.late_by.len() == REMEMBERED_MAX {
                self.late_by.pop_front();
            }
            self.late_by.push_back(late_by.as_secs());
        }
        self.last = release.or(self.last.take());
        (self.under_way, self.ends) = (is_last.then_some(at), None);
    }

    /// For how long a page waits for the first drop of a release that is under way: a quarter longer than
    /// any of the last ones took, and never longer than policy allows.
    pub(crate) fn grace(&self, allowed: Duration) -> Duration {
        if self.under_way.is_none() {
            return Duration::ZERO;
        }
        let learnt = self.late_by.iter().max().map(|late| Duration::from_secs(late + late / 4));
        learnt.map_or(allowed, |learnt| learnt.min(allowed))
    }

    /// All moments that move when the clock is set back.
    pub(crate) fn moments(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        self.under_way.iter_mut().chain(&mut self.ends)
    }
}
