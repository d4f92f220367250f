use std::time::Duration;

use outlast_types::{SystemRandom, Timestamp};
use outlast_wire::Role;
use outlast_wire::holdings::Nonce;

use super::*;
use crate::core::storage::Records as _;
use crate::core::testing::{AGENT, World, agent, bill, identity, shop, upload};
use crate::core::withheld::{End, Withholding};

fn question(drops: Vec<HeldDrop>, receipts: Vec<String>) -> Question {
    Question {
        nonce: Nonce::new(&SystemRandom),
        drops,
        receipts,
        handed: Vec::new(),
        heeds_withheld: true,
        signed: None,
    }
}

fn ask(world: &World, vault: &Vault, question: Question) -> Answer {
    let nonce = question.nonce.clone();
    let asker = identity(world.directory.path(), Role::Agent, AGENT);
    let answer = vault.holdings(question, asker.certified()).unwrap();
    answer.verify(vault.identity.get().ca_pem(), &nonce).unwrap()
}

/// A vault that holds one drop, the drop, and its receipt.
fn holder(world: &World) -> (std::sync::Arc<Vault>, HeldDrop, String) {
    let vault = world.open();
    let shipment = bill(&vault, &shop(), &upload(&vault, &shop(), b"content"));
    let receipt = vault.publish(&shipment, &agent()).unwrap();
    let signed = SignedReceipt::parse(receipt.as_bytes()).unwrap();
    let held = held_drop(signed.receipt()).unwrap();
    (vault, held, receipt)
}

#[test]
fn a_drop_whose_record_is_lost_is_taken_back_by_the_receipt_that_was_signed_for_it() {
    let world = World::new();
    let (vault, held, receipt) = holder(&world);
    let before = vault.arrived(&shop(), held.drop.drop).unwrap().unwrap();
    drop(vault);
    // As a vault that was brought back: its newest save was before the drop.
    let key = format!("arrivals/{}/{}.json", shop(), held.drop.drop);
    assert!(world.storage.remove(&key).unwrap());
    for suffix in ["", "-wal", "-shm"] {
        let catalog = world.directory.path().join(format!("catalog.sqlite{suffix}"));
        std::fs::remove_file(catalog).ok();
    }
    let vault = world.open();
    let found = vault.promises.catalog().snapshots(Some(&shop())).unwrap();
    assert_eq!((found.len(), found[0].drop), (1, None), "that it is there, and no more");
    assert!(ask(&world, &vault, question(vec![held.clone()], Vec::new())).held.is_empty());

    ask(&world, &vault, question(Vec::new(), vec![receipt.clone()]));
    let after = vault.arrived(&shop(), held.drop.drop).unwrap().unwrap();
    assert_eq!(
        (after.received, after.content_bytes, &after.receipt, after.snapshot),
        (before.received, before.content_bytes, &Some(receipt.clone()), before.snapshot)
    );
    assert_eq!(ask(&world, &vault, question(vec![held.clone()], Vec::new())).held, [held]);
    assert!(vault.promises.catalog().incidents().unwrap().is_empty(), "nothing was lost");
    let known = vault.promises.catalog().snapshots(Some(&shop())).unwrap();
    assert_eq!((known.len(), known[0].drop), (1, Some(after.drop.unwrap())));
    // Once, however often it is shown; and a start finds it so.
    ask(&world, &vault, question(Vec::new(), vec![receipt]));
    drop(vault);
    let vault = world.open();
    assert_eq!(vault.promises.catalog().snapshots(Some(&shop())).unwrap(), known);
    let entries = world.storage.list(&format!("arrivals/{}", shop())).unwrap();
    assert_eq!(entries, [format!("{}.json", after.drop.unwrap())]);
}

#[test]
fn a_receipt_of_a_drop_whose_snapshot_is_gone_takes_nothing_back_and_is_told() {
    let world = World::new();
    let (vault, held, receipt) = holder(&world);
    world.storage.remove(&format!("arrivals/{}/{}.json", shop(), held.drop.drop)).unwrap();
    drop(vault);
    for suffix in ["", "-wal", "-shm"] {
        let catalog = world.directory.path().join(format!("catalog.sqlite{suffix}"));
        std::fs::remove_file(catalog).ok();
    }
    let object = outlast_store::Object::Snapshot(held.snapshot);
    outlast_store::Store::remove(&*world.storage.store(&shop()), &object).unwrap();
    let vault = world.open();
    ask(&world, &vault, question(Vec::new(), vec![receipt]));
    assert!(vault.arrived(&shop(), held.drop.drop).unwrap().is_none());
    let keys: Vec<_> =
        vault.promises.catalog().incidents().unwrap().into_iter().map(|it| it.key).collect();
    assert_eq!(keys, ["vault-went-back"]);
}

#[test]
fn a_vault_that_was_brought_back_lets_nothing_go_until_its_agents_have_reported() {
    let world = World::new();
    let (vault, held, _) = holder(&world);
    drop(vault);
    let now = Timestamp::EPOCH;
    let until = now.saturating_add(Duration::from_secs(400 * 366 * 86400));
    let agents = ["road-1".to_owned(), "road-2".to_owned()];
    Withholding::new(now, until, agents).write(&(world.storage.clone() as _)).unwrap();
    let vault = world.open();
    let open = |vault: &Vault| {
        let incidents = vault.promises.catalog().incidents().unwrap().into_iter();
        let open = incidents.filter(|it| it.resolved.is_none());
        open.map(|it| it.key).collect::<Vec<_>>()
    };
    assert_eq!(open(&vault), ["releases-withheld"]);
    let answer = ask(&world, &vault, question(vec![held.clone()], Vec::new()));
    assert!(answer.withheld && answer.held == [held.clone()], "it is held, and may not go");
    // Who would let it go all the same gets no answer.
    let heedless = Question { heeds_withheld: false, ..question(vec![held.clone()], Vec::new()) };
    let asker = identity(world.directory.path(), Role::Agent, AGENT);
    let refused = vault.holdings(heedless.clone(), asker.certified());
    assert!(matches!(refused, Err(VaultError::Withheld)));

    vault.note_report("road-1").unwrap();
    vault.note_report("road-9").unwrap();
    vault.watch_promises().unwrap();
    assert!(ask(&world, &vault, question(vec![held.clone()], Vec::new())).withheld);
    drop(vault);
    let vault = world.open();
    assert_eq!(open(&vault), ["releases-withheld"], "a start changes nothing");
    vault.note_report("road-2").unwrap();
    vault.watch_promises().unwrap();
    assert!(!ask(&world, &vault, question(vec![held.clone()], Vec::new())).withheld);
    assert!(vault.holdings(heedless, asker.certified()).is_ok());
    assert!(open(&vault).is_empty());
    assert_eq!(world.entries(&AuditAction::ReleasesResumed), 1);
    let order = End::Ordered { by: "operator up".to_owned(), reason: "late".to_owned() };
    assert!(!vault.resume_releases(&order).unwrap(), "there is nothing to end any more");
}
