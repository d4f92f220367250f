//! Incidents, from real requests and real time.

use std::time::Duration;

use outlast_types::{Clock, DropId, RejectionCode, SystemClock, SystemRandom};
use outlast_wire::Role;
use outlast_wire::api::{AgentFigures, Declared, IncidentView, RejectedDrop, WorkloadReport};

use crate::support::{World, eventually, shop, speaker};

const LONG: Duration = Duration::from_secs(3600);

fn seen(rejected: Vec<RejectedDrop>, declared: Option<Declared>) -> WorkloadReport {
    WorkloadReport {
        name: shop(),
        declared,
        waiting: 0,
        waiting_bytes: 0,
        rejected,
        stopped: None,
        unconfirmed: Vec::new(),
        share_bytes: None,
    }
}

fn told(incidents: &[IncidentView]) -> Vec<(&str, bool)> {
    incidents.iter().map(|i| (i.key.as_str(), i.resolved.is_some())).collect()
}

#[test]
fn a_missed_recovery_point_is_one_incident_that_the_next_drop_resolves() {
    let world = World::hurried(Duration::from_secs(2), LONG);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let before = SystemClock.now();
    agent.ship(&shop(), b"one");
    let incident = eventually("the incident", || operator.incidents().unwrap().pop());
    // A ledger may count whole seconds.
    assert!(incident.opened.since(before) >= Duration::from_secs(1), "not before it is missed");
    assert_eq!((incident.key.as_str(), incident.owner.as_str()), ("recovery-point/shop-db", "app"));
    assert!(incident.cause.contains("missed its recovery point"), "{}", incident.cause);
    assert_eq!(incident.code.as_deref(), Some("nothing-dropped"));
    assert_eq!(incident.team.as_deref(), Some("team-shop"), "the team that is paged");
    assert_eq!(operator.workload(&shop()).unwrap().state, "broken");

    vault.shutdown();
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    assert_eq!(operator.incidents().unwrap(), [incident], "a restart does not page again");
    world.agent(&vault).ship(&shop(), b"two");
    // It may break again at once, by its two seconds; the first incident is resolved for good.
    let incidents = operator.incidents().unwrap();
    assert!(incidents.last().unwrap().resolved.is_some());
}

#[test]
fn a_rejected_drop_is_the_app_teams_incident_until_the_next_good_one() {
    let world = World::hurried(LONG, LONG);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let rejected = RejectedDrop {
        code: RejectionCode::WrongHash,
        drop: DropId::new(&SystemClock, &SystemRandom),
        day: None,
        seal: None,
        reason: "0001.seg does not have its hash".into(),
    };
    for _ in 0..3 {
        agent.report(vec![seen(vec![rejected.clone()], None)], Vec::new());
    }
    let incidents = operator.incidents().unwrap();
    assert_eq!(told(&incidents), [("rejected-drop/shop-db", false)]);
    assert_eq!(incidents[0].owner, "app");
    agent.ship(&shop(), b"good");
    agent.report(vec![seen(vec![rejected], None)], Vec::new());
    assert_eq!(told(&operator.incidents().unwrap()), [("rejected-drop/shop-db", true)]);
}

#[test]
fn i3_a_share_that_is_too_slow_is_the_platforms_before_the_promise_breaks() {
    let world = World::hurried(LONG, LONG);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    agent.ship(&shop(), b"one");
    let report = |waiting_bytes, rate, part| {
        let waiting = WorkloadReport { waiting: 1, waiting_bytes, ..seen(Vec::new(), None) };
        let workloads = if part == 1 { vec![waiting] } else { Vec::new() };
        let mut report = agent.report_of(workloads, Vec::new());
        (report.part, report.parts) = (part, 2);
        report.share_usable = Some(true);
        let share_bytes_per_second = Some(rate);
        report.figures = Some(AgentFigures { share_bytes_per_second, ..AgentFigures::default() });
        agent.client.report(&report, agent.speaker()).unwrap();
    };
    // An hour is left, and it takes half of that.
    report(1_800_000, 1000, 1);
    assert!(operator.incidents().unwrap().is_empty());
    // The share's credits are gone. All parts of a report say the same.
    for part in [1, 2, 1, 2] {
        report(1_800_000, 100, part);
        let incidents = operator.incidents().unwrap();
        assert_eq!(incidents.len(), 1, "{incidents:?}");
        assert!(incidents[0].resolved.is_none(), "{incidents:?}");
        assert_eq!(incidents[0].owner, "platform");
        assert!(incidents[0].cause.contains("the share is too slow"), "{incidents:?}");
    }
    assert_eq!(operator.workload(&shop()).unwrap().state, "fresh", "nothing is broken yet");
    for part in [1, 2] {
        report(1_000, 100, part);
    }
    assert!(operator.incidents().unwrap()[0].resolved.is_some(), "it resolves by itself");
}

#[test]
fn a_silent_agent_is_one_platform_incident_that_its_next_report_resolves_and_nothing_else() {
    let world = World::hurried(LONG, Duration::from_secs(2));
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    let agent = world.agent(&vault);
    agent.report(Vec::new(), Vec::new());
    let incident = eventually("the incident", || operator.incidents().unwrap().pop());
    assert_eq!((incident.key.as_str(), incident.owner.as_str()), ("agent/road-1", "platform"));
    // Whoever has its connection, or carries its bills, is not the agent: it has said nothing.
    agent.ship(&shop(), b"one");
    agent.open(&shop());
    assert_eq!(told(&operator.incidents().unwrap()), [("agent/road-1", false)]);
    agent.report(Vec::new(), Vec::new());
    // It may be silent again at once, by its two seconds; the first incident is resolved for good.
    let incidents = operator.incidents().unwrap();
    assert_eq!(told(&incidents).pop(), Some(("agent/road-1", true)));
    assert!(incidents.iter().all(|other| other.key == "agent/road-1"), "{incidents:?}");
}

#[test]
fn what_the_share_declares_tightens_policy_and_never_loosens_it() {
    let mut world = World::hurried(LONG, LONG);
    let named = |name| outlast_types::WorkloadName::new(name).unwrap();
    let (web, other) = (named("web"), named("other"));
    let policy = outlast_promise::Promise::new(Duration::from_secs(60), "ops").unwrap();
    world.config.policy.workloads.insert(web.clone(), policy.into());
    let vault = world.start();
    let agent = world.agent(&vault);
    let declared = Declared { rpo_seconds: Some(1800), owner: Some("team-x".into()) };
    let report = |name| WorkloadReport { name, ..seen(Vec::new(), Some(declared.clone())) };
    agent.report(vec![report(shop()), report(web.clone())], Vec::new());
    let operator = world.client(&vault, Role::Operator);
    let view = operator.workload(&shop()).unwrap();
    // It shortens the RPO, and adds a recipient to the one whom policy names.
    assert_eq!((view.rpo_seconds, view.owner.as_deref()), (Some(1800), Some("team-shop")));
    let from = format!("share {}", agent.share);
    assert_eq!((view.rpo_from, view.owner_from), (Some(from), Some("default".to_owned())));
    assert_eq!(view.told.unwrap().also, ["team-x"]);
    assert_eq!(view.state, "never-seen");
    let view = operator.workload(&web).unwrap();
    assert_eq!((view.rpo_seconds, view.rpo_from.as_deref()), (Some(60), Some("policy")));
    assert_eq!((view.owner.as_deref(), view.owner_from.as_deref()), (Some("ops"), Some("policy")));
    // The default is policy for all.
    let declared = Declared { rpo_seconds: Some(7200), owner: None };
    let loose = WorkloadReport { name: other.clone(), ..seen(Vec::new(), Some(declared)) };
    agent.report(vec![loose], Vec::new());
    let view = operator.workload(&other).unwrap();
    assert_eq!((view.rpo_seconds, view.rpo_from.as_deref()), (Some(3600), Some("default")));
}

#[test]
fn another_policy_counts_at_once_while_the_vault_is_at_work() {
    let mut world = World::hurried(LONG, LONG);
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    let operator = world.client(&vault, Role::Operator);
    let view = operator.workload(&shop()).unwrap();
    assert_eq!((view.rpo_seconds, view.state.as_str()), (Some(3600), "fresh"));
    let policy = outlast_promise::Promise::new(Duration::from_secs(60), "ops").unwrap();
    world.config.policy.workloads.insert(shop(), policy.into());
    let expected = outlast_types::WorkloadName::new("never-dropped").unwrap();
    world.config.policy.workloads.insert(expected.clone(), outlast_promise::Said::default());
    vault.adopt(&world.config).unwrap();
    let view = operator.workload(&shop()).unwrap();
    assert_eq!((view.rpo_seconds, view.owner.as_deref()), (Some(60), Some("ops")));
    let told = view.told.unwrap();
    assert!(told.sentence.contains("promise 1 min, the next is due in"), "{}", told.sentence);
    assert_eq!((told.promise.as_str(), told.next), ("nothing older than 1 min", None));
    // What it names is expected from now on, and told what to do.
    let view = operator.workload(&expected).unwrap();
    assert_eq!(view.state, "never-seen");
    assert!(view.told.unwrap().next.unwrap().contains("drops"));
    // What it names no more is forgotten with it.
    world.config.policy.workloads.clear();
    vault.adopt(&world.config).unwrap();
    assert_eq!(operator.workloads().unwrap().len(), 1);
}

#[test]
fn what_one_of_two_agents_of_one_name_says_is_not_said_of_the_others_share() {
    let world = World::hurried(LONG, LONG);
    let vault = world.start();
    let (one, two) = (world.agent(&vault), world.agent(&vault));
    let operator = world.client(&vault, Role::Operator);
    assert_ne!(one.share, two.share);
    one.report(Vec::new(), vec!["/mnt/one is not mounted".into()]);
    two.report(Vec::new(), Vec::new());
    let key = format!("share/road-1/{}", one.share);
    assert_eq!(told(&operator.incidents().unwrap()), [(key.as_str(), false)]);
    one.report(Vec::new(), Vec::new());
    assert_eq!(told(&operator.incidents().unwrap()), [(key.as_str(), true)]);
}

#[test]
fn the_end_of_an_agents_certificate_is_told_in_time_and_resolved_by_renewal() {
    let world = World::hurried(LONG, LONG);
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    // It is valid from five minutes ago: less than a third of its life is to come.
    let short = world.identity_for(Role::Agent, "road-1", Duration::from_secs(100));
    let client = outlast_wire::ApiClient::new(&vault.url(), &short).unwrap();
    let share = world.agent(&vault).share;
    client.speak_of(share);
    client.live(speaker(&short)).unwrap();
    let incidents = operator.incidents().unwrap();
    assert_eq!(told(&incidents), [("certificate/agent/road-1", false)]);
    assert_eq!(incidents[0].owner, "platform");
    let renewed = world.identity(Role::Agent, "road-1");
    let client = outlast_wire::ApiClient::new(&vault.url(), &renewed).unwrap();
    client.speak_of(share);
    client.live(speaker(&renewed)).unwrap();
    assert_eq!(told(&operator.incidents().unwrap()), [("certificate/agent/road-1", true)]);
}

#[test]
fn the_end_of_the_vaults_own_certificate_is_resolved_by_its_renewal_without_a_restart() {
    let world = World::hurried(LONG, LONG);
    let short = world.identity_for(Role::Vault, "main", Duration::from_secs(100));
    short.save(&world.config.identity).unwrap();
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    assert_eq!(told(&operator.incidents().unwrap()), [("certificate/vault/main", false)]);
    world.identity(Role::Vault, "main").save(&world.config.identity).unwrap();
    eventually("the incident is resolved", || {
        let incidents = operator.incidents().unwrap();
        (told(&incidents) == [("certificate/vault/main", true)]).then_some(())
    });
}

#[test]
fn a_share_that_cannot_be_used_is_the_platforms_incident() {
    let world = World::hurried(LONG, LONG);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    agent.report(Vec::new(), vec!["/mnt/share is not mounted".into()]);
    let key = format!("share/road-1/{}", agent.share);
    assert_eq!(told(&operator.incidents().unwrap()), [(key.as_str(), false)]);
    agent.report(Vec::new(), Vec::new());
    assert_eq!(told(&operator.incidents().unwrap()), [(key.as_str(), true)]);
}

#[test]
fn a_record_of_what_was_decided_that_cannot_be_read_is_named_at_once_and_keeps_all() {
    let world = World::hurried(LONG, LONG);
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    let operator = world.client(&vault, Role::Operator);
    assert_eq!(operator.keeping(&shop(), None).unwrap().snapshots.len(), 1);
    vault.shutdown();
    let record = world.config.dir.join("repos/.keeping/shop-db/keeping.json");
    std::fs::create_dir_all(record.parent().unwrap()).unwrap();
    outlast_fs::durable::replace(&record, b"{\"version\":1,", 0o600).unwrap();
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    let error = operator.keeping(&shop(), None).unwrap_err().to_string();
    assert!(error.contains("of the snapshots of shop-db cannot be read"), "{error}");
    assert!(!error.contains(&*world.config.dir.to_string_lossy()), "{error}");
    let told = eventually("an incident", || {
        let open = operator.incidents().unwrap();
        open.into_iter().find(|it| it.cause.contains("cannot be read"))
    });
    assert!(told.cause.contains("shop-db"), "{told:?}");
}
