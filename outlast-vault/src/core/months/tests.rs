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

#[test]
fn what_is_stored_and_taken_up_is_noted_once_a_day_and_restores_are_told_from_listings() {
    let world = World::new();
    let vault = world.open();
    keep(&vault);
    ship(&vault);
    let month = vault.months.zone.month_of(vault.environment.clock.now());
    let mut noted = vault.months.lock().take().unwrap();
    let share = "7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01".parse().unwrap();
    vault.occupied.note(share, vault.environment.clock.now(), [(&shop(), 7)].into_iter());
    vault.limits.stored(&agent(), &shop(), 1000);
    vault.note_usage(&mut noted).unwrap();
    vault.note_usage(&mut noted).unwrap();
    assert_eq!(all_lines(&world).matches("\"usage_noted\"").count(), 1, "once a day");
    *vault.months.lock() = Some(noted);
    let event = |purpose: &str| {
        let event = Event::by_name("operator anna".into(), AuditAction::KeyHandedOut);
        event.workload(&shop()).detail("purpose", purpose)
    };
    vault.audit.record_repeated(event("list")).unwrap();
    vault.audit.record_repeated(event("list")).unwrap();
    vault.audit.record_repeated(event("restore")).unwrap();
    vault.audit.flush(true).unwrap();
    let (csv, _) = vault.report_of(&month, Format::Csv).unwrap();
    let cells = |line: usize| csv.lines().nth(line).unwrap().split(',').map(str::to_owned);
    let row: BTreeMap<String, String> = cells(0).zip(cells(1)).collect();
    let stored = vault.limits.all_stored()[&shop()];
    assert!(stored > 0);
    for (column, figure) in [
        ("logical_bytes", "7".to_owned()),
        ("stored_bytes", stored.to_string()),
        ("share_bytes", "7".to_owned()),
        ("days_counted", "1".to_owned()),
        ("restores", "1".to_owned()),
        ("listings", "2".to_owned()),
    ] {
        assert_eq!(row[column], figure, "{column}: {csv}");
    }
    // After a start it is known that the day was counted.
    drop(vault);
    let vault = world.open();
    keep(&vault);
    assert!(vault.months.lock().as_ref().unwrap().counted.is_some());
}

#[test]
fn a_frozen_month_comes_out_byte_for_byte_after_renamings_and_a_rebuilt_catalog() {
    let world = World::new();
    let vault = world.open();
    keep(&vault);
    ship(&vault);
    keep(&vault);
    let now = vault.environment.clock.now();
    let month = vault.months.zone.month_of(now);
    let rename = |vault: &Vault, from: &WorkloadName, to: &str| {
        let to = WorkloadName::new(to).unwrap();
        let until = now.saturating_add(Duration::from_secs(86_400));
        vault.rename(from, ("operator anna", Some("a merger")), &to, until).unwrap();
        to
    };
    // In the middle of the month, and drops come under the new name.
    let store = rename(&vault, &shop(), "store");
    drop(vault);
    let vault = world.open();
    keep(&vault);
    let more = bill(&vault, &store, &upload(&vault, &store, b"more content"));
    vault.publish(&more, &agent()).unwrap();
    keep(&vault);
    let next = vault.months.zone.month_end(&month).unwrap();
    let next = vault.months.zone.month_of(next.saturating_add(Duration::from_secs(1)));
    *vault.months.lock() = Some(vault.begin_month(&next).unwrap());
    assert_eq!(vault.freeze().unwrap(), format!("froze the reports of {month}"));
    let all = |vault: &Vault| Format::ALL.map(|it| vault.report_of(&month, it).unwrap());
    let frozen = all(&vault);
    assert!(frozen.iter().all(|(_, is_frozen)| *is_frozen));
    for (text, _) in &frozen {
        assert!(text.contains("shop-db") && text.contains("store"), "as it was called: {text}");
    }
    // And once more, after its end.
    rename(&vault, &store, "outlet");
    drop(vault);
    std::fs::remove_file(world.directory.path().join("catalog.sqlite")).unwrap();
    let vault = world.open();
    keep(&vault);
    assert_eq!(all(&vault), frozen);
    for format in Format::ALL {
        world.storage.remove(&key_of(&month, format)).unwrap();
    }
    vault.freeze().unwrap();
    assert_eq!(all(&vault), frozen, "made again from the log alone");
    let verdict = verify(&*world.storage, &month).unwrap().unwrap();
    assert_eq!((verdict.is_as_frozen, verdict.broken_at), (Some(true), vec![]));
}

#[test]
fn what_is_kept_held_and_immutable_is_in_each_months_report_and_so_is_who_brought_it() {
    let mut world = World::new();
    world.retention.default.keep = Some("daily=14".parse().unwrap());
    world.retention.default.immutable_for = Duration::from_secs(14 * 86_400);
    let vault = world.open();
    keep(&vault);
    ship(&vault);
    let now = vault.environment.clock.now();
    let month = vault.months.zone.month_of(now);
    vault
        .keepings
        .change(&shop(), |keeping| {
            keeping.holds.push(crate::core::keepings::Hold {
                id: 1,
                reason: "lawsuit <4711>".to_owned(),
                person: "Dr. Weber".to_owned(),
                by: "operator anna".to_owned(),
                at: now,
                until: None,
                snapshots: Vec::new(),
            });
            Ok(())
        })
        .unwrap();
    keep(&vault);
    let (page, _) = vault.report_of(&month, Format::Html).unwrap();
    assert!(page.contains("immutable_for 14 d; keep daily=14"), "{page}");
    assert!(page.contains("signed for by the vault: agent road-1 (1)"), "{page}");

    // The next month says so of itself, though nobody decided anything in it.
    let next = vault.months.zone.month_end(&month).unwrap();
    let next = vault.months.zone.month_of(next.saturating_add(Duration::from_secs(1)));
    *vault.months.lock() = Some(vault.begin_month(&next).unwrap());
    let (page, _) = vault.report_of(&next, Format::Html).unwrap();
    assert!(page.contains("immutable_for 14 d; keep daily=14"), "{page}");
    assert!(
        page.contains("hold 1 on all snapshots, without end: lawsuit &lt;4711&gt;, Dr. Weber"),
        "{page}"
    );
}
