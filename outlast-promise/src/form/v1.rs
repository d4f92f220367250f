//! The form of version 1, one document, and how it becomes the present one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outlast_types::{DropId, Timestamp, WorkloadName};
use serde::Deserialize;

use crate::error::LedgerError;
use crate::event::Source;
use crate::incident::{OpenIncident, Recovering};
use crate::promise::Declaration;
use crate::source_state::SourceState;
use crate::state::{Head, LedgerState, VaultOutage};
use crate::workload::{self, Rejected};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "version")]
    _version: u32,
    now: Timestamp,
    last_incident_id: u64,
    workloads: BTreeMap<WorkloadName, Workload>,
    agents: BTreeMap<String, Agent>,
    absence: Option<VaultOutage>,
    open: Vec<OpenIncident>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workload {
    promise: Declaration,
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

pub(super) fn decode(text: &str) -> Result<LedgerState, LedgerError> {
    let old: Document = serde_json::from_str(text)?;
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
    let source = |old: Agent| SourceState {
        unheard: old.unheard,
        problem: old.share_problem,
        usable: old.share_usable,
        recovering: old.recovering,
        ..SourceState::new(old.heard)
    };
    let workloads = old.workloads.into_iter().map(|(name, old)| (name, workload(old)));
    let sources = old.agents.into_iter().map(|(name, old)| (somewhere(name), source(old)));
    let mut state = LedgerState::of(Head {
        last_incident_id: old.last_incident_id,
        outage: old.absence,
        ..Head::new(old.now)
    });
    state.workloads = workloads.collect();
    state.sources = sources.collect();
    state.set_open(old.open)?;
    Ok(state)
}
