//! The way of good drops.

use std::fs;
use std::path::Path;

use outlast_drop::{Content, ReceiptState, tar};
use outlast_fs::walk::Walk;
use outlast_testing::{compare_trees, pseudo_random, torture_tree};
use outlast_types::{Silent, SystemClock};
use outlast_wire::Role;

use crate::support::{World, good_pass, name, pass};

#[test]
fn a_stream_is_vaulted_and_receipts_prove_every_hop() {
    let world = World::new();
    let content = pseudo_random(1, 450_000);
    let drop = world.dump("shop-db", &content);
    let mut agent = world.agent();
    let report = good_pass(&mut agent);
    assert_eq!(report.vaulted.len(), 1);
    assert_eq!((report.vaulted[0].bytes, report.waiting), (450_000, 0));
    for (state, role) in [
        (ReceiptState::Accepted, Role::Agent),
        (ReceiptState::Shipped, Role::Agent),
        (ReceiptState::Vaulted, Role::Vault),
    ] {
        let signed = world.receipt(&drop, state).unwrap();
        assert_eq!(world.signer(&signed).role(), role, "{state}");
    }
    let vaulted = world.receipt(&drop, ReceiptState::Vaulted).unwrap();
    assert_eq!(vaulted.receipt().snapshot.as_ref(), Some(&report.vaulted[0].snapshot));
    assert_eq!(fs::read(world.restore("shop-db").join("dump.sql")).unwrap(), content);
    assert!(world.data_is_on_the_share(&drop), "the newest two stay");
    let again = good_pass(&mut agent);
    assert!(again.vaulted.is_empty());
    assert_eq!(world.snapshots("shop-db"), 1);
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    for skipped in torture_tree(&tree).unwrap() {
        println!("left out: {skipped}");
    }
    let mut writer = world.writer("files", Content::Tree);
    let mut walk = Walk::new(std::slice::from_ref(&tree)).unwrap();
    let summary = tar::write_tree(&mut walk, &mut writer, &Silent).unwrap();
    assert!(summary.problems.is_empty(), "{:?}", summary.problems);
    writer.seal(&SystemClock).unwrap();
    let report = good_pass(&mut world.agent());
    assert_eq!(report.vaulted.len(), 1, "{report:?}");
    let restored = world.restore("files").join(tree.strip_prefix("/").unwrap());
    assert_eq!(compare_trees(&tree, &restored), Vec::<String>::new());
}

#[test]
fn only_vaulted_drops_beyond_the_newest_are_released_whoever_looks() {
    let mut world = World::new();
    let drops: Vec<_> = (0..4).map(|n| world.dump("shop-db", &[n; 1000])).collect();
    let on_share = |world: &World| -> Vec<bool> {
        drops.iter().map(|drop| world.data_is_on_the_share(drop)).collect()
    };
    let report = good_pass(&mut world.agent());
    assert_eq!((report.vaulted.len(), report.released.len()), (4, 2));
    assert_eq!(on_share(&world), [false, false, true, true]);
    assert!(world.has(&drops[0], ReceiptState::Released));
    // Another agent, on a host that has only the share and an identity, takes over.
    fs::remove_dir_all(world.path("state")).unwrap();
    world.keep = 1;
    let report = good_pass(&mut world.agent());
    assert_eq!((report.vaulted.len(), report.released.len()), (0, 1));
    assert_eq!(on_share(&world), [false, false, false, true]);
    world.keep = 0;
    good_pass(&mut world.agent());
    assert_eq!(on_share(&world), [false; 4]);
    assert_eq!(world.snapshots("shop-db"), 4);
}

#[test]
fn the_same_content_is_not_uploaded_twice() {
    let world = World::new();
    let content = pseudo_random(7, 3_000_000);
    world.dump("shop-db", &content);
    let stored = |world: &World| size_of_tree(&world.path("vault/repos/shop-db/data"));
    let mut agent = world.agent();
    good_pass(&mut agent);
    let first = stored(&world);
    assert!(first >= 3_000_000);
    world.dump("shop-db", &content);
    good_pass(&mut agent);
    drop(agent);
    world.dump("shop-db", &content);
    good_pass(&mut world.agent());
    // A tree object names the stream's file and its time.
    assert!(stored(&world) < first + 10_000, "{} after {first}", stored(&world));
    assert_eq!(world.snapshots("shop-db"), 3);
}

fn size_of_tree(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => size_of_tree(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}

#[test]
fn what_a_team_declares_reaches_the_vault() {
    let world = World::new();
    let home = world.share.workload_directory(&name("shop-db"));
    fs::create_dir_all(&home).unwrap();
    let declare = |text: &str| {
        use std::io::Write;
        fs::File::create(home.join("workload.toml")).unwrap().write_all(text.as_bytes()).unwrap();
    };
    declare("owner = \"team-shop\"\nrpo = \"90m\"\n");
    let mut agent = world.agent();
    good_pass(&mut agent);
    let view = world.api().workload(&name("shop-db")).unwrap();
    assert_eq!(view.owner.as_deref(), Some("team-shop"));
    assert_eq!(view.rpo_seconds, Some(5400));
    declare("rpo = \"soon\"");
    world.dump("shop-db", b"content");
    let report = pass(&mut agent);
    assert!(report.problems[0].to_string().contains("workload.toml: rpo"), "{report:?}");
    assert_eq!(report.vaulted.len(), 1, "a bad declaration does not stop the drops");
}

#[test]
fn a_workload_with_many_drops_does_not_keep_the_others_waiting() {
    let world = World::new();
    let busy: Vec<_> = (0..12).map(|n| world.dump("busy", &[n; 100])).collect();
    world.dump("calm", b"calm");
    let report = good_pass(&mut world.agent());
    let vaulted = report.vaulted.iter().map(|shipped| &shipped.address);
    let (calm, others): (Vec<_>, Vec<_>) =
        vaulted.enumerate().partition(|(_, address)| address.workload.as_str() == "calm");
    assert_eq!(
        others.iter().map(|(_, address)| *address).collect::<Vec<_>>(),
        busy.iter().collect::<Vec<_>>()
    );
    // It is begun with the first of the others; which of the two ends first is open.
    assert!(calm.len() == 1 && calm[0].0 < busy.len(), "{calm:?}");
}
