use std::sync::Arc;

use bytes::Bytes;
use outlast_store::{Object, Store as _};
use outlast_testing::pseudo_random;
use outlast_types::Interrupt;

use super::super::scrubs::ScrubPolicy;
use super::super::testing::{World, agent, bill, shop, upload};
use super::*;

/// A vault for which all is due at once.
fn world() -> World {
    let mut world = World::new();
    world.scrub = ScrubPolicy { period: Duration::from_nanos(8), rate: None };
    world
}

fn ship(vault: &Vault, seed: u64) -> SnapshotId {
    let bill = bill(vault, &shop(), &upload(vault, &shop(), &pseudo_random(seed, 200_000)));
    vault.publish(&bill, &agent()).unwrap();
    bill.snapshot_id
}

/// One round over the workload.
fn round(vault: &Vault) {
    let progress = Progress::new(&vault.environment, &Interrupt::default());
    vault.find_out_what_to_scrub().unwrap();
    for step in [Step::Begin, Step::Read(1)] {
        vault.scrub_one(&shop(), step, &progress).unwrap();
    }
    vault.tell_of_scrubs().unwrap();
}

fn told(vault: &Vault) -> Vec<String> {
    let mut open = vault.promises.catalog().incidents().unwrap();
    open.retain(|it| it.resolved.is_none() && it.key.starts_with("damaged-data"));
    open.iter().map(|incident| crate::core::incidents::in_words(&incident.cause)).collect()
}

/// The packs with data, as they came.
fn packs(world: &World) -> Vec<(Object, Bytes)> {
    let store = world.storage.store(&shop());
    let mut packs = store.list(Kind::Data).unwrap();
    packs.retain(|(_, size)| *size > 100_000);
    packs.into_iter().map(|(pack, _)| (pack, store.read(&pack).unwrap())).collect()
}

#[test]
fn damage_is_found_named_told_once_and_gone_when_it_is_mended() {
    let world = world();
    let vault = world.open();
    let (first, _) = (ship(&vault, 1), round(&vault));
    assert_eq!(told(&vault), [""; 0]);
    let [(victim, content)] = &packs(&world)[..] else { panic!("one pack with data") };
    let second = ship(&vault, 2);
    let store = world.storage.store(&shop());
    let half = content.slice(..content.len() / 2);
    let mut flipped = content.to_vec();
    flipped[1000] ^= 1;
    for (damaged, said) in [
        (Some(flipped.into()), "blobs in data/"),
        (Some(half), "should have"),
        (None, "is missing"),
    ] {
        store.remove(victim).unwrap();
        if let Some(damaged) = damaged {
            store.create(victim, damaged).unwrap();
        }
        for _ in 0..2 {
            round(&vault);
            let told = told(&vault);
            assert_eq!(told.len(), 1, "one page, however often it is found: {told:?}");
            assert!(told[0].contains(said) && told[0].contains("1 snapshots cannot"), "{told:?}");
            assert!(told[0].contains(&format!("{first:.8} of")), "{told:?}");
            assert!(told[0].contains(&format!("the newest of them {second:.8}")), "{told:?}");
            assert!(told[0].contains("no second copy"), "{told:?}");
        }
        let _ = store.remove(victim);
        store.create(victim, content.clone()).unwrap();
        round(&vault);
        assert_eq!(told(&vault), [""; 0]);
    }
    let status = &vault.scrubs.statuses(vault.environment.clock.now())[0];
    assert_eq!(status.record.last.unwrap().bytes, total(&world));
    assert!(world.entries(&AuditAction::Scrubbed) >= 7);
}

fn total(world: &World) -> u64 {
    world.storage.store(&shop()).list(Kind::Data).unwrap().iter().map(|(_, size)| size).sum()
}

#[test]
fn what_was_found_and_read_is_known_after_a_restart_and_a_stop_notes_nothing() {
    let world = world();
    let vault = world.open();
    ship(&vault, 1);
    let (victim, _) = packs(&world).remove(0);
    world.storage.store(&shop()).remove(&victim).unwrap();
    // Put another pack there, so that not all are gone.
    ship(&vault, 2);
    round(&vault);
    assert_eq!(told(&vault).len(), 1);
    let before = vault.scrubs.statuses(vault.environment.clock.now()).remove(0).record;
    drop(vault);
    let vault = world.open();
    vault.find_out_what_to_scrub().unwrap();
    assert_eq!(vault.scrubs.statuses(vault.environment.clock.now()).remove(0).record, before);
    vault.tell_of_scrubs().unwrap();
    assert_eq!(told(&vault).len(), 1, "the same page as before");
    let stopped = Interrupt::default();
    stopped.request();
    let progress = Progress::new(&vault.environment, &stopped);
    vault.scrub_one(&shop(), Step::Again(1), &progress).unwrap();
    assert_eq!(vault.scrubs.statuses(vault.environment.clock.now()).remove(0).record, before);
}

#[test]
fn what_cannot_be_read_is_overdue_and_told_with_what_keeps_the_vault_from_it() {
    let world = world();
    let vault = world.open();
    ship(&vault, 1);
    let store = Arc::clone(&world.storage.store(&shop()));
    for (pack, _) in store.list(Kind::Data).unwrap() {
        store.remove(&pack).unwrap();
    }
    round(&vault);
    assert_eq!(told(&vault), [""; 0], "a volume that is away is not damage");
    let open = vault.promises.catalog().incidents().unwrap();
    let unread = open.iter().find(|it| it.key == "scrub/shop-db").unwrap();
    let said = crate::core::incidents::in_words(&unread.cause);
    assert!(said.contains("no packs are where it should be"), "{said}");
}
