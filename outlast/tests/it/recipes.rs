//! Recipes on real servers: drop → vault → restore → load → compare, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use serde_json::Value;

use crate::harness::{Role, Up, document, fail, outlast, scratch, succeed, wait_until};
use crate::servers::{MariaDb, Postgres, Redis, give_to};

/// `outlast drop RECIPE` to a share.
fn recipe(share: &Path, name: &str) -> Command {
    let mut command = outlast();
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if ["PG", "MYSQL", "REDIS"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&variable);
        }
    }
    command.args(["drop", name, "--workload", "db", "--share"]).arg(share);
    command
}

/// An empty share.
fn share(directory: &Path) -> PathBuf {
    let share = directory.join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    share
}

/// What came back from the vault.
struct Back {
    target: PathBuf,
    /// The drop's source, as the vault recorded it.
    source: Value,
    /// What the command said of the drop.
    said: Value,
}

impl Back {
    /// A file or directory of the restored tree, wherever it was put.
    #[track_caller]
    fn find(&self, name: &str) -> PathBuf {
        let found = succeed(Command::new("find").arg(&self.target).args(["-name", name]));
        let mut lines = found.lines();
        let path = lines.next().unwrap_or_else(|| panic!("no {name} in {:?}", self.target));
        assert_eq!(lines.next(), None, "{name} is there twice");
        PathBuf::from(path)
    }
}

/// Drops by `command`, waits for the vault and restores from there.
#[track_caller]
fn there_and_back(up: &mut Up, command: &mut Command) -> Back {
    let said = document(command.arg("--json"));
    let drop = said["drop"].as_str().unwrap().to_owned();
    let receipt = up.wait_for_receipt("db", &drop, "vaulted");
    let target = up.dir.with_file_name(format!("back-{drop}"));
    let snapshot = receipt["snapshot"].as_str().unwrap();
    let restore = ["restore", "db", "--snapshot", snapshot, "--into"];
    succeed(up.ask(&restore).arg(&target));
    let snapshots = document(up.ask(&["snapshots", "db", "--json"]).args::<[&str; 0], _>([]));
    let snapshots = snapshots.as_array().or_else(|| snapshots["snapshots"].as_array()).unwrap();
    let of_drop = |it: &&Value| it["drop"] == drop.as_str();
    let source = snapshots.iter().find(of_drop).unwrap()["claims"]["source"].clone();
    Back { target, source, said }
}

/// What the table, the large objects and the roles of a server are.
fn postgres_fingerprint(server: &Postgres) -> String {
    let shop =
        "SELECT md5(string_agg(id || customer || cents, ',' ORDER BY id)) || count(*) FROM orders";
    let objects = "SELECT md5(string_agg(encode(lo_get(oid), 'hex'), ',' ORDER BY oid)) \
                   FROM pg_largeobject_metadata";
    let odd = "SELECT string_agg(word, ',' ORDER BY word) FROM words";
    let roles = "SELECT string_agg(rolname || coalesce(rolpassword, '-'), ',' ORDER BY rolname) \
                 FROM pg_authid WHERE rolname LIKE 'shop%'";
    [("shop", shop), ("shop", objects), (ODD, odd), ("postgres", roles)]
        .map(|(database, query)| server.sql(database, query))
        .concat()
}

/// A database's name with all that could be misunderstood.
const ODD: &str = "it's =a \"B\"/c";

fn fill_postgres(server: &Postgres) {
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("postgres", "CREATE DATABASE \"it's =a \"\"B\"\"/c\"");
    server.sql("postgres", "CREATE ROLE shop_app LOGIN PASSWORD 'secret'; CREATE ROLE shop_read");
    server.sql(
        "shop",
        "CREATE TABLE orders AS SELECT i AS id, md5(i::text) AS customer, i * 13 AS cents \
         FROM generate_series(1, 5000) i; GRANT SELECT ON orders TO shop_read; \
         SELECT lo_from_bytea(0, decode(repeat('c0ffee', 10000), 'hex'))",
    );
    server.sql(ODD, "CREATE TABLE words AS SELECT unnest(ARRAY['a', 'b', E'tab\\t'])  AS word");
}

#[test]
fn a_postgresql_server_comes_back_as_a_script_and_as_directories() {
    let directory = scratch();
    let server = Postgres::start();
    fill_postgres(&server);
    let before = postgres_fingerprint(&server);
    let mut up = Up::start(&directory.path().join("up"));
    let share = up.share.clone();

    let script = there_and_back(&mut up, server.lead(&mut recipe(&share, "postgres")));
    assert_eq!(script.source["kind"], "postgres");
    assert_eq!(script.source["method"], "dump");
    assert_eq!(script.source["databases"]["count"], 4);
    let version = server.sql("postgres", "SHOW server_version");
    assert_eq!(script.source["server"], version.trim());
    assert_eq!(script.said["source"], script.source);
    let path = script.find("postgres.sql");
    let text = fs::read(&path).unwrap();
    assert!(text.ends_with(b"-- PostgreSQL database cluster dump complete\n--\n\n"));
    let second = Postgres::start();
    let errors = second.load(&path);
    // The roles that every server has are there already.
    let others = errors.lines().filter(|line| line.contains("ERROR"));
    let others: Vec<&str> = others.filter(|it| !it.contains("role \"postgres\"")).collect();
    assert!(others.is_empty(), "{errors}");
    assert_eq!(postgres_fingerprint(&second), before);
    drop(second);

    let scratch_room = directory.path().join("scratch");
    fs::create_dir(&scratch_room).unwrap();
    let mut command = recipe(&share, "postgres");
    command.args(["--method", "directory", "--jobs", "2", "--scratch"]).arg(&scratch_room);
    let directories = there_and_back(&mut up, server.lead(&mut command));
    assert_eq!(fs::read_dir(&scratch_room).unwrap().count(), 0, "nothing is left there");
    let third = Postgres::start();
    third.load(&directories.find("globals.sql"));
    third.load_directory(&directories.find("shop"));
    third.load_directory(&directories.find("it%27s%20%3Da%20%22B%22%2Fc"));
    assert_eq!(postgres_fingerprint(&third), before);
    let names: Vec<String> = fs::read_dir(directories.find("databases"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let data = succeed(Command::new("grep").args(["-rlE", "^4999\t"]).arg(&directories.target));
    assert_eq!(data.lines().count(), 1, "the rows are plain text: {data}");
    up.role.stop();
}

#[test]
fn a_base_backup_is_a_server_ready_to_start_with_its_tablespaces() {
    let directory = scratch();
    let server = Postgres::start();
    fill_postgres(&server);
    let place = server.home().join("fast");
    fs::create_dir(&place).unwrap();
    give_to(Postgres::USER, &place);
    server.sql("postgres", &format!("CREATE TABLESPACE fast LOCATION '{}'", place.display()));
    server.sql("shop", "CREATE TABLE quick TABLESPACE fast AS SELECT 42 AS answer");
    let before = postgres_fingerprint(&server);
    let mut up = Up::start(&directory.path().join("up"));
    let share = up.share.clone();
    let mut command = recipe(&share, "postgres");
    command.args(["--method", "basebackup", "--scratch"]).arg(directory.path());
    let back = there_and_back(&mut up, server.lead(&mut command));
    let position = back.source["position"].as_str().unwrap();
    assert!(position.ends_with("on timeline 1"), "{position}");

    // Before anything has run on it.
    let data = back.find("data");
    let verify = Postgres::programs().join("pg_verifybackup");
    let link = fs::read_dir(data.join("pg_tblspc")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read_link(link.path()).unwrap(), place);
    // The tablespace moves to where the link leads; here the server has it there still.
    let moved = back.target.join("tablespace");
    fs::rename(back.find("tablespaces").join(link.file_name()), &moved).unwrap();
    fs::remove_file(link.path()).unwrap();
    std::os::unix::fs::symlink(&moved, link.path()).unwrap();
    succeed(Command::new(verify).arg("-q").arg(&data));
    give_to(Postgres::USER, &moved);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&back.target, fs::Permissions::from_mode(0o755)).unwrap();
    let second = Postgres::start_restored(&data);
    assert_eq!(postgres_fingerprint(&second), before);
    assert_eq!(second.sql("shop", "SELECT answer FROM quick"), "42\n");
    up.role.stop();
}

/// A directory with `name` in it that says what `script` says, for a PATH.
fn program(directory: &Path, name: &str, script: &str) -> PathBuf {
    let bin = directory.join(format!("bin-{name}"));
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

/// The directories of drops that were begun.
fn begun(share: &Path) -> usize {
    let below = |path: PathBuf| fs::read_dir(path).into_iter().flatten().map(|e| e.unwrap().path());
    below(share.join("w/db/drops")).flat_map(below).count()
}

#[test]
fn what_would_be_no_backup_of_postgresql_is_refused_with_what_to_do() {
    let directory = scratch();
    let share = share(directory.path());
    let server = Postgres::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("postgres", "CREATE ROLE app LOGIN; REVOKE CONNECT ON DATABASE shop FROM public");
    let refused = |command: &mut Command, words: [&str; 2]| {
        let said = fail(command, 1);
        for word in words {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    };
    let base = || {
        let mut command = recipe(&share, "postgres");
        server.lead(&mut command);
        command
    };
    let path = |first: &Path| format!("{}:{}", first.display(), std::env::var("PATH").unwrap());
    let old = program(directory.path(), "pg_dump", "echo 'pg_dump (PostgreSQL) 9.6.24'");
    refused(base().env("PATH", path(&old)), ["older than the server", "postgresql-client-"]);
    refused(base().env("PATH", "/nowhere"), ["pg_dump is not installed", "postgresql-client"]);
    refused(base().env("PGHOST", "/nowhere"), ["nothing was sealed", "Does the server run"]);
    refused(base().env("PGUSER", "nobody"), ["does not exist", "--user"]);
    refused(base().env("PGUSER", "app"), ["pg_authid", "--no-role-passwords"]);
    refused(base().args(["--database", "shpo"]), ["\"shpo\" does not exist", "--database"]);
    let both = ["--database", "shop", "--database", "shpo"];
    refused(base().args(both), ["no database \"shpo\"", "shop"]);
    let mut as_app = base();
    as_app.env("PGUSER", "app").args(["--no-role-passwords", "--exclude-database", "postgres"]);
    refused(&mut as_app, ["permission denied", "pg_read_all_data"]);
    let mut replication = base();
    replication.env("PGUSER", "app").args(["--method", "basebackup"]);
    refused(&mut replication, ["pg_basebackup failed", "REPLICATION"]);
    let mut room = base();
    room.args(["--method", "directory", "--scratch-room", "900TiB"]);
    refused(&mut room, ["are free", "--scratch"]);
    let said = fail(base().args(["--", "--dbname=host=x password=hunter2"]), 1);
    assert!(said.contains(".pgpass") && !said.contains("hunter2"), "{said}");
    fail(base().args(["--method", "basebackup", "--database", "shop"]), 2);
    let seals = Command::new("find").arg(&share).args(["-name", "sealed.json"]).output().unwrap();
    assert!(seals.stdout.is_empty(), "nothing is sealed");

    // The application's own user drops its own database.
    server
        .sql("postgres", "GRANT CONNECT ON DATABASE shop TO app; ALTER DATABASE shop OWNER TO app");
    let mut own = base();
    own.env("PGUSER", "app").args(["--database", "shop", "--no-globals"]);
    succeed(&mut own);
}

#[test]
fn whoever_ends_a_recipe_ends_its_programs_and_the_next_one_tidies_up() {
    let directory = scratch();
    let share = share(directory.path());
    let server = Postgres::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", "CREATE TABLE orders AS SELECT 1 AS id");
    let room = directory.path().join("room");
    fs::create_dir(&room).unwrap();
    // A dump that waits for a lock which nobody gives up.
    let mut lock = server.client("psql", "shop");
    lock.push("-c".to_owned());
    lock.push("BEGIN; LOCK orders; SELECT pg_sleep(600)".to_owned());
    let mut holder =
        Role::start(Command::new(&lock[0]).args(&lock[1..]), &directory.path().join("lock"));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump' \
                 AND wait_event_type = 'Lock'";
    let is_waiting = || server.sql("shop", waits).trim() != "0";
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'orders'::regclass AND granted";
    wait_until("the lock is held", || server.sql("shop", held).trim() != "0");
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
        let mut command = recipe(&share, "postgres");
        command.args(["--method", "directory", "--jobs", "1", "--scratch"]).arg(&room);
        let log = directory.path().join("log");
        let mut role = Role::start(server.lead(&mut command), &log);
        wait_until("the dump waits for the lock", || {
            assert!(!role.has_ended(), "{}", role.words());
            is_waiting()
        });
        role.signal(signal);
        assert!(!role.wait().success());
        if signal == rustix::process::Signal::TERM {
            wait_until("the program has ended", || !is_waiting());
            assert!(role.words().contains("SIGTERM"), "{}", role.words());
            assert_eq!(fs::read_dir(&room).unwrap().count(), 0, "scratch is gone");
        }
        // What kill -9 left in its group.
        role.kill();
    }
    holder.kill();
    wait_until("the server has noticed", || server.sql("shop", held).trim() == "0");
    let left = fs::read_dir(&room).unwrap().next().unwrap().unwrap().path();
    // As if some time had gone by.
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options()
        .write(true)
        .open(left.join("lock"))
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let mut command = recipe(&share, "postgres");
    command.args(["--method", "directory", "--scratch"]).arg(&room);
    succeed(server.lead(&mut command));
    assert_eq!(fs::read_dir(&room).unwrap().count(), 0, "what was left is gone, too");
    assert_eq!(begun(&share), 3);
}

#[test]
fn a_mariadb_server_comes_back_with_users_routines_events_and_its_place_in_the_binlog() {
    let Some(server) = MariaDb::start() else { return };
    let directory = scratch();
    server.sql(
        "CREATE DATABASE shop; CREATE DATABASE crm; USE shop;
        CREATE TABLE orders (id INT PRIMARY KEY, note VARCHAR(40) CHARACTER SET utf8mb4, raw BLOB);
        INSERT INTO orders SELECT seq, CONCAT('no ', seq, ' \u{1F600}'), UNHEX(MD5(seq)) FROM seq_1_to_3000;
        CREATE TABLE plain (id INT) ENGINE=MyISAM;
        CREATE TABLE log (id INT); CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW INSERT INTO log VALUES (NEW.id);
        CREATE PROCEDURE p() SELECT 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM log;
        CREATE USER app@localhost IDENTIFIED BY 'secret'; GRANT SELECT ON shop.* TO app@localhost;
        CREATE TABLE crm.people AS SELECT 'ann' AS name;",
    );
    let fingerprint = |server: &MariaDb| {
        server.sql(
            "SELECT COUNT(*), MD5(GROUP_CONCAT(CONCAT(id, note, HEX(raw)) ORDER BY id)) FROM shop.orders;
            SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = 'shop';
            SELECT routine_name FROM information_schema.routines WHERE routine_schema = 'shop';
            SELECT event_name FROM information_schema.events; SELECT name FROM crm.people;
            SHOW GRANTS FOR app@localhost",
        )
    };
    let before = fingerprint(&server);
    let binlog = server.sql("SHOW MASTER STATUS");
    let mut binlog = binlog.split('\t');
    let position = format!("{}:{}", binlog.next().unwrap(), binlog.next().unwrap());
    let mut up = Up::start(&directory.path().join("up"));
    let options = directory.path().join("my.cnf");
    fs::write(&options, "[client]\nuser=root\n").unwrap();
    let share = up.share.clone();
    let base = |share: &Path| {
        let mut command = recipe(share, "mysql");
        command.arg("--socket").arg(server.socket()).arg("--defaults-extra-file").arg(&options);
        command
    };
    let back = there_and_back(&mut up, &mut base(&share));
    assert_eq!(back.source["kind"], "mysql");
    assert!(back.source["server"].as_str().unwrap().contains("MariaDB"), "{}", back.source);
    let found = back.source["position"].as_str().unwrap();
    assert!(found.starts_with(&position), "{found} is not {position}");
    let second = MariaDb::start().unwrap();
    second.load(&back.find("mysql.sql"));
    assert_eq!(fingerprint(&second), before);
    drop(second);

    // Some databases, with users.
    let mut some = base(&share);
    some.args(["--database", "shop", "--no-binlog-position"]);
    let back = there_and_back(&mut up, &mut some);
    assert_eq!(back.source["databases"]["first"], serde_json::json!(["shop"]));
    assert_eq!(back.source["position"], Value::Null);
    let third = MariaDb::start().unwrap();
    third.load(&back.find("mysql.sql"));
    let databases = third.sql("SHOW DATABASES LIKE '%r%m%'; SHOW GRANTS FOR app@localhost");
    assert!(databases.contains("GRANT SELECT ON `shop`.*") && !databases.contains("crm"));
    up.role.stop();

    // What cannot be had is said.
    let said = fail(base(&share).args(["--user", "app"]), 1);
    assert!(said.contains("Access denied") && said.contains(".my.cnf"), "{said}");
    server.sql("CREATE USER reader@localhost; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.* TO reader@localhost");
    let said = fail(base(&share).args(["--user", "reader", "--database", "shop"]), 1);
    assert!(said.contains("-dump failed") && said.contains("--no-globals"), "{said}");
    let mut own = base(&share);
    succeed(own.args(["--user", "reader", "--database", "shop", "--no-globals"]));
    let said = fail(base(&share).args(["--database", "shpo"]), 1);
    assert!(said.contains("no database \"shpo\""), "{said}");
    let said = fail(base(&share).args(["--", "-phunter2"]), 1);
    assert!(said.contains("my.cnf") && !said.contains("hunter2"), "{said}");
    let said = fail(recipe(&share, "mysql").args(["--socket", "/nowhere"]), 1);
    assert!(said.contains("Does the server run"), "{said}");
    let mut ends = base(&share);
    let said = succeed_saying(ends.args(["--database", "shop"]));
    assert!(said.contains("shop.plain (MyISAM)"), "{said}");
}

/// Runs a command that must succeed; what it said on standard error.
#[track_caller]
fn succeed_saying(command: &mut Command) -> String {
    let output = crate::harness::run(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_redis_server_comes_back_and_one_that_has_not_all_is_refused() {
    let Some(server) = Redis::start(None, &[]) else { return };
    let directory = scratch();
    for number in 0..500 {
        server.ask(&["SET", &format!("key:{number}"), &"value".repeat(number % 50)]);
    }
    server.ask(&["HSET", "hash", "a", "1", "b", "2"]);
    server.ask(&["-n", "3", "ZADD", "scores", "1.5", "ann", "2", "bob"]);
    let digest = server.ask(&["DEBUG", "DIGEST"]);
    let mut up = Up::start(&directory.path().join("up"));
    let share = up.share.clone();
    let mut command = recipe(&share, "redis");
    command.arg("--socket").arg(server.socket());
    let back = there_and_back(&mut up, &mut command);
    assert_eq!(back.source["kind"], "redis");
    let second = Redis::start(Some(&back.find("redis.rdb")), &[]).unwrap();
    if digest.contains("ERR") {
        // Not every build lets itself be debugged.
        assert_eq!(second.ask(&["DBSIZE"]), server.ask(&["DBSIZE"]));
    } else {
        assert_eq!(second.ask(&["DEBUG", "DIGEST"]), digest);
    }
    assert_eq!(second.ask(&["-n", "3", "ZSCORE", "scores", "ann"]), "1.5\n");
    up.role.stop();

    let locked = Redis::start(None, &["--requirepass", "hunter2"]).unwrap();
    let base = |server: &Redis| {
        let mut command = recipe(&share, "redis");
        command.arg("--socket").arg(server.socket());
        command
    };
    let said = fail(&mut base(&locked), 1);
    assert!(said.contains("NOAUTH") && said.contains("REDISCLI_AUTH"), "{said}");
    let said = fail(base(&locked).env("REDISCLI_AUTH", "wrong"), 1);
    assert!(said.contains("password in REDISCLI_AUTH"), "{said}");
    succeed(base(&locked).env("REDISCLI_AUTH", "hunter2"));
    // A replica of nobody.
    let lost = Redis::start(None, &["--replicaof", "127.0.0.1", "1"]).unwrap();
    let said = fail(&mut base(&lost), 1);
    assert!(said.contains("lost its primary"), "{said}");
    let said = fail(recipe(&share, "redis").args(["--socket", "/nowhere"]), 1);
    assert!(said.contains("Does the server run"), "{said}");
}

#[test]
fn sqlite_databases_come_back_as_they_were_at_one_moment_while_they_are_written() {
    let directory = scratch();
    let mut up = Up::start(&directory.path().join("up"));
    let share = up.share.clone();
    let at = |name: &str| directory.path().join(name);
    let open = |path: &Path| {
        let database = Connection::open(path).unwrap();
        database.busy_timeout(crate::harness::PATIENCE).unwrap();
        database
    };
    for (name, mode) in [("wal.sqlite", "WAL"), ("plain.sqlite", "DELETE")] {
        let database = open(&at(name));
        database.pragma_update(None, "journal_mode", mode).unwrap();
        database
            .execute_batch(
                "CREATE TABLE debit (cents INT); CREATE TABLE credit (cents INT);
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                INSERT INTO debit SELECT i FROM n; INSERT INTO credit SELECT * FROM debit;",
            )
            .unwrap();
        // A writer for whom the two tables are always equal.
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let path = at(name);
        let writer = std::thread::spawn(move || {
            let database = Connection::open(path).unwrap();
            database.busy_timeout(crate::harness::PATIENCE).unwrap();
            let mut rounds = 0_u64;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let both = "BEGIN IMMEDIATE; INSERT INTO debit VALUES (7); INSERT INTO credit VALUES (7);
                    UPDATE debit SET cents = cents + 1; UPDATE credit SET cents = cents + 1; COMMIT";
                database.execute_batch(both).unwrap();
                rounds += 1;
            }
            rounds
        });
        let mut command = recipe(&share, "sqlite");
        command.arg("--scratch").arg(directory.path()).arg(at(name));
        let back = there_and_back(&mut up, &mut command);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
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
    // Two files are one drop.
    fs::set_permissions(at("wal.sqlite"), fs::Permissions::from_mode(0o640)).unwrap();
    let mut command = recipe(&share, "sqlite");
    command.arg("--scratch").arg(directory.path()).arg(at("wal.sqlite")).arg(at("plain.sqlite"));
    let back = there_and_back(&mut up, &mut command);
    assert_eq!(back.source["databases"]["count"], 2);
    for name in ["wal.sqlite", "plain.sqlite"] {
        let of = |path: &Path| -> i64 {
            open(path).query_row("SELECT SUM(cents) FROM debit", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(of(&back.find(name)), of(&at(name)));
    }
    let mode = fs::metadata(back.find("wal.sqlite")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    up.role.stop();

    let refused = |file: &Path, words: &str| {
        let said = fail(recipe(&share, "sqlite").arg(file), 1);
        assert!(said.contains(words) && said.contains("nothing was sealed"), "{said}");
    };
    refused(&at("missing"), "cannot read");
    fs::write(at("text"), "no database at all").unwrap();
    refused(&at("text"), "no SQLite database");
    fs::write(at("empty"), "").unwrap();
    refused(&at("empty"), "is empty");
    let mut broken = fs::read(at("plain.sqlite")).unwrap();
    let middle = broken.len() / 2;
    broken[middle..middle + 8192].fill(0xaa);
    fs::write(at("broken.sqlite"), broken).unwrap();
    refused(&at("broken.sqlite"), "damaged");
}
