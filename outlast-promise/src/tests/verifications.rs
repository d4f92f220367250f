//! What scrubs and drills find: told once, for as long as it is so, to whoever can mend it.

use proptest::prelude::*;

use super::*;

fn damage(touched: u64) -> Damage {
    Damage {
        found: at(1),
        what: "data/07… is missing".to_owned(),
        count: 1,
        snapshots: (0..20).map(|n| (SnapshotId([n; 32]), at(0))).collect(),
        touched,
        whole: 0,
        newest_whole: None,
    }
}

fn scrubbed(damage: Option<Damage>) -> Event {
    Event::Scrubbed { workload: shop(), damage, unread: None }
}

fn drilled(trouble: Option<DrillTrouble>) -> Event {
    Event::Drilled { workload: shop(), trouble }
}

fn failed(owner: Owner) -> DrillTrouble {
    let (phase, why) = ("load".to_owned(), "table orders\nis not there".to_owned());
    DrillTrouble::Failed { at: at(1), snapshot: SnapshotId([1; 32]), phase, why, owner }
}

#[test]
fn damage_that_is_found_day_after_day_is_one_page_until_it_is_healed() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    assert_eq!(keys(&ledger.apply(scrubbed(Some(damage(2))), at(1))), ["+damaged-data/shop-db"]);
    for later in 2..10 {
        assert_eq!(keys(&ledger.apply(scrubbed(Some(damage(later))), at(later))), [""; 0]);
    }
    let told = ledger.incidents().next().unwrap();
    assert_eq!((told.owner(), told.team.as_str()), (Owner::Platform, "platform"));
    // Over a restart, too.
    let rows = ledger.rows();
    let mut ledger = Ledger::resume(settings(), rows, at(10)).unwrap();
    assert_eq!(keys(&ledger.apply(scrubbed(Some(damage(2))), at(11))), [""; 0]);
    assert_eq!(keys(&ledger.apply(scrubbed(None), at(12))), ["-damaged-data/shop-db"]);
}

#[test]
fn a_failed_drill_and_an_overdue_one_are_one_matter_and_a_good_one_resolves_it() {
    let mut ledger = ledger();
    ledger.apply(declared(shop()), at(0));
    ledger.apply(vaulted(shop(), 0), at(0));
    let opened = ledger.apply(drilled(Some(failed(Owner::App))), at(1));
    assert_eq!(keys(&opened), ["+drill/shop-db"]);
    let Change::Opened(incident) = &opened[0] else { panic!("{opened:?}") };
    // The team's own dump does not load: they have to act, and the text cannot move a terminal.
    assert_eq!(incident.owner(), Owner::App);
    assert!(incident.cause.to_string().contains("table orders is not there"));
    let overdue =
        DrillTrouble::Overdue { every: Duration::from_secs(9), last: Some(at(0)), why: None };
    assert_eq!(keys(&ledger.apply(drilled(Some(overdue)), at(2))), [""; 0]);
    assert_eq!(keys(&ledger.apply(drilled(None), at(3))), ["-drill/shop-db"]);
}

#[test]
fn what_was_known_of_a_repository_that_is_begun_anew_counts_no_more() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.apply_all([scrubbed(Some(damage(1))), drilled(Some(failed(Owner::Platform)))], at(1));
    let changes = ledger.apply(ordered(1, Order::Recreate { at: at(2) }), at(2));
    assert_eq!(keys(&changes), ["-damaged-data/shop-db", "-drill/shop-db"]);
}

#[test]
fn unread_data_is_told_beside_damage_and_a_row_stays_small() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    let unread =
        Unread { period: Duration::from_secs(9), since: at(0), why: Some("x".repeat(9999)) };
    let (workload, damage) = (shop(), Some(damage(20)));
    let event = Event::Scrubbed { workload, damage, unread: Some(unread) };
    assert_eq!(keys(&ledger.apply(event, at(1))), ["+damaged-data/shop-db", "+scrub/shop-db"]);
    let longest = ledger.rows().iter().map(|row| row.state.len()).max().unwrap();
    assert!(longest < 4096, "{longest}");
}

proptest! {
    /// Whoever begins together is due at different times, and always well before it is overdue.
    #[test]
    fn what_is_due_is_due_within_its_period(period in 1..40_000_000_u64, lot in any::<u64>()) {
        let period = Duration::from_secs(period);
        let due = due_within(period, at(0), lot);
        prop_assert!(due >= at(0).saturating_add(period / 2));
        prop_assert!(due <= at(0).saturating_add(period * 3 / 4));
        prop_assert!(overdue_after(period, at(0)) >= at(0).saturating_add(period));
    }
}
