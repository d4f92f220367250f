//! Incidents outlive the catalog.

use outlast_types::{ShareId, SystemRandom};

use crate::core::audit::{AuditAction, Source};
use crate::core::testing::{World, agent, bill, shop, upload};

#[test]
fn incidents_are_in_the_audit_log_once_and_come_back_from_it_when_the_catalog_is_lost() {
    let world = World::new();
    let vault = world.open();
    let first = bill(&vault, &shop(), &upload(&vault, &shop(), b"content"));
    vault.publish(&first, &agent()).unwrap();
    let mut other = first.clone();
    other.share = ShareId::new(&SystemRandom);
    vault.publish(&other, &agent()).unwrap_err();
    vault.promises.tick().unwrap();
    let before = vault.promises.catalog().incidents().unwrap();
    assert_eq!(before.len(), 1);
    let members = |vault: &crate::core::vault::Vault| {
        let mut count = 0;
        vault.audit.members(Source::Incidents, &mut |_, _| count += 1).unwrap();
        count
    };
    assert_eq!(members(&vault), 1);
    drop(vault);
    for suffix in ["", "-wal", "-shm"] {
        let path = world.directory.path().join(format!("catalog.sqlite{suffix}"));
        std::fs::remove_file(path).ok();
    }
    let vault = world.open();
    let after = vault.promises.catalog().incidents().unwrap();
    let same =
        |it: &&outlast_catalog::IncidentRecord| it.id == before[0].id && it.key == before[0].key;
    assert_eq!(after.iter().filter(same).count(), 1, "{after:?}");
    let actions = [AuditAction::CatalogRebuilt, AuditAction::Started];
    let counts = actions.map(|action| world.entries(&action));
    assert_eq!(counts, [1, 2]);
}
