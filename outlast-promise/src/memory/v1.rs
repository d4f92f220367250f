//! The form of version 1, and how it becomes the present one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outlast_types::{DropId, Timestamp, WorkloadName};
use serde::Deserialize;

use super::{Absence, OpenIncident, Recovering, Standing, as_list};
use crate::workload::{self, Rejected};
use crate::{Key, Promise, Source};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    #[serde(rename = "version")]
    _version: u32,
    now: Timestamp,
    last_incident_id: u64,
    workloads: BTreeMap<WorkloadName, Workload>,
    agents: BTreeMap<String, Agent>,
    absence: Option<Absence>,
    #[serde(with = "as_list")]
    open: BTreeMap<Key, OpenIncident>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workload {
    promise: Promise,
    declared: bool,
    known_since: Timestamp,
    last_vaulted: Option<Timestamp>,
    waiting_since: Option<Timestamp>,
    agent: Option<String>,
    rejected: Option<Rejected>,
    rejected_before: VecDeque<DropId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Agent {
    heard: Timestamp,
    unheard: Duration,
    share_problem: Option<String>,
    #[serde(default)]
    share_usable: bool,
    recovering: Option<Recovering>,
}

/// Of which share an agent speaks is known when it next reports.
fn somewhere(agent: String) -> Source {
    Source { agent, share: None }
}

impl From<Memory> for super::Memory {
    fn from(old: Memory) -> Self {
        let workload = |old: Workload| {
            let mut workload = workload::Workload::new(old.known_since);
            // Whether policy or the share said it is not known any more.
            workload.inherited = old.declared.then_some(old.promise);
            workload.last_vaulted = old.last_vaulted;
            workload.waiting_since = old.waiting_since;
            workload.source = old.agent.map(somewhere);
            workload.rejected = old.rejected;
            workload.rejected_before = old.rejected_before;
            workload
        };
        let standing = |old: Agent| Standing {
            unheard: old.unheard,
            problem: old.share_problem,
            usable: old.share_usable,
            recovering: old.recovering,
            ..Standing::new(old.heard)
        };
        let workloads = old.workloads.into_iter().map(|(name, old)| (name, workload(old)));
        let sources = old.agents.into_iter().map(|(name, old)| (somewhere(name), standing(old)));
        let mut memory = Self::new(old.now);
        memory.last_incident_id = old.last_incident_id;
        memory.workloads = workloads.collect();
        memory.sources = sources.collect();
        memory.absence = old.absence;
        memory.open = old.open;
        memory
    }
}
