//! The whole road on real input: instance → share → agent → vault → restore, judged by
//! PostgreSQL, stock restic and the bytes themselves.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use outlast_testing::{add_raw_link_targets, compare_trees, pseudo_random, torture_tree};

use crate::harness::{Up, restored, scratch, succeed};
use crate::servers::Postgres;

/// Rows whose dump is a little over 1 GB.
const POSTGRES_ROWS: u32 = 7_400_000;
const FILES: u32 = 40_000;

#[test]
fn a_postgresql_database_of_a_gigabyte_comes_back_row_for_row() {
    let directory = scratch();
    let server = Postgres::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        &format!(
            "CREATE TABLE orders AS SELECT i AS id, md5(i::text) || md5((i * 7)::text) AS customer, \
             timestamptz '2026-01-01' + i * interval '1 second' AS placed, \
             repeat(chr(97 + i % 26), i % 60) || '\\t\\\"é' AS remark, \
             CASE WHEN i % 11 = 0 THEN NULL ELSE i * 13 END AS cents \
             FROM generate_series(1, {POSTGRES_ROWS}) i"
        ),
    );
    let mut up = Up::start(&directory.path().join("up"));
    let mut dump = vec!["--exec".to_owned(), "shop.sql".to_owned(), "--".to_owned()];
    dump.extend(server.client("pg_dump", "shop"));
    let drop = up.drop("shop-db", &dump);
    let receipt = up.wait_for_receipt("shop-db", &drop, "vaulted");
    assert_eq!(receipt["drop"], drop);

    let target = directory.path().join("restored");
    succeed(up.ask(&["restore", "shop-db", "--into"]).arg(&target));
    let sql = target.join("shop.sql");
    assert!(fs::metadata(&sql).unwrap().len() > 1_000_000_000, "the dump must be a real load");
    server.sql("postgres", "CREATE DATABASE restored");
    let client = server.client("psql", "restored");
    succeed(
        Command::new(&client[0])
            .args(&client[1..])
            .args(["-v", "ON_ERROR_STOP=1", "-qf"])
            .arg(&sql),
    );
    let fingerprint = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM orders t";
    assert_eq!(server.sql("restored", fingerprint), server.sql("shop", fingerprint));

    succeed(up.restic("shop-db").args(["check", "--read-data"]));
    let dumped = succeed(
        Command::new("sh")
            .arg("-c")
            .arg("\"$@\" | cmp - \"$EXPECTED\" && echo equal")
            .arg("sh")
            .args([up.restic("shop-db").get_program()])
            .args(up.restic("shop-db").get_args())
            .args(["dump", "latest", "/shop.sql"])
            .env("EXPECTED", &sql),
    );
    assert_eq!(dumped, "equal\n");
    assert!(up.incidents().is_empty());
    up.role.stop();
}

#[test]
fn a_tree_of_forty_thousand_files_and_a_torture_tree_come_back_equal() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    make_many_files(&tree.join("many"), FILES);
    fs::create_dir(tree.join("torture")).unwrap();
    for skipped in torture_tree(&tree.join("torture")).unwrap() {
        println!("not in the tree: {skipped}");
    }
    let mut up = Up::start(&directory.path().join("up"));
    let drop = up.drop("files", &[&tree]);

    let fetched = directory.path().join("fetched");
    succeed(
        crate::harness::outlast()
            .args(["fetch", "--privileged", "--workload", "files", "--share"])
            .arg(&up.share)
            .arg("--into")
            .arg(&fetched),
    );
    assert_eq!(compare_trees(&tree, &restored(&fetched, &tree)), Vec::<String>::new(), "fetched");

    up.wait_for_receipt("files", &drop, "vaulted");
    let ours = directory.path().join("ours");
    succeed(up.ask(&["restore", "files", "--privileged", "--into"]).arg(&ours));
    assert_eq!(compare_trees(&tree, &restored(&ours, &tree)), Vec::<String>::new(), "restored");

    succeed(up.restic("files").args(["check", "--read-data"]));
    let theirs = directory.path().join("theirs");
    succeed(up.restic("files").args(["restore", "latest", "--target"]).arg(&theirs));
    assert_eq!(compare_trees(&tree, &restored(&theirs, &tree)), Vec::<String>::new(), "by restic");
    up.role.stop();
}

#[test]
fn link_targets_that_are_not_utf8_survive_the_road() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    add_raw_link_targets(&tree).unwrap();
    let mut up = Up::start(&directory.path().join("up"));
    let drop = up.drop("links", &[&tree]);
    up.wait_for_receipt("links", &drop, "vaulted");
    let target = directory.path().join("restored");
    succeed(up.ask(&["restore", "links", "--into"]).arg(&target));
    assert_eq!(compare_trees(&tree, &restored(&target, &tree)), Vec::<String>::new());
}

#[test]
fn the_share_keeps_the_newest_two_and_the_vault_keeps_all() {
    let directory = scratch();
    let file = directory.path().join("note");
    let mut up = Up::start(&directory.path().join("up"));
    let mut drops = Vec::new();
    for version in 0..4 {
        File::create(&file).unwrap().write_all(format!("version {version}").as_bytes()).unwrap();
        let drop = up.drop("notes", &[&file]);
        up.wait_for_receipt("notes", &drop, "vaulted");
        drops.push(drop);
    }
    for released in &drops[..2] {
        up.wait_for_receipt("notes", released, "released");
        crate::harness::wait_until("the released data leaves the share", || {
            up.drop_directory("notes", released).is_none()
        });
    }
    for kept in &drops[2..] {
        let directory = up.drop_directory("notes", kept).expect("the newest two stay");
        assert!(directory.join("sealed.json").exists());
    }
    let listed = succeed(&mut up.ask(&["snapshots", "notes", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 4, "{listed}");
}

#[test]
fn up_goes_on_where_it_was_after_a_restart() {
    let directory = scratch();
    let file = directory.path().join("note");
    File::create(&file).unwrap().write_all(b"before").unwrap();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    let before = up.drop("notes", &[&file]);
    up.wait_for_receipt("notes", &before, "vaulted");
    up.role.stop();

    File::create(&file).unwrap().write_all(b"while it was down").unwrap();
    let while_down = up.drop("notes", &[&file]);
    let mut up = Up::start(&dir);
    up.wait_for_receipt("notes", &while_down, "vaulted");
    let target = directory.path().join("restored");
    succeed(up.ask(&["restore", "notes", "--into"]).arg(&target));
    assert_eq!(fs::read(restored(&target, &file)).unwrap(), b"while it was down");
    assert!(up.incidents().is_empty(), "a restart pages nobody");
}

#[test]
fn the_catalog_is_a_cache_that_a_command_rebuilds() {
    let directory = scratch();
    let file = directory.path().join("note");
    File::create(&file).unwrap().write_all(b"kept").unwrap();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    for _ in 0..3 {
        let drop = up.drop("notes", &[&file]);
        up.wait_for_receipt("notes", &drop, "vaulted");
    }
    let snapshots = |up: &Up| {
        let listed = succeed(&mut up.ask(&["workload", "list", "--json"]));
        let mut listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        // How long ago something was changes while one looks; the moments themselves are compared.
        for workload in listed["workloads"].as_array_mut().unwrap() {
            workload["told"].as_object_mut().unwrap().remove("sentence").unwrap();
        }
        listed["workloads"].clone()
    };
    let before = snapshots(&up);
    up.role.stop();
    for leftover in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = fs::remove_file(dir.join("vault").join(leftover));
    }
    let mut rebuild = crate::harness::outlast();
    let config = dir.join("vault.toml");
    let said = succeed(rebuild.args(["vault", "--rebuild-catalog", "--config"]).arg(config));
    assert_eq!(said, "rebuilt the catalog: 3 snapshots of 1 workload\n");
    let up = Up::start(&dir);
    crate::harness::wait_until("all is as it was", || snapshots(&up) == before);
}

/// Files as source trees have them: many, small, alike but not equal.
fn make_many_files(root: &Path, count: u32) {
    for index in 0..count {
        let directory =
            root.join(format!("crate-{:03}", index / 200)).join(format!("m{}", index / 20 % 10));
        if index % 20 == 0 {
            fs::create_dir_all(&directory).unwrap();
        }
        let mut file = File::create(directory.join(format!("file-{index}.rs"))).unwrap();
        let size = (index as usize * 7919) % 6000;
        if index % 50 == 0 {
            file.write_all(&pseudo_random(u64::from(index), size * 20)).unwrap();
        } else {
            let line = format!("fn number_{index}() -> u32 {{ {index} }} // one of many\n");
            file.write_all(line.repeat(size / line.len() + 1).as_bytes()).unwrap();
        }
    }
}
