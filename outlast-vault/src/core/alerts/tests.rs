//! Nothing is lost, whatever is killed when.

use std::sync::Arc;
use std::time::Duration;

use outlast_alert::Kind;
use outlast_catalog::IncidentRecord;
use outlast_types::{Owner, WorkloadName};

use super::*;
use crate::core::storage::memory::MemoryStorage;

fn at(second: u64) -> Timestamp {
    Timestamp::EPOCH.saturating_add(Duration::from_secs(second))
}

fn entry(incident: u64, resolved: Option<u64>) -> IncidentEntry {
    IncidentEntry::of(&IncidentRecord {
        id: incident,
        key: "recovery-point/shop".to_owned(),
        workload: Some(WorkloadName::new("shop").unwrap()),
        owner: Owner::App,
        team: "team-shop".to_owned(),
        cause: RecordedCause::Data { code: "nothing-dropped".to_owned(), json: "{}".to_owned() },
        opened: at(0),
        resolved: resolved.map(at),
    })
}

fn alerts(storage: &Storage) -> Alerts {
    Alerts::open(storage, "hq", vec![Route::new("ops", Kind::Webhook)]).unwrap()
}

#[test]
fn what_was_heard_and_not_delivered_is_due_again_after_a_kill_and_under_the_same_id() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let first = alerts(&storage);
    first.hear(&entry(1, None), at(0));
    first.tick(at(1)).unwrap();
    let due = first.due("ops", at(20)).unwrap();
    let again = alerts(&storage);
    assert_eq!(again.due("ops", at(30)), Some(due.clone()), "sent, and killed before it was noted");
    again.note_delivered("ops", &due, at(31)).unwrap();
    let third = alerts(&storage);
    assert_eq!(third.due("ops", at(40)), None);
    third.hear(&entry(1, None), at(41));
    assert_eq!(third.due("ops", at(60)), None, "the outbox tells it again");
    third.hear(&entry(1, Some(70)), at(70));
    third.tick(at(71)).unwrap();
    assert!(alerts(&storage).due("ops", at(72)).is_some(), "its end is due");
}

#[test]
fn a_route_that_fails_for_minutes_is_an_incident_until_it_delivers() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let alerts = alerts(&storage);
    alerts.hear(&entry(1, None), at(0));
    let due = alerts.due("ops", at(10)).unwrap();
    let mut why =
        Undelivered { reason: "no route to host".to_owned(), retry_after: None, is_final: false };
    alerts.note_failed("ops", &due, &why, at(10)).unwrap();
    assert_eq!(alerts.news(at(129)), []);
    let seen = |problem: Option<&str>| Event::RouteSeen {
        route: "ops".to_owned(),
        problem: problem.map(str::to_owned),
    };
    assert_eq!(alerts.news(at(130)), [seen(Some("no route to host"))]);
    why.reason = "500".to_owned();
    alerts.note_failed("ops", &due, &why, at(140)).unwrap();
    assert_eq!(alerts.news(at(150)), []);
    let (standing, health) = alerts.routes(at(150)).remove(0);
    assert_eq!((standing.owed, health.failures), (1, 2));
    alerts.note_delivered("ops", &due, at(160)).unwrap();
    assert_eq!(alerts.news(at(160)), [seen(None)]);
    assert_eq!(alerts.routes(at(160))[0].0.owed, 0);
    // What is refused for good is in nobody's way.
    alerts.hear(&entry(2, None), at(200));
    let due = alerts.due("ops", at(300)).unwrap();
    alerts.note_failed("ops", &due, &Undelivered { is_final: true, ..why }, at(300)).unwrap();
    assert_eq!(alerts.due("ops", at(301)), None);
}

#[test]
fn a_record_that_is_damaged_tells_what_is_open_again_and_one_that_is_newer_is_left_alone() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    storage.replace(RECORD, b"no", Durability::Durable).unwrap();
    assert_eq!(alerts(&storage).due("ops", at(0)), None);
    storage.replace(RECORD, b"{\"version\":9}", Durability::Durable).unwrap();
    assert!(Alerts::open(&storage, "hq", Vec::new()).is_err());
}
