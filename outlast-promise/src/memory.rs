//! What a ledger remembers, in the form in which it survives a restart.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outlast_types::{DropId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::{Cause, Incident, Key, Promise};

/// Version 1 knew nothing of repositories that are missing, and of what speaks against custody.
const VERSION: u32 = 2;

/// Everything that a ledger knows. Only facts, no conclusions: states are worked out from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    version: u32,
    /// The latest moment that the ledger was told of; time never runs backwards from here.
    pub(crate) now: Timestamp,
    pub(crate) last_incident_id: u64,
    pub(crate) workloads: BTreeMap<WorkloadName, Workload>,
    pub(crate) agents: BTreeMap<String, Agent>,
    pub(crate) absence: Option<Absence>,
    /// What speaks against the vault's custody, until it is settled or old.
    #[serde(default)]
    pub(crate) evidence: Evidence,
    #[serde(with = "as_list")]
    pub(crate) open: BTreeMap<Key, OpenIncident>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workload {
    pub(crate) promise: Promise,
    pub(crate) declared: bool,
    pub(crate) known_since: Timestamp,
    pub(crate) last_vaulted: Option<Timestamp>,
    /// Since when a sealed drop that is newer than the last vaulted one is known to wait.
    pub(crate) waiting_since: Option<Timestamp>,
    /// The agent that last spoke of it.
    pub(crate) agent: Option<String>,
    /// The rejected drop that nothing good has followed yet.
    pub(crate) rejected: Option<Rejected>,
    /// What is missing of its repository; nothing can be restored meanwhile.
    #[serde(default)]
    pub(crate) missing: Option<String>,
    /// After its repository was whole again: until when the backlog may arrive.
    #[serde(default)]
    pub(crate) recovering: Option<Recovering>,
    /// What its team has put on the share and cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_problem: Option<String>,
    /// Rejected drops that were told already: agents repeat themselves, pages must not.
    pub(crate) rejected_before: VecDeque<DropId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rejected {
    pub(crate) drop: DropId,
    pub(crate) reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agent {
    pub(crate) heard: Timestamp,
    /// How long the vault itself did not listen since then; that silence is not the agent's.
    pub(crate) unheard: Duration,
    pub(crate) share_problem: Option<String>,
    /// Whether the share could be looked over, with or without a problem.
    #[serde(default)]
    pub(crate) share_usable: bool,
    /// What keeps it from getting drops into the vault although its share is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hindrance: Option<String>,
    /// What lies on its share and can be nobody's drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stray: Option<String>,
    /// After an incident of this agent resolved: which one, and until when the backlog may arrive.
    pub(crate) recovering: Option<Recovering>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recovering {
    pub(crate) incident: u64,
    pub(crate) until: Timestamp,
}

/// A time in which the vault was down, and how long the backlog may take to arrive afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Absence {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) recovered: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenIncident {
    pub(crate) id: u64,
    pub(crate) cause: Cause,
    pub(crate) team: String,
    pub(crate) opened: Timestamp,
    pub(crate) folded_into: Option<u64>,
    /// Whether somebody was told; a folded incident that resolves untold is nobody's news.
    pub(crate) announced: bool,
}

impl Absence {
    /// Whether a promise that broke at `due` broke because the vault was not there.
    pub(crate) fn explains(&self, due: Timestamp) -> bool {
        self.from <= due && due < self.recovered
    }
}

impl OpenIncident {
    pub(crate) fn view(&self, resolved: Option<Timestamp>) -> Incident {
        Incident {
            id: self.id,
            cause: self.cause.clone(),
            team: self.team.clone(),
            opened: self.opened,
            resolved,
            folded_into: self.folded_into,
        }
    }
}

/// Why stored memory cannot be used. The catalog can be rebuilt from the repositories then.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error(
        "the promise ledger was written by a newer version ({found}; this one reads {VERSION}): use \
         that version, or rebuild the catalog"
    )]
    Newer { found: u32 },
    #[error("the promise ledger is damaged ({0}): rebuild the catalog")]
    Damaged(#[from] serde_json::Error),
}

impl Memory {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            version: VERSION,
            now,
            last_incident_id: 0,
            workloads: BTreeMap::new(),
            agents: BTreeMap::new(),
            absence: None,
            evidence: Evidence::default(),
            open: BTreeMap::new(),
        }
    }

    pub(crate) fn encode(&self) -> String {
        // Maps keyed by text, numbers and text only: nothing here that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn decode(text: &str) -> Result<Self, MemoryError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        // The version first: a newer form need not parse as ours.
        let Version { version } = serde_json::from_str(text)?;
        if version > VERSION {
            return Err(MemoryError::Newer { found: version });
        }
        let mut memory: Self = serde_json::from_str(text)?;
        memory.version = VERSION;
        Ok(memory)
    }

    /// Moves every moment `by` into the past: the host's clock was set back, and what has passed
    /// since each of them has passed all the same.
    pub(crate) fn shift_back(&mut self, by: Duration) {
        let back = |at: &mut Timestamp| *at = earlier(*at, by);
        back(&mut self.now);
        for workload in self.workloads.values_mut() {
            back(&mut workload.known_since);
            workload.last_vaulted.iter_mut().for_each(back);
            workload.waiting_since.iter_mut().for_each(back);
            workload.recovering.iter_mut().for_each(|recovering| back(&mut recovering.until));
        }
        for agent in self.agents.values_mut() {
            back(&mut agent.heard);
            agent.recovering.iter_mut().for_each(|recovering| back(&mut recovering.until));
        }
        if let Some(absence) = &mut self.absence {
            back(&mut absence.from);
            back(&mut absence.until);
            back(&mut absence.recovered);
        }
        self.evidence.moments().for_each(back);
        for incident in self.open.values_mut() {
            back(&mut incident.opened);
        }
    }
}

/// Open incidents as a list: each knows its key.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::OpenIncident;
    use crate::Key;

    pub(super) fn serialize<S: Serializer>(
        open: &BTreeMap<Key, OpenIncident>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(open.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Key, OpenIncident>, D::Error> {
        let list = Vec::<OpenIncident>::deserialize(from)?;
        Ok(list.into_iter().map(|incident| (incident.cause.key(), incident)).collect())
    }
}

/// `at` less `by`; before 1970 too, where a host whose clock battery is empty begins its day.
fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    let borrow = at.nanos() < by.subsec_nanos();
    let nanos = at.nanos() + if borrow { 1_000_000_000 } else { 0 } - by.subsec_nanos();
    let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
    let seconds = at.unix_seconds().saturating_sub(seconds).saturating_sub(i64::from(borrow));
    Timestamp::from_unix(seconds, nanos).unwrap_or(Timestamp::EPOCH)
}
