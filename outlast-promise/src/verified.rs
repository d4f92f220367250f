//! What is the matter with what the vault holds of one workload, as a fact of the ledger, and what is to be
//! told of it.

use outlast_types::{Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Key, Topic, cut};
use crate::verification::{Damage, DrillTrouble, Shortening, Unread};

/// Snapshots that an incident names; the others are counted.
const SNAPSHOTS_NAMED_MAX: usize = 10;

/// All of it, of one workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verification {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    damage: Option<Damage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unread: Option<Unread>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drill: Option<DrillTrouble>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shortening: Option<Shortening>,
}

impl Verification {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A scrub looked; what it found before counts no more.
    pub(crate) fn scrubbed(&mut self, damage: Option<Damage>, unread: Option<Unread>) {
        self.damage = damage.map(|mut damage| {
            damage.what = cut(&damage.what);
            damage.snapshots.truncate(SNAPSHOTS_NAMED_MAX);
            damage
        });
        self.unread = unread.map(|unread| Unread { why: unread.why.as_deref().map(cut), ..unread });
    }

    /// A drill ended, or is overdue.
    pub(crate) fn drilled(&mut self, trouble: Option<DrillTrouble>) {
        self.drill = trouble.map(|trouble| match trouble {
            DrillTrouble::Failed { at, snapshot, phase, why, owner } => {
                DrillTrouble::Failed { at, snapshot, phase: cut(&phase), why: cut(&why), owner }
            }
            DrillTrouble::Overdue { every, last, why } => {
                DrillTrouble::Overdue { every, last, why: why.as_deref().map(cut) }
            }
        });
    }

    /// Somebody asks for less to be kept, or nobody does any more.
    pub(crate) fn shortened(&mut self, asked: Option<Shortening>) {
        self.shortening = asked.map(|it| Shortening {
            what: cut(&it.what),
            by: cut(&it.by),
            reason: cut(&it.reason),
            at: it.at,
        });
    }

    /// What is to be told of it, by key; a key of which nothing is to be told is there, too.
    pub(crate) fn causes(of: Option<&Self>, workload: &WorkloadName) -> [(Key, Option<Cause>); 4] {
        let name = || workload.clone();
        let damage = of.and_then(|known| known.damage.clone());
        let damage = damage.map(|damage| Cause::DataDamaged { workload: name(), damage });
        let unread = of.and_then(|known| known.unread.clone());
        let unread = unread.map(|unread| Cause::NotScrubbed { workload: name(), unread });
        let drill = of.and_then(|known| known.drill.clone()).map(|trouble| match trouble {
            DrillTrouble::Failed { at, snapshot, phase, why, owner } => {
                Cause::DrillFailed { workload: name(), at, snapshot, phase, why, owner }
            }
            DrillTrouble::Overdue { every, last, why } => {
                Cause::DrillOverdue { workload: name(), every, last, why }
            }
        });
        let asked = of.and_then(|known| known.shortening.clone());
        let asked = asked.map(|asked| Cause::ShorteningAsked { workload: name(), asked });
        let key = |topic| Key::of_workload(topic, workload);
        [
            (key(Topic::Data), damage),
            (key(Topic::Scrub), unread),
            (key(Topic::Drill), drill),
            (key(Topic::Shortening), asked),
        ]
    }

    /// All moments that move when the clock is set back.
    pub(crate) fn moments(&mut self) -> Vec<&mut Timestamp> {
        let mut moments = Vec::new();
        if let Some(damage) = &mut self.damage {
            moments.push(&mut damage.found);
        }
        if let Some(unread) = &mut self.unread {
            moments.push(&mut unread.since);
        }
        if let Some(asked) = &mut self.shortening {
            moments.push(&mut asked.at);
        }
        match &mut self.drill {
            Some(DrillTrouble::Failed { at, .. }) => moments.push(at),
            Some(DrillTrouble::Overdue { last, .. }) => moments.extend(last),
            None => {}
        }
        moments
    }
}
