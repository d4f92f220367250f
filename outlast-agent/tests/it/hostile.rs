//! A share that somebody fills with what costs nothing to make: refused or bounded, told, and nobody
//! else waits for it. Limits are small here, where a million files would do the same.

use std::fs::{self, File};
use std::io::Write;

use outlast_drop::hash::Digest;
use outlast_drop::{
    Claims, Content, DropAddress, DropLimits, ReceiptState, ScanLimits, Seal, Segment,
};
use outlast_testing::pseudo_random;
use outlast_types::{Clock, ContentHash, DropId, SystemClock, SystemRandom};

use crate::bad::refused;
use crate::support::{World, files_in, good_pass, name, pass};

/// A sealed drop of one segment of zeroes that nobody wrote, and that has not the hash it says.
fn hole(world: &World, workload: &str, bytes: u64) -> DropAddress {
    let drop = DropId::new(&SystemClock, &SystemRandom);
    let day = SystemClock.now().day();
    let address = DropAddress { workload: name(workload), day, drop };
    let directory = world.share.drop_directory(&address);
    fs::create_dir_all(&directory).unwrap();
    File::create(directory.join("0001.seg")).unwrap().set_len(bytes).unwrap();
    seal(world, &address, 1, bytes);
    address
}

/// Seals a drop of `count` segments, whatever lies there.
fn seal(world: &World, address: &DropAddress, count: usize, bytes: u64) {
    let segment = |index: usize| Segment {
        name: format!("{:04}.seg", index + 1),
        size: bytes,
        raw_size: bytes,
        digest: Digest::Blake3(ContentHash([0; 32])),
    };
    let seal = Seal {
        drop: address.drop,
        workload: address.workload.clone(),
        content: Content::stream("x").unwrap(),
        claims: Claims::default(),
        sealed: None,
        compression: None,
        sealed_to: None,
        segments: (0..count).map(segment).collect(),
    };
    world.tamper(address, "sealed.json", &seal.to_bytes().unwrap());
}

/// Makes holes of the segments of a drop, which are full of zeroes.
fn hollow(world: &World, drop: &DropAddress) {
    let directory = world.share.drop_directory(drop);
    for name in files_in(&directory).into_iter().filter(|name| name.ends_with(".seg")) {
        let length = fs::metadata(directory.join(&name)).unwrap().len();
        File::create(directory.join(&name)).unwrap().set_len(length).unwrap();
    }
}

/// Of drops this small, a hundred bytes of content may come of one.
const STRICT: DropLimits = DropLimits { bytes_max: 1 << 40, ratio_max: 100, ratio_from: 1 << 20 };

#[test]
fn a_drop_that_is_a_hole_is_refused_unread() {
    let world = World::new();
    // Reading it would take hours.
    let drop = hole(&world, "attacker", 7 << 40);
    refused(&world, &drop, "and the share holds 0 bytes of them: the rest are holes");
    let receipt = world.receipt(&drop, ReceiptState::Rejected).unwrap();
    assert_eq!(receipt.receipt().code.as_ref().unwrap().as_str(), "mostly_holes");
}

#[test]
fn a_drop_that_is_larger_than_policy_takes_is_refused_unread() {
    let world = World::new();
    let drop = hole(&world, "attacker", 15 << 40);
    refused(&world, &drop, "the limit for one drop of this workload is 8796093022208");
}

#[test]
fn a_sparse_drop_of_honest_size_is_taken() {
    let world = World::new();
    let drop = world.dump("shop", &[0; 450_000]);
    hollow(&world, &drop);
    // The ratio says nothing of drops that are small.
    let mut agent = world.agent_with(|config| config.limits = STRICT);
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
}

#[test]
fn what_a_policy_refused_is_taken_when_the_policy_changes_and_its_incident_ends() {
    let world = World::new();
    let drop = world.dump("shop", &[0; 3 << 20]);
    hollow(&world, &drop);
    let mut agent = world.agent_with(|config| config.limits = STRICT);
    assert_eq!(good_pass(&mut agent).rejected.len(), 1);
    assert_eq!(world.incidents().len(), 1);
    std::mem::drop(agent);
    // The same policy says the same, whoever looks.
    let mut agent = world.agent_with(|config| config.limits = STRICT);
    let report = good_pass(&mut agent);
    assert!(report.vaulted.is_empty() && !report.more, "{report:?}");
    assert!(world.has(&drop, ReceiptState::Rejected));
    std::mem::drop(agent);
    let any = DropLimits { ratio_max: 0, ..STRICT };
    let mut agent = world.agent_with(|config| config.limits = any);
    let (first, second) = (good_pass(&mut agent), good_pass(&mut agent));
    assert!(first.more && second.vaulted.len() == 1, "{first:?} {second:?}");
    assert!(!world.has(&drop, ReceiptState::Rejected) && world.has(&drop, ReceiptState::Vaulted));
    assert!(world.incidents().is_empty(), "{:?}", world.incidents());
}

#[test]
fn one_workload_may_have_another_limit_than_the_others() {
    let world = World::new();
    let (small, large) = (world.dump("small", &[1; 2000]), world.dump("large", &[1; 2000]));
    let mut agent = world.agent_with(|config| {
        config.limits.bytes_max = 1000;
        config.drop_max.insert(name("large"), 2000);
    });
    let report = good_pass(&mut agent);
    assert_eq!((report.vaulted.len(), report.rejected.len()), (1, 1), "{report:?}");
    assert!(world.has(&large, ReceiptState::Vaulted) && world.has(&small, ReceiptState::Rejected));
}

#[test]
fn a_segment_that_unpacks_absurdly_is_refused_unread() {
    let world = World::new();
    let options = outlast_drop::WriterOptions {
        segment_bytes: 100_000,
        compression: Some(3),
        ..outlast_drop::WriterOptions::default()
    };
    let workload = name("bomb");
    let content = Content::stream("x").unwrap();
    let (clock, random) = (&SystemClock, &SystemRandom);
    let mut writer = outlast_drop::DropWriter::create(
        &world.share,
        &workload,
        content,
        Claims::default(),
        options,
        clock,
        random,
    )
    .unwrap();
    for _ in 0..64 {
        writer.write_all(&[0; 1 << 20]).unwrap();
    }
    let drop = writer.address().clone();
    writer.seal(&SystemClock).unwrap();
    let mut agent = world.agent_with(|config| config.limits = STRICT);
    let report = good_pass(&mut agent);
    assert!(report.rejected[0].1.contains("unpack from"), "{report:?}");
    let receipt = world.receipt(&drop, ReceiptState::Rejected).unwrap();
    assert_eq!(receipt.receipt().code.as_ref().unwrap().as_str(), "absurd_ratio");
    assert_eq!(world.incidents().len(), 1);
}

#[test]
fn a_drop_with_more_names_than_a_drop_has_is_refused_while_its_writer_is_at_work() {
    let world = World::new();
    let writer = world.writer("hoarder", Content::stream("x").unwrap());
    let drop = writer.address().clone();
    world.tamper(&drop, "beat.0", b"");
    let directory = world.share.drop_directory(&drop);
    for number in 1..200 {
        fs::hard_link(directory.join("beat.0"), directory.join(format!("beat.{number}"))).unwrap();
    }
    let other = world.dump("shop", b"content");
    let small = ScanLimits { files: 100, ..ScanLimits::PASS };
    let mut agent = world.agent_with(|config| config.scan = small);
    let report = good_pass(&mut agent);
    assert!(report.rejected[0].1.contains("files lie in its directory"), "{report:?}");
    assert!(world.has(&drop, ReceiptState::Rejected) && world.has(&other, ReceiptState::Vaulted));
    assert_eq!(world.incidents().len(), 1);
    assert!(good_pass(&mut agent).rejected.is_empty(), "it is not looked at again");
}

#[test]
fn empty_directories_blind_nobody_whatever_their_number() {
    let world = World::new();
    world.dump("payments", b"good");
    let small = ScanLimits { workloads: 10, ..ScanLimits::PASS };
    let mut agent = world.agent_with(|config| config.scan = small);
    good_pass(&mut agent);
    for number in 0..100 {
        fs::create_dir(world.share.path().join(format!("w/x{number:05}"))).unwrap();
    }
    let bad = world.dump("payments", b"bad");
    world.tamper(&bad, "0001.seg", b"evil");
    let good = world.dump("payments", b"good again");
    let report = pass(&mut agent);
    assert!(world.has(&bad, ReceiptState::Rejected) && world.has(&good, ReceiptState::Vaulted));
    let told: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].contains("100 directories lie here"), "{told:?}");
    world.clock.advance(std::time::Duration::from_secs(20));
    pass(&mut agent);
    let incidents = world.incidents();
    assert!(incidents.iter().any(|it| it.cause.contains("100 directories")), "{incidents:?}");
    // One that knows nothing yet finds whoever drops in a few passes, each of them short.
    let late = world.dump("late", b"late");
    drop(agent);
    let mut agent = world.agent_with(|config| config.scan = small);
    for _ in 0..11 {
        pass(&mut agent);
    }
    assert!(world.has(&late, ReceiptState::Vaulted));
}

#[test]
fn more_drops_than_a_pass_looks_at_are_told_and_keep_nobody_else_waiting() {
    let world = World::new();
    let writers: Vec<_> =
        (0..20).map(|_| world.writer("noisy", Content::stream("x").unwrap())).collect();
    let drop = world.dump("shop", b"content");
    let small = ScanLimits { drops: 5, ..ScanLimits::PASS };
    let mut agent = world.agent_with(|config| config.scan = small);
    let report = pass(&mut agent);
    assert!(world.has(&drop, ReceiptState::Vaulted));
    assert_eq!(report.problems.len(), 1);
    world.clock.advance(std::time::Duration::from_secs(20));
    pass(&mut agent);
    let incidents = world.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0].workload.as_ref().unwrap().as_str(), "noisy");
    assert!(incidents[0].cause.contains("more lies below it"), "{incidents:?}");
    // What is done with makes room for the next, and the trouble ends by itself.
    for writer in writers {
        writer.fail(None).unwrap();
    }
    for _ in 0..40 {
        world.clock.advance(std::time::Duration::from_secs(20));
        pass(&mut agent);
    }
    good_pass(&mut agent);
    assert!(world.incidents().is_empty(), "{:?}", world.incidents());
}

#[test]
fn heavy_seals_are_judged_once_and_each_is_its_own_workloads_incident() {
    let world = World::new();
    for workload in ["one", "two"] {
        let drop = hole(&world, workload, 0);
        seal(&world, &drop, 20_000, 0);
    }
    let good = world.dump("good", &pseudo_random(1, 1000));
    let mut agent = world.agent();
    let report = good_pass(&mut agent);
    assert_eq!((report.rejected.len(), report.vaulted.len()), (2, 1), "{report:?}");
    assert!(report.rejected[0].1.contains("segment 0002.seg is in the seal"), "{report:?}");
    assert!(world.has(&good, ReceiptState::Vaulted));
    assert_eq!(world.incidents().len(), 2);
    assert!(good_pass(&mut agent).rejected.is_empty());
}

#[test]
fn names_among_receipts_cost_memory_for_none_but_the_drops_that_are_new() {
    let world = World::new();
    let drop = world.dump("shop", b"content");
    let receipts = world.share.workload_directory(&drop.workload).join("receipts");
    fs::create_dir_all(&receipts).unwrap();
    let first = receipts.join("junk");
    File::create(&first).unwrap();
    for _ in 0..500 {
        let other = DropId::new(&SystemClock, &SystemRandom);
        fs::hard_link(&first, receipts.join(format!("{other}.vaulted.json"))).unwrap();
    }
    let wanted = std::collections::BTreeSet::from([drop.drop]);
    good_pass(&mut world.agent());
    for max in [10, 100_000] {
        let found =
            outlast_drop::receipt::find(&world.share, &drop.workload, &wanted, max).unwrap();
        assert_eq!(found.states.keys().collect::<Vec<_>>(), [&drop.drop], "{max}");
        assert_eq!(found.states[&drop.drop].len(), 3);
        assert_eq!(found.is_whole, max > 1000);
    }
}
