//! What shows that backups can be had: scrubs and drills.

use std::collections::BTreeMap;

use outlast_types::{SnapshotId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

/// `GET /api/v1/scrubs` gives a list of these, by workload: what was read of each repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubView {
    pub workload: WorkloadName,
    /// `damaged`, `overdue`, `reading`, `verified` or `waiting`: nothing was read yet, and nothing is due.
    pub state: String,
    /// All data is to be read within so long.
    pub period_seconds: u64,
    /// Since when some of it is unread.
    pub unread_since: Timestamp,
    /// When something is to be read next.
    pub due: Timestamp,
    /// The last round that ended: each pack that was there all the time was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    #[serde(default)]
    pub packs: u64,
    #[serde(default)]
    pub bytes: u64,
    /// How far the round is that is under way, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts_read: Option<u32>,
    pub parts: u32,
    /// What is damaged: how many things, and the first of them in words.
    #[serde(default)]
    pub problems: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems_named: Vec<String>,
    /// Snapshots of which something cannot be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots_hit: Vec<SnapshotId>,
    /// Whether the last attempt to read something failed.
    #[serde(default)]
    pub failed: bool,
}

/// `POST /api/v1/workloads/<workload>/drill`: to bring a backup back now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillOrder {
    /// The beginning of a snapshot's id; else policy picks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// `stream` or `load`; else as policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

/// `GET /api/v1/drills` gives a list of these: one drill each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillView {
    pub workload: WorkloadName,
    /// Counts up for each workload.
    pub number: u64,
    pub snapshot: SnapshotId,
    /// Who asked for it: `vault` if policy did.
    pub by: String,
    pub began: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// `running`, `good` or `failed`.
    pub state: String,
    /// How far it was to go, and how far it went: `stream` or `load`.
    pub wanted: String,
    pub level: String,
    /// Why it went less far than it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowered: Option<String>,
    /// What was done with it: `postgresql`, `mariadb`, `sqlite`, `files`, `command` or `none`.
    pub recipe: String,
    /// How it was kept from everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    pub phases: Vec<DrillPhase>,
    /// What was counted: files, bytes, tables, rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// In which phase it failed, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_in: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How long it took from the beginning until the answer was there, if it was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_milliseconds: Option<u64>,
}

/// A phase of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillPhase {
    /// `read`, `restore`, `start`, `load` or `check`.
    pub name: String,
    pub milliseconds: u64,
    #[serde(default)]
    pub bytes: u64,
}

/// `GET /api/v1/reports/<month>?format=json|csv|html` gives one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthReportView {
    pub month: String,
    pub format: String,
    /// Whether it is final, and the same for ever.
    pub frozen: bool,
    /// The report itself, to the byte.
    pub document: String,
}
