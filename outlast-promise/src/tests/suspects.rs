//! Drops that are no recovery points, and the word of an operator.

use outlast_types::ContentHash;

use super::*;

fn suspected(drop: u8, second: u64) -> Event {
    let why = "it has 3 bytes".to_owned();
    Event::Suspected { workload: shop(), drop: drop_id(drop), at: at(second), why }
}

fn accept(drop: u8, received: Option<u64>) -> Order {
    Order::Accept { drop: drop_id(drop), received: received.map(at) }
}

fn broken(drop: u8) -> Event {
    Event::Rejected {
        workload: shop(),
        source: source(),
        drop: drop_id(drop),
        code: RejectionCode::BrokenContent,
        reason: "it was cut off".to_owned(),
        place: Some((at(0).day(), ContentHash([drop; 32]))),
    }
}

fn status(ledger: &Ledger) -> WorkloadStatus {
    ledger.workload(&shop()).unwrap()
}

#[test]
fn a_row_of_suspect_drops_renews_no_promise_and_the_next_good_one_does() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    for second in [15, 30, 45, 60, 75, 90] {
        ledger.apply(waiting(shop()), at(second - 1));
        assert!(ledger.apply(suspected(1, second), at(second)).is_empty(), "it pages nobody");
    }
    assert_eq!(status(&ledger).last_vaulted, Some(at(0)));
    let told = ledger.tick(at(100));
    assert_eq!(keys(&told), ["+recovery-point/shop-db"]);
    let incident = told[0].incident();
    // Nothing waits: it is the application's matter, and not that of whoever ships.
    assert_eq!((incident.cause.code(), incident.owner()), ("only-suspect", Owner::App));
    ledger.apply(heard(), at(105));
    assert!(ledger.apply(suspected(2, 110), at(110)).is_empty(), "one cause, one page");
    ledger.apply(heard(), at(115));
    assert_eq!(keys(&ledger.apply(vaulted(shop(), 120), at(120))), ["-recovery-point/shop-db"]);
    assert_eq!(status(&ledger).suspect, None);
    // Told late, one from before a good drop is no news.
    ledger.apply(suspected(3, 115), at(130));
    assert_eq!(status(&ledger).suspect, None);
}

#[test]
fn an_operator_takes_a_suspect_drop_for_good_since_it_came_and_those_after_it_stay_suspect() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.apply(suspected(1, 30), at(30));
    ledger.apply(suspected(2, 60), at(60));
    assert_eq!(keys(&ledger.tick(at(100))), ["+recovery-point/shop-db"]);
    let told = ledger.apply(ordered(1, accept(1, Some(30))), at(105));
    assert_eq!(keys(&told), ["-recovery-point/shop-db"]);
    assert_eq!(status(&ledger).last_vaulted, Some(at(30)));
    assert_eq!(status(&ledger).suspect.unwrap().0, drop_id(2));
    assert_eq!(keys(&ledger.tick(at(130))), ["+recovery-point/shop-db"], "30 and the RPO");
    ledger.apply(ordered(2, accept(2, Some(60))), at(135));
    assert_eq!((status(&ledger).suspect, status(&ledger).last_vaulted), (None, Some(at(60))));
}

#[test]
fn an_accepted_drop_in_quarantine_resolves_its_incident_and_counts_when_it_comes() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    assert_eq!(keys(&ledger.apply(broken(1), at(10))), ["+rejected-drop/shop-db"]);
    assert!(ledger.apply(broken(1), at(20)).is_empty());
    let quarantine = status(&ledger).quarantine;
    assert_eq!(quarantine.len(), 1, "agents repeat themselves");
    assert_eq!((quarantine[0].share, quarantine[0].seal), (share(1), ContentHash([1; 32])));
    // What was not refused for its content cannot be accepted, and is none of it.
    ledger.apply(rejected(2), at(25));
    assert_eq!(status(&ledger).quarantine.len(), 1);
    ledger.apply(vaulted(shop(), 27), at(27));
    ledger.apply(broken(3), at(28));
    let told = ledger.apply(ordered(1, accept(3, None)), at(30));
    assert_eq!(keys(&told), ["-rejected-drop/shop-db"]);
    assert_eq!(status(&ledger).last_vaulted, Some(at(27)), "it is not here yet");
    assert_eq!(status(&ledger).quarantine.len(), 1);
}

#[test]
fn the_quarantine_that_is_remembered_is_bounded() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    for drop in 0..200 {
        ledger.apply(broken(drop), at(1));
    }
    let quarantine = status(&ledger).quarantine;
    assert_eq!(quarantine.len(), 64);
    assert_eq!(quarantine[63].drop, drop_id(199), "the newest last");
}

#[test]
fn what_is_suspect_or_in_quarantine_survives_its_rows_and_a_clock_that_is_set_back() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(50));
    ledger.apply(suspected(1, 60), at(60));
    ledger.apply(broken(2), at(61));
    let rows = ledger.rows();
    let mut resumed = Ledger::resume(settings(), rows.clone(), at(61)).unwrap();
    assert_eq!(resumed.rows(), rows);
    assert_eq!(status(&resumed), status(&ledger));
    resumed.tick(at(21));
    assert_eq!(status(&resumed).suspect.unwrap().1, at(20), "it moves with all that is remembered");
}

#[test]
fn a_workload_of_which_all_that_came_is_suspect_is_no_hearsay() {
    let mut ledger = ledger();
    ledger.apply(waiting(shop()), at(0));
    ledger.apply(suspected(1, 5), at(5));
    ledger.apply(Event::Forgotten { workload: shop() }, at(6));
    assert!(status(&ledger).suspect.is_some(), "the vault holds it");
    assert_eq!(ledger.vaulted().count(), 1);
}
