use std::sync::Arc;

use outlast_drop::SignedReceipt;
use outlast_promise::{Event, Source};
use outlast_types::{ContentKind, DoubtCode, RejectionCode, SanityRule, SystemClock, SystemRandom};
use outlast_wire::Role;

use super::*;
use crate::core::testing::{World, agent, bill, identity, shop, upload};

const MIB: u64 = 1 << 20;

/// A drop of so many bytes, handed in.
fn ship(vault: &Vault, bytes: u64, change: impl FnOnce(&mut Shipment)) -> (DropId, Receipt) {
    let mut bill = bill(vault, &shop(), &upload(vault, &shop(), b"content"));
    bill.size = bytes;
    change(&mut bill);
    let text = vault.publish(&bill, &agent()).unwrap();
    let receipt = SignedReceipt::parse(text.as_bytes()).unwrap().receipt().clone();
    (bill.drop, receipt)
}

fn plain(vault: &Vault, bytes: u64) -> (DropId, Receipt) {
    ship(vault, bytes, |_| ())
}

fn last_vaulted(vault: &Vault) -> Option<Timestamp> {
    vault.promises.status(&shop()).unwrap().last_vaulted
}

fn counting(vault: &Vault) -> Vec<u64> {
    let all = vault.promises.catalog().snapshots(None).unwrap();
    all.iter().filter(|record| vault.counts(record)).map(|record| record.content_bytes).collect()
}

fn is_suspect(receipt: &Receipt) -> bool {
    receipt.verdict == Some(Verdict::Suspect)
}

#[test]
fn a_row_of_shrinking_drops_pushes_out_no_good_one_and_an_operator_may_take_one_for_good() {
    let world = World::new();
    let vault = world.open();
    for bytes in [100, 110, 105] {
        assert!(!is_suspect(&plain(&vault, bytes * MIB).1));
    }
    let good = last_vaulted(&vault);
    for bytes in [40, 30, 20, 10, 0, 10, 30] {
        assert!(is_suspect(&plain(&vault, bytes * MIB).1), "{bytes}");
    }
    assert_eq!(last_vaulted(&vault), good, "no promise is renewed");
    assert_eq!(counting(&vault), [105 * MIB, 110 * MIB, 100 * MIB]);
    let (drop, receipt) = plain(&vault, 31 * MIB);
    let (of, at, why) = vault.promises.status(&shop()).unwrap().suspect.unwrap();
    assert_eq!((of, at), (drop, receipt.at));
    assert!(why.contains("more than 50% less"), "{why}");

    let order = vault.accept(&shop(), "operator up", drop, Some("archived")).unwrap();
    assert_eq!(order.action.as_str(), "accept");
    assert_eq!(last_vaulted(&vault), Some(receipt.at), "since it came");
    assert_eq!(vault.promises.status(&shop()).unwrap().suspect, None);
    assert_eq!(counting(&vault)[0], 31 * MIB);
    assert!(vault.accept(&shop(), "operator up", drop, None).is_err(), "it was before");
    // It is the measure from now on.
    assert!(!is_suspect(&plain(&vault, 30 * MIB).1));
    assert!(is_suspect(&plain(&vault, 5 * MIB).1));
}

#[test]
fn what_is_thought_of_drops_survives_a_restart_and_the_loss_of_the_catalog() {
    let world = World::new();
    let vault = world.open();
    plain(&vault, 100 * MIB);
    let (accepted, _) = plain(&vault, 9 * MIB);
    let (suspect, _) = plain(&vault, 4 * MIB);
    vault.accept(&shop(), "operator up", accepted, None).unwrap();
    let known = |vault: &Arc<Vault>| {
        let mut records = vault.promises.catalog().snapshots(None).unwrap();
        records.sort_by_key(|record| record.received);
        (records, counting(vault).len(), last_vaulted(vault))
    };
    let before = known(&vault);
    assert_eq!(before.1, 2);
    drop(vault);
    let vault = world.open();
    assert_eq!(known(&vault), before);
    drop(vault);
    for file in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = std::fs::remove_file(world.directory.path().join(file));
    }
    let vault = world.open();
    assert_eq!(known(&vault), before, "from the records of arrivals and the orders");
    vault.accept(&shop(), "operator up", suspect, None).unwrap();
    assert_eq!(counting(&vault).len(), 3);
}

#[test]
fn a_bill_of_before_counts_and_one_that_speaks_against_its_drop_does_not() {
    let world = World::new();
    let vault = world.open();
    let said = |verdict: Verdict| Sanity { verdict, ..Sanity::default() };
    let with = |sanity: Sanity| is_suspect(&ship(&vault, 7, |bill| bill.sanity = Some(sanity)).1);
    assert!(!is_suspect(&plain(&vault, 7).1));
    assert!(!with(said(Verdict::Sound)) && !with(said(Verdict::Unknown)));
    // An agent ships what is broken only if an operator said so.
    assert!(with(said(Verdict::Broken)) && with(said(Verdict::Suspect)));
    assert!(with(said(Verdict::from("made_of_cheese".to_owned()))));
}

#[test]
fn a_team_tightens_what_policy_asks_and_loosens_nothing() {
    let mut world = World::new();
    world.sanity.default = SanityRule { kinds: vec![ContentKind::PgDump], ..SanityRule::default() };
    let vault = world.open();
    let sound = |kind| Some(Sanity { verdict: Verdict::Sound, kind, ..Sanity::default() });
    let rule = |min_size, shrink_max, kinds| {
        Some(SanityRule {
            min_size: Some(min_size),
            shrink_max: Some(shrink_max),
            floor: Some(1),
            kinds,
        })
    };
    let ship = |bytes, kind, declared: Option<SanityRule>| {
        let (drop, receipt) = ship(&vault, bytes, |bill| {
            (bill.sanity, bill.sanity_rule) = (sound(kind), declared);
        });
        let record = vault.promises.catalog().snapshot_of_drop(&shop(), drop).unwrap().unwrap();
        assert_eq!(is_suspect(&receipt), !record.sanity.counts());
        record.sanity.doubts.into_iter().map(|it| it.code).collect::<Vec<DoubtCode>>()
    };
    assert_eq!(ship(100 * MIB, ContentKind::PgDump, None), []);
    // What wants to loosen changes nothing: neither the kind, nor the size, nor the shrinkage.
    let loose = rule(0, 100, vec![ContentKind::Tar, ContentKind::PgDump]);
    assert_eq!(ship(100 * MIB, ContentKind::Tar, loose.clone()), [DoubtCode::UnexpectedKind]);
    assert_eq!(ship(9 * MIB, ContentKind::PgDump, loose.clone()), [DoubtCode::Shrunk]);
    assert_eq!(ship(0, ContentKind::PgDump, loose), [DoubtCode::TooSmall, DoubtCode::Shrunk]);
    let tight = rule(95 * MIB, 3, vec![]);
    assert_eq!(ship(96 * MIB, ContentKind::PgDump, tight.clone()), [DoubtCode::Shrunk]);
    assert_eq!(ship(98 * MIB, ContentKind::PgDump, tight), []);
}

#[test]
fn what_lies_in_quarantine_is_cleared_for_its_seal_on_its_share_until_it_is_here() {
    let world = World::new();
    let vault = world.open();
    let mut bill = bill(&vault, &shop(), &upload(&vault, &shop(), b"content"));
    let (share, drop, day, seal) = (bill.share, bill.drop, bill.day, bill.seal);
    let rejected = |drop, code, place| Event::Rejected {
        workload: shop(),
        source: Source { agent: "road-1".to_owned(), share: Some(share) },
        drop,
        code,
        reason: "it ends in the midst".to_owned(),
        place,
    };
    let unknown = vault.accept(&shop(), "operator up", drop, None);
    assert!(matches!(unknown, Err(VaultError::UnknownDrop { .. })));
    let damaged = DropId::new(&SystemClock, &SystemRandom);
    let place = Some((day, seal));
    vault
        .promises
        .noted(vec![
            rejected(damaged, RejectionCode::WrongHash, place),
            rejected(drop, RejectionCode::BrokenContent, place),
        ])
        .unwrap();
    let refused = vault.accept(&shop(), "operator up", damaged, None);
    assert!(matches!(refused, Err(VaultError::BadOrder { .. })), "it is not what was sealed");
    let by = identity(world.directory.path(), Role::Agent, "road-1").certified().clone();
    assert_eq!(vault.cleared(&by, share).unwrap(), Vec::<String>::new());
    vault.accept(&shop(), "operator up", drop, Some("it is right")).unwrap();
    let told = |share| vault.cleared(&by, share).unwrap();
    assert!(told(ShareId::new(&SystemRandom)).is_empty(), "another share");
    let all = told(share);
    let [text] = &all[..] else { panic!("{} are told", all.len()) };
    let signed = SignedReceipt::parse(text.as_bytes()).unwrap();
    let receipt = signed.receipt();
    assert_eq!((receipt.state, receipt.seal), (ReceiptState::Cleared, Some(seal)));
    assert_eq!(receipt.role, "vault");
    assert!(receipt.is_about(share, &DropAddress { workload: shop(), day, drop }));
    // It comes, broken as it is, and counts.
    bill.sanity = Some(Sanity { verdict: Verdict::Broken, ..Sanity::default() });
    let text = vault.publish(&bill, &agent()).unwrap();
    assert_eq!(SignedReceipt::parse(text.as_bytes()).unwrap().receipt().verdict, None);
    assert!(last_vaulted(&vault).is_some());
    assert_eq!(told(share), Vec::<String>::new());
}
