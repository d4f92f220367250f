//! Shipments: begun, kept over restarts, and ended.

use std::sync::Arc;

use outlast_types::{SystemClock, SystemRandom};

use super::*;
use crate::core::ended::{ENDED_MAX, FOLDER};
use crate::core::storage::Records as _;
use crate::core::storage::memory::MemoryStorage;

fn at(hours: u64) -> Timestamp {
    Timestamp::EPOCH.saturating_add(Duration::from_secs(365 * 86_400 + hours * 3600))
}

fn begin(said: Timestamp) -> BeginShipment {
    let drop = DropId::new(&SystemClock, &SystemRandom);
    BeginShipment {
        share: ShareId::new(&SystemRandom),
        workload: WorkloadName::new("shop").unwrap(),
        day: drop.claimed_time().day(),
        drop,
        seal: ContentHash([7; 32]),
        size: 9,
        at: said,
    }
}

const DAYS_14: u64 = 14 * 24;

#[test]
fn a_shipment_outlives_a_restart_and_is_over_when_nothing_comes_for_two_weeks() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let shop = WorkloadName::new("shop").unwrap();
    let words = begin(at(1));
    let open = |hours| Shipments::open(&storage, at(hours)).unwrap();
    let shipments = open(0);
    assert!(shipments.begin(&words, "eu-1", at(2)).unwrap());
    assert!(!shipments.begin(&words, "eu-1", at(3)).unwrap(), "it is the same");
    shipments.progressed(&shop, words.drop, (3, 30), at(10));
    shipments.save().unwrap();
    let shipments = open(20);
    let known = shipments.get(&shop, words.drop).unwrap();
    assert_eq!((known.since, known.last), (at(1), at(10)), "its agent began before it was heard");
    assert_eq!((known.objects, known.bytes, &*known.agent), (3, 30, "eu-1"));
    assert_eq!(shipments.idle(at(10 + DAYS_14 - 1)), []);
    assert_eq!(shipments.idle(at(10 + DAYS_14)), [(shop.clone(), words.drop)]);
    // A vault that was away for weeks gives its agents a day.
    assert_eq!(open(2000).idle(at(2001)), []);
    assert_eq!(open(2000).idle(at(2024)).len(), 1);
    assert!(shipments.end(&shop, words.drop).unwrap().is_some());
    assert!(shipments.end(&shop, words.drop).unwrap().is_none());
    assert_eq!(open(30).all(), []);
}

#[test]
fn what_ended_is_known_until_it_begins_again_and_the_newest_of_it_alone() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let shipments = Shipments::open(&storage, at(0)).unwrap();
    let words = begin(at(1));
    let has_ended = || shipments.has_ended(&words.workload, words.drop);
    shipments.begin(&words, "eu-1", at(1)).unwrap();
    assert!(!has_ended());
    shipments.cancel(&words.workload, words.drop, (at(2), at(2))).unwrap();
    assert!(has_ended());
    shipments.begin(&words, "eu-1", at(3)).unwrap();
    assert!(!has_ended(), "it is another attempt");
    shipments.end(&words.workload, words.drop).unwrap();
    assert!(has_ended());
    for _ in 0..ENDED_MAX {
        shipments.end(&words.workload, begin(at(4)).drop).unwrap();
    }
    assert!(!has_ended(), "memory has a bound");
}

#[test]
fn what_was_given_up_is_known_over_restarts_until_it_begins_again_or_nobody_can_hold_it() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let open = |hours| Shipments::open(&storage, at(hours)).unwrap();
    let (words, published) = (begin(at(1)), begin(at(1)));
    let shop = &words.workload;
    let records = || storage.list(FOLDER).unwrap().len();
    let shipments = open(0);
    for begun in [&words, &published] {
        shipments.begin(begun, "eu-1", at(1)).unwrap();
    }
    shipments.end(shop, published.drop).unwrap();
    shipments.cancel(shop, words.drop, (at(2), at(2))).unwrap();
    shipments.cancel(shop, words.drop, (at(2), at(3))).unwrap();
    assert_eq!(records(), 1, "of what is published its snapshot tells");
    let shipments = open(4);
    assert!(shipments.has_ended(shop, words.drop) && !shipments.has_ended(shop, published.drop));
    shipments.forget_ended(at(DAYS_14));
    assert!(shipments.has_ended(shop, words.drop));
    let again = BeginShipment { at: at(5), ..words.clone() };
    shipments.begin(&again, "eu-1", at(5)).unwrap();
    assert!(!open(6).has_ended(shop, words.drop));
    assert_eq!(records(), 0);
    // Killed between the one record and the other, as it was begun again.
    let shipments = open(6);
    shipments.give_up(shop, words.drop, at(6)).unwrap();
    shipments.write(&(shop.clone(), words.drop), &opened(&again), Durability::Durable).unwrap();
    let shipments = open(7);
    assert!(!shipments.has_ended(shop, words.drop) && records() == 0);
    shipments.give_up(shop, words.drop, at(8)).unwrap();
    shipments.forget_ended(at(8 + 2 * DAYS_14));
    assert!(!shipments.has_ended(shop, words.drop) && records() == 0);
}

/// As it is recorded.
fn opened(begin: &BeginShipment) -> OpenShipment {
    OpenShipment {
        version: VERSION,
        share: begin.share,
        day: begin.day,
        seal: begin.seal,
        size: begin.size,
        agent: "eu-1".to_owned(),
        said: begin.at,
        since: begin.at,
        last: begin.at,
        objects: 0,
        bytes: 0,
    }
}

#[test]
fn what_was_cancelled_is_over_and_what_began_later_goes_on() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let shipments = Shipments::open(&storage, at(0)).unwrap();
    let shop = WorkloadName::new("shop").unwrap();
    let words = begin(at(5));
    shipments.begin(&words, "eu-1", at(5)).unwrap();
    assert!(
        shipments.cancel(&shop, words.drop, (at(4), at(9))).unwrap().is_none(),
        "an older attempt"
    );
    assert!(shipments.get(&shop, words.drop).is_some());
    assert!(shipments.cancel(&shop, words.drop, (at(5), at(9))).unwrap().is_some());
    assert!(shipments.cancel(&shop, words.drop, (at(6), at(9))).unwrap().is_none());
    // What an agent says of its time protects for two weeks before now at most, and never less than now.
    for (said, since) in [(at(0), at(1000 - DAYS_14)), (at(9999), at(1000))] {
        let words = begin(said);
        shipments.begin(&words, "eu-1", at(1000)).unwrap();
        assert_eq!(shipments.get(&shop, words.drop).unwrap().since, since);
    }
}

#[test]
fn no_more_are_open_than_memory_is_meant_for() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let shipments = Shipments::open(&storage, at(0)).unwrap();
    for _ in 0..OPEN_MAX_OF_ONE {
        shipments.begin(&begin(at(0)), "eu-1", at(0)).unwrap();
    }
    let refused = shipments.begin(&begin(at(0)), "eu-1", at(0)).unwrap_err();
    assert!(matches!(refused, VaultError::Busy { .. }), "{refused}");
    let other = BeginShipment { workload: WorkloadName::new("crm").unwrap(), ..begin(at(0)) };
    shipments.begin(&other, "eu-1", at(0)).unwrap();
}

#[test]
fn a_record_of_a_newer_release_is_left_to_it_and_a_damaged_one_keeps_nobody_from_starting() {
    let memory = Arc::new(MemoryStorage::default());
    let storage: Storage = memory.clone();
    let shop = WorkloadName::new("shop").unwrap();
    let key = key_of(&shop, begin(at(0)).drop);
    memory.replace(&key, b"torn", Durability::Durable).unwrap();
    assert_eq!(Shipments::open(&storage, at(0)).unwrap().all(), []);
    memory.replace(&key, b"{\"version\":2}", Durability::Durable).unwrap();
    let refused = Shipments::open(&storage, at(0)).err().unwrap();
    assert!(refused.to_string().contains("newer"), "{refused}");
}
