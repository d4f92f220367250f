use bytes::Bytes;
use outlast_store::{Object, Store as _};
use outlast_types::{SnapshotId, WorkloadName};

use super::super::audit::AuditAction;
use super::super::storage::{Durability, Records as _};
use super::super::testing::{World, agent, bill, shop, upload};
use super::*;

/// Puts a snapshot into the workload's repository past the vault's doors.
fn smuggle(world: &World, vault: &Vault, workload: &WorkloadName) -> SnapshotId {
    let bill = bill(vault, workload, &upload(vault, workload, b"content"));
    let (object, content) = (Object::Snapshot(bill.snapshot_id), Bytes::from(bill.snapshot.0));
    world.storage.store(workload).create(&object, content).unwrap();
    bill.snapshot_id
}

fn progress(vault: &Vault) -> Progress {
    Progress::new(&vault.environment, &Interrupt::default())
}

#[test]
fn the_catalog_is_repaired_while_the_vault_works_and_a_damaged_workload_keeps_no_other_from_it() {
    let world = World::new();
    let vault = world.open();
    let published = bill(&vault, &shop(), &upload(&vault, &shop(), b"published"));
    vault.publish(&published, &agent()).unwrap();
    let repair = || vault.repair_catalog(&progress(&vault)).map_err(|error| error.to_string());
    let took_in =
        |number: usize| Ok(format!("took in {number} snapshots that the catalog did not know"));
    assert_eq!(repair(), took_in(0));
    let cataloged = |workload: &WorkloadName| -> Vec<SnapshotId> {
        let records = vault.promises.catalog().snapshots(Some(workload)).unwrap();
        records.into_iter().map(|record| record.snapshot).collect()
    };

    let smuggled = smuggle(&world, &vault, &shop());
    let ahead = WorkloadName::new("ahead").unwrap();
    let also = smuggle(&world, &vault, &ahead);
    let damaged = format!("arrivals/{ahead}/{also}.json");
    world.storage.replace(&damaged, b"{", Durability::Fast).unwrap();
    let error = repair().unwrap_err();
    assert!(error.starts_with("1 of 2 could not be done"), "{error}");
    assert!(error.contains(&damaged), "{error}");
    assert!(cataloged(&shop()).contains(&smuggled));
    assert_eq!(cataloged(&shop()).len(), 2);
    assert_eq!(cataloged(&ahead), []);

    world.storage.remove(&damaged).unwrap();
    assert_eq!(repair(), took_in(1));
    assert_eq!(cataloged(&ahead), [also]);
    assert_eq!(repair(), took_in(0));
    assert_eq!(world.entries(&AuditAction::SnapshotAdopted), 2, "each is told once");
    assert_eq!(world.entries(&AuditAction::DropPublished), 1);
}

#[test]
fn a_look_at_the_repositories_that_is_broken_off_says_nothing_of_the_whole() {
    let world = World::new();
    let vault = world.open();
    upload(&vault, &shop(), b"content");
    let look = |progress: &Progress| vault.look_after_repositories(progress).unwrap();
    assert_eq!(look(&progress(&vault)), "1 repositories are whole, 0 are damaged, 0 are gone");
    let stopped = Interrupt::default();
    stopped.request();
    let look = look(&Progress::new(&vault.environment, &stopped));
    assert_eq!(look, "0 repositories are whole, 0 are damaged, 0 are gone");
    vault.open_or_make(&agent(), &WorkloadName::new("web").unwrap()).unwrap();
}
