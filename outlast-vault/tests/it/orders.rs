//! What operators order outlives the catalog, and what policy takes back is gone.

use std::fs;
use std::time::Duration;

use outlast_promise::Promise;
use outlast_types::{SystemClock, Timestamp, WorkloadName};
use outlast_wire::api::{Declared, PauseOrder, ReasonedOrder, WorkloadReport};
use outlast_wire::{ApiClient, CallError, Role};

use crate::support::{World, eventually, shop};

const HOUR: Duration = Duration::from_secs(3600);

fn pause(seconds: u64) -> PauseOrder {
    PauseOrder { for_seconds: Some(seconds), until: None, reason: "the data centre moves".into() }
}

fn renamed() -> ReasonedOrder {
    ReasonedOrder { reason: Some("renamed to web".into()) }
}

fn state(client: &ApiClient) -> String {
    client.workload(&shop()).unwrap().state
}

fn lose_catalog(world: &World) {
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(world.config.dir.join(format!("catalog.sqlite{suffix}"))).ok();
    }
}

#[test]
fn only_operators_silence_a_promise_and_every_silence_has_an_end_and_a_reason() {
    let world = World::hurried(HOUR, HOUR);
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    let code = |result: Result<_, CallError>| {
        result.err().map(|error| error.code().unwrap().to_string()).unwrap_or_default()
    };
    for role in [Role::Agent, Role::Reader] {
        let client = world.client(&vault, role);
        assert_eq!(code(client.pause(&shop(), &pause(60))), "refused", "{role}");
        assert_eq!(code(client.retire(&shop(), &renamed())), "refused", "{role}");
        assert_eq!(code(client.resume(&shop(), &renamed())), "refused", "{role}");
    }
    let operator = world.client(&vault, Role::Operator);
    let until = |until| PauseOrder { for_seconds: None, until, ..pause(0) };
    for bad in [
        pause(0),
        pause(367 * 86400),
        pause(u64::MAX),
        until(None),
        until(Some(Timestamp::EPOCH)),
        PauseOrder { until: until(Some(Timestamp::EPOCH)).until, ..pause(60) },
        PauseOrder { reason: String::new(), ..pause(60) },
    ] {
        assert_eq!(code(operator.pause(&shop(), &bad)), "bad_order", "{bad:?}");
    }
    let web = WorkloadName::new("web").unwrap();
    assert_eq!(code(operator.retire(&web, &renamed())), "unknown_workload");
    assert_eq!(operator.orders(None).unwrap(), [], "what is refused is no order");

    let order = operator.pause(&shop(), &pause(7200)).unwrap();
    let view = operator.workload(&shop()).unwrap();
    assert_eq!((view.state.as_str(), view.until), ("paused", order.until));
    assert_eq!(view.reason.as_deref(), Some("the data centre moves"));
    operator.resume(&shop(), &ReasonedOrder::default()).unwrap();
    let view = operator.workload(&shop()).unwrap();
    assert_eq!((view.state.as_str(), view.until, view.reason), ("fresh", None, None));
    let now = outlast_types::Clock::now(&SystemClock);
    let until = until(Some(now.saturating_add(HOUR)));
    operator.pause(&shop(), &until).unwrap();
    assert_eq!(operator.workload(&shop()).unwrap().until, until.until);
}

#[test]
fn what_is_paused_or_retired_stays_so_when_the_catalog_is_lost() {
    let world = World::hurried(Duration::from_secs(2), HOUR);
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    let operator = world.client(&vault, Role::Operator);
    eventually("the promise breaks", || (state(&operator) == "broken").then_some(()));
    assert_eq!(operator.incidents().unwrap().len(), 1);
    operator.retire(&shop(), &renamed()).unwrap();
    assert_eq!(state(&operator), "retiring");
    assert!(operator.incidents().unwrap()[0].resolved.is_some());
    eventually("the stragglers have had their time", || {
        (state(&operator) == "retired").then_some(())
    });
    let history = operator.incidents().unwrap();
    vault.shutdown();
    lose_catalog(&world);
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    let view = operator.workload(&shop()).unwrap();
    assert_eq!((view.state.as_str(), view.snapshots), ("retired", 1));
    assert_eq!(view.reason.as_deref(), Some("renamed to web"));
    assert_eq!(operator.incidents().unwrap(), history, "what was told is not forgotten");

    // It drops all the same.
    world.agent(&vault).ship(&shop(), b"two");
    let mut incidents = operator.incidents().unwrap();
    incidents.retain(|incident| incident.resolved.is_none());
    assert_eq!((incidents.len(), incidents[0].key.as_str()), (1, "retired/shop-db"));
    assert!(operator.workload(&shop()).unwrap().retired.is_none());
    operator.pause(&shop(), &pause(3600)).unwrap();
    assert!(operator.incidents().unwrap()[0].resolved.is_some(), "somebody has looked");
    vault.shutdown();
    lose_catalog(&world);
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    assert_eq!(state(&operator), "paused");
    assert_eq!(operator.orders(Some(&shop())).unwrap().len(), 2);
}

#[test]
fn incidents_are_numbered_on_when_the_ledger_begins_anew() {
    let world = World::hurried(Duration::from_secs(1), HOUR);
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    let operator = world.client(&vault, Role::Operator);
    eventually("the promise breaks", || operator.incidents().unwrap().pop());
    vault.shutdown();
    let catalog = outlast_catalog::Catalog::open(&world.config.dir.join("catalog.sqlite")).unwrap();
    let rows = [("head", "", Some("damaged"))];
    let ledger = Some(outlast_catalog::LedgerChange { is_whole: true, rows: &rows });
    let entry = outlast_catalog::Entry { ledger, ..Default::default() };
    catalog.commit(&entry).unwrap();
    drop(catalog);
    let vault = world.start();
    let incidents = world.client(&vault, Role::Operator).incidents().unwrap();
    assert_eq!(incidents.len(), 2, "history is not written over: {incidents:?}");
    assert!(incidents[1].resolved.is_some(), "what nobody would resolve is resolved");
    assert!(incidents[0].resolved.is_none(), "what is still so is open");
}

#[test]
fn a_promise_that_leaves_policy_or_the_share_counts_no_more() {
    let mut world = World::hurried(HOUR, HOUR);
    let named = |name: &str| WorkloadName::new(name).unwrap();
    let policy = Promise::new(Duration::from_secs(60), "ops").unwrap();
    for name in [shop(), named("typo-nobody-has")] {
        world.config.policy.workloads.insert(name, policy.clone().into());
    }
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"one");
    let declared = |rpo_seconds, owner: &str| WorkloadReport {
        name: shop(),
        declared: Some(Declared { rpo_seconds: Some(rpo_seconds), owner: Some(owner.into()) }),
        waiting: 0,
        waiting_bytes: 0,
        rejected: Vec::new(),
        stopped: None,
        unconfirmed: Vec::new(),
        share_bytes: None,
    };
    agent.report(vec![declared(1800, "team-x")], Vec::new());
    let told = |vault: &outlast_vault::VaultHandle| -> Vec<_> {
        let workloads = world_reader(&world, vault).workloads().unwrap();
        let told = |w: outlast_wire::api::WorkloadView| {
            (w.name.to_string(), w.rpo_seconds.unwrap(), w.owner.unwrap())
        };
        workloads.into_iter().map(told).collect()
    };
    let line = |name: &str, rpo, owner: &str| (name.to_owned(), rpo, owner.to_owned());
    assert_eq!(told(&vault), [line("shop-db", 60, "ops"), line("typo-nobody-has", 60, "ops")]);
    vault.shutdown();

    let mut without = world.config.clone();
    without.policy.workloads.clear();
    let start = |config: &outlast_vault::VaultConfig| {
        outlast_vault::start(config.clone(), outlast_types::Environment::system()).unwrap()
    };
    let vault = start(&without);
    assert_eq!(told(&vault), [line("shop-db", 1800, "team-shop")]);
    // The same share, though another process may serve it now.
    let agent = crate::support::Agent { share: agent.share, ..world.agent(&vault) };
    let withdrawn = WorkloadReport { declared: None, ..declared(0, "") };
    agent.report(vec![withdrawn], Vec::new());
    assert_eq!(told(&vault), [line("shop-db", 3600, "team-shop")]);
    vault.shutdown();
    without.policy = Promise::new(Duration::from_secs(900), "platform").unwrap().into();
    let vault = start(&without);
    assert_eq!(told(&vault), [line("shop-db", 900, "platform")]);
}

fn world_reader(world: &World, vault: &outlast_vault::VaultHandle) -> ApiClient {
    world.client(vault, Role::Reader)
}
