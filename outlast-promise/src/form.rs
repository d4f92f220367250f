//! The form in which a ledger is stored: rows, each a piece of JSON under a part and a key.
//!
//! Versions 1 and 2 were one document, which a catalog hands on as the one row of a part of its own.

mod v1;
mod v2;

use std::str::FromStr;

use outlast_types::WorkloadName;
use serde::{Deserialize, Serialize};

use crate::error::{LedgerError, VERSION};
use crate::evidence::Evidence;
use crate::state::{Head, LedgerState};
use crate::table::Table;

const HEAD: &str = "head";
const WORKLOAD: &str = "workload";
const SOURCE: &str = "source";
const INCIDENT: &str = "incident";
const LOST: &str = "lost";
const CONTESTED: &str = "contested";
const LIMIT: &str = "limit";
const HANDOVER: &str = "handover";
/// The versions that knew nothing of hand-overs, of scrubs and drills, of why a workload is not dropped, of suspect drops and
/// of limits, and were as the present one otherwise.
const WITHOUT_HANDOVERS: u32 = 7;
const WITHOUT_DRILLS: u32 = 6;
const WITHOUT_REASONS: u32 = 5;
const WITHOUT_SUSPECTS: u32 = 4;
const WITHOUT_LIMITS: u32 = 3;
/// The whole ledger, in an older version.
const DOCUMENT: &str = "document";

/// A stored piece of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The kind of thing it is about; together with the key, it names the row.
    pub part: String,
    pub key: String,
    /// JSON.
    pub state: String,
}

/// A row that is to be stored in place of the one of its name, or to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    pub part: &'static str,
    pub key: String,
    /// JSON; `None` if the row goes.
    pub state: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    head: T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// What is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsaved {
    /// Whether all rows that are stored go before: this is all of it.
    pub is_whole: bool,
    pub rows: Vec<RowChange>,
}

/// A ledger from `rows`, and whether they are of an older version, so that all of it is to be stored
/// anew.
pub(crate) fn decode(
    rows: impl IntoIterator<Item = Row>,
) -> Result<(LedgerState, bool), LedgerError> {
    let (heads, rows): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| [HEAD, DOCUMENT].contains(&row.part.as_str()));
    let [head] = &heads[..] else {
        return Err(LedgerError::Inconsistent("it must have one head, and has none or several"));
    };
    // The version first: another form need not parse as ours.
    let Version { version } = serde_json::from_str(&head.state)?;
    match (head.part.as_str(), version) {
        (
            HEAD,
            VERSION | WITHOUT_HANDOVERS | WITHOUT_DRILLS | WITHOUT_REASONS | WITHOUT_SUSPECTS
            | WITHOUT_LIMITS,
        ) => {
            let Versioned { head, .. } = serde_json::from_str::<Versioned<Head>>(&head.state)?;
            Ok((decode_rows(LedgerState::of(head), rows)?, version != VERSION))
        }
        (DOCUMENT, 0 | 1) => Ok((v1::decode(&head.state)?, true)),
        (DOCUMENT, 2) => Ok((v2::decode(&head.state)?, true)),
        (_, found) => Err(LedgerError::Newer { found }),
    }
}

fn decode_rows(mut state: LedgerState, rows: Vec<Row>) -> Result<LedgerState, LedgerError> {
    let (mut workloads, mut sources, mut open) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lost, mut contested, mut over_limits) = (Vec::new(), Vec::new(), Vec::new());
    let mut handovers = Vec::new();
    for Row { part, key, state } in rows {
        match part.as_str() {
            WORKLOAD => workloads.push((named(&key)?, serde_json::from_str(&state)?)),
            SOURCE => sources.push(serde_json::from_str(&state)?),
            INCIDENT => open.push(serde_json::from_str(&state)?),
            LOST => lost.push(serde_json::from_str(&state)?),
            CONTESTED => contested.push((named(&key)?, serde_json::from_str(&state)?)),
            HANDOVER => handovers.push(serde_json::from_str(&state)?),
            LIMIT => over_limits.push((key, serde_json::from_str(&state)?)),
            _ => return Err(LedgerError::Inconsistent("it has rows of an unknown kind")),
        }
    }
    state.workloads = workloads.into_iter().collect();
    state.sources = sources.into_iter().collect();
    state.handovers = handovers.into_iter().collect();
    state.set_open(open)?;
    state.evidence.set_lost(lost);
    state.evidence.contested = contested.into_iter().collect();
    state.over_limits = over_limits.into_iter().collect();
    Ok(state)
}

fn named(key: &str) -> Result<WorkloadName, LedgerError> {
    WorkloadName::from_str(key)
        .map_err(|_| LedgerError::Inconsistent("a row is of something that is not a workload"))
}

/// The rows that changed since the last time that all were stored; all of them if what is stored
/// `is_outdated`.
pub(crate) fn unsaved(state: &LedgerState, is_outdated: bool) -> Unsaved {
    let mut to = Unsaved { is_whole: is_outdated, rows: Vec::new() };
    if is_outdated || state.head != state.saved_head {
        to.rows.push(head_row(&state.head));
    }
    to.add(WORKLOAD, &state.workloads, |name| name.to_string(), |_, workload| json(workload));
    to.add(SOURCE, &state.sources, |source| source.to_string(), |k, source| json(&(k, source)));
    to.add(HANDOVER, &state.handovers, |id| id.to_string(), |id, it| json(&(id, it)));
    to.add(INCIDENT, &state.open, |key| key.to_string(), |_, incident| json(incident));
    let Evidence { lost, contested } = &state.evidence;
    to.add(LOST, lost, |(workload, drop)| format!("{workload}/{drop}"), |_, lost| json(lost));
    to.add(CONTESTED, contested, |name| name.to_string(), |_, contested| json(contested));
    to.add(LIMIT, &state.over_limits, String::clone, |_, over| json(over));
    to
}

fn head_row(head: &Head) -> RowChange {
    let state = Some(json(&Versioned { version: VERSION, head }));
    RowChange { part: HEAD, key: String::new(), state }
}

impl Unsaved {
    fn add<K: Ord + Clone, V: Clone + PartialEq>(
        &mut self,
        part: &'static str,
        table: &Table<K, V>,
        key: impl Fn(&K) -> String,
        state: impl Fn(&K, &V) -> String,
    ) {
        let change = |(of, row): (&K, Option<&V>)| {
            let state = row.map(|row| state(of, row));
            RowChange { part, key: key(of), state }
        };
        if self.is_whole {
            self.rows.extend(table.iter().map(|(key, row)| change((key, Some(row)))));
        } else {
            self.rows.extend(table.unsaved().map(change));
        }
    }
}

fn json(value: &impl Serialize) -> String {
    // Texts, numbers, and maps keyed by text: nothing here that JSON cannot say.
    serde_json::to_string(value).unwrap_or_default()
}
