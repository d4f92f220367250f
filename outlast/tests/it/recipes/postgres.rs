//! PostgreSQL.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{recipe, share, there_and_back};
use crate::harness::{Role, Up, fail, scratch, succeed, wait_until};
use crate::servers::{Postgres, give_to};

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
    let restored = back.find("tablespaces").join(link.file_name());
    succeed(Command::new("mv").arg(restored).arg(&moved));
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
    let script = format!("#!/bin/sh\n{script}\n");
    outlast_fs::durable::replace(&bin.join(name), script.as_bytes(), 0o755).unwrap();
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
