//! The whole life of a drop that is handed over.

use std::fs;

use outlast_handover::{Holds, JobFacts, Outcome, State, verify};
use outlast_types::Silent;

use super::site::{Past, quick};
use super::world::World;
use crate::harness::{fail, outlast, restored, succeed, wait_until};

#[test]
fn i1_a_drop_is_read_confirmed_and_freed_only_when_a_newer_one_is_confirmed_too() {
    let mut world = World::new("");
    let first = world.drop("shop", 300_000, 1);
    let offered = world.wait_for(&first, State::Offered);
    // What the product reads is the drop, byte by byte, and says what it is.
    let found = verify::search(&world.product()).unwrap();
    assert_eq!((found.drops.len(), found.unreadable.len()), (1, 0));
    assert!(verify::verify(&found.drops[0], &Silent).unwrap().is_well());
    assert!(world.product().join("README.txt").exists());
    wait_until("all is there", || world.heartbeat()["state"] == "well");
    // Read is not confirmed: not by a status of the client, whatever it is.
    let job = JobFacts { schedule: Some("daily".to_owned()), ..JobFacts::of_id("host_1") };
    let lease = world.begin(&job);
    world.end(&lease, 0);
    world.wait_for(&first, State::Read);
    let read = world.up.wait_for_receipt("shop", &first, "handed-over");
    assert_eq!(read["handover"]["handover"], "nbu");
    assert_eq!(read["handover"]["jobs"][0]["job"], "host_1");
    assert!(!world.up.receipt("shop", &first, "confirmed").exists());
    world.say(&job, Outcome::Well, Holds::Everything);
    world.wait_for(&first, State::Confirmed);
    let confirmed = world.up.wait_for_receipt("shop", &first, "confirmed");
    let evidence = &confirmed["handover"]["jobs"][0];
    assert_eq!(evidence["product"], "NetBackup");
    assert_eq!(evidence["by"], "bplist on agenthost");
    assert_eq!(evidence["files"], offered.files);
    // A newer one, vaulted and offered: neither lets the first go, from the share or the directory.
    let second = world.drop("shop", 300_000, 2);
    world.wait_for(&second, State::Offered);
    world.up.wait_for_receipt("shop", &second, "vaulted");
    world.several_passes();
    assert!(world.is_on_share("shop", &first) && world.path(&offered).is_dir());
    world.run_job("host_2");
    world.up.wait_for_receipt("shop", &second, "confirmed");
    wait_until("the first is freed", || {
        !world.is_on_share("shop", &first) && world.find(&first).is_none()
    });
    assert!(!world.path(&offered).exists());
    world.up.wait_for_receipt("shop", &first, "released");
    // The newest stays on both, and the first is in the vault.
    assert!(world.is_on_share("shop", &second) && world.find(&second).is_some());
    let into = world.directory.path().join("restored");
    let mut restore = world.up.ask(&["restore", "shop", "--into"]);
    succeed(restore.arg(&into));
    let original = world.directory.path().join("shop-2.bin");
    assert_eq!(fs::read(restored(&into, &original)).unwrap(), fs::read(&original).unwrap());
    world.up.role.stop();
}

#[test]
fn i1_a_confirmation_that_is_withdrawn_is_taken_back_from_the_share_and_frees_nothing() {
    let mut world = World::new("");
    let first = world.drop("shop", 100_000, 1);
    world.wait_for(&first, State::Offered);
    let job = world.run_job("host_1");
    world.up.wait_for_receipt("shop", &first, "confirmed");
    world.withdraw_from_share(&job, &first);
    assert_eq!(world.find(&first).unwrap().state, State::Read);
    // A newer one is confirmed, and the first is not.
    let second = world.drop("shop", 100_000, 2);
    world.wait_for(&second, State::Offered);
    let offered = world.find(&second).unwrap();
    let job = JobFacts::of_id("host_2");
    let lease = world.begin(&job);
    world.end(&lease, 0);
    world.say(&job, Outcome::Well, Holds::Listed(world.listed(&offered.path)));
    world.up.wait_for_receipt("shop", &second, "confirmed");
    world.several_passes();
    assert!(world.is_on_share("shop", &first));
    assert_eq!(world.find(&first).unwrap().state, State::Read);
    world.run_job("host_3");
    wait_until("it is confirmed again, and freed", || {
        !world.is_on_share("shop", &first) && world.find(&first).is_none()
    });
    world.up.role.stop();
}

#[test]
fn an_agent_that_stops_lists_what_came_last_and_a_job_may_begin_by_that() {
    let (past, root) = (Past::new(), quick());
    let site = past.site(root.path(), "");
    site.serve_once();
    // The list is brought up to date each second: some of these come just after that.
    for content in [b"1", b"2", b"3", b"4", b"5", b"6"] {
        let mut agent = site.start();
        wait_until("it is at work", || site.product.join("outlast-heartbeat.json").exists());
        let drop = site.drop("shop", content);
        wait_until("it appears", || {
            let there = fs::read_dir(site.product.join("shop")).into_iter().flatten().flatten();
            there.map(|it| it.file_name()).any(|name| name.to_string_lossy().ends_with(&drop))
        });
        agent.stop();
        let list = fs::read_to_string(site.product.join("outlast-handover.json")).unwrap();
        assert!(list.contains(&drop), "{list}");
    }
    let mut begin = outlast();
    begin.args(["handover", "begin", "--strict", "--job", "1", "--directory"]).arg(&site.product);
    succeed(&mut begin);
}

#[test]
fn a_job_that_begins_just_after_an_agent_was_killed_reads_what_had_appeared_and_is_in_no_list() {
    let (past, root) = (Past::new(), quick());
    let site = past.site(root.path(), "");
    site.serve_once();
    let mut agent = site.start();
    wait_until("it is well", || site.heartbeat()["state"] == "well");
    let strictly = |job: &str| {
        let mut begin = outlast();
        begin.args(["handover", "begin", "--strict", "--job", job, "--directory"]);
        begin.arg(&site.product);
        begin
    };
    assert!(fail(&mut strictly("1"), 3).contains("no drop lies there"));
    let heartbeat = fs::read(site.product.join("outlast-heartbeat.json")).unwrap();
    let drop = site.drop("shop", b"just now");
    wait_until("it appears", || site.find(&drop).is_some());
    agent.kill();
    // As if it had been killed before it said so.
    let path = site.product.join("outlast-heartbeat.json");
    outlast_fs::durable::replace(&path, &heartbeat, 0o644).unwrap();
    succeed(&mut strictly("2"));
}
