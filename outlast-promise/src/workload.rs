//! What follows from what is known of one workload alone.

use outlast_types::{DropId, Timestamp};

use crate::incident::cut;
use crate::memory::{Rejected, Workload};
use crate::{State, evaluate};

/// How many rejected drops of one workload are remembered, so that an agent that reports its
/// quarantine again and again opens one incident for each and no more.
const REJECTED_REMEMBERED_MAX: usize = 1024;
impl Workload {
    /// The moment at which it breaks, or broke.
    pub(crate) fn due(&self) -> Timestamp {
        self.last_vaulted.unwrap_or(self.known_since).saturating_add(self.promise.rpo())
    }

    /// The moments at which time alone changes what follows.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Timestamp> {
        let recovering = self.recovering.as_ref().map(|recovering| recovering.until);
        [Some(self.due()), recovering].into_iter().flatten()
    }

    pub(crate) fn state(&self, now: Timestamp) -> State {
        if self.missing.is_some() {
            return State::Broken;
        }
        evaluate(&self.promise, self.known_since, self.last_vaulted, now)
    }

    pub(crate) fn reject(&mut self, drop: DropId, reason: &str, agent: &str) {
        self.agent = Some(agent.to_owned());
        if self.rejected_before.contains(&drop) {
            return;
        }
        if self.rejected_before.len() == REJECTED_REMEMBERED_MAX {
            self.rejected_before.pop_front();
        }
        self.rejected_before.push_back(drop);
        self.rejected = Some(Rejected { drop, reason: cut(reason) });
    }
}
