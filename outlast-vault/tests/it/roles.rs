//! Who may do what, and what a refusal says.

use outlast_format::{Sha256Id, SnapshotId};
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_vault::AuditSelection;
use outlast_wire::CallError;
use outlast_wire::api::ErrorCode;
use outlast_wire::client::OpenError;
use outlast_wire::{RestStore, Role};
use serde_json::Value;

use crate::support::{World, shop, speaker};

fn refused<T: std::fmt::Debug>(result: Result<T, CallError>) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::Refused), "{error}");
    assert!(error.to_string().contains("use an identity with the role"), "{error}");
}

#[test]
fn every_role_has_its_own_calls_and_no_other() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"content"));
    refused(agent.client.workloads());
    refused(agent.client.snapshots(None));
    refused(agent.client.incidents());
    for role in [Role::Operator, Role::Reader] {
        let client = world.client(&vault, role);
        refused(client.ship(&bill, &world.identity(role, "road-1")));
    }
    refused(world.client(&vault, Role::Media).workloads());
    // A reader opens what is there, and makes nothing.
    let identity = world.identity(Role::Reader, "road-1");
    let reader = world.client(&vault, Role::Reader);
    reader.open_workload(&shop(), speaker(&identity)).unwrap();
    let other = outlast_types::WorkloadName::new("typo").unwrap();
    let error = reader.open_workload(&other, speaker(&identity)).err().unwrap();
    let OpenError::Call(error) = error else { panic!("{error}") };
    assert_eq!(error.code(), Some(&ErrorCode::UnknownWorkload), "{error}");
    assert!(!world.repository_directory(&other).exists());
}

#[test]
fn an_agent_adds_and_never_takes_away_or_publishes() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.ship(&shop(), b"content");
    let address = format!("rest:{}repo/shop-db/", vault.url());
    let store = RestStore::open(&address, Some(&agent.identity)).unwrap();
    for (object, _) in store.list(Kind::Data).unwrap() {
        assert!(matches!(store.remove(&object), Err(StoreError::Refused { .. })));
        assert!(matches!(store.read(&object), Err(StoreError::Refused { .. })));
    }
    let snapshot = Object::Snapshot(bill.snapshot_id);
    assert!(matches!(store.remove(&snapshot), Err(StoreError::Refused { .. })));
    let content = bytes::Bytes::from_static(b"forged");
    let name = SnapshotId::of(&content);
    let forged = store.create(&Object::Snapshot(name), content);
    assert!(matches!(forged, Err(StoreError::Refused { .. })), "{forged:?}");
}

#[test]
fn a_refusal_by_the_table_of_objects_is_in_the_audit_log() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"content");
    let address = format!("rest:{}repo/shop-db/", vault.url());
    let store = RestStore::open(&address, Some(&agent.identity)).unwrap();
    let (object, _) = store.list(Kind::Data).unwrap().remove(0);
    assert!(matches!(store.remove(&object), Err(StoreError::Refused { .. })));
    assert!(matches!(store.read(&object), Err(StoreError::Refused { .. })));
    vault.shutdown();
    let mut log = Vec::new();
    let mut take = |line: &[u8]| {
        log.extend_from_slice(line);
        Ok(())
    };
    let asked = AuditSelection { workload: Some(shop()), ..AuditSelection::default() };
    outlast_vault::export_audit(&world.config.dir, &asked, &mut take).unwrap();
    let entries: Vec<Value> =
        log.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let refused = entries.iter().filter(|entry| entry["action"] == "requested");
    let told: Vec<String> = refused
        .map(|entry| {
            let object = entry["object"].as_str().unwrap().to_owned();
            // What a grant would allow, and what nothing does.
            let code = if object.starts_with("GET") { "no_ticket" } else { "refused" };
            assert_eq!((&entry["actor"], &entry["code"]), (&"agent road-1".into(), &code.into()));
            assert_eq!(entry["outcome"], "refused");
            object
        })
        .collect();
    assert_eq!(
        told,
        [format!("DELETE /repo/shop-db/{object}"), format!("GET /repo/shop-db/{object}")]
    );
}
