//! MySQL and MariaDB.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{recipe, share, there_and_back};
use crate::harness::{Up, fail, run, scratch, succeed};
use crate::servers::MariaDb;

/// Tables of two kinds, all that belongs to a database beside them, and a user.
fn fill(server: &MariaDb) {
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
}

/// All of that, as far as it must come back.
fn fingerprint(server: &MariaDb) -> String {
    server.sql(
        "SELECT COUNT(*), MD5(GROUP_CONCAT(CONCAT(id, note, HEX(raw)) ORDER BY id)) FROM shop.orders;
        SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = 'shop';
        SELECT routine_name FROM information_schema.routines WHERE routine_schema = 'shop';
        SELECT event_name FROM information_schema.events; SELECT name FROM crm.people;
        SHOW GRANTS FOR app@localhost",
    )
}

/// The recipe, led to `server` by a file with options.
fn base(server: &MariaDb, directory: &Path, share: &Path) -> Command {
    let options = directory.join("my.cnf");
    outlast_fs::durable::replace(&options, b"[client]\nuser=root\n", 0o600).unwrap();
    let mut command = recipe(share, "mysql");
    command.arg("--socket").arg(server.socket()).arg("--defaults-extra-file").arg(&options);
    command
}

#[test]
fn a_mariadb_server_comes_back_with_users_routines_events_and_its_place_in_the_binlog() {
    let Some(server) = MariaDb::start() else { return };
    let directory = scratch();
    fill(&server);
    let before = fingerprint(&server);
    let binlog = server.sql("SHOW MASTER STATUS");
    let mut binlog = binlog.split('\t');
    let position = format!("{}:{}", binlog.next().unwrap(), binlog.next().unwrap());
    let mut up = Up::start(&directory.path().join("up"));
    let share = up.share.clone();
    let base = |share: &Path| base(&server, directory.path(), share);
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
}

#[test]
fn what_of_mariadb_cannot_be_had_is_said() {
    let Some(server) = MariaDb::start() else { return };
    let directory = scratch();
    let share = share(directory.path());
    fill(&server);
    let base = |share: &Path| base(&server, directory.path(), share);
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
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}
