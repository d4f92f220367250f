//! A directory of `outlast up` as an older release left it: all that it knows is known, and goes on.
//!
//! `upgrade/up.tar.gz` was made by release 0.1.0 at 2010e8b, `upgrade/answers.json` holds the answers of that
//! release about it. Its keys are those of an authority that lives in this archive only. In it:
//!
//! - `shop-db`: three drops vaulted, of which one has left the share, and one sealed while nothing ran;
//! - `shop-files`: a tree, declared on the share; `shop-log` paused, `shop-old` retired;
//! - `shop-late`: broken its promise twice, of which one incident is open;
//! - `shop-bad`: a sealed drop whose content was changed, in quarantine, with its open incident.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Up, document, outlast, run, scratch, succeed};

/// The drop of `shop-db` that nobody had shipped.
const WAITING: &str = "01a2149d-c5b2-708d-9b22-3437690b7cc8";
/// The drop of `shop-bad` that was refused.
const REFUSED: &str = "01a2149d-a640-72b0-8a14-036db8e42e7c";

#[test]
fn a_directory_of_the_release_before_is_read_and_goes_on_with_all_it_knew() {
    let directory = scratch();
    let dir = unpack(directory.path());
    let answers = answers();
    let receipts = receipts(&dir);
    let mut up = Up::start(&dir);

    // The snapshots, and what is known of each.
    let vaulted = up.wait_for_receipt("shop-db", WAITING, "vaulted");
    for (workload, expected) in answers["snapshots"].as_object().unwrap() {
        let found = snapshots(&up, workload);
        for snapshot in expected.as_array().unwrap() {
            let same = |other: &&Value| other["id"] == snapshot["id"];
            let other = found.iter().find(same).unwrap_or_else(|| panic!("lost: {snapshot}"));
            for member in ["received", "tags", "bytes", "tree"] {
                assert_eq!(other[member], snapshot[member], "{workload}: {member}");
            }
        }
        let news = usize::from(workload == "shop-db");
        assert_eq!(found.len(), expected.as_array().unwrap().len() + news, "{workload}");
    }
    assert_eq!(vaulted["workload"], "shop-db");

    // The history of incidents and orders.
    let incidents = up.incidents();
    for expected in answers["incidents"].as_array().unwrap() {
        let same = |other: &&Value| {
            ["key", "opened", "owner", "workload"].iter().all(|key| other[key] == expected[key])
        };
        let found = incidents.iter().find(same);
        let found = found.unwrap_or_else(|| panic!("lost: {expected}\n{incidents:#?}"));
        let cause = found["cause"].as_str().unwrap();
        assert!(cause.contains(expected["workload"].as_str().unwrap()), "{cause}");
        if !expected["resolved"].is_null() {
            assert_eq!(found["resolved"], expected["resolved"]);
        }
    }
    let refused = |incident: &&Value| incident["key"] == "rejected-drop/shop-bad";
    assert_eq!(incidents.iter().filter(refused).count(), 1, "it is told once: {incidents:#?}");
    for order in answers["orders"].as_array().unwrap() {
        let workload = order["workload"].as_str().unwrap();
        let shown = document(&mut up.ask(&["workload", "show", workload, "--json"]));
        let found = shown["orders"].as_array().unwrap().iter().find(|found| *found == order);
        assert!(found.is_some(), "lost: {order}\n{shown:#}");
    }
    let shown = document(&mut up.ask(&["workload", "show", "shop-db", "--json"]));
    let workload = &shown["workloads"][0];
    assert_eq!(
        (&workload["rpo_seconds"], &workload["owner"]),
        (&43_200.into(), &"team-shop".into())
    );

    // The promises on the share, receipts included: nothing is done twice, and nothing undone.
    let is_there = |drop: &str| up.drop_directory("shop-bad", drop).is_some();
    assert!(is_there(REFUSED), "what is in quarantine stays");
    for (path, content) in receipts {
        assert!(fs::read(&path).unwrap() == content, "{} changed", path.display());
    }
    up.role.stop();
}

#[test]
fn what_the_release_before_vaulted_is_restored_and_stock_restic_finds_it_sound() {
    let directory = scratch();
    let dir = unpack(directory.path());
    let mut up = Up::start(&dir);
    up.wait_for_receipt("shop-db", WAITING, "vaulted");
    let numbers = |from: u32, to: u32| (from..=to).map(|n| format!("{n}\n")).collect::<String>();
    let expected: BTreeSet<String> =
        [numbers(1000, 6000), numbers(2000, 7000), numbers(3000, 8000), numbers(9000, 9900)].into();
    let mut found = BTreeSet::new();
    for snapshot in snapshots(&up, "shop-db") {
        let id = snapshot["id"].as_str().unwrap();
        found.insert(succeed(&mut up.ask(&["cat", "shop-db", "/shop.sql", "--snapshot", id])));
    }
    assert!(found == expected, "the four dumps are what was dropped");

    let target = directory.path().join("restored");
    succeed(up.ask(&["restore", "shop-files", "--verify", "--into"]).arg(&target));
    let source = target.join("src/files");
    assert!(fs::read_to_string(source.join("numbers")).unwrap() == numbers(1, 3000));
    assert_eq!(fs::read_link(source.join("link")).unwrap(), Path::new("numbers"));
    assert_eq!(fs::read_to_string(source.join("sub/näme")).unwrap(), "blue & <green>\n");
    for workload in ["shop-db", "shop-files", "shop-late", "shop-log", "shop-old"] {
        succeed(up.restic(workload).args(["check", "--read-data"]));
    }
    up.role.stop();
}

#[test]
fn a_rebuilt_catalog_of_the_release_before_still_knows_its_incidents_and_snapshots() {
    let directory = scratch();
    let dir = unpack(directory.path());
    let answers = answers();
    let mut rebuild = outlast();
    let mut up = Up::start(&dir);
    up.wait_for_receipt("shop-db", WAITING, "vaulted");
    up.role.stop();
    succeed(rebuild.args(["vault", "--rebuild-catalog", "--config"]).arg(dir.join("vault.toml")));
    let up = Up::start(&dir);
    assert_eq!(snapshots(&up, "shop-db").len(), 4);
    let incidents = up.incidents();
    for expected in answers["incidents"].as_array().unwrap() {
        let same = |other: &&Value| ["key", "opened"].iter().all(|key| other[key] == expected[key]);
        assert!(incidents.iter().any(|other| same(&other)), "lost: {expected}\n{incidents:#?}");
    }
}

/// The archive's directory, unpacked below `place`; `up` finds its own way wherever it lies.
fn unpack(place: &Path) -> PathBuf {
    let archive = fixture("up.tar.gz");
    let mut tar = Command::new("tar");
    let output = run(tar.arg("-xzf").arg(archive).arg("-C").arg(place).arg("--no-same-owner"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    place.join("up")
}

fn answers() -> Value {
    serde_json::from_slice(&fs::read(fixture("answers.json")).unwrap()).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/upgrade").join(name)
}

fn snapshots(up: &Up, workload: &str) -> Vec<Value> {
    // A workload of which nothing was ever vaulted has no list.
    let output = run(&mut up.ask(&["snapshots", workload, "--json"]));
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    listed.as_array().cloned().unwrap_or_default()
}

/// Every receipt on the share, with its content.
fn receipts(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let workloads = fs::read_dir(dir.join("share/w")).unwrap();
    let folders = workloads.map(|workload| workload.unwrap().path().join("receipts"));
    let listed = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let paths = listed.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}
