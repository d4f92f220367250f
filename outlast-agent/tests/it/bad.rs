//! Bad drops: refused with the reason, kept for people to look at, and an incident.

use std::fs;
use std::io::Write;

use outlast_drop::{Content, DropAddress, ReceiptState};
use outlast_testing::pseudo_random;
use outlast_types::SystemClock;

use crate::support::{World, files_in, good_pass, pass};

/// Checks that `drop`, the only one of its workload, is refused with `reason`, once, and is one
/// incident, while another workload's drop goes on.
pub(crate) fn refused(world: &World, drop: &DropAddress, reason: &str) {
    let good = world.dump("good", b"good");
    let directory = world.share.drop_directory(drop);
    let before = files_in(&directory);
    let mut agent = world.agent();
    let report = good_pass(&mut agent);
    assert_eq!(report.rejected.len(), 1, "{report:?}");
    assert!(report.rejected[0].1.contains(reason), "{}", report.rejected[0].1);
    assert!(world.has(&good, ReceiptState::Vaulted));
    let receipt = world.receipt(drop, ReceiptState::Rejected).unwrap();
    assert_eq!(receipt.receipt().reason.as_ref(), Some(&report.rejected[0].1));
    assert!(!world.has(drop, ReceiptState::Accepted));
    assert_eq!(files_in(&directory), before, "kept for people to look at");
    let incidents = world.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert!(incidents[0].cause.contains(reason), "{}", incidents[0].cause);
    assert!(good_pass(&mut agent).rejected.is_empty());
    std::mem::drop(agent);
    assert!(good_pass(&mut world.agent()).rejected.is_empty());
    assert_eq!(world.incidents().len(), 1, "told again after a restart, it is still one");
}

fn dump(world: &World) -> DropAddress {
    world.dump("bad", &pseudo_random(5, 350_000))
}

#[test]
fn a_segment_with_another_content_of_the_same_size() {
    let world = World::new();
    let drop = dump(&world);
    let mut content = fs::read(world.share.drop_directory(&drop).join("0003.seg")).unwrap();
    content[77_777] ^= 1;
    world.tamper(&drop, "0003.seg", &content);
    refused(&world, &drop, "segment 0003.seg does not have the content that was sealed");
}

#[test]
fn a_missing_segment() {
    let world = World::new();
    let drop = dump(&world);
    fs::remove_file(world.share.drop_directory(&drop).join("0002.seg")).unwrap();
    refused(&world, &drop, "segment 0002.seg is in the seal, but not in the directory");
}

#[test]
fn an_extra_segment() {
    let world = World::new();
    let drop = dump(&world);
    world.tamper(&drop, "0005.seg", b"extra");
    refused(&world, &drop, "segment 0005.seg is in the directory, but not in the seal");
}

#[test]
fn a_segment_cut_off_after_the_seal() {
    let world = World::new();
    let drop = dump(&world);
    world.tamper(&drop, "0004.seg", b"short");
    refused(&world, &drop, "segment 0004.seg has 5 bytes");
}

#[test]
fn a_seal_that_was_changed() {
    let world = World::new();
    let drop = dump(&world);
    let path = world.share.drop_directory(&drop).join("sealed.json");
    let seal = fs::read_to_string(path).unwrap().replace("blue-1", "blue-2");
    world.tamper(&drop, "sealed.json", seal.as_bytes());
    refused(&world, &drop, "the seal does not prove itself");
}

#[test]
fn a_tree_that_is_no_tar() {
    let world = World::new();
    let mut writer = world.writer("bad", Content::Tree);
    writer.write_all(&pseudo_random(9, 250_000)).unwrap();
    let drop = writer.address().clone();
    writer.seal(&SystemClock).unwrap();
    refused(&world, &drop, "the tree cannot be read");
}

#[test]
fn a_tar_that_is_cut_off() {
    let world = World::new();
    let mut writer = world.writer("bad", Content::Tree);
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::File::create(tree.join("file")).unwrap().write_all(&[1; 100_000]).unwrap();
    let mut archive = Vec::new();
    let mut walk = outlast_fs::walk::Walk::new(&[tree]).unwrap();
    outlast_drop::tar::write_tree(&mut walk, &mut archive, &outlast_types::Silent).unwrap();
    writer.write_all(&archive[..archive.len() - 50_000]).unwrap();
    let drop = writer.address().clone();
    writer.seal(&SystemClock).unwrap();
    refused(&world, &drop, "cut off");
}

#[test]
fn names_that_are_not_allowed_are_told_and_stop_nobody() {
    let world = World::new();
    let good = world.dump("good", b"good");
    fs::create_dir_all(world.share.path().join("w/Not Allowed/drops")).unwrap();
    fs::create_dir_all(world.share.path().join("w/good/drops/20260101/not-a-drop")).unwrap();
    let report = pass(&mut world.agent());
    assert!(world.has(&good, ReceiptState::Vaulted));
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    let problems = problems.join("\n");
    assert!(problems.contains("\"Not Allowed\" is not the name of a workload"), "{problems}");
    assert!(problems.contains("\"not-a-drop\" is not a drop id"), "{problems}");
}
