//! SQLite.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{recipe, share, there_and_back};
use crate::harness::{PATIENCE, Up, fail, scratch};

fn open(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database
}

/// A database of two tables that are always equal.
fn make(path: &Path, mode: &str) {
    let database = open(path);
    database.pragma_update(None, "journal_mode", mode).unwrap();
    let tables = "CREATE TABLE debit (cents INT); CREATE TABLE credit (cents INT);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO debit SELECT i FROM n; INSERT INTO credit SELECT * FROM debit;";
    database.execute_batch(tables).unwrap();
}

/// Somebody who writes without a pause, and leaves the two tables equal each time.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Writer {
    fn start(path: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let database = open(&path);
            let mut rounds = 0;
            while !stopped.load(Ordering::Relaxed) {
                let both = "BEGIN IMMEDIATE; INSERT INTO debit VALUES (7); INSERT INTO credit VALUES (7);
                    UPDATE debit SET cents = cents + 1; UPDATE credit SET cents = cents + 1; COMMIT";
                database.execute_batch(both).unwrap();
                rounds += 1;
            }
            rounds
        });
        Self { stop, thread }
    }

    /// How often it has written.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn sqlite_databases_come_back_as_they_were_at_one_moment_while_they_are_written() {
    let directory = scratch();
    let mut up = Up::start(&directory.path().join("up"));
    let share = up.share.clone();
    for (name, mode) in [("wal.sqlite", "WAL"), ("plain.sqlite", "DELETE")] {
        let path = directory.path().join(name);
        make(&path, mode);
        let writer = Writer::start(path.clone());
        let mut command = recipe(&share, "sqlite");
        command.arg("--scratch").arg(directory.path()).arg(&path);
        let back = there_and_back(&mut up, &mut command);
        assert!(writer.stop() > 0);
        assert_eq!(back.source["kind"], "sqlite");
        let copy = open(&back.find(name));
        let ok: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(ok, "ok");
        let sums = "SELECT (SELECT SUM(cents) FROM debit) - (SELECT SUM(cents) FROM credit),
                    (SELECT COUNT(*) FROM debit) >= 20000";
        let (difference, all) = copy
            .query_row(sums, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)))
            .unwrap();
        assert_eq!((difference, all), (0, true), "{mode}");
    }
    up.role.stop();
}

#[test]
fn several_sqlite_databases_are_one_drop_with_owner_and_mode() {
    let directory = scratch();
    let mut up = Up::start(&directory.path().join("up"));
    let at = |name: &str| directory.path().join(name);
    let names = ["wal.sqlite", "plain.sqlite"];
    make(&at(names[0]), "WAL");
    make(&at(names[1]), "DELETE");
    fs::set_permissions(at("wal.sqlite"), fs::Permissions::from_mode(0o640)).unwrap();
    let mut command = recipe(&up.share.clone(), "sqlite");
    command.arg("--scratch").arg(directory.path()).args(names.map(at));
    let back = there_and_back(&mut up, &mut command);
    assert_eq!(back.source["databases"]["count"], 2);
    let mode = fs::metadata(back.find("wal.sqlite")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    for name in names {
        let of = |path: &Path| -> i64 {
            open(path).query_row("SELECT SUM(cents) FROM debit", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(of(&back.find(name)), of(&at(name)));
    }
    up.role.stop();
}

#[test]
fn what_is_no_sound_sqlite_database_is_refused() {
    let directory = scratch();
    let share = share(directory.path());
    let at = |name: &str| directory.path().join(name);
    let refused = |file: &Path, words: &str| {
        let said = fail(recipe(&share, "sqlite").arg(file), 1);
        assert!(said.contains(words) && said.contains("nothing was sealed"), "{said}");
    };
    refused(&at("missing"), "cannot read");
    let write = |name: &str, content: &[u8]| {
        outlast_fs::durable::create_new(&at(name), content, 0o600).unwrap();
    };
    write("text", b"no database at all");
    refused(&at("text"), "no SQLite database");
    write("empty", b"");
    refused(&at("empty"), "is empty");
    make(&at("sound.sqlite"), "DELETE");
    let mut broken = fs::read(at("sound.sqlite")).unwrap();
    let middle = broken.len() / 2;
    broken[middle..middle + 8192].fill(0xaa);
    write("broken.sqlite", &broken);
    refused(&at("broken.sqlite"), "damaged");
}
