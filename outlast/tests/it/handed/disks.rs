//! Disks that are full or break: the directory stays right, and shipping goes on.

use std::fs;

use outlast_handover::{JobFacts, State, verify};
use outlast_testing::pseudo_random;
use outlast_types::Silent;

use super::site::{Past, Site};
use super::world::World;
use crate::disks::{Disk, Tmpfs};
use crate::harness::{scratch, wait_until};

/// Whatever is in the directory is whole.
fn check(directory: &std::path::Path) -> usize {
    let search = verify::search(directory).unwrap();
    assert!(search.unreadable.is_empty(), "{:?}", search.unreadable);
    for found in &search.drops {
        assert!(verify::verify(found, &Silent).unwrap().is_well());
    }
    search.drops.len()
}

#[test]
fn a_share_that_is_lost_while_it_is_copied_leaves_only_whole_drops_and_the_rest_comes_later() {
    let (past, directory) = (Past::new(), scratch());
    let Some(disk) = Disk::mount(directory.path(), "share") else { return };
    let product = directory.path().join("nbu");
    let site = Site::of(&past, directory.path(), &disk.path, &product, "");
    let drops: Vec<String> =
        (0..8).map(|seed| site.drop("shop", &pseudo_random(seed, 4 << 20))).collect();
    let mut agent = site.start();
    wait_until("one is there", || !site.drops().is_empty());
    disk.fail();
    wait_until("nothing is half-made", || {
        !agent.has_ended() && fs::read_dir(site.place().staging()).unwrap().next().is_none()
    });
    assert!(check(&product) >= 1);
    disk.repair();
    // The journal knows of a drop in the moment before it appears.
    wait_until("all are there", || check(&product) == drops.len());
    assert_eq!(site.drops().len(), drops.len());
    assert!(!agent.words().contains("rejected"), "{}", agent.words());
    agent.stop();
}

#[test]
fn a_directory_whose_disk_breaks_holds_up_no_shipping_and_goes_on_when_it_is_mounted_again() {
    let directory = scratch();
    let Some(disk) = Disk::mount(directory.path(), "disk") else { return };
    let mut world = World::at(&disk.path.join("nbu"), "", &[]);
    let first = world.drop("shop", 300_000, 1);
    world.wait_for(&first, State::Offered);
    disk.fail();
    let second = world.drop("shop", 300_000, 2);
    world.up.wait_for_receipt("shop", &second, "vaulted");
    wait_until("it is told", || world.up.role.words().contains("nothing is handed over"));
    // An administrator can unmount it although the agent runs.
    disk.repair();
    world.wait_for(&second, State::Offered);
    assert_eq!(check(&world.product()), 2);
    world.up.role.stop();
}

#[test]
fn a_disk_that_is_full_while_staging_lets_shipping_read_the_share() {
    let directory = scratch();
    let Some(small) = Tmpfs::mount(&directory.path().join("small"), "size=6m") else { return };
    let mut world = World::at(&small.path.join("nbu"), "layout = \"plain\"", &[]);
    let first = world.drop("shop", 1 << 20, 1);
    world.wait_for(&first, State::Offered);
    let second = world.drop("shop", 5 << 20, 2);
    world.up.wait_for_receipt("shop", &second, "vaulted");
    wait_until("whoever restores is told", || {
        world.heartbeat()["trouble"].as_str().is_some_and(|it| it.contains("no room"))
    });
    assert_eq!(check(&world.product()), 1);
    assert!(world.find(&second).is_none());
    small.resize("40m");
    world.wait_for(&second, State::Offered);
    assert_eq!(check(&world.product()), 2);
    wait_until("and that it is over", || world.heartbeat()["trouble"].is_null());
    world.up.role.stop();
}

#[test]
fn a_lease_that_never_ends_keeps_all_and_the_budget_refuses_what_is_new() {
    let mut world = World::new("budget = \"1MiB\"");
    let first = world.drop("shop", 400_000, 1);
    world.wait_for(&first, State::Offered);
    let second = world.drop("shop", 400_000, 2);
    world.wait_for(&second, State::Offered);
    let hung = world.begin(&JobFacts::of_id("hung"));
    world.run_job("host_1");
    world.wait_for(&first, State::Releasable);
    let third = world.drop("shop", 400_000, 3);
    world.up.wait_for_receipt("shop", &third, "vaulted");
    wait_until("it says why", || world.up.role.words().contains("of the budget of"));
    for drop in [&first, &second] {
        assert!(world.path(&world.find(drop).unwrap()).is_dir());
    }
    assert!(world.find(&third).is_none() && world.is_on_share("shop", &third));
    world.end(&hung, 1);
    world.wait_for(&third, State::Offered);
    assert!(world.find(&first).is_none(), "it made room");
    world.up.role.stop();
}
