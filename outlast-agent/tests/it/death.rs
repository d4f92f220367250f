//! Writers that die: normal, cleaned up, and never an incident (I2).

use std::fs;
use std::io::Write;
use std::time::Duration;

use outlast_agent::{Agent, PassReport};
use outlast_drop::{Content, DropWriter, ReceiptState};

use crate::support::{World, good_pass};

fn writer(world: &World) -> DropWriter {
    let mut writer = world.writer("shop-db", Content::stream("dump.sql").unwrap());
    writer.write_all(&[7; 250_000]).unwrap();
    writer
}

/// The pass that sees the grace time over, after others that leave all drops alone.
fn after_the_grace_time(world: &World, agent: &mut Agent) -> PassReport {
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(15));
        let report = good_pass(agent);
        assert!(report.abandoned.is_empty() && report.rejected.is_empty(), "{report:?}");
    }
    world.clock.advance(Duration::from_secs(15));
    good_pass(agent)
}

#[test]
fn a_writer_that_vanishes_is_abandoned_after_the_grace_time_and_nobody_is_paged() {
    let world = World::new();
    let writer = writer(&world);
    let drop = writer.address().clone();
    std::mem::drop(writer);
    let mut agent = world.agent();
    assert!(good_pass(&mut agent).abandoned.is_empty());
    for seconds in [15, 15, 15, 14] {
        world.clock.advance(Duration::from_secs(seconds));
        assert!(good_pass(&mut agent).abandoned.is_empty());
    }
    world.clock.advance(Duration::from_secs(1));
    let left = outlast_drop::left::left(&world.share, &drop).unwrap().unwrap();
    assert_eq!(left.instance.as_deref(), Some("blue-1"), "{left:?}");
    assert_eq!(good_pass(&mut agent).abandoned, std::slice::from_ref(&drop));
    assert_eq!(outlast_drop::left::left(&world.share, &drop).unwrap(), None);
    assert!(!world.share.drop_directory(&drop).exists());
    let receipt = world.receipt(&drop, ReceiptState::Abandoned).unwrap();
    assert_eq!(receipt.receipt().reason.as_deref(), Some("no sign of life for 1 min"));
    assert!(world.incidents().is_empty());
    assert!(good_pass(&mut agent).abandoned.is_empty());
}

#[test]
fn a_share_that_was_away_for_longer_than_the_grace_time_kills_no_writer() {
    let world = World::new();
    let writer = writer(&world);
    let mut agent = world.agent();
    good_pass(&mut agent);
    // The pass hung, as the writer did, and looks before the writer could do anything.
    world.clock.advance(Duration::from_secs(3600));
    assert!(good_pass(&mut agent).abandoned.is_empty());
    writer.seal(&outlast_types::SystemClock).unwrap();
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
    assert!(world.incidents().is_empty());
}

#[test]
fn a_slow_writer_that_shows_signs_of_life_is_left_alone() {
    let world = World::new();
    let mut writer = writer(&world);
    let drop = writer.address().clone();
    let mut agent = world.agent();
    for beat in 0..4 {
        assert!(good_pass(&mut agent).abandoned.is_empty());
        world.clock.advance(Duration::from_secs(50));
        world.tamper(&drop, &format!("beat.{}", 100 + beat), b"");
    }
    writer.write_all(b"the end").unwrap();
    writer.seal(&outlast_types::SystemClock).unwrap();
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
}

#[test]
fn a_writer_that_says_it_failed_is_abandoned_with_its_exit_status() {
    let world = World::new();
    let writer = writer(&world);
    let drop = writer.address().clone();
    writer.fail(Some(3)).unwrap();
    let mut agent = world.agent();
    assert!(good_pass(&mut agent).abandoned.is_empty());
    assert_eq!(after_the_grace_time(&world, &mut agent).abandoned.len(), 1);
    let receipt = world.receipt(&drop, ReceiptState::Abandoned).unwrap();
    assert!(receipt.receipt().reason.as_ref().unwrap().contains("ended with 3"));
    assert!(world.incidents().is_empty());
}

#[test]
fn a_writer_that_dies_while_sealing_is_refused_after_the_grace_time_and_nobody_is_paged() {
    let world = World::new();
    let drop = world.dump("shop-db", &[1; 1000]);
    let seal = fs::read(world.share.drop_directory(&drop).join("sealed.json")).unwrap();
    world.tamper(&drop, "sealed.json", &seal[..seal.len() / 2]);
    let mut agent = world.agent();
    assert!(good_pass(&mut agent).rejected.is_empty());
    let report = after_the_grace_time(&world, &mut agent);
    assert_eq!(report.rejected.len(), 1);
    assert!(report.rejected[0].1.contains("torn"), "{report:?}");
    assert!(world.incidents().is_empty());
    std::mem::drop(agent);
    good_pass(&mut world.agent());
    assert!(world.incidents().is_empty());
}

#[test]
fn a_seal_that_was_only_half_visible_heals() {
    let world = World::new();
    let drop = world.dump("shop-db", &[1; 1000]);
    let seal = fs::read(world.share.drop_directory(&drop).join("sealed.json")).unwrap();
    world.tamper(&drop, "sealed.json", &seal[..seal.len() / 2]);
    let mut agent = world.agent();
    good_pass(&mut agent);
    world.tamper(&drop, "sealed.json", &seal);
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
}

#[test]
fn a_seal_that_is_whole_after_it_was_refused_as_torn_is_taken_after_all() {
    let world = World::new();
    let drop = world.dump("shop-db", &[1; 1000]);
    let seal = fs::read(world.share.drop_directory(&drop).join("sealed.json")).unwrap();
    world.tamper(&drop, "sealed.json", &seal[..seal.len() / 2]);
    let mut agent = world.agent();
    good_pass(&mut agent);
    assert_eq!(after_the_grace_time(&world, &mut agent).rejected.len(), 1);
    assert!(world.has(&drop, ReceiptState::Rejected));
    // Its writer wakes up, and its host remembers that there was no receipt.
    world.tamper(&drop, "sealed.json", &seal);
    let vaulted: usize = (0..2).map(|_| good_pass(&mut agent).vaulted.len()).sum();
    assert_eq!(vaulted, 1);
    assert!(world.has(&drop, ReceiptState::Vaulted) && !world.has(&drop, ReceiptState::Rejected));
    assert!(world.incidents().is_empty());
}
