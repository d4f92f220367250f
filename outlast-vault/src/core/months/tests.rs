use std::time::Duration;

use outlast_types::SnapshotId;

use super::*;
use crate::core::audit::AuditSelection;
use crate::core::testing::{World, agent, bill, shop, upload};

fn ship(vault: &Vault) -> SnapshotId {
    let bill = bill(vault, &shop(), &upload(vault, &shop(), b"content"));
    vault.publish(&bill, &agent()).unwrap();
    bill.snapshot_id
}

fn keep(vault: &Vault) -> String {
    vault.note_month().unwrap()
}

fn all_lines(world: &World) -> String {
    let mut text = Vec::new();
    let mut take = |bytes: &[u8]| {
        text.extend_from_slice(bytes);
        Ok(())
    };
    audit::export(&*world.storage, &AuditSelection::default(), &mut take).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_month_begins_a_segment_notes_what_changes_and_is_the_same_for_ever_when_it_is_over() {
    let world = World::new();
    let vault = world.open();
    keep(&vault);
    let month = vault.months.zone.month_of(vault.environment.clock.now());
    assert_eq!(audit::months::all(&*world.storage).unwrap()[0].0, month);
    ship(&vault);
    keep(&vault);
    keep(&vault);
    let text = all_lines(&world);
    assert_eq!(text.matches("\"promise_in_force\"").count(), 1, "once, not at each look");
    assert_eq!(text.matches("\"state_changed\"").count(), 1);
    assert!(text.contains("\"content_bytes\":\"7\""), "{text}");
    let (so_far, is_frozen) = vault.report_of(&month, Format::Json).unwrap();
    assert!(!is_frozen && so_far.contains("\"complete\": false"));
    assert!(so_far.contains("\"points\": 1"), "{so_far}");

    // A start goes on with the month, and begins it no second time.
    drop(vault);
    let vault = world.open();
    keep(&vault);
    assert_eq!(all_lines(&world).matches("\"promise_in_force\"").count(), 1);

    // It is over.
    let next = vault.months.zone.month_end(&month).unwrap();
    let next = vault.months.zone.month_of(next.saturating_add(Duration::from_secs(1)));
    *vault.months.lock() = Some(vault.begin_month(&next).unwrap());
    assert_eq!(vault.freeze().unwrap(), format!("froze the reports of {month}"));
    assert_eq!(vault.freeze().unwrap(), "");
    let (frozen, is_frozen) = vault.report_of(&month, Format::Json).unwrap();
    assert!(is_frozen && frozen.contains("\"complete\": true"));
    // What comes later changes nothing of it, and neither does the loss of what was frozen.
    ship(&vault);
    let formats = Format::ALL.map(|format| vault.report_of(&month, format).unwrap().0);
    for format in Format::ALL {
        world.storage.remove(&key_of(&month, format)).unwrap();
    }
    vault.freeze().unwrap();
    assert_eq!(Format::ALL.map(|format| vault.report_of(&month, format).unwrap().0), formats);
    let verdict = verify(&*world.storage, &month).unwrap().unwrap();
    assert_eq!((verdict.is_as_frozen, verdict.broken_at), (Some(true), vec![]));
    assert!(vault.audit.verify().unwrap().faults.is_empty());

    // Whoever changes a figure is found.
    let key = key_of(&month, Format::Json);
    let forged = frozen.replace("\"points\": 1", "\"points\": 2");
    world.storage.replace(&key, forged.as_bytes(), Durability::Durable).unwrap();
    assert_eq!(verify(&*world.storage, &month).unwrap().unwrap().is_as_frozen, Some(false));
    assert!(matches!(
        vault.report_of("1999-01", Format::Json),
        Err(VaultError::UnknownMonth { .. })
    ));
}

#[test]
fn what_comes_right_after_a_start_or_a_border_of_months_is_in_the_months_report() {
    let mut world = World::new();
    let time =
        outlast_testing::ManualTime::new(outlast_types::Clock::now(&outlast_types::SystemClock));
    world.environment = outlast_types::Environment {
        random: std::sync::Arc::new(outlast_types::SystemRandom),
        ..time.environment()
    };
    let vault = world.open();
    // No job ran yet.
    ship(&vault);
    let month = vault.months.zone.month_of(vault.environment.clock.now());
    let points = |month: &str| vault.report_of(month, Format::Json).unwrap().0;
    assert!(points(&month).contains("\"points\": 1"), "{}", points(&month));
    vault.heed_border_of_months().unwrap();
    let next = vault.months.zone.month_end(&month).unwrap();
    time.advance(next.since(vault.environment.clock.now()) + Duration::from_secs(1));
    vault.heed_border_of_months().unwrap();
    let next = vault.months.zone.month_of(vault.environment.clock.now());
    assert_ne!(next, month);
    ship(&vault);
    assert!(points(&month).contains("\"points\": 1"), "{}", points(&month));
    assert!(points(&next).contains("\"points\": 1"), "{}", points(&next));
}
