//! What speaks against the vault's custody: drops that it signed for and lost, and drops that are
//! claimed twice.

use std::time::Duration;

use outlast_types::{DropId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Key, LostDrop, Topic, cut};
use crate::event::Finding;
use crate::table::Table;

/// How long the vault tells of a drop that it lost and that nobody can ship again.
const LOST_TOLD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long after the last bill a contested drop is told of.
const CONTESTED_TOLD_FOR: Duration = Duration::from_secs(24 * 3600);
/// The most lost drops that are remembered, and how many of them an incident names.
const LOST_REMEMBERED_MAX: usize = 10_000;
const LOST_NAMED_MAX: usize = 10;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Evidence {
    pub(crate) lost: Table<(WorkloadName, DropId), Lost>,
    pub(crate) contested: Table<WorkloadName, Contested>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lost {
    pub(crate) drop: LostDrop,
    told: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contested {
    drop: DropId,
    agent: String,
    difference: String,
    last: Timestamp,
}

impl Lost {
    fn key(&self) -> (WorkloadName, DropId) {
        (self.drop.workload.clone(), self.drop.drop)
    }

    fn told_until(&self) -> Timestamp {
        self.told.saturating_add(LOST_TOLD_FOR)
    }
}

impl Evidence {
    /// Takes over the lost drops that were saved.
    pub(crate) fn set_lost(&mut self, lost: Vec<Lost>) {
        self.lost = lost.into_iter().map(|lost| (lost.key(), lost)).collect();
    }

    /// Takes note of what the vault found, and says whether that was news.
    pub(crate) fn note(&mut self, finding: Finding, now: Timestamp) -> bool {
        match finding {
            Finding::Held { workload, drop } => self.lost.remove(&(workload, drop)).is_some(),
            Finding::Lost { workload, drop, received } => {
                // One that was told before does not ring for longer because somebody repeats it.
                let key = (workload.clone(), drop);
                if self.lost.contains(&key) || self.lost.len() >= LOST_REMEMBERED_MAX {
                    return false;
                }
                let drop = LostDrop { workload, drop, received };
                self.lost.insert(key, Lost { drop, told: now });
                true
            }
            Finding::Contested { workload, agent, drop, difference } => {
                let (agent, difference) = (cut(&agent), cut(&difference));
                self.contested.insert(workload, Contested { drop, agent, difference, last: now });
                true
            }
        }
    }

    /// Forgets what is old, and says what is to be told now, by key; a key of which nothing is to
    /// be told any more is there, too.
    pub(crate) fn causes(&mut self, now: Timestamp) -> Vec<(Key, Option<Cause>)> {
        self.lost.retain(|_, lost| now < lost.told_until());
        let named = self.lost.values().take(LOST_NAMED_MAX).map(|lost| lost.drop.clone()).collect();
        let count = self.lost.len();
        let went_back = (count > 0).then_some(Cause::VaultWentBack { lost: named, count });
        let mut causes = vec![(Key::of_vault(Topic::VaultWentBack), went_back)];
        causes.extend(self.contested.iter().map(|(workload, contested)| {
            let cause = (now < contested.told_until()).then(|| Cause::DropContested {
                workload: workload.clone(),
                agent: contested.agent.clone(),
                drop: contested.drop,
                difference: contested.difference.clone(),
            });
            (Key::of_workload(Topic::ContestedDrop, workload), cause)
        }));
        self.contested.retain(|_, contested| now < contested.told_until());
        causes
    }

    /// A workload has another name now.
    pub(crate) fn rename(&mut self, from: &WorkloadName, to: &WorkloadName) {
        if let Some(contested) = self.contested.remove(from) {
            self.contested.insert(to.clone(), contested);
        }
        let its: Vec<_> = self.lost.keys().filter(|(of, _)| of == from).cloned().collect();
        for key in its {
            if let Some(mut lost) = self.lost.remove(&key) {
                lost.drop.workload.clone_from(to);
                self.lost.insert(lost.key(), lost);
            }
        }
    }

    /// When what is told now will be old.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Timestamp> {
        let contested = self.contested.values().map(Contested::told_until);
        self.lost.values().map(Lost::told_until).chain(contested)
    }

    /// Moves all moments, for a clock that was set back.
    pub(crate) fn shift(&mut self, back: impl Fn(&mut Timestamp)) {
        self.lost.update_all(|lost| back(&mut lost.told));
        self.contested.update_all(|contested| back(&mut contested.last));
    }
}

impl Contested {
    fn told_until(&self) -> Timestamp {
        self.last.saturating_add(CONTESTED_TOLD_FOR)
    }
}
