//! Drops on their way: begun, waiting, published when all is here, and no earlier.

use std::sync::Arc;

use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::{IndexId, PackId};
use outlast_repo::backup::Outcome;
use outlast_store::{Kind, Object, Store as _};
use outlast_types::{Clock as _, SpoolId, SystemClock, SystemRandom};
use outlast_wire::api::{
    BILL_VERSION_COUNTED, BillAnswer, BilledPacks, MediaReport, MediaRow, MediaState, Pending,
    Shipment,
};

use super::*;
use outlast_wire::Role;

use crate::core::testing::{World, agent, bill, identity, shop, upload};

/// A bill that names the indexes and counts the packs.
fn counted(vault: &Vault, outcome: &Outcome) -> Shipment {
    let mut bill = bill(vault, &shop(), outcome);
    bill.version = BILL_VERSION_COUNTED;
    bill.objects.retain(|billed| billed.object().kind() == Kind::Index);
    let bytes = outcome.packs.iter().map(|(_, size)| size).sum();
    bill.packs = Some(BilledPacks { objects: outcome.packs.len() as u64, bytes });
    bill
}

fn begin(bill: &Shipment) -> BeginShipment {
    BeginShipment {
        share: bill.share,
        workload: bill.workload.clone(),
        day: bill.day,
        drop: bill.drop,
        seal: bill.seal,
        size: bill.size,
        at: SystemClock.now(),
    }
}

fn pending(answer: BillAnswer) -> Pending {
    assert_eq!(answer.receipt, None);
    let pending = answer.pending.unwrap();
    assert!(pending.by_vault);
    pending
}

/// What a media server says that holds something of the shop.
fn report(objects: u64) -> MediaReport {
    let row = MediaRow { workload: shop(), objects, bytes: 1, oldest_seconds: 5 };
    MediaReport {
        spool: SpoolId::new(&SystemRandom),
        run: "1".to_owned(),
        version: "0".to_owned(),
        at: SystemClock.now(),
        state: MediaState::Taking,
        rows: vec![row],
        objects,
        bytes: 1,
        room: 100,
        room_left: 50,
        line_allowed: None,
        line_rate: 0,
        empty_in_seconds: None,
        problems: Vec::new(),
        shipments: Vec::new(),
    }
}

#[test]
fn a_drop_waits_for_what_is_not_here_and_is_over_with_its_receipt() {
    let world = World::new();
    let vault = world.open();
    let outcome = upload(&vault, &shop(), b"content");
    let bill = counted(&vault, &outcome);
    vault.begin_shipment(&begin(&bill), &agent()).unwrap();
    vault.begin_shipment(&begin(&bill), &agent()).unwrap();
    let operator = identity(world.directory.path(), Role::Operator, "up");
    let custody = || vault.custody_of(bill.drop, operator.certified()).unwrap();
    assert_eq!((custody().records, custody().on_their_way.len()), (Vec::new(), 1));
    assert_eq!(world.entries(&AuditAction::ShipmentBegun), 1, "said twice, it is the same");
    let store = world.storage.store(&shop());
    let lost = Object::Data(outcome.packs[0].0);
    let content = store.read(&lost).unwrap();
    store.remove(&lost).unwrap();
    let answer = pending(vault.hand_in(&bill, &agent()).unwrap());
    assert_eq!(answer.missing, [lost.to_string()]);
    let brought = (outcome.packs.len() + outcome.indexes.len()) as u64;
    assert_eq!((answer.here, answer.waiting.len()), (brought - 1, 0));
    assert!(answer.is_lacking());
    vault.spools.note("eu-1", report(3), vault.environment.clock.now()).unwrap();
    let answer = pending(vault.hand_in(&bill, &agent()).unwrap());
    assert_eq!((&*answer.waiting[0].media, answer.waiting[0].objects), ("eu-1", 3));
    assert!(!answer.is_lacking(), "it may still come");
    assert_eq!(vault.shipments.all().len(), 1);
    assert!(store.list(Kind::Snapshot).unwrap().is_empty());
    store.create(&lost, content).unwrap();
    let receipt = vault.publish(&bill, &agent()).unwrap();
    assert_eq!(vault.shipments.all(), []);
    assert_eq!(vault.publish(&bill, &agent()).unwrap(), receipt);
    let record = vault.arrivals.of_drop(&shop(), bill.drop).unwrap().unwrap();
    let sizes = outcome.packs.iter().map(|(_, size)| size);
    let sizes = sizes.chain(outcome.indexes.iter().map(|(_, size)| size));
    assert_eq!(record.stored_bytes, sizes.sum::<u64>());
    let CustodyView { records, on_their_way, .. } = custody();
    assert!(on_their_way.is_empty() && records[0].is_published);
    assert_eq!(records[0].receipt.as_ref(), Some(&receipt));
    // It came; whoever begins again needs nothing.
    vault.begin_shipment(&begin(&bill), &agent()).unwrap();
    assert_eq!(vault.shipments.all(), []);
}

/// What came with an outcome, taken away to be put back.
fn take_away(world: &World, outcome: &Outcome) -> Vec<(Object, bytes::Bytes)> {
    let store = world.storage.store(&shop());
    let packs = outcome.packs.iter().map(|(pack, _)| Object::Data(*pack));
    let indexes = outcome.indexes.iter().map(|(index, _)| Object::Index(*index));
    let take = |object: Object| {
        let content = store.read(&object).unwrap();
        store.remove(&object).unwrap();
        (object, content)
    };
    packs.chain(indexes).map(take).collect()
}

#[test]
fn a_drop_that_rests_on_packs_which_died_with_a_media_server_is_published_when_it_is_whole() {
    let world = World::new();
    let vault = world.open();
    let content: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
    let first = upload(&vault, &shop(), &content);
    let more = [&content[..], b"and more"].concat();
    let second = upload(&vault, &shop(), &more);
    let stored: u64 = second.packs.iter().map(|(_, size)| size).sum();
    assert!(stored < first.packs.iter().map(|(_, size)| size).sum(), "it rests on the first");
    // The first one waited at a media server, whose disk died: nothing of it ever came.
    let lost = take_away(&world, &first);
    let bill = counted(&vault, &second);
    let answer = pending(vault.hand_in(&bill, &agent()).unwrap());
    assert!(answer.missing.is_empty(), "all of the bill is here");
    assert!(!answer.blobs.is_empty() && answer.blobs.iter().all(|blob| blob.starts_with("data/")));
    assert!(answer.is_lacking());
    let mut of_before = bill.clone();
    of_before.version = outlast_wire::api::BILL_VERSION;
    let error = vault.hand_in(&of_before, &agent()).unwrap_err();
    assert!(matches!(&error, VaultError::BadBill { .. }), "{error}");
    let store = world.storage.store(&shop());
    assert!(store.list(Kind::Snapshot).unwrap().is_empty());
    assert!(store.list(Kind::Lock).unwrap().is_empty(), "no lock is left");
    for (object, content) in lost {
        store.create(&object, content).unwrap();
    }
    vault.publish(&bill, &agent()).unwrap();
    assert!(store.list(Kind::Lock).unwrap().is_empty());
}

fn mark(vault: &Vault, packs: Vec<PackId>, sweeping: bool) -> IndexId {
    let repository = vault.repositories.get(&shop()).unwrap();
    let opened = repository.opened().unwrap();
    let since = SystemClock.now();
    let condemned = Condemned { since, sweeping, packs, indexes: Vec::new() };
    let notes = Notes { chunk_average: None, condemned: Some(condemned) };
    let file = IndexFile { notes, ..IndexFile::default() };
    let document = file.serialize().unwrap();
    let (id, sealed) = opened.seal_unpacked("index", &document, &SystemRandom).unwrap();
    opened.store().create(&Object::Index(id), sealed).unwrap();
    id
}

#[test]
fn what_is_being_swept_does_not_count_and_what_only_may_be_does() {
    let world = World::new();
    let vault = world.open();
    let outcome = upload(&vault, &shop(), b"content");
    let bill = counted(&vault, &outcome);
    let packs: Vec<PackId> = outcome.packs.iter().map(|(pack, _)| *pack).collect();
    let announced = mark(&vault, packs.clone(), true);
    let answer = pending(vault.hand_in(&bill, &agent()).unwrap());
    assert!(answer.missing.is_empty() && !answer.blobs.is_empty());
    let store = world.storage.store(&shop());
    store.remove(&Object::Index(announced)).unwrap();
    mark(&vault, packs, false);
    // Somebody who removes packs began before our lock was there, and may not have seen it.
    let repository = vault.repositories.get(&shop()).unwrap();
    let opened = repository.opened().unwrap();
    let now = SystemClock.now();
    let holder = vault.process.here().holder;
    let lock = outlast_format::lock::Lock { time: now, exclusive: true, holder };
    let document = lock.serialize().unwrap();
    let (id, sealed) = opened.seal_unpacked("lock", &document, &SystemRandom).unwrap();
    store.create(&Object::Lock(id), sealed).unwrap();
    assert!(!pending(vault.hand_in(&bill, &agent()).unwrap()).blobs.is_empty());
    store.remove(&Object::Lock(id)).unwrap();
    // The sweep that is still to come will see the snapshot.
    vault.publish(&bill, &agent()).unwrap();
}

#[test]
fn a_pack_that_nobody_looked_at_is_looked_at_before_a_snapshot_relies_on_it() {
    let world = World::new();
    let vault = world.open();
    let outcome = upload(&vault, &shop(), b"content");
    let bill = counted(&vault, &outcome);
    let store = world.storage.store(&shop());
    let pack = Object::Data(outcome.packs[0].0);
    let good = store.read(&pack).unwrap();
    let mut spoilt = good.to_vec();
    spoilt[20] ^= 1;
    // Uploads of this test go past the doors: nothing was proved.
    store.overwrite(&pack, spoilt.into());
    let answer = pending(vault.hand_in(&bill, &agent()).unwrap());
    assert!(!answer.blobs.is_empty());
    store.overwrite(&pack, good);
    vault.publish(&bill, &agent()).unwrap();
}

#[test]
fn what_is_cancelled_is_over_and_is_told_to_the_log() {
    let world = World::new();
    let vault = world.open();
    let bill = counted(&vault, &upload(&vault, &shop(), b"content"));
    vault.begin_shipment(&begin(&bill), &agent()).unwrap();
    let cancel = CancelShipment {
        share: bill.share,
        workload: shop(),
        drop: bill.drop,
        reason: "it was rejected".to_owned(),
        at: SystemClock.now(),
    };
    for _ in 0..2 {
        vault.cancel_shipment(&cancel, &agent()).unwrap();
    }
    assert_eq!(vault.shipments.all(), []);
    assert_eq!(world.entries(&AuditAction::ShipmentEnded), 1);
    drop(vault);
    assert_eq!(Arc::clone(&world.open()).shipments.all(), []);
}
