//! What is stored of a ledger: row by row, taken back, and as older versions wrote it.

use proptest::prelude::*;

use super::*;

/// A ledger of an older version, which was one document.
fn document(state: &str) -> Vec<Row> {
    vec![Row { part: "document".into(), key: String::new(), state: state.into() }]
}

fn row(part: &str, key: &str, state: &str) -> Row {
    Row { part: part.into(), key: key.into(), state: state.into() }
}

/// Where rows are kept, as a catalog keeps them.
#[derive(Default)]
struct Store(BTreeMap<(String, String), String>);

impl Store {
    /// Stores what changed, and says how many rows that were.
    fn save(&mut self, ledger: &mut Ledger) -> usize {
        let Unsaved { is_whole, rows } = ledger.unsaved();
        if is_whole {
            self.0.clear();
        }
        let count = rows.len();
        for RowChange { part, key, state } in rows {
            match state {
                Some(state) => drop(self.0.insert((part.to_owned(), key), state)),
                None => assert!(self.0.remove(&(part.to_owned(), key)).is_some()),
            }
        }
        ledger.mark_saved();
        assert_eq!(ledger.unsaved(), Unsaved { is_whole: false, rows: vec![] });
        count
    }

    fn rows(&self) -> Vec<Row> {
        self.0.iter().map(|((part, key), state)| row(part, key, state)).collect()
    }
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|one, other| (&one.part, &one.key).cmp(&(&other.part, &other.key)));
    rows
}

#[test]
fn only_rows_that_changed_are_written() {
    let mut ledger = ledger();
    let mut store = Store::default();
    for number in 0..100 {
        ledger.apply_all([waiting(name(number)), vaulted(name(number), 1)], at(1));
    }
    assert_eq!(store.save(&mut ledger), 102, "a head, a source and the workloads");
    ledger.tick(at(2));
    assert_eq!(store.save(&mut ledger), 1, "the head, which knows the time");
    ledger.tick(at(2));
    assert_eq!(store.save(&mut ledger), 0);
    ledger.apply(vaulted(name(7), 3), at(3));
    assert_eq!(store.save(&mut ledger), 2);
    ledger.apply(declared(name(8)), at(4));
    ledger.apply(declared(name(8)), at(4));
    assert_eq!(store.save(&mut ledger), 2);
    ledger.apply(declared(name(8)), at(5));
    assert_eq!(store.save(&mut ledger), 1, "what is said again changes nothing");
    assert_eq!(store.rows(), sorted(ledger.rows()));
}

#[test]
fn what_could_not_be_stored_did_not_happen() {
    let mut ledger = ledger();
    let mut store = Store::default();
    ledger.apply_all([waiting(shop()), vaulted(shop(), 0), vaulted(name(1), 0)], at(0));
    store.save(&mut ledger);
    let before = sorted(ledger.rows());
    let lost = Finding::Lost { workload: shop(), drop: drop_id(9), received: at(0) };
    let events = [
        vaulted(shop(), 15),
        vaulted(name(2), 15),
        rejected(3),
        Event::Custody(lost),
        ordered(1, Order::Retire { at: at(15), until: at(60) }),
    ];
    let first = keys(&ledger.apply_all(events.clone(), at(15)));
    assert_eq!(first, ["+rejected-drop/shop-db", "+vault-went-back"]);
    ledger.restore_saved();
    assert_eq!(ledger.now(), at(0));
    assert_eq!(sorted(ledger.rows()), before);
    assert_eq!(ledger.unsaved().rows, []);
    let again = keys(&ledger.apply_all(events, at(15)));
    assert_eq!(again, first, "and so it can happen again");
    let ids: Vec<u64> = ledger.incidents().map(|incident| incident.id).collect();
    assert_eq!(ids, [1, 2]);
    // What time brings is found again, too.
    assert_eq!(alive(&mut ledger, 20, 100), [""; 0]);
    store.save(&mut ledger);
    assert_eq!(keys(&ledger.tick(at(100))), ["+recovery-point/w1"]);
    ledger.restore_saved();
    assert_eq!(keys(&ledger.tick(at(100))), ["+recovery-point/w1"]);
}

#[test]
fn what_policy_names_outlives_that_it_could_not_be_stored() {
    let promise = Promise::new(Duration::from_secs(50), "ops").unwrap();
    let settings = with_policy([(shop(), promise)]);
    let mut ledger = Ledger::new(settings, 0, at(0));
    ledger.restore_saved();
    assert_eq!(ledger.workload(&shop()).unwrap().promise.owner(), "ops");
    assert_eq!(keys(&ledger.tick(at(50))), ["+recovery-point/shop-db"]);
}

#[test]
fn a_ledger_from_a_newer_version_is_refused_clearly() {
    let newer = [row("head", "", r#"{"version":9,"more":1}"#), row("moon", "", "{}")];
    let error = Ledger::resume(settings(), newer, at(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the promise ledger was written by a newer version (9; this one reads 8): use that \
         version, or rebuild the catalog"
    );
    let head = ledger().rows().remove(0);
    let torn = row("workload", "shop-db", "{");
    let damaged = |rows: Vec<Row>| Ledger::resume(settings(), rows, at(0)).unwrap_err();
    assert!(matches!(damaged(document("{")), LedgerError::Damaged(_)));
    assert!(matches!(damaged(vec![head.clone(), torn.clone()]), LedgerError::Damaged(_)));
    assert!(matches!(damaged(vec![]), LedgerError::Inconsistent(_)));
    assert!(matches!(damaged(vec![torn]), LedgerError::Inconsistent(_)));
    assert!(matches!(damaged(vec![head.clone(), head.clone()]), LedgerError::Inconsistent(_)));
    for (part, key) in [("moon", "x"), ("workload", "Not A Name")] {
        let rows = vec![head.clone(), row(part, key, "{}")];
        assert!(matches!(damaged(rows), LedgerError::Inconsistent(_)));
    }
    let incident = concat!(
        r#"{"id":1,"cause":{"agent-silent":{"agent":"a","last_heard":"2026-09-21T14:13:20Z","#,
        r#""deadline":{"secs":20,"nanos":0}}},"team":"platform","opened":"2026-09-21T14:15:00Z","#,
        r#""folded_into":null,"announced":true}"#
    );
    let twice = vec![head, row("incident", "a", incident), row("incident", "b", incident)];
    assert!(matches!(damaged(twice), LedgerError::Inconsistent(_)));
}

#[test]
fn a_stored_ledger_of_version_1_is_still_read() {
    let golden = concat!(
        r#"{"version":1,"now":"2026-09-21T14:15:00Z","last_incident_id":1,"workloads":{"shop-db":"#,
        r#"{"promise":{"rpo":{"secs":100,"nanos":0},"owner":"team-shop"},"declared":false,"#,
        r#""known_since":"2026-09-21T14:13:20Z","last_vaulted":"2026-09-21T14:13:20Z","#,
        r#""waiting_since":null,"agent":null,"rejected":null,"rejected_before":[]}},"agents":{},"#,
        r#""absence":null,"open":[{"id":1,"cause":{"nothing-dropped":{"workload":"shop-db","#,
        r#""rpo":{"secs":100,"nanos":0},"last_vaulted":"2026-09-21T14:13:20Z","#,
        r#""known_since":"2026-09-21T14:13:20Z"}},"team":"team-shop","#,
        r#""opened":"2026-09-21T14:15:00Z","folded_into":null,"announced":true}]}"#,
    );
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.tick(at(100));
    let written = ledger.rows();
    assert!(written[0].state.starts_with(r#"{"version":8,"#), "{written:?}");
    let mut upgraded = Ledger::resume(settings(), document(golden), at(100)).unwrap();
    assert_eq!(upgraded.rows(), written);
    let unsaved = upgraded.unsaved();
    assert!(unsaved.is_whole, "the document goes");
    assert_eq!(unsaved.rows.len(), written.len());
    upgraded.mark_saved();
    assert_eq!(upgraded.unsaved().rows, []);
    assert_eq!(Ledger::resume(settings(), written.clone(), at(100)).unwrap().rows(), written);
}

/// As the commit before version 3 wrote it: a missing repository, a paused and a retired workload, a
/// lost and a contested drop, an outage, and what policy said then.
const VERSION_2: &str = include_str!("ledger-2.json");

#[test]
fn a_stored_ledger_of_version_2_is_still_read() {
    let mut ledger = Ledger::resume(settings(), document(VERSION_2), at(400)).unwrap();
    assert_eq!(ledger.last_order(), 4);
    let open: Vec<_> = ledger.incidents().map(|i| (i.id, i.key().to_string())).collect();
    let known = |id, key: &str| (id, key.to_owned());
    assert_eq!(
        open,
        [
            known(1, "certificate/vault/hq"),
            known(2, "vault-went-back"),
            known(3, "contested-drop/shop-db"),
            known(4, "rejected-drop/shop-db"),
            known(5, "repository/w2"),
            known(6, "recovery-point/w2"),
            known(7, SHARE_OPENED.trim_start_matches('+')),
            known(8, "vault"),
            known(9, "recovery-point/shop-db"),
            known(10, "recovery-point/w3"),
        ]
    );
    let workload = |number| ledger.workload(&number).unwrap();
    assert_eq!(workload(name(1)).until, Some(at(900)), "the pause");
    assert_eq!(workload(name(2)).state, State::Broken);
    assert_eq!(workload(name(4)).retired, Some(at(5)));
    let web = workload(name(3));
    let told = (web.promise.rpo().unwrap().as_secs(), web.promise.owner(), web.rpo_from);
    assert_eq!(told, (RPO, "team-shop", Origin::Default), "policy is not copied any more");
    let shop_db = workload(shop());
    // Policy names the owner now, and whom the share named is told, too.
    assert_eq!(
        (shop_db.promise.owner(), shop_db.promise.also()),
        ("team-shop", &["team-x".into()][..])
    );
    assert_eq!(shop_db.rpo_from, Origin::Share(share(1)));
    let mut store = Store::default();
    store.save(&mut ledger);
    let again = Ledger::resume(settings(), store.rows(), at(400)).unwrap();
    assert_eq!(sorted(again.rows()), sorted(ledger.rows()));
}

proptest! {
    /// Rows that are written bit by bit, and taken back now and then, are the ledger.
    #[test]
    fn what_is_stored_bit_by_bit_is_all_of_it(
        steps in prop::collection::vec((0..11_u8, 0..3_usize, 0..40_u64, 0..4_u8), 1..60),
    ) {
        let mut ledger = ledger();
        let mut store = Store::default();
        store.save(&mut ledger);
        let (mut now, mut orders) = (0, 0);
        for (what, which, pause, then) in steps {
            now += pause;
            let workload = name(which);
            let event = match what {
                0 | 1 => vaulted(workload, now),
                2 => waiting(workload),
                3 => declared(workload),
                4 => rejected(u8::try_from(which).unwrap()),
                5 => Event::Repository { workload, missing: Some("gone".into()) },
                6 => Event::Repository { workload, missing: None },
                7 => Event::Custody(Finding::Lost {
                    workload,
                    drop: drop_id(u8::try_from(which).unwrap()),
                    received: at(0),
                }),
                8 => Event::AuditLog { problem: Some("entry 3 was changed".into()) },
                9 => Event::AuditLog { problem: None },
                _ => {
                    orders += 1;
                    ordered(orders, Order::Retire { at: at(now), until: at(now + 30) })
                }
            };
            ledger.apply(event, at(now));
            match then {
                0 => {}
                1 => {
                    ledger.restore_saved();
                    prop_assert_eq!(sorted(ledger.rows()), store.rows());
                }
                2 => {
                    store.save(&mut ledger);
                    prop_assert_eq!(sorted(ledger.rows()), store.rows());
                }
                _ => {
                    store.save(&mut ledger);
                    ledger = Ledger::resume(settings(), store.rows(), at(now)).unwrap();
                }
            }
        }
    }
}
