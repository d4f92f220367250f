//! What goes in and comes out, in the words of the house.

use std::str::FromStr;

use outlast_types::{DropId, Owner, Sanity, ShareId, SnapshotId, Timestamp, WorkloadName};
use rusqlite::Row;
use rusqlite::types::Type;
use serde::{Deserialize, Serialize};

/// A snapshot in a repository.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotRecord {
    pub workload: WorkloadName,
    pub snapshot: SnapshotId,
    /// The drop it holds; `None` if stock restic made it.
    pub drop: Option<DropId>,
    /// When the vault published it, by the vault's clock.
    pub received: Timestamp,
    /// The size of what was backed up; 0 if unknown.
    pub content_bytes: u64,
    /// The size of the objects that came with it; 0 if unknown.
    pub stored_bytes: u64,
    /// What its writer says of itself: recorded, decides nothing (I4).
    pub claims: serde_json::Value,
    /// The signed `vaulted` receipt, as it was given out.
    pub receipt: Option<String>,
    /// What is thought of its content, by the agent and by policy.
    pub sanity: Sanity,
    /// What was promised of it when it came.
    pub terms: Terms,
}

impl SnapshotRecord {
    /// The moment that it brings back: when an agent first saw the drop, as far as the vault believes it.
    pub fn recovery_point(&self) -> Timestamp {
        self.terms.recovery_point.unwrap_or(self.received)
    }
}

/// What was promised of a snapshot when it came, as it is recorded beside it for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// The moment that it brings back, if that is not when it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<Timestamp>,
    /// The class of its workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The rules of retention that were in force, such as `daily=7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable_until: Option<Timestamp>,
    /// When the vault removed it by its rules, or by the word of two operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// An incident that somebody was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRecord {
    pub id: u64,
    pub key: String,
    pub workload: Option<WorkloadName>,
    pub owner: Owner,
    /// The team that was told.
    pub team: String,
    pub cause: RecordedCause,
    pub opened: Timestamp,
    pub resolved: Option<Timestamp>,
}

/// Why an incident was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedCause {
    Data {
        code: String,
        /// As the promise ledger writes it.
        json: String,
    },
    /// A catalog of version 2 kept what was told and not what it was made of.
    Sentence(String),
}

/// A stored piece of the promise ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    pub part: String,
    pub key: String,
    pub state: String,
}

/// How the stored promise ledger changes.
#[derive(Debug, Clone, Copy)]
pub struct LedgerChange<'a> {
    /// Whether all that is stored goes before.
    pub is_whole: bool,
    /// Part, key, and the new state, if the row does not go.
    pub rows: &'a [(&'a str, &'a str, Option<&'a str>)],
}

/// The last report of an agent about a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRecord {
    pub agent: String,
    pub share: Option<ShareId>,
    pub received: Timestamp,
    /// As it came, in JSON.
    pub body: String,
}

/// All that one event changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entry<'a> {
    /// A workload whose snapshots are lost for good, and forgotten.
    pub forgotten: Option<&'a WorkloadName>,
    /// Snapshots of a workload that were removed.
    pub removed: Option<(&'a WorkloadName, &'a [SnapshotId])>,
    pub snapshot: Option<&'a SnapshotRecord>,
    pub report: Option<&'a ReportRecord>,
    pub incidents: &'a [IncidentRecord],
    /// What must be told for these reasons; it stays in the outbox until it was handed on.
    pub outbox: &'a [String],
    pub ledger: Option<LedgerChange<'a>>,
}

/// A workload's snapshots, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub snapshots: u64,
    /// The newest moment that can be brought back, of those that nothing speaks against.
    pub newest: Option<Timestamp>,
}

const NANOS: i64 = 1_000_000_000;

/// A time as SQLite orders it: nanoseconds since 1970, good until the year 2262.
pub(crate) fn nanos(at: Timestamp) -> i64 {
    at.unix_seconds().saturating_mul(NANOS).saturating_add(i64::from(at.nanos()))
}

/// The time in column `index`.
pub(crate) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    let nanos: i64 = row.get(index)?;
    let fraction = u32::try_from(nanos.rem_euclid(NANOS)).unwrap_or(0);
    Ok(Timestamp::from_unix(nanos.div_euclid(NANOS), fraction).unwrap_or(Timestamp::EPOCH))
}

/// The value in the text column `index`. Text that is none of ours is damage.
pub(crate) fn parsed<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.get::<_, String>(index)?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
    })
}
