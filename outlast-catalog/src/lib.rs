//! What the vault knows, in SQLite: which snapshots came when, which incidents opened and
//! resolved, what agents last said, and where the promise ledger stands.
//!
//! The catalog is a cache (I6): snapshots can be filled in again from the repositories, and what must
//! be kept for ever only passes through its outbox, on the way to a log. No SQL
//! and no SQLite type leaves this crate. Every commit is on disk when it returns (write-ahead log,
//! `synchronous = FULL`), and all that one event changes is one transaction: either the vault
//! remembers all of it or none.

mod error;
mod record;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_types::{DropId, SnapshotId, Timestamp, WorkloadName};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};
use serde::de::DeserializeOwned;

pub use error::CatalogError;
pub use record::{
    Entry, IncidentRecord, LedgerChange, LedgerRow, RecordedCause, ReportRecord, SnapshotRecord,
    Terms, Totals,
};

use error::failed;
use record::{nanos, parsed, time};

/// Incidents that are listed at most; the newest ones.
const INCIDENTS_MAX: u32 = 10_000;

/// The catalog of one vault. One connection, used by one thread at a time.
pub struct Catalog {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Catalog {
    /// Opens the catalog at `path`, makes it if there is none, and brings an older one up to date.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        let mut connection =
            Connection::open(path).map_err(|source| failed("open", path, source))?;
        schema::prepare(&mut connection, path)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// Commits all parts of `entry` together. A snapshot that is there already is left as it was;
    /// an incident replaces its earlier self.
    pub fn commit(&self, entry: &Entry<'_>) -> Result<(), CatalogError> {
        self.transact("commit an entry", |transaction| {
            if let Some(workload) = entry.forgotten {
                transaction
                    .execute("DELETE FROM snapshots WHERE workload = ?1", [workload.as_str()])?;
            }
            if let Some((workload, removed)) = entry.removed {
                let remove = "DELETE FROM snapshots WHERE workload = ?1 AND snapshot = ?2";
                let mut remove = transaction.prepare_cached(remove)?;
                for snapshot in removed {
                    remove.execute([workload.as_str(), &snapshot.to_string()])?;
                }
            }
            if let Some(snapshot) = entry.snapshot {
                insert_snapshot(transaction, snapshot)?;
            }
            if let Some(report) = entry.report {
                transaction.execute(
                    "INSERT OR REPLACE INTO reports (agent, share, received, body) \
                     VALUES (?1, ?2, ?3, ?4)",
                    params![
                        report.agent,
                        report.share.map(|share| share.to_string()).unwrap_or_default(),
                        nanos(report.received),
                        report.body
                    ],
                )?;
            }
            for incident in entry.incidents {
                insert_incident(transaction, incident)?;
            }
            for told in entry.outbox {
                transaction.execute("INSERT INTO outbox (entry) VALUES (?1)", [told])?;
            }
            entry.ledger.map_or(Ok(()), |ledger| change_ledger(transaction, ledger))
        })
    }

    /// Replaces what is known of all snapshots, as a rebuild found them in the repositories, in the
    /// order in which they came.
    pub fn replace_snapshots(&self, snapshots: &[SnapshotRecord]) -> Result<(), CatalogError> {
        self.transact("replace the snapshots", |transaction| {
            transaction.execute("DELETE FROM snapshots", [])?;
            snapshots.iter().try_for_each(|snapshot| insert_snapshot(transaction, snapshot))
        })
    }

    /// What is known of a workload's snapshots, and of what happened to it, is of one that is called `to`.
    pub fn rename(&self, from: &WorkloadName, to: &WorkloadName) -> Result<(), CatalogError> {
        self.transact("rename a workload", |transaction| {
            let names = [to.as_str(), from.as_str()];
            for table in ["snapshots", "incidents"] {
                let sql =
                    format!("UPDATE OR REPLACE {table} SET workload = ?1 WHERE workload = ?2");
                transaction.execute(&sql, names)?;
            }
            Ok(())
        })
    }

    /// The snapshot that holds `drop`, if it was vaulted.
    pub fn snapshot_of_drop(
        &self,
        workload: &WorkloadName,
        drop: DropId,
    ) -> Result<Option<SnapshotRecord>, CatalogError> {
        self.read("look up a drop", |connection| {
            let sql = format!("{SELECT_SNAPSHOTS} WHERE workload = ?1 AND drop_id = ?2");
            connection
                .query_row(&sql, [workload.as_str(), &drop.to_string()], snapshot_of_row)
                .optional()
        })
    }

    /// All snapshots, or those of one workload; the one that came last first. That is an order of
    /// its own: a clock that was wrong for a day must not put them into another one.
    pub fn snapshots(
        &self,
        workload: Option<&WorkloadName>,
    ) -> Result<Vec<SnapshotRecord>, CatalogError> {
        // A condition for both would read the whole table for one workload.
        let of_one = if workload.is_some() { "WHERE workload = ?1" } else { "" };
        self.read("list snapshots", |connection| {
            let sql = format!("{SELECT_SNAPSHOTS} {of_one} ORDER BY rowid DESC");
            let mut statement = connection.prepare_cached(&sql)?;
            let workload = params_from_iter(workload.map(WorkloadName::as_str));
            let rows = statement.query_map(workload, snapshot_of_row)?;
            rows.collect()
        })
    }

    /// The names of a workload's snapshots, without a look at what they are.
    pub fn snapshot_names(
        &self,
        workload: &WorkloadName,
    ) -> Result<BTreeSet<SnapshotId>, CatalogError> {
        self.read("list the names of snapshots", |connection| {
            let sql = "SELECT snapshot FROM snapshots WHERE workload = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([workload.as_str()], |row| parsed(row, 0))?;
            rows.collect()
        })
    }

    /// The highest number that a receipt in the catalog has; 0 if there is none.
    pub fn last_receipt(&self) -> Result<u64, CatalogError> {
        self.read("look up the last receipt", |connection| {
            let number: Option<i64> =
                connection.query_row(SELECT_LAST_RECEIPT, [], |row| row.get(0))?;
            Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
        })
    }

    /// The snapshots of a workload that came last, the newest first.
    pub fn recent_snapshots(
        &self,
        workload: &WorkloadName,
        count: u32,
    ) -> Result<Vec<SnapshotRecord>, CatalogError> {
        self.read("list recent snapshots", |connection| {
            let sql =
                format!("{SELECT_SNAPSHOTS} WHERE workload = ?1 ORDER BY rowid DESC LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![workload.as_str(), count], snapshot_of_row)?;
            rows.collect()
        })
    }

    /// How many snapshots each workload has, and the newest moment that can be brought back.
    pub fn totals(&self) -> Result<BTreeMap<WorkloadName, Totals>, CatalogError> {
        self.read("count snapshots", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT workload, count(*), max(CASE WHEN doubtful = 0 THEN coalesce(point, received) END) \
                 FROM snapshots GROUP BY workload",
            )?;
            let rows = statement.query_map([], |row| {
                let snapshots = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
                let newest = row.get::<_, Option<i64>>(2)?.map(|_| time(row, 2)).transpose()?;
                Ok((parsed(row, 0)?, Totals { snapshots, newest }))
            })?;
            rows.collect()
        })
    }

    /// When the snapshot came that came first of those that a workload has.
    pub fn oldest(&self, workload: &WorkloadName) -> Result<Option<Timestamp>, CatalogError> {
        self.read("look up the oldest snapshot", |connection| {
            let sql = "SELECT min(received) FROM snapshots WHERE workload = ?1";
            connection.query_row(sql, [workload.as_str()], |row| {
                row.get::<_, Option<i64>>(0)?.map(|_| time(row, 0)).transpose()
            })
        })
    }

    /// How many snapshots a workload has.
    pub fn snapshot_count(&self, workload: &WorkloadName) -> Result<u64, CatalogError> {
        self.read("count the snapshots of a workload", |connection| {
            let sql = "SELECT count(*) FROM snapshots WHERE workload = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let count: i64 = statement.query_row([workload.as_str()], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or(0))
        })
    }

    /// The incidents that somebody was told of, newest first, at most the last ten thousand.
    pub fn incidents(&self) -> Result<Vec<IncidentRecord>, CatalogError> {
        self.read("list incidents", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, key, workload, owner, team, cause, opened, resolved, code \
                 FROM incidents ORDER BY id DESC LIMIT ?1",
            )?;
            let rows = statement.query_map([INCIDENTS_MAX], incident_of_row)?;
            rows.collect()
        })
    }

    /// The highest number of an incident that somebody was told of; 0 if there was none.
    pub fn last_incident_id(&self) -> Result<u64, CatalogError> {
        self.read("find the last incident", |connection| {
            let sql = "SELECT coalesce(max(id), 0) FROM incidents";
            let id: i64 = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(u64::try_from(id).unwrap_or(0))
        })
    }

    /// The promise ledger as it was last committed; empty if there is none.
    pub fn ledger(&self) -> Result<Vec<LedgerRow>, CatalogError> {
        self.read("read the ledger", |connection| {
            let mut statement = connection.prepare_cached("SELECT part, key, state FROM ledger")?;
            let rows = statement.query_map([], |row| {
                Ok(LedgerRow { part: row.get(0)?, key: row.get(1)?, state: row.get(2)? })
            })?;
            rows.collect()
        })
    }

    /// Whether a promise ledger was ever committed.
    pub fn has_ledger(&self) -> Result<bool, CatalogError> {
        self.read("look for the ledger", |connection| {
            connection.query_row("SELECT EXISTS (SELECT 1 FROM ledger)", [], |row| row.get(0))
        })
    }

    /// What is to be handed on, with its numbers, the oldest first; at most `count` entries.
    pub fn outbox(&self, count: u32) -> Result<Vec<(u64, String)>, CatalogError> {
        self.read("read the outbox", |connection| {
            let sql = "SELECT number, entry FROM outbox ORDER BY number LIMIT ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([count], |row| {
                Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), row.get(1)?))
            })?;
            rows.collect()
        })
    }

    /// All entries of the outbox up to this number were handed on, and are kept elsewhere.
    pub fn handed_on(&self, number: u64) -> Result<(), CatalogError> {
        self.transact("empty the outbox", |transaction| {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            transaction.execute("DELETE FROM outbox WHERE number <= ?1", [number]).map(drop)
        })
    }

    /// Entries of the outbox are numbered from after `number` at least: an earlier catalog has used
    /// those before.
    pub fn number_outbox_after(&self, number: u64) -> Result<(), CatalogError> {
        self.transact("number the outbox", |transaction| {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            let sequence = "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'outbox'";
            if transaction.execute(sequence, [number])? == 0 {
                let sequence = "INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?1)";
                transaction.execute(sequence, [number])?;
            }
            Ok(())
        })
    }

    /// The last report of each agent about each share, by name.
    pub fn reports(&self) -> Result<Vec<ReportRecord>, CatalogError> {
        self.read("list agent reports", |connection| {
            let mut statement = connection
                .prepare_cached("SELECT agent, share, received, body FROM reports ORDER BY 1, 2")?;
            let rows = statement.query_map([], |row| {
                // Reports of version 1 did not say.
                let said = row.get::<_, String>(1)?;
                let share = (!said.is_empty()).then(|| parsed(row, 1)).transpose()?;
                let (received, body) = (time(row, 2)?, row.get(3)?);
                Ok(ReportRecord { agent: row.get(0)?, share, received, body })
            })?;
            rows.collect()
        })
    }

    fn read<T>(
        &self,
        action: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CatalogError> {
        query(&self.lock()).map_err(|source| failed(action, &self.path, source))
    }

    fn transact(
        &self,
        action: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), CatalogError> {
        let mut connection = self.lock();
        let run = || {
            let transaction = connection.transaction()?;
            change(&transaction)?;
            transaction.commit()
        };
        run().map_err(|source| failed(action, &self.path, source))
    }

    /// A panic of another thread leaves no half transaction: its guard rolled back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SELECT_SNAPSHOTS: &str = "SELECT workload, snapshot, drop_id, received, content_bytes, \
                                stored_bytes, claims, receipt, sanity, terms FROM snapshots";

/// In the words of its index.
const SELECT_LAST_RECEIPT: &str = "SELECT max(json_extract(receipt, '$.sequence')) FROM snapshots \
                                   WHERE json_valid(receipt)";

fn insert_snapshot(
    transaction: &Transaction<'_>,
    snapshot: &SnapshotRecord,
) -> rusqlite::Result<()> {
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    transaction
        .prepare_cached(
            "INSERT INTO snapshots (workload, snapshot, drop_id, received, content_bytes, \
             stored_bytes, claims, receipt, sanity, doubtful, terms, point) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (workload, snapshot) DO UPDATE SET drop_id = excluded.drop_id, \
             received = excluded.received, content_bytes = excluded.content_bytes, \
             claims = excluded.claims, receipt = excluded.receipt, sanity = excluded.sanity, \
             doubtful = excluded.doubtful, terms = excluded.terms, point = excluded.point \
             WHERE snapshots.drop_id IS NULL AND excluded.drop_id IS NOT NULL",
        )?
        .execute(params![
            snapshot.workload.as_str(),
            snapshot.snapshot.to_string(),
            snapshot.drop.map(|drop| drop.to_string()),
            nanos(snapshot.received),
            size(snapshot.content_bytes),
            size(snapshot.stored_bytes),
            snapshot.claims.to_string(),
            snapshot.receipt,
            // Texts and numbers: nothing that JSON cannot say.
            serde_json::to_string(&snapshot.sanity).unwrap_or_default(),
            !snapshot.sanity.counts(),
            serde_json::to_string(&snapshot.terms).unwrap_or_default(),
            snapshot.terms.recovery_point.map(nanos),
        ])?;
    Ok(())
}

fn insert_incident(
    transaction: &Transaction<'_>,
    incident: &IncidentRecord,
) -> rusqlite::Result<()> {
    let (code, cause) = match &incident.cause {
        RecordedCause::Data { code, json } => (Some(code), json),
        RecordedCause::Sentence(sentence) => (None, sentence),
    };
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO incidents (id, key, workload, owner, team, cause, opened, \
             resolved, code) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            i64::try_from(incident.id).unwrap_or(i64::MAX),
            incident.key,
            incident.workload.as_ref().map(WorkloadName::as_str),
            incident.owner.as_str(),
            incident.team,
            cause,
            nanos(incident.opened),
            incident.resolved.map(nanos),
            code,
        ])?;
    Ok(())
}

fn change_ledger(transaction: &Transaction<'_>, change: LedgerChange<'_>) -> rusqlite::Result<()> {
    if change.is_whole {
        transaction.execute("DELETE FROM ledger", [])?;
    }
    let put = "INSERT OR REPLACE INTO ledger (part, key, state) VALUES (?1, ?2, ?3)";
    let mut put = transaction.prepare_cached(put)?;
    let mut remove =
        transaction.prepare_cached("DELETE FROM ledger WHERE part = ?1 AND key = ?2")?;
    for (part, key, state) in change.rows {
        match state {
            Some(state) => put.execute([part, key, state])?,
            None => remove.execute([part, key])?,
        };
    }
    Ok(())
}

fn snapshot_of_row(row: &Row<'_>) -> rusqlite::Result<SnapshotRecord> {
    let size = |index| row.get::<_, i64>(index).map(|bytes| u64::try_from(bytes).unwrap_or(0));
    Ok(SnapshotRecord {
        workload: parsed(row, 0)?,
        snapshot: parsed(row, 1)?,
        drop: row.get::<_, Option<String>>(2)?.map(|_| parsed(row, 2)).transpose()?,
        received: time(row, 3)?,
        content_bytes: size(4)?,
        stored_bytes: size(5)?,
        claims: parsed(row, 6)?,
        receipt: row.get(7)?,
        sanity: json_of_row(row, 8)?,
        terms: json_of_row(row, 9)?,
    })
}

/// What is said of a snapshot in a column; nothing of one of before there was such a column.
fn json_of_row<T: Default + DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text = row.get::<_, Option<String>>(index)?;
    text.map_or(Ok(T::default()), |text| {
        serde_json::from_str(&text).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
        })
    })
}

fn incident_of_row(row: &Row<'_>) -> rusqlite::Result<IncidentRecord> {
    Ok(IncidentRecord {
        id: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        key: row.get(1)?,
        workload: row.get::<_, Option<String>>(2)?.map(|_| parsed(row, 2)).transpose()?,
        owner: parsed(row, 3)?,
        team: row.get(4)?,
        cause: match row.get(8)? {
            Some(code) => RecordedCause::Data { code, json: row.get(5)? },
            None => RecordedCause::Sentence(row.get(5)?),
        },
        opened: time(row, 6)?,
        resolved: row.get::<_, Option<i64>>(7)?.map(|_| time(row, 7)).transpose()?,
    })
}

#[cfg(test)]
mod tests;
