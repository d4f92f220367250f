//! Workloads that consist of others.

use super::*;

fn shard(number: usize) -> WorkloadName {
    WorkloadName::new(&format!("shop.{number}")).unwrap()
}

fn service() -> WorkloadName {
    WorkloadName::new("shop").unwrap()
}

/// `shop`, of which these are members; all have an RPO of 100 seconds.
fn sharded(members: &[usize]) -> Settings {
    let members: Vec<WorkloadName> = members.iter().map(|number| shard(*number)).collect();
    let declaration = Declaration::new(Some(Duration::from_secs(100)), Some("team-shop")).unwrap();
    let named = members.clone().into_iter().chain([service()]);
    Settings {
        services: [(service(), members)].into(),
        ..with_policy(named.map(|name| (name, declaration.clone())))
    }
}

fn status(ledger: &Ledger) -> ServiceStatus {
    ledger.services().next().unwrap()
}

#[test]
fn a_service_keeps_its_promise_while_each_member_does_and_no_incident_is_its_own() {
    let mut ledger = Ledger::new(sharded(&[1, 2]), 0, at(0));
    assert_eq!((status(&ledger).state(), status(&ledger).last_vaulted()), (State::NeverSeen, None));
    assert_eq!(ledger.workload(&service()), None, "nobody need drop it");
    ledger.apply(vaulted(shard(1), 10), at(10));
    assert_eq!((status(&ledger).state(), status(&ledger).last_vaulted()), (State::NeverSeen, None));
    ledger.apply(vaulted(shard(2), 20), at(20));
    let told = status(&ledger);
    assert_eq!((told.state(), told.last_vaulted()), (State::Fresh, Some(at(10))));
    assert_eq!(told.promise.owner(), "team-shop");
    // One that falls silent breaks it, by an incident of its own.
    ledger.apply(vaulted(shard(1), 90), at(90));
    assert_eq!(keys(&ledger.tick(at(120))), ["+recovery-point/shop.2"]);
    let told = status(&ledger);
    assert_eq!((told.state(), told.last_vaulted()), (State::Broken, Some(at(20))));
    assert_eq!(keys(&ledger.apply(vaulted(shard(2), 130), at(130))), ["-recovery-point/shop.2"]);
    assert_eq!(status(&ledger).state(), State::Fresh);
}

#[test]
fn a_member_that_was_never_seen_breaks_its_promise_and_one_that_is_retired_counts_for_nothing() {
    let mut ledger = Ledger::new(sharded(&[1, 2]), 0, at(0));
    ledger.apply(vaulted(shard(1), 50), at(50));
    assert_eq!(keys(&ledger.tick(at(100))), ["+recovery-point/shop.2"]);
    let retire = Order::Retire { at: at(100), until: at(110) };
    let order = Event::Ordered { number: 1, workload: shard(2), order: retire };
    assert_eq!(keys(&ledger.apply(order, at(100))), ["-recovery-point/shop.2"]);
    let told = status(&ledger);
    assert_eq!((told.state(), told.last_vaulted()), (State::Fresh, Some(at(50))));
    let pause = Order::Pause { until: at(500) };
    ledger.apply(Event::Ordered { number: 2, workload: shard(1), order: pause }, at(120));
    assert_eq!(status(&ledger).state(), State::Paused);
}

#[test]
fn a_workload_that_is_called_like_a_member_and_not_listed_is_told() {
    let mut ledger = Ledger::new(sharded(&[1]), 0, at(0));
    for name in ["shop.1", "shop.3", "shop-db", "shopping", "shop.4.old"] {
        ledger.apply(vaulted(WorkloadName::new(name).unwrap(), 1), at(1));
    }
    let unlisted: Vec<String> = status(&ledger).unlisted.iter().map(ToString::to_string).collect();
    assert_eq!(unlisted, ["shop.3", "shop.4.old"]);
    // What is dropped under the service's own name is a part of it, too.
    assert_eq!(status(&ledger).members.len(), 1);
    ledger.apply(vaulted(service(), 2), at(2));
    assert_eq!(status(&ledger).members.len(), 2);
    let broken = ledger.tick(at(102));
    assert!(keys(&broken).contains(&"+recovery-point/shop".to_owned()), "{:?}", keys(&broken));
}

#[test]
fn what_becomes_a_service_is_missed_no_more_itself_unless_it_was_dropped() {
    let alone = Settings { services: BTreeMap::new(), ..sharded(&[]) };
    let ledger = Ledger::new(alone.clone(), 0, at(0));
    assert!(ledger.workload(&service()).is_some(), "policy names it");
    let resumed = Ledger::resume(sharded(&[1]), ledger.rows(), at(1)).unwrap();
    assert_eq!(resumed.workload(&service()), None);
    assert!(resumed.workload(&shard(1)).is_some());
    let mut dropped = Ledger::new(alone, 0, at(0));
    dropped.apply(vaulted(service(), 0), at(0));
    let resumed = Ledger::resume(sharded(&[1]), dropped.rows(), at(1)).unwrap();
    assert!(resumed.workload(&service()).is_some());
    // A service that lists itself is one of its members.
    let own = Settings { services: [(service(), vec![service()])].into(), ..sharded(&[]) };
    let ledger = Ledger::new(own, 0, at(0));
    assert_eq!(status(&ledger).members.len(), 1);
}
