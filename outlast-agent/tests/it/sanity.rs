//! Content that is no whole backup: refused, accepted by an operator, and what counts of it.
#![expect(clippy::disallowed_methods, reason = "tests that put files on a share")]

use std::fs;

use outlast_drop::{Content, DropAddress, ReceiptState, SignedReceipt, receipt};
use outlast_types::{ContentKind, RejectionCode, SystemClock, Verdict};
use outlast_wire::Role;
use outlast_wire::api::{AcceptOrder, SnapshotView};

use crate::bad::refused;
use crate::support::{World, good_pass, name, pass};

/// A dump as `pg_dump` writes it, with so many rows.
fn dump(rows: usize) -> Vec<u8> {
    let rows: String = (0..rows).map(|row| format!("{row}\tcustomer {row}\n")).collect();
    format!(
        "--\n-- PostgreSQL database dump\n--\n\nCOPY public.orders (id, customer) FROM stdin;\n{rows}\\.\n\n\n\
         --\n-- PostgreSQL database dump complete\n--\n\n"
    )
    .into_bytes()
}

fn accept(world: &World, drop: &DropAddress) {
    let order = AcceptOrder { drop: drop.drop, reason: Some("it is right".to_owned()) };
    world.api().accept(&drop.workload, &order).unwrap();
}

fn snapshots(world: &World, workload: &str) -> Vec<SnapshotView> {
    world.api().snapshots(Some(&name(workload))).unwrap()
}

fn cut_off(world: &World) -> DropAddress {
    let whole = dump(2000);
    world.dump("bad", &whole[..whole.len() / 2])
}

#[test]
fn a_dump_that_was_cut_off_before_its_seal_is_refused() {
    let world = World::new();
    let drop = cut_off(&world);
    refused(&world, &drop, "is no whole backup: pg_dump, broken: it does not end with");
    let receipt = world.receipt(&drop, ReceiptState::Rejected).unwrap();
    assert_eq!(receipt.receipt().code, Some(RejectionCode::BrokenContent));
    assert!(receipt.receipt().seal.is_some(), "it is about this content");
    assert_eq!(world.incidents()[0].owner, "app");
    let quarantine = world.api().workload(&name("bad")).unwrap().quarantine;
    assert_eq!(quarantine.len(), 1);
    assert_eq!(quarantine[0].drop, drop.drop);
}

#[test]
fn what_an_operator_accepts_is_taken_and_counts_and_its_incident_resolves() {
    let world = World::new();
    let drop = cut_off(&world);
    let mut agent = world.agent();
    assert_eq!(good_pass(&mut agent).rejected.len(), 1);
    assert_eq!(world.incidents().len(), 1);
    assert!(snapshots(&world, "bad").is_empty());
    accept(&world, &drop);
    assert!(world.incidents().is_empty(), "it is taken care of");
    // The agent hears of it with the answer to its next report.
    let mut passes = 0;
    while !world.has(&drop, ReceiptState::Vaulted) {
        passes += 1;
        assert!(passes < 10, "{:?}", pass(&mut agent));
        world.clock.advance(std::time::Duration::from_secs(31));
        pass(&mut agent);
    }
    let cleared = world.receipt(&drop, ReceiptState::Cleared).unwrap();
    assert_eq!(world.signer(&cleared).role(), Role::Vault);
    assert!(!world.has(&drop, ReceiptState::Rejected));
    let all = snapshots(&world, "bad");
    assert_eq!(all.len(), 1);
    let sanity = all[0].sanity.clone().unwrap();
    assert_eq!((sanity.verdict, sanity.kind), (Verdict::Broken, ContentKind::PgDump));
    assert!(all[0].counts);
    let view = world.api().workload(&name("bad")).unwrap();
    assert!(view.last_vaulted.is_some() && view.quarantine.is_empty());
    std::mem::drop(agent);
    assert!(good_pass(&mut world.agent()).rejected.is_empty(), "and that is for good");
}

/// Whoever writes to the share can put anything there, and must not be able to accept.
#[test]
fn nothing_that_lies_on_the_share_accepts_a_drop() {
    let world = World::new();
    let drop = cut_off(&world);
    let mut agent = world.agent();
    good_pass(&mut agent);
    std::mem::drop(agent);
    let rejected = world.receipt(&drop, ReceiptState::Rejected).unwrap();
    let seal = rejected.receipt().seal;
    let about = || outlast_drop::Receipt {
        seal,
        ..outlast_drop::Receipt::about(
            world.share.id(),
            &drop,
            ReceiptState::Cleared,
            rejected.receipt().at,
        )
    };
    let withdraw = |state| {
        receipt::withdraw(&world.share, &drop.workload, drop.drop, state).unwrap();
    };
    // By roles that may not say so, and by nobody.
    for role in [Role::Agent, Role::Operator] {
        let signed = about().sign(&world.identity(role)).unwrap();
        receipt::write(&world.share, &signed).unwrap();
        withdraw(ReceiptState::Rejected);
        let report = pass(&mut world.agent());
        assert_eq!(report.rejected.len(), 1, "{role}: {report:?}");
    }
    let forged = about().sign(&world.identity(Role::Agent)).unwrap();
    let text =
        String::from_utf8(forged.bytes().to_vec()).unwrap().replace("\"agent\"", "\"vault\"");
    fs::write(receipts(&world).join(format!("{}.cleared.json", drop.drop)), text).unwrap();
    withdraw(ReceiptState::Rejected);
    assert_eq!(pass(&mut world.agent()).rejected.len(), 1);
    // The vault's own word about other content than what lies there.
    let vault = world.identity(Role::Vault);
    for other in [
        outlast_drop::Receipt { seal: None, ..about() },
        outlast_drop::Receipt { seal: Some(outlast_types::ContentHash([1; 32])), ..about() },
        outlast_drop::Receipt {
            share: Some("6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap()),
            ..about()
        },
    ] {
        let signed: SignedReceipt = other.sign(&vault).unwrap();
        receipt::write(&world.share, &signed).unwrap();
        withdraw(ReceiptState::Rejected);
        assert_eq!(pass(&mut world.agent()).rejected.len(), 1);
    }
    assert!(snapshots(&world, "bad").is_empty());
}

fn receipts(world: &World) -> std::path::PathBuf {
    world.share.workload_directory(&name("bad")).join("receipts")
}

#[test]
fn a_suspect_drop_is_vaulted_and_marked_and_takes_no_good_ones_place_on_the_share() {
    let world = World::new();
    let mut agent = world.agent_with(|config| config.keep = 2);
    let good: Vec<DropAddress> = (0..2).map(|_| world.dump("bad", &dump(100_000))).collect();
    good_pass(&mut agent);
    let suspects: Vec<DropAddress> = (0..4)
        .map(|rows| {
            let drop = world.dump("bad", &dump(rows));
            good_pass(&mut agent);
            drop
        })
        .collect();
    good_pass(&mut agent);
    let at = |drop: &DropAddress| world.receipt(drop, ReceiptState::Vaulted).unwrap();
    for drop in &good {
        assert_eq!(at(drop).receipt().verdict, None);
        assert!(world.data_is_on_the_share(drop));
    }
    for drop in &suspects {
        assert_eq!(at(drop).receipt().verdict, Some(Verdict::Suspect));
    }
    let kept = suspects.iter().filter(|drop| world.data_is_on_the_share(drop)).count();
    assert_eq!(kept, 2, "they are in the vault, and have a rule of their own");
    let all = snapshots(&world, "bad");
    assert_eq!(all.iter().filter(|snapshot| snapshot.counts).count(), 2);
    let suspect = all[0].sanity.clone().unwrap();
    assert_eq!((suspect.verdict, suspect.kind), (Verdict::Suspect, ContentKind::PgDump));
    let view = world.api().workload(&name("bad")).unwrap();
    assert_eq!(view.suspect.unwrap().drop, suspects[3].drop);
    // Started anew, the agent knows it from the receipts.
    drop(agent);
    good_pass(&mut world.agent_with(|config| config.keep = 2));
    assert!(good.iter().all(|drop| world.data_is_on_the_share(drop)));
    accept(&world, &suspects[3]);
    assert_eq!(world.api().workload(&name("bad")).unwrap().suspect, None);
}

#[test]
fn what_a_team_declares_tightens_and_what_a_writer_claims_loosens_nothing() {
    let world = World::new();
    let home = world.share.workload_directory(&name("bad"));
    fs::create_dir_all(&home).unwrap();
    let mut agent = world.agent();
    let mut ship = |declared: &str, content: &[u8]| {
        fs::write(home.join("workload.toml"), declared).unwrap();
        let drop = world.dump("bad", content);
        good_pass(&mut agent);
        world.receipt(&drop, ReceiptState::Vaulted).unwrap().receipt().verdict.is_some()
    };
    assert!(!ship("", &dump(100_000)));
    assert!(ship("[sanity]\nmin_size = \"1GiB\"\n", &dump(100_000)));
    assert!(ship("[sanity]\nkinds = [\"sqlite\"]\n", &dump(100_000)));
    assert!(ship("[sanity]\nshrink_max = 100\nfloor = \"1TiB\"\nmin_size = \"1B\"\n", &dump(5)));
    assert!(!ship("[sanity]\nkinds = [\"pg_dump\"]\n", &dump(100_000)));
}

#[test]
fn a_directory_of_pg_dump_in_a_tree_that_lacks_a_file_is_refused() {
    let world = World::new();
    let directory = world.path("dump");
    fs::create_dir_all(&directory).unwrap();
    // The head of a table of contents, with two entries to come and none there.
    let head = b"PGDMP\x01\x0e\x00\x04\x08\x03";
    fs::write(directory.join("toc.dat"), [&head[..], &[0; 40]].concat()).unwrap();
    let mut writer = world.writer("bad", Content::Tree);
    let mut walk = outlast_fs::walk::Walk::new(&[directory]).unwrap();
    outlast_drop::tar::write_tree(&mut walk, &mut writer, &outlast_types::Silent).unwrap();
    let drop = writer.address().clone();
    writer.seal(&SystemClock).unwrap();
    refused(&world, &drop, "pg_dump-directory, broken");
}
