//! The form of version 2, one document, and how it becomes the present one.

use std::collections::BTreeMap;

use outlast_types::{Timestamp, WorkloadName};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::LedgerError;
use crate::event::{Source, Validity};
use crate::evidence::{Contested, Lost};
use crate::incident::OpenIncident;
use crate::source_state::SourceState;
use crate::state::{Head, LedgerState, VaultOutage};
use crate::workload::Workload;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "version")]
    _version: u32,
    now: Timestamp,
    last_incident_id: u64,
    last_order: u64,
    workloads: BTreeMap<WorkloadName, Map<String, Value>>,
    sources: Vec<(Source, SourceState)>,
    certificates: BTreeMap<String, Validity>,
    absence: Option<VaultOutage>,
    evidence: Evidence,
    open: Vec<OpenIncident>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    lost: Vec<Lost>,
    contested: BTreeMap<WorkloadName, Contested>,
}

pub(super) fn decode(text: &str) -> Result<LedgerState, LedgerError> {
    let old: Document = serde_json::from_str(text)?;
    let mut state = LedgerState::of(Head {
        last_incident_id: old.last_incident_id,
        last_order: old.last_order,
        certificates: old.certificates,
        outage: old.absence,
        ..Head::new(old.now)
    });
    let workload = |(name, mut row): (WorkloadName, Map<String, Value>)| {
        // A copy of what policy said then.
        row.remove("policy");
        serde_json::from_value::<Workload>(Value::Object(row)).map(|workload| (name, workload))
    };
    state.workloads = old.workloads.into_iter().map(workload).collect::<Result<_, _>>()?;
    state.sources = old.sources.into_iter().collect();
    state.set_open(old.open)?;
    state.evidence.set_lost(old.evidence.lost);
    state.evidence.contested = old.evidence.contested.into_iter().collect();
    Ok(state)
}
