//! The way of a drop: open, upload, bill, receipt.

use outlast_drop::{ReceiptState, SignedReceipt};
use outlast_repo::{Credential, Repository};
use outlast_store::DirectoryStore;
use outlast_types::{PackId, WorkloadName};
use outlast_wire::Role;
use outlast_wire::api::{Base64, BilledName, ErrorCode};
use outlast_wire::signature;

use crate::support::{World, shop};

#[test]
fn a_drop_is_published_last_and_its_receipt_is_signed_by_the_vault() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let outcome = agent.upload(&shop(), b"create table shop;");
    assert!(world.snapshot_files(&shop()).is_empty(), "nothing is visible before the bill");

    let bill = agent.bill(&shop(), &outcome);
    let receipt = agent.hand_in(&bill).unwrap().receipt;
    let signed = SignedReceipt::parse(receipt.as_bytes()).unwrap();
    assert_eq!(signed.receipt().state, ReceiptState::Vaulted);
    assert_eq!(signed.receipt().drop, bill.drop);
    assert_eq!(signed.receipt().snapshot, Some(bill.snapshot_id.to_string()));
    let signer = signed.verify(|certificate, bytes, proof| {
        signature::verify(certificate, agent.identity.ca_pem(), bytes, proof)
    });
    assert_eq!(signer.unwrap().role(), Role::Vault);

    let operator = world.client(&vault, Role::Operator);
    let listed = operator.snapshots(Some(&shop())).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].drop, listed[0].snapshot), (Some(bill.drop), bill.snapshot_id));
    assert!(*listed[0].received.to_string() > *"2020", "the vault's time, not the claim");
    let workload = operator.workload(&shop()).unwrap();
    assert_eq!((workload.state.as_str(), workload.snapshots), ("fresh", 1));
}

#[test]
fn a_repeated_bill_gets_the_same_receipt_and_no_second_snapshot() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"one"));
    let receipt = agent.hand_in(&bill).unwrap().receipt;
    assert_eq!(agent.hand_in(&bill).unwrap().receipt, receipt);

    // An agent that lost its memory backs the drop up again: another snapshot, the same drop.
    let again = agent.bill_of(&shop(), &agent.upload(&shop(), b"one"), bill.drop);
    assert_ne!(again.snapshot_id, bill.snapshot_id);
    assert_eq!(agent.hand_in(&again).unwrap().receipt, receipt);
    assert_eq!(world.snapshot_files(&shop()).len(), 1);

    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"two"));
    let together: Vec<String> = std::thread::scope(|scope| {
        let ship = || agent.hand_in(&bill).unwrap().receipt;
        let racers: Vec<_> = (0..4).map(|_| scope.spawn(ship)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(together.iter().all(|receipt| *receipt == together[0]));
    assert_eq!(world.snapshot_files(&shop()).len(), 2);
}

#[test]
fn a_bill_that_does_not_fit_publishes_nothing() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let other = WorkloadName::new("other").unwrap();
    let outcome = agent.upload(&shop(), b"mine");
    let good = agent.bill(&shop(), &outcome);
    agent.open(&other);
    let refused = |bill: &outlast_wire::api::Shipment, code: &str| {
        let error = agent.hand_in(bill).unwrap_err();
        assert_eq!(error.code().map(ErrorCode::as_str), Some(code), "{error}");
        assert!(!error.is_passing(), "{error}");
        assert!(error.to_string().contains("request "), "{error}");
    };

    let mut bill = good.clone();
    bill.objects[0].size += 1;
    refused(&bill, "missing_objects");
    bill.objects[0].name = BilledName::Data(PackId([7; 32]));
    refused(&bill, "missing_objects");
    // Somebody else's objects, and a snapshot that another key sealed.
    let mut bill = good.clone();
    bill.workload = other.clone();
    refused(&bill, "bad_bill");
    bill.objects.clear();
    refused(&bill, "bad_bill");
    let mut bill = good.clone();
    bill.snapshot = Base64(b"not what its name says".to_vec());
    refused(&bill, "bad_bill");
    let mut bill = good.clone();
    bill.claims = serde_json::json!({"long": "x".repeat(1 << 20)});
    refused(&bill, "bad_bill");
    let mut bill = good.clone();
    bill.workload = WorkloadName::new("nobody").unwrap();
    refused(&bill, "unknown_workload");

    for workload in [&shop(), &other] {
        assert!(world.snapshot_files(workload).is_empty(), "{workload}");
    }
    agent.hand_in(&good).unwrap();
    // The snapshot of another drop.
    let mut twin = good.clone();
    twin.drop = agent.bill(&shop(), &outcome).drop;
    refused(&twin, "bad_bill");
}

#[test]
fn a_drop_that_brings_nothing_new_is_vaulted_all_the_same() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"the same every day");
    let second = agent.bill(&shop(), &agent.upload(&shop(), b"the same every day"));
    agent.hand_in(&second).unwrap();
    assert_eq!(world.snapshot_files(&shop()).len(), 2);
}

#[test]
fn an_index_that_points_into_the_void_is_refused() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"some content"));
    for pack in bill.objects.iter().filter_map(|billed| billed.object().pack()) {
        let name = pack.to_string();
        let directory = world.repository_directory(&shop()).join("data").join(&name[..2]);
        let file = directory.join(&name);
        std::fs::remove_file(file).unwrap();
    }
    let mut silent = bill.clone();
    silent.objects.retain(|billed| matches!(billed.name, BilledName::Index(_)));
    for bill in [&bill, &silent] {
        let error = agent.hand_in(bill).unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::MissingObjects), "{error}");
    }
}

#[test]
fn the_password_on_the_vaults_disk_opens_what_the_sealed_key_opens() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let key = agent.open(&shop()).key().to_bytes();
    let path = world.config.dir.join("keys/shop-db.password");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let password = std::fs::read_to_string(path).unwrap();
    let store = DirectoryStore::open(&world.repository_directory(&shop())).unwrap();
    let opened = Repository::open(
        std::sync::Arc::new(store),
        Credential::Password(password.trim_end().as_bytes()),
    );
    assert_eq!(opened.unwrap().key().to_bytes(), key);
}
