//! The tables, and how older ones become these.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::error::{CatalogError, failed};

/// How long to wait for another process, such as an operator's `sqlite3`, to let go.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// One step per schema version: the first makes version 1 from nothing. Steps are never changed,
/// only added.
pub(crate) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE snapshots (
        workload TEXT NOT NULL,
        snapshot TEXT NOT NULL,
        drop_id TEXT,
        received INTEGER NOT NULL,
        content_bytes INTEGER NOT NULL,
        stored_bytes INTEGER NOT NULL,
        claims TEXT NOT NULL,
        receipt TEXT,
        PRIMARY KEY (workload, snapshot)
    ) STRICT;
    -- A drop is one snapshot, whatever is sent how often.
    CREATE UNIQUE INDEX snapshots_by_drop ON snapshots (workload, drop_id)
        WHERE drop_id IS NOT NULL;
    CREATE INDEX snapshots_by_time ON snapshots (workload, received);
    CREATE TABLE incidents (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        workload TEXT,
        owner TEXT NOT NULL,
        team TEXT NOT NULL,
        cause TEXT NOT NULL,
        opened INTEGER NOT NULL,
        resolved INTEGER
    ) STRICT;
    CREATE TABLE reports (
        agent TEXT PRIMARY KEY,
        received INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE TABLE ledger (id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL) STRICT;
",
    "
    -- Two agents of one name each have their say.
    ALTER TABLE reports RENAME TO reports_1;
    CREATE TABLE reports (
        agent TEXT NOT NULL,
        share TEXT NOT NULL,
        received INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (agent, share)
    ) STRICT;
    INSERT INTO reports
        SELECT agent, coalesce(json_extract(body, '$.share'), ''), received, body FROM reports_1
        WHERE json_valid(body);
    DROP TABLE reports_1;
",
    "
    -- A row for each workload, source and incident, written when it changed; what version 2 had was
    -- one document.
    ALTER TABLE ledger RENAME TO ledger_2;
    CREATE TABLE ledger (
        part TEXT NOT NULL,
        key TEXT NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (part, key)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO ledger SELECT 'document', '', state FROM ledger_2;
    DROP TABLE ledger_2;
    -- A cause with a code is data; without one, it is a sentence of version 2.
    ALTER TABLE incidents ADD COLUMN code TEXT;
    -- Numbers are never used again, not even those of entries that were handed on.
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        entry TEXT NOT NULL
    ) STRICT;
",
    "
    -- What is thought of a snapshot's content, as JSON; what speaks against its being a backup.
    ALTER TABLE snapshots ADD COLUMN sanity TEXT;
    ALTER TABLE snapshots ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0;
",
    "
    -- A start asks for the highest number that was given out, and must not read all receipts.
    CREATE INDEX snapshots_by_receipt ON snapshots (json_extract(receipt, '$.sequence'))
        WHERE json_valid(receipt);
",
    "
    -- What was promised of a snapshot when it came, as JSON; and the moment that it brings back, if that
    -- is not when it came.
    ALTER TABLE snapshots ADD COLUMN terms TEXT;
    ALTER TABLE snapshots ADD COLUMN point INTEGER;
",
];

/// Sets the connection up, checks the file, and migrates it to the newest schema.
pub(crate) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), CatalogError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let run = || {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
    };
    let found = run().map_err(|source| failed("open", path, source))?;
    if found > known {
        return Err(CatalogError::Newer { path: path.to_owned(), found, known });
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| failed("check", path, source))?;
    if verdict != "ok" {
        return Err(CatalogError::Damaged { path: path.to_owned(), reason: verdict });
    }
    for (version, step) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        let mut migrate = || {
            let transaction = connection.transaction()?;
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()
        };
        migrate().map_err(|source| failed("migrate the schema", path, source))?;
    }
    Ok(())
}
