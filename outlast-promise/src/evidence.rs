//! What speaks against the vault's custody: drops that it signed for and lost, and drops that are
//! claimed twice.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_types::{DropId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::incident::{LostDrop, cut};
use crate::{Cause, Finding, Key};

/// How long the vault tells of a drop that it lost and that nobody can ship again.
const LOST_TOLD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long after the last bill a contested drop is told of.
const CONTESTED_TOLD_FOR: Duration = Duration::from_secs(24 * 3600);
/// The most lost drops that are remembered, and how many of them an incident names.
const LOST_REMEMBERED_MAX: usize = 10_000;
const LOST_NAMED_MAX: usize = 10;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evidence {
    lost: Vec<Lost>,
    contested: BTreeMap<WorkloadName, Contested>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lost {
    drop: LostDrop,
    told: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contested {
    drop: DropId,
    agent: String,
    difference: String,
    last: Timestamp,
}

impl Evidence {
    /// Takes note of what the vault found.
    pub(crate) fn note(&mut self, finding: Finding, now: Timestamp) {
        match finding {
            Finding::Held { workload, drop } => {
                self.lost.retain(|lost| lost.drop.drop != drop || lost.drop.workload != workload);
            }
            Finding::Lost { workload, drop, received } => {
                // One that was told before does not ring for longer because somebody repeats it.
                let is_known = self
                    .lost
                    .iter()
                    .any(|lost| lost.drop.drop == drop && lost.drop.workload == workload);
                if !is_known && self.lost.len() < LOST_REMEMBERED_MAX {
                    let drop = LostDrop { workload, drop, received };
                    self.lost.push(Lost { drop, told: now });
                }
            }
            Finding::Contested { workload, agent, drop, difference } => {
                let (agent, difference) = (cut(&agent), cut(&difference));
                self.contested.insert(workload, Contested { drop, agent, difference, last: now });
            }
        }
    }

    /// Forgets what is old, and says what is to be told now, by key; a key of which nothing is to
    /// be told any more is there, too.
    pub(crate) fn causes(&mut self, now: Timestamp) -> Vec<(Key, Option<Cause>)> {
        self.lost.retain(|lost| now.since(lost.told) < LOST_TOLD_FOR);
        let named = self.lost.iter().take(LOST_NAMED_MAX).map(|lost| lost.drop.clone()).collect();
        let count = self.lost.len();
        let went_back = (count > 0).then_some(Cause::VaultWentBack { lost: named, count });
        let mut causes = vec![(Key::VaultWentBack, went_back)];
        self.contested.retain(|workload, contested| {
            let is_told = now.since(contested.last) < CONTESTED_TOLD_FOR;
            let cause = is_told.then(|| Cause::DropContested {
                workload: workload.clone(),
                agent: contested.agent.clone(),
                drop: contested.drop,
                difference: contested.difference.clone(),
            });
            causes.push((Key::ContestedDrop(workload.clone()), cause));
            is_told
        });
        causes
    }

    /// When what is told now will be old.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Timestamp> {
        let lost = self.lost.iter().map(|lost| lost.told.saturating_add(LOST_TOLD_FOR));
        let contested = self.contested.values();
        lost.chain(contested.map(|contested| contested.last.saturating_add(CONTESTED_TOLD_FOR)))
    }

    /// All moments, for a clock that was set back.
    pub(crate) fn moments(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        let lost = self.lost.iter_mut().map(|lost| &mut lost.told);
        lost.chain(self.contested.values_mut().map(|contested| &mut contested.last))
    }
}
