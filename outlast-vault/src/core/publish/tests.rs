//! What a bill must be to become a snapshot, and what is recorded of it. In memory, without a door.

use outlast_drop::SignedReceipt;
use outlast_store::{Kind, Store as _};
use outlast_types::{BlobId, ContentHash, DropId, PackId, SystemClock, SystemRandom};
use outlast_wire::Role;
use outlast_wire::api::{Base64, BilledName, BilledObject};
use outlast_wire::holdings::{HeldDrop, Nonce, Question};

use super::*;
use crate::core::testing::{AGENT, World, agent, bill, identity, shop, upload};

/// A change that makes a bill of another drop.
type Change = fn(&mut Shipment);

struct Scene {
    world: World,
    vault: std::sync::Arc<Vault>,
    bill: Shipment,
}

/// A drop that was uploaded, and its bill.
fn scene() -> Scene {
    let world = World::new();
    let vault = world.open();
    let bill = bill(&vault, &shop(), &upload(&vault, &shop(), b"content"));
    Scene { world, vault, bill }
}

impl Scene {
    fn store(&self) -> std::sync::Arc<outlast_store::MemoryStore> {
        self.world.storage.store(&shop())
    }

    fn snapshots(&self) -> usize {
        self.store().list(Kind::Snapshot).unwrap().len()
    }

    fn record(&self) -> Option<SnapshotRecord> {
        self.vault.arrivals.of_drop(&shop(), self.bill.drop).unwrap()
    }

    /// The bill as it would be after `change`, refused; nothing is published or recorded for it.
    fn refused(&self, change: impl FnOnce(&mut Shipment)) -> VaultError {
        let mut bill = self.bill.clone();
        change(&mut bill);
        let error = self.vault.publish(&bill, &agent()).unwrap_err();
        assert_eq!(self.snapshots(), 0, "{error}");
        assert!(self.record().is_none(), "{error}");
        error
    }

    fn bad(&self, words: &str, change: impl FnOnce(&mut Shipment)) {
        let error = self.refused(change);
        assert!(
            matches!(&error, VaultError::BadBill { reason, .. } if reason.contains(words)),
            "{error}"
        );
    }
}

fn parsed(receipt: &str) -> Receipt {
    SignedReceipt::parse(receipt.as_bytes()).unwrap().receipt().clone()
}

#[test]
fn a_drop_is_recorded_as_it_was_billed_at_the_vaults_time_and_each_object_once() {
    let mut scene = scene();
    let twice = scene.bill.objects.clone();
    let stored: u64 = twice.iter().map(|object| object.size).sum();
    assert!(stored > 0 && twice.len() > 1);
    scene.bill.objects.extend(twice);
    let before = scene.vault.environment.clock.now();
    let receipt = scene.vault.publish(&scene.bill, &agent()).unwrap();
    let record = scene.record().unwrap();
    assert!(record.received >= before && record.received <= scene.vault.environment.clock.now());
    let bill = &scene.bill;
    assert_eq!(record.workload, bill.workload);
    assert_eq!(record.snapshot.to_string(), bill.snapshot_id.to_string());
    assert_eq!((record.drop, record.content_bytes), (Some(bill.drop), bill.size));
    assert_eq!((record.stored_bytes, &record.claims), (stored, &bill.claims));
    assert_eq!(record.receipt.as_deref(), Some(receipt.as_str()));
    let said = parsed(&receipt);
    assert_eq!(
        (said.seal, said.size, said.tree),
        (Some(bill.seal), Some(bill.size), Some(bill.tree))
    );
    assert_eq!(said.snapshot, Some(bill.snapshot_id.to_string()));
    assert_eq!(said.repository.as_deref(), Some("/repo/shop-db/"));
    assert_eq!((said.sequence, said.at, said.drop), (Some(1), record.received, bill.drop));
    assert_eq!(
        (said.state, said.share, said.day),
        (ReceiptState::Vaulted, Some(bill.share), Some(bill.day))
    );
    let cataloged = scene.vault.promises.catalog().snapshots(None).unwrap();
    assert_eq!(cataloged, [record]);
    assert_eq!(scene.snapshots(), 1);
}

#[test]
fn the_same_bill_gets_the_same_receipt_also_after_a_crash_before_the_catalog() {
    let scene = scene();
    let receipt = scene.vault.publish(&scene.bill, &agent()).unwrap();
    assert_eq!(scene.vault.publish(&scene.bill, &agent()).unwrap(), receipt);
    scene.vault.promises.catalog().replace_snapshots(&[]).unwrap();
    assert_eq!(scene.vault.publish(&scene.bill, &agent()).unwrap(), receipt);
    assert_eq!(scene.vault.promises.catalog().snapshots(None).unwrap().len(), 1);
    assert_eq!(scene.snapshots(), 1);
}

#[test]
fn a_number_of_a_receipt_is_given_once_whatever_is_forgotten() {
    let scene = scene();
    let number = |receipt: String| parsed(&receipt).sequence;
    assert_eq!(number(scene.vault.publish(&scene.bill, &agent()).unwrap()), Some(1));
    let Scene { world, vault, .. } = scene;
    drop(vault);
    let vault = world.open();
    let next = bill(&vault, &shop(), &upload(&vault, &shop(), b"more"));
    assert_eq!(number(vault.publish(&next, &agent()).unwrap()), Some(2));
}

#[test]
fn another_drop_under_a_known_id_is_contested_in_every_part() {
    let scene = scene();
    let receipt = scene.vault.publish(&scene.bill, &agent()).unwrap();
    let changes: [(&str, Change); 5] = [
        ("share", |bill| bill.share = outlast_types::ShareId::new(&SystemRandom)),
        ("day", |bill| bill.day = "20200101".parse().unwrap()),
        ("seal", |bill| bill.seal = ContentHash([8; 32])),
        ("size", |bill| bill.size += 1),
        ("tree", |bill| bill.tree = BlobId([8; 32])),
    ];
    for (part, change) in changes {
        let mut bill = scene.bill.clone();
        change(&mut bill);
        let error = scene.vault.publish(&bill, &agent()).unwrap_err();
        let VaultError::Contested { difference, .. } = &error else { panic!("{error}") };
        assert!(difference.contains(&format!("its {part} is")), "{difference}");
        let open = scene.vault.promises.catalog().incidents().unwrap();
        assert_eq!(open.len(), 1, "it is told to people once");
    }
    assert_eq!(scene.record().unwrap().receipt, Some(receipt));
}

#[test]
fn a_drop_of_before_receipts_named_seals_gets_one_that_does_and_stays_as_old_as_it_is() {
    let scene = scene();
    scene.vault.publish(&scene.bill, &agent()).unwrap();
    let old = SnapshotRecord { receipt: None, ..scene.record().unwrap() };
    scene.vault.arrivals.put(&old).unwrap();
    let receipt = scene.vault.publish(&scene.bill, &agent()).unwrap();
    let said = parsed(&receipt);
    assert_eq!((said.seal, said.at), (Some(scene.bill.seal), old.received));
    assert_eq!(scene.record().unwrap(), SnapshotRecord { receipt: Some(receipt.clone()), ..old });
    assert_eq!(scene.vault.publish(&scene.bill, &agent()).unwrap(), receipt);
}

#[test]
fn a_bill_of_another_version_is_refused_by_name() {
    let error = scene().refused(|bill| bill.version = BILL_VERSION - 1);
    assert!(matches!(error, VaultError::BillVersion { version } if version == BILL_VERSION - 1));
}

#[test]
fn what_a_bill_says_of_its_snapshot_must_be_so() {
    let scene = scene();
    scene.bad("SHA-256", |bill| bill.snapshot.0[0] ^= 1);
    scene.bad("does not open", |bill| {
        bill.snapshot.0[0] ^= 1;
        bill.snapshot_id = SnapshotId(sha256(&bill.snapshot.0));
    });
    scene.bad("billed one", |bill| bill.tree = BlobId([8; 32]));
    scene.bad("tag", |bill| bill.drop = DropId::new(&SystemClock, &SystemRandom));
    let error =
        scene.vault.publish(&scene.bill, &Peer::new(Role::Agent, "road-2").unwrap()).unwrap_err();
    assert!(error.to_string().contains("user"), "{error}");
}

#[test]
fn claims_and_snapshots_have_a_longest_length() {
    let scene = scene();
    let claims = |length: usize| serde_json::Value::String("x".repeat(length - 2));
    assert_eq!(claims(CLAIMS_BYTES_MAX).to_string().len(), CLAIMS_BYTES_MAX);
    scene.bad("claims are longer", |bill| bill.claims = claims(CLAIMS_BYTES_MAX + 1));
    scene.bad("snapshot is longer", |bill| bill.snapshot = Base64(vec![0; SNAPSHOT_BYTES_MAX + 1]));
    // At the limit it is judged by its content.
    scene.bad("SHA-256", |bill| bill.snapshot = Base64(vec![0; SNAPSHOT_BYTES_MAX]));
    let bill = Shipment { claims: claims(CLAIMS_BYTES_MAX), ..scene.bill.clone() };
    scene.vault.publish(&bill, &agent()).unwrap();
}

#[test]
fn every_billed_object_must_be_here_with_its_size() {
    let scene = scene();
    let named = scene.bill.objects[0].object();
    let missing = |error: VaultError| match error {
        VaultError::MissingObjects { missing, .. } => missing,
        error => panic!("{error}"),
    };
    let other_size = scene.refused(|bill| bill.objects[0].size += 1);
    assert_eq!(missing(other_size), [named]);
    let stranger =
        BilledObject { name: BilledName::Data(PackId([3; 32])), ..scene.bill.objects[0] };
    let absent = scene.refused(|bill| bill.objects.push(stranger));
    assert_eq!(missing(absent), [stranger.object()]);
    let many = scene.refused(|bill| {
        let absent = (0..=MISSING_NAMED_MAX as u64).map(|n| {
            let mut name = [3; 32];
            name[..8].copy_from_slice(&n.to_le_bytes());
            BilledObject { name: BilledName::Data(PackId(name)), ..stranger }
        });
        bill.objects.extend(absent);
    });
    assert_eq!(missing(many).len(), MISSING_NAMED_MAX);
}

#[test]
fn every_pack_that_a_billed_index_names_must_be_here_billed_or_not() {
    let scene = scene();
    let is_pack = |object: &BilledObject| object.object().kind() == Kind::Data;
    let packs: Vec<BilledObject> =
        scene.bill.objects.iter().filter(|o| is_pack(o)).copied().collect();
    let indexes_only = |bill: &mut Shipment| bill.objects.retain(|object| !is_pack(object));
    let lost = packs[0].object();
    let content = scene.store().read(&lost).unwrap();
    scene.store().remove(&lost).unwrap();
    match scene.refused(indexes_only) {
        VaultError::MissingObjects { missing, .. } => assert_eq!(missing, [lost]),
        error => panic!("{error}"),
    }
    scene.store().create(&lost, content).unwrap();
    let mut bill = scene.bill.clone();
    indexes_only(&mut bill);
    scene.vault.publish(&bill, &agent()).unwrap();
}

#[test]
fn an_index_that_cannot_be_read_spoils_the_bill() {
    let scene = scene();
    let index =
        scene.bill.objects.iter().find(|object| object.object().kind() == Kind::Index).unwrap();
    let object = index.object();
    let mut content = scene.store().read(&object).unwrap().to_vec();
    content[40] ^= 1;
    scene.store().overwrite(&object, Bytes::from(content));
    let error = scene.refused(|_| {});
    assert!(matches!(error, VaultError::BadBill { .. }), "{error}");
}

#[test]
fn a_tree_that_no_index_knows_is_not_published() {
    let scene = scene();
    for (object, _) in scene.store().list(Kind::Index).unwrap() {
        scene.store().remove(&object).unwrap();
    }
    scene.bad("no index knows the tree", |bill| bill.objects.clear());
}

#[test]
fn a_drop_whose_tree_no_index_knows_any_more_is_not_said_to_be_held() {
    let scene = scene();
    let receipt = parsed(&scene.vault.publish(&scene.bill, &agent()).unwrap());
    let asked = HeldDrop {
        drop: receipt.identity().unwrap(),
        size: receipt.size.unwrap(),
        tree: receipt.tree.unwrap(),
        snapshot: scene.bill.snapshot_id,
    };
    let asker = identity(scene.world.directory.path(), Role::Agent, AGENT);
    let held = || {
        let nonce = Nonce::new(&SystemRandom);
        let question = Question {
            nonce: nonce.clone(),
            drops: vec![asked.clone()],
            receipts: Vec::new(),
            handed: Vec::new(),
            heeds_withheld: true,
            signed: None,
        };
        let answer = scene.vault.holdings(question, asker.certified())?;
        let authority = scene.vault.identity.get();
        Ok::<_, VaultError>(answer.verify(authority.ca_pem(), &nonce).unwrap().held)
    };
    assert_eq!(held().unwrap(), std::slice::from_ref(&asked));
    // A disk that does not answer is no answer.
    scene.world.storage.set_away(&shop(), true);
    assert!(matches!(held(), Err(VaultError::Repository(error)) if error.is_passing()));
    scene.world.storage.set_away(&shop(), false);
    for (object, _) in scene.store().list(Kind::Index).unwrap() {
        scene.store().remove(&object).unwrap();
    }
    assert_eq!(held().unwrap(), [], "nobody could restore it");
}

#[test]
fn a_disk_that_does_not_answer_is_no_fault_of_the_bill() {
    let scene = scene();
    scene.world.storage.set_away(&shop(), true);
    let error = scene.refused(|_| ());
    assert!(matches!(error, VaultError::Repository(error) if error.is_passing()));
    scene.world.storage.set_away(&shop(), false);
    scene.vault.publish(&scene.bill, &agent()).unwrap();
}

#[test]
fn a_snapshot_that_is_there_already_is_not_taken_for_this_drop() {
    let scene = scene();
    let object = Object::Snapshot(scene.bill.snapshot_id);
    scene.store().create(&object, Bytes::from(scene.bill.snapshot.0.clone())).unwrap();
    let error = scene.vault.publish(&scene.bill, &agent()).unwrap_err();
    assert!(matches!(error, VaultError::AlreadyPublished { .. }), "{error}");
    assert!(scene.record().is_none());
}

#[test]
fn a_record_without_its_snapshot_says_nothing_and_is_written_anew() {
    let scene = scene();
    scene.vault.publish(&scene.bill, &agent()).unwrap();
    scene.store().remove(&Object::Snapshot(scene.bill.snapshot_id)).unwrap();
    let again = scene.vault.publish(&scene.bill, &agent()).unwrap();
    assert_eq!(parsed(&again).sequence, Some(2));
    assert_eq!((scene.snapshots(), scene.record().unwrap().receipt), (1, Some(again)));
}

#[test]
fn a_snapshot_without_a_bill_is_known_by_what_it_says_and_by_the_vaults_time() {
    let scene = scene();
    let object = Object::Snapshot(scene.bill.snapshot_id);
    scene.store().create(&object, Bytes::from(scene.bill.snapshot.0.clone())).unwrap();
    let repository = scene.vault.repositories.get(&shop()).unwrap();
    let received = scene.vault.environment.clock.now();
    scene.vault.adopt(&agent(), &repository, &shop(), scene.bill.snapshot_id, received).unwrap();
    let [record] = scene.vault.promises.catalog().snapshots(None).unwrap().try_into().unwrap();
    assert_eq!((record.drop, record.received, record.receipt), (None, received, None));
    assert_eq!((record.content_bytes, record.stored_bytes), (7, 0));
    assert_eq!(record.claims["host"], "shop-db");
    assert_eq!(record.claims["user"], AGENT);
    assert!(scene.vault.arrivals.is_any(&shop()).unwrap(), "it is written down to stay");
}
