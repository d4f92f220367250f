//! What operators order, and what policy takes back.

use super::*;

fn state(ledger: &Ledger) -> State {
    ledger.workloads().find(|status| status.workload == shop()).unwrap().state
}

fn pause(until: u64) -> Order {
    Order::Pause { until: at(until) }
}

fn retire(now: u64, until: u64) -> Order {
    Order::Retire { at: at(now), until: at(until) }
}

#[test]
fn a_pause_silences_a_broken_promise_until_it_ends_and_then_it_speaks_again() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    assert_eq!(keys(&ledger.tick(at(100))), ["+recovery-point/shop-db"]);
    let changes = ledger.apply(ordered(1, pause(300)), at(110));
    assert_eq!(keys(&changes), ["-recovery-point/shop-db"]);
    assert_eq!(state(&ledger), State::Paused);
    assert_eq!(ledger.workloads().next().unwrap().until, Some(at(300)));
    assert_eq!(ledger.next_deadline(), Some(at(300)));
    assert!(ledger.tick(at(299)).is_empty());
    assert_eq!(keys(&ledger.tick(at(300))), ["+recovery-point/shop-db"]);
    assert_eq!(keys(&ledger.apply(ordered(2, pause(500)), at(310))), ["-recovery-point/shop-db"]);
    assert_eq!(
        keys(&ledger.apply(ordered(3, Order::Resume), at(320))),
        ["+recovery-point/shop-db"]
    );
}

#[test]
fn a_pause_survives_a_restart_and_a_clock_that_is_set_back() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 1000), at(1000));
    ledger.apply(ordered(1, pause(1300)), at(1010));
    let mut ledger = Ledger::resume(settings(), ledger.rows(), at(1011)).unwrap();
    assert_eq!(ledger.last_order(), 1);
    assert!(ledger.apply(ordered(1, Order::Resume), at(1012)).is_empty(), "heard before");
    assert_eq!(state(&ledger), State::Paused);
    ledger.tick(at(512));
    assert!(ledger.tick(at(799)).is_empty());
    assert_eq!(keys(&ledger.tick(at(800))), ["+recovery-point/shop-db"], "the time that is left");
}

#[test]
fn a_retired_workload_falls_silent_and_its_incident_resolves() {
    let mut ledger = ledger();
    ledger.apply(waiting(shop()), at(0));
    ledger.apply(vaulted(shop(), 0), at(0));
    let mut told = alive(&mut ledger, 10, 120);
    told.extend(keys(&ledger.apply(ordered(1, retire(120, 220)), at(120))));
    assert_eq!(told, ["+recovery-point/shop-db", "-recovery-point/shop-db"]);
    assert_eq!(state(&ledger), State::Retiring);
    ledger.apply(heard(), at(121));
    // An instance that was still at work is no surprise.
    assert!(ledger.apply(vaulted(shop(), 130), at(130)).is_empty());
    assert_eq!(alive(&mut ledger, 140, 400), NOTHING);
    assert_eq!(state(&ledger), State::Retired);
    // With the last workload, nobody misses the agent.
    assert!(ledger.tick(at(900)).is_empty());
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_retired_workload_that_drops_all_the_same_is_told_once_and_its_promise_counts_again() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.apply(ordered(1, retire(10, 110)), at(10));
    let opened = ledger.apply(vaulted(shop(), 200), at(200));
    assert_eq!(keys(&opened), ["+retired/shop-db"]);
    assert_eq!(
        (opened[0].incident().owner(), opened[0].incident().team.as_str()),
        (Owner::App, "team-shop")
    );
    assert_eq!(state(&ledger), State::Fresh);
    // It was one stray drop: the page that is out explains the rest.
    assert!(ledger.tick(at(300)).is_empty(), "one cause, one page");
    assert_eq!(state(&ledger), State::Broken);
    assert_eq!(keys(&ledger.apply(ordered(2, retire(310, 410)), at(310))), ["-retired/shop-db"]);
    assert!(ledger.tick(at(600)).is_empty());

    // It lives: the next drop in its own time says so.
    assert_eq!(keys(&ledger.apply(vaulted(shop(), 600), at(600))), ["+retired/shop-db"]);
    assert!(ledger.apply(vaulted(shop(), 601), at(601)).is_empty(), "two at once are one sign");
    assert_eq!(keys(&ledger.apply(vaulted(shop(), 690), at(690))), ["-retired/shop-db"]);
    assert_eq!(keys(&ledger.tick(at(790))), ["+recovery-point/shop-db"]);
}

#[test]
fn orders_that_are_told_again_after_a_rebuild_find_what_came_after_them() {
    let told = |newest: u64| {
        let mut ledger = Ledger::new(settings(), 7, at(1000));
        let events = [vaulted(shop(), newest), ordered(1, retire(100, 200))];
        let changes = ledger.apply_all(events, at(1000));
        (keys(&changes), state(&ledger))
    };
    assert_eq!(told(150), (vec![], State::Retired));
    assert_eq!(told(950), (vec!["+retired/shop-db".to_owned()], State::Fresh));
}

#[test]
fn a_promise_that_policy_takes_back_counts_no_more() {
    let mut ledger = ledger();
    let promise = |rpo, owner| Promise::new(Duration::from_secs(rpo), owner).unwrap();
    // What policy says is known at a start.
    let restart = |ledger: &Ledger, policy: &[(WorkloadName, Promise)], second| {
        let settings = Settings { ..with_policy(policy.iter().cloned()) };
        let mut ledger = Ledger::resume(settings, ledger.rows(), at(second)).unwrap();
        let told = keys(&ledger.tick(at(second)));
        (ledger, told)
    };
    let now = |ledger: &Ledger| -> Vec<_> {
        let told = ledger.workloads().map(|status| {
            (
                status.workload.to_string(),
                status.promise.rpo().unwrap().as_secs(),
                status.promise.owner().to_owned(),
            )
        });
        told.collect()
    };
    let told = |name: &str, rpo, owner: &str| (name.to_owned(), rpo, owner.to_owned());
    ledger.apply(vaulted(shop(), 0), at(0));
    let both = [(shop(), promise(50, "ops")), (name(0), promise(60, "ops"))];
    let (mut ledger, _) = restart(&ledger, &both, 1);
    assert_eq!(now(&ledger), [told("shop-db", 50, "ops"), told("w0", 60, "ops")]);
    // The share may not loosen what policy says, nor the default, which is policy for all.
    let declare = |rpo: Option<u64>| Event::Declared {
        workload: shop(),
        source: source(),
        declaration: rpo
            .map(|rpo| Declaration::new(Some(Duration::from_secs(rpo)), Some("team-x")).unwrap()),
    };
    ledger.apply(declare(Some(200)), at(2));
    assert_eq!(now(&ledger)[0], told("shop-db", 50, "ops"));
    assert_eq!(keys(&ledger.tick(at(61))), ["+recovery-point/shop-db", "+recovery-point/w0"]);
    // A workload that only policy ever named is forgotten with it, and so is its incident.
    let (mut ledger, told_now) = restart(&ledger, &[], 62);
    assert_eq!(told_now, ["-recovery-point/shop-db", "-recovery-point/w0"]);
    assert_eq!(now(&ledger), [told("shop-db", RPO, "team-shop")]);
    ledger.apply(declare(None), at(63));
    assert_eq!(now(&ledger), [told("shop-db", RPO, "team-shop")]);
    // Another default reaches workloads that are known.
    let settings = Settings { policy: promise(400, "platform").into(), ..settings() };
    let ledger = Ledger::resume(settings, ledger.rows(), at(64)).unwrap();
    assert_eq!(now(&ledger), [told("shop-db", 400, "platform")]);
}

#[test]
fn a_directory_on_the_share_without_a_drop_or_a_declaration_is_no_workload() {
    let mut ledger = ledger();
    let event = Event::Declared { workload: shop(), source: source(), declaration: None };
    ledger.apply(event, at(0));
    assert_eq!(ledger.workloads().count(), 0);
}
