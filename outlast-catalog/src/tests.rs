use std::time::Duration;

use outlast_types::{Owner, Sanity, SnapshotId, Timestamp};

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
        sanity: Sanity::default(),
        terms: Terms { keep: Some("daily=7".into()), ..Terms::default() },
    }
}

fn incident(id: u64) -> IncidentRecord {
    IncidentRecord {
        id,
        key: "recovery-point/shop-db".into(),
        workload: Some(shop()),
        owner: Owner::App,
        team: "team-shop".into(),
        cause: RecordedCause::Data { code: "nothing-dropped".into(), json: "{}".into() },
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
        removed: None,
        snapshot: Some(&snapshot(1)),
        report: Some(&report),
        incidents: &[incident(1)],
        outbox: &["one".into(), "two".into()],
        ledger: Some(LedgerChange { is_whole: false, rows: &[("head", "", Some("{}"))] }),
    };
    catalog.commit(&entry).unwrap();
    drop(catalog);
    let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
    assert_eq!(catalog.snapshots(None).unwrap(), [snapshot(1)]);
    assert_eq!(catalog.incidents().unwrap(), [incident(1)]);
    assert_eq!(catalog.reports().unwrap(), [report]);
    assert_eq!(catalog.ledger().unwrap(), [row("head", "", "{}")]);
    assert_eq!(catalog.outbox(9).unwrap(), [(1, "one".into()), (2, "two".into())]);
}

fn row(part: &str, key: &str, state: &str) -> LedgerRow {
    LedgerRow { part: part.into(), key: key.into(), state: state.into() }
}

#[test]
fn of_a_ledger_only_the_rows_change_that_are_named_unless_it_is_a_whole_one() {
    let (_directory, catalog) = catalog();
    assert!(!catalog.has_ledger().unwrap());
    let commit = |is_whole, rows: &[_]| {
        let ledger = Some(LedgerChange { is_whole, rows });
        catalog.commit(&Entry { ledger, ..Entry::default() }).unwrap();
        catalog.ledger().unwrap()
    };
    let (shop, web) = (("workload", "shop-db", Some("1")), ("workload", "web", Some("2")));
    commit(false, &[shop, web, ("head", "", Some("3"))]);
    assert!(catalog.has_ledger().unwrap());
    let rows = commit(false, &[("workload", "shop-db", Some("4")), ("workload", "web", None)]);
    assert_eq!(rows, [row("head", "", "3"), row("workload", "shop-db", "4")]);
    assert_eq!(commit(true, &[web]), [row("workload", "web", "2")]);
}

#[test]
fn what_is_in_the_outbox_stays_until_it_was_handed_on_and_no_number_comes_twice() {
    let (directory, catalog) = catalog();
    let commit = |catalog: &Catalog, outbox: &[&str]| {
        let outbox: Vec<String> = outbox.iter().map(|&entry| entry.to_owned()).collect();
        catalog.commit(&Entry { outbox: &outbox, ..Entry::default() }).unwrap();
    };
    commit(&catalog, &["a", "b", "c"]);
    assert_eq!(catalog.outbox(2).unwrap(), [(1, "a".into()), (2, "b".into())]);
    catalog.handed_on(2).unwrap();
    assert_eq!(catalog.outbox(2).unwrap(), [(3, "c".into())]);
    catalog.handed_on(3).unwrap();
    drop(catalog);
    let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
    commit(&catalog, &["d"]);
    assert_eq!(catalog.outbox(9).unwrap(), [(4, "d".into())]);
    catalog.number_outbox_after(2).unwrap();
    catalog.number_outbox_after(90).unwrap();
    commit(&catalog, &["e"]);
    assert_eq!(catalog.outbox(9).unwrap(), [(4, "d".into()), (91, "e".into())]);
    let new = Catalog::open(&directory.path().join("new.sqlite")).unwrap();
    new.number_outbox_after(91).unwrap();
    commit(&new, &["f"]);
    assert_eq!(new.outbox(9).unwrap(), [(92, "f".into())]);
}

#[test]
fn what_must_be_told_goes_with_its_cause_or_not_at_all() {
    let (_directory, catalog) = catalog();
    catalog.commit(&Entry { snapshot: Some(&snapshot(1)), ..Entry::default() }).unwrap();
    let twin = SnapshotRecord { drop: snapshot(1).drop, ..snapshot(2) };
    let outbox = ["page".to_owned()];
    let rows = [("head", "", Some("{}"))];
    let ledger = Some(LedgerChange { is_whole: true, rows: &rows });
    let entry = Entry { snapshot: Some(&twin), outbox: &outbox, ledger, ..Entry::default() };
    assert!(catalog.commit(&entry).is_err());
    assert_eq!((catalog.outbox(9).unwrap(), catalog.ledger().unwrap()), (vec![], vec![]));
}

#[test]
fn a_catalog_of_version_2_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.sqlite");
    let connection = Connection::open(&path).unwrap();
    schema::MIGRATIONS[..2].iter().for_each(|step| connection.execute_batch(step).unwrap());
    connection.execute("INSERT INTO ledger (id, state) VALUES (1, '{\"version\":2}')", []).unwrap();
    let sentence = "shop-db missed its recovery point";
    connection
        .execute(
            "INSERT INTO incidents VALUES (7, 'recovery-point/shop-db', 'shop-db', 'app', \
             'team-shop', ?1, ?2, NULL)",
            params![sentence, nanos(at(7))],
        )
        .unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(catalog.ledger().unwrap(), [row("document", "", "{\"version\":2}")]);
    let old = IncidentRecord { cause: RecordedCause::Sentence(sentence.into()), ..incident(7) };
    assert_eq!(catalog.incidents().unwrap(), std::slice::from_ref(&old));
    let resolved = IncidentRecord { resolved: Some(at(9)), ..old };
    let entry = Entry { incidents: std::slice::from_ref(&resolved), ..Entry::default() };
    catalog.commit(&entry).unwrap();
    assert_eq!(catalog.incidents().unwrap(), [resolved], "it stays readable");
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
    assert_eq!(totals.get(&shop()), Some(&Totals { snapshots: 3, newest: Some(at(3)) }));
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

#[test]
fn a_start_learns_the_last_receipt_and_the_names_without_reading_all() {
    let (_directory, catalog) = catalog();
    assert_eq!(catalog.last_receipt().unwrap(), 0);
    for (number, receipt) in [
        (1, None),
        (2, Some(r#"{"sequence":7}"#)),
        (3, Some("no JSON")),
        (4, Some(r#"{"sequence":5}"#)),
    ] {
        let snapshot = SnapshotRecord { receipt: receipt.map(str::to_owned), ..snapshot(number) };
        catalog.commit(&Entry { snapshot: Some(&snapshot), ..Entry::default() }).unwrap();
    }
    assert_eq!(catalog.last_receipt().unwrap(), 7);
    let names = catalog.snapshot_names(&shop()).unwrap();
    assert_eq!(names, (1..=4).map(|number| snapshot(number).snapshot).collect());
    let plan_of = |sql: &str| -> String {
        let connection = catalog.lock();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let plan = plan_of(SELECT_LAST_RECEIPT);
    assert!(plan.contains("snapshots_by_receipt"), "{plan}");
}

#[test]
fn the_newest_is_the_newest_moment_that_can_be_brought_back() {
    let (_directory, catalog) = catalog();
    let late = SnapshotRecord {
        terms: Terms { recovery_point: Some(at(1)), ..Terms::default() },
        received: at(100),
        ..snapshot(3)
    };
    for snapshot in [&snapshot(2), &late] {
        catalog.commit(&Entry { snapshot: Some(snapshot), ..Entry::default() }).unwrap();
    }
    assert_eq!(catalog.totals().unwrap()[&shop()].newest, Some(at(2)));
    assert_eq!(catalog.snapshots(None).unwrap(), [late.clone(), snapshot(2)]);
    assert_eq!((late.recovery_point(), snapshot(2).recovery_point()), (at(1), at(2)));
}

#[test]
fn what_was_removed_is_gone_and_nothing_else() {
    let (_directory, catalog) = catalog();
    for number in 1..=3 {
        let snapshot = snapshot(number);
        catalog.commit(&Entry { snapshot: Some(&snapshot), ..Entry::default() }).unwrap();
    }
    let (shop, removed) = (shop(), [snapshot(1).snapshot, snapshot(3).snapshot]);
    let entry = Entry { removed: Some((&shop, &removed)), ..Entry::default() };
    catalog.commit(&entry).unwrap();
    catalog.commit(&entry).unwrap();
    assert_eq!(catalog.snapshots(Some(&shop)).unwrap(), [snapshot(2)]);
}

#[test]
fn a_catalog_of_version_5_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.sqlite");
    let connection = Connection::open(&path).unwrap();
    schema::MIGRATIONS[..5].iter().for_each(|step| connection.execute_batch(step).unwrap());
    connection.pragma_update(None, "user_version", 5).unwrap();
    let sql = "INSERT INTO snapshots (workload, snapshot, received, content_bytes, stored_bytes, claims, \
               doubtful) VALUES ('shop-db', ?1, 7, 1, 1, 'null', 0)";
    connection.execute(sql, [snapshot(1).snapshot.to_string()]).unwrap();
    drop(connection);
    let catalog = Catalog::open(&path).unwrap();
    let found = catalog.snapshots(Some(&shop())).unwrap();
    assert_eq!(
        (&found[0].terms, found[0].recovery_point()),
        (&Terms::default(), found[0].received)
    );
    assert_eq!(catalog.totals().unwrap()[&shop()].newest, Some(found[0].received));
}
