use std::time::Duration;

use outlast_types::{SnapshotId, Timestamp};

use super::*;

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix(1_790_000_000, 5).unwrap().saturating_add(Duration::from_secs(second))
}

fn shop() -> WorkloadName {
    WorkloadName::new("shop-db").unwrap()
}

fn snapshot(number: u8) -> SnapshotRecord {
    SnapshotRecord {
        workload: shop(),
        snapshot: SnapshotId([number; 32]),
        drop: Some(format!("01890a5d-ac96-774b-bcce-b302099a80{number:02x}").parse().unwrap()),
        received: at(u64::from(number)),
        content_bytes: 1 << 30,
        stored_bytes: 7,
        claims: serde_json::json!({"instance": "blue \"1\"", "nested": [1, null]}),
        receipt: Some("{\"version\":1}\n".into()),
    }
}

fn incident(id: u64) -> IncidentRecord {
    IncidentRecord {
        id,
        key: "recovery-point/shop-db".into(),
        workload: Some(shop()),
        owner: "app".into(),
        team: "team-shop".into(),
        cause: "shop-db missed its recovery point".into(),
        opened: at(id),
        resolved: None,
    }
}

fn report(agent: &str, share: Option<u8>) -> ReportRecord {
    let id = |number| format!("7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d{number:02x}").parse().unwrap();
    ReportRecord { agent: agent.into(), share: share.map(id), received: at(3), body: "{}".into() }
}

fn catalog() -> (tempfile::TempDir, Catalog) {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
    (directory, catalog)
}

#[test]
fn everything_survives_a_restart() {
    let (directory, catalog) = catalog();
    let report = report("road-1", Some(1));
    let entry = Entry {
        forgotten: None,
        snapshot: Some(&snapshot(1)),
        report: Some(&report),
        incidents: &[incident(1)],
        ledger: Some("{\"version\":1}"),
    };
    catalog.commit(&entry).unwrap();
    drop(catalog);
    let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
    assert_eq!(catalog.snapshots(None).unwrap(), [snapshot(1)]);
    assert_eq!(catalog.incidents().unwrap(), [incident(1)]);
    assert_eq!(catalog.reports().unwrap(), [report]);
    assert_eq!(catalog.ledger().unwrap().as_deref(), Some("{\"version\":1}"));
}

#[test]
fn a_snapshot_that_is_sent_again_keeps_its_time_and_receipt() {
    let (_directory, catalog) = catalog();
    let commit =
        |s: &SnapshotRecord| catalog.commit(&Entry { snapshot: Some(s), ..Entry::default() });
    commit(&snapshot(1)).unwrap();
    let mut again = snapshot(1);
    again.received = at(999);
    again.receipt = Some("another".into());
    commit(&again).unwrap();
    let found = catalog.snapshot_of_drop(&shop(), snapshot(1).drop.unwrap()).unwrap();
    assert_eq!(found, Some(snapshot(1)));
    let mut twin = snapshot(2);
    twin.drop = snapshot(1).drop;
    assert!(commit(&twin).is_err(), "one drop is never two snapshots");
    assert_eq!(catalog.snapshot_of_drop(&shop(), snapshot(3).drop.unwrap()).unwrap(), None);
}

#[test]
fn snapshots_are_listed_as_they_came_whatever_the_clock_said_and_counted() {
    let (_directory, catalog) = catalog();
    catalog.replace_snapshots(&[snapshot(1), snapshot(3), snapshot(2)]).unwrap();
    let listed = catalog.snapshots(Some(&shop())).unwrap();
    assert_eq!(listed, [snapshot(2), snapshot(3), snapshot(1)], "the last one first");
    let other = WorkloadName::new("other").unwrap();
    assert_eq!(catalog.snapshots(Some(&other)).unwrap(), []);
    let totals = catalog.totals().unwrap();
    assert_eq!(totals.get(&shop()), Some(&Totals { snapshots: 3, newest: at(3) }));
}

#[test]
fn an_incident_is_opened_and_resolved_once() {
    let (_directory, catalog) = catalog();
    let commit = |incidents: &[IncidentRecord]| {
        catalog.commit(&Entry { incidents, ..Entry::default() }).unwrap();
    };
    commit(&[incident(1), incident(2)]);
    let resolved = IncidentRecord { resolved: Some(at(50)), ..incident(1) };
    commit(std::slice::from_ref(&resolved));
    assert_eq!(catalog.incidents().unwrap(), [incident(2), resolved]);
}

#[test]
fn two_shares_under_one_name_each_have_their_last_report() {
    let (_directory, catalog) = catalog();
    let commit = |report: &ReportRecord| {
        catalog.commit(&Entry { report: Some(report), ..Entry::default() }).unwrap();
    };
    let (one, two) = (report("road-1", Some(1)), report("road-1", Some(2)));
    commit(&one);
    commit(&two);
    commit(&one);
    assert_eq!(catalog.reports().unwrap(), [one, two]);
}

#[test]
fn a_catalog_of_version_1_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.sqlite");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(schema::MIGRATIONS[0]).unwrap();
    let body = r#"{"share":"7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01","more":1}"#;
    for (agent, body) in [("road-1", body), ("road-2", "{}"), ("road-3", "not JSON")] {
        connection
            .execute("INSERT INTO reports VALUES (?1, ?2, ?3)", params![agent, nanos(at(3)), body])
            .unwrap();
    }
    connection.pragma_update(None, "user_version", 1).unwrap();
    drop(connection);
    let catalog = Catalog::open(&path).unwrap();
    let known = ReportRecord { body: body.into(), ..report("road-1", Some(1)) };
    assert_eq!(catalog.reports().unwrap(), [known, report("road-2", None)]);
    assert_eq!(catalog.last_incident_id().unwrap(), 0);
    catalog.commit(&Entry { incidents: &[incident(9)], ..Entry::default() }).unwrap();
    assert_eq!(catalog.last_incident_id().unwrap(), 9);
    assert_eq!(catalog.snapshot_count(&shop()).unwrap(), 0);
}

#[test]
fn a_half_entry_is_never_remembered() {
    let (_directory, catalog) = catalog();
    catalog.commit(&Entry { snapshot: Some(&snapshot(1)), ..Entry::default() }).unwrap();
    let mut twin = snapshot(2);
    twin.drop = snapshot(1).drop;
    // The incident comes after the snapshot that fails; the report before it must go, too.
    let entry = Entry { snapshot: Some(&twin), incidents: &[incident(9)], ..Entry::default() };
    assert!(catalog.commit(&entry).is_err());
    assert_eq!(catalog.incidents().unwrap(), []);
}

#[test]
fn a_newer_catalog_is_refused_and_a_damaged_one_is_named() {
    let (directory, catalog) = catalog();
    let path = directory.path().join("catalog.sqlite");
    catalog.lock().pragma_update(None, "user_version", 99).unwrap();
    drop(catalog);
    let error = Catalog::open(&path).err().unwrap();
    assert!(matches!(error, CatalogError::Newer { found: 99, .. }), "{error}");
    assert!(!error.is_damage());

    let path = directory.path().join("other.sqlite");
    let file = std::fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut &file, &[b'x'; 8192]).unwrap();
    let error = Catalog::open(&path).err().unwrap();
    assert!(error.is_damage(), "{error}");
    assert!(error.to_string().contains("other.sqlite"));
}
