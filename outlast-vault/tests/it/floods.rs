//! Agents that want more than policy allows them: they are refused and told of, and nobody else feels it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use outlast_store::{Object, Store as _};
use outlast_types::{PackId, ShareId, SystemRandom, WorkloadName};
use outlast_wire::api::{Declared, ErrorCode, IncidentView, WorkloadReport};
use outlast_wire::client::OpenError;
use outlast_wire::{ApiClient, CallError, Role};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::support::{Agent, World, eventually, shop};

const LONG: Duration = Duration::from_secs(3600);

fn named(name: &str) -> WorkloadName {
    WorkloadName::new(name).unwrap()
}

/// Another agent at the same vault.
fn another(world: &World, url: &str) -> Agent {
    let identity = world.identity(Role::Agent, "road-2");
    let client = ApiClient::new(url, &identity).unwrap();
    Agent { identity, client, share: ShareId::new(&SystemRandom) }
}

fn open(agent: &Agent, workload: &WorkloadName) -> Result<(), CallError> {
    match agent.client.open_workload(workload, agent.speaker()) {
        Ok(_) => Ok(()),
        Err(OpenError::Call(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn is_over_limit(error: &CallError) -> bool {
    error.is_passing() && error.code() == Some(&ErrorCode::OverLimit)
}

/// What is open, by key.
fn open_incidents(operator: &ApiClient) -> Vec<String> {
    let open = |incident: IncidentView| incident.resolved.is_none().then_some(incident.key);
    operator.incidents().unwrap().into_iter().filter_map(open).collect()
}

/// The entries of the audit log that say that something is beyond a limit.
fn audited(world: &World) -> Vec<String> {
    let mut entries = Vec::new();
    let all = outlast_vault::AuditSelection::default();
    let mut take = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        if line.contains(r#""code":"over_limit""#) {
            entries.push(line.into_owned());
        }
        Ok(())
    };
    outlast_vault::export_audit(&world.config.dir, &all, &mut take).unwrap();
    entries
}

#[test]
fn bodies_that_drip_keep_no_other_peer_from_its_calls_whatever_their_role() {
    let world = World::new();
    let vault = world.start();
    let mut held = Vec::new();
    for role in [Role::Reader, Role::Operator, Role::Agent] {
        let tls =
            Arc::new(outlast_wire::tls::client_config(&world.identity(role, "flood")).unwrap());
        for _ in 0..16 {
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TcpStream::connect(vault.address()).unwrap();
            let tls = ClientConnection::new(Arc::clone(&tls), name).unwrap();
            let mut stream = StreamOwned::new(tls, stream);
            let head = "POST /api/v1/workloads/x/open HTTP/1.1\r\nHost: x\r\n\
                        Content-Length: 10000000\r\n\r\n{";
            stream.write_all(head.as_bytes()).unwrap();
            stream.flush().unwrap();
            held.push(stream);
        }
    }
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"served all the same");
    agent.report(Vec::new(), Vec::new());
    let operator = world.client(&vault, Role::Operator);
    assert_eq!(operator.workloads().unwrap().len(), 1);
    drop(held);
}

#[test]
fn an_agent_that_begins_too_many_workloads_is_refused_told_of_once_and_works_on() {
    let mut world = World::hurried(LONG, LONG);
    world.config.limits.default.new_workloads = 3;
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    for number in 0..3 {
        open(&agent, &named(&format!("new-{number}"))).unwrap();
    }
    for number in 3..20 {
        let error = open(&agent, &named(&format!("new-{number}"))).unwrap_err();
        assert!(is_over_limit(&error), "{error}");
        assert!(error.to_string().contains("3 new workloads a day"), "{error}");
    }
    assert!(!world.repository_directory(&named("new-3")).exists());
    assert_eq!(open_incidents(&operator), ["limits/road-1"]);
    let incident = operator.incidents().unwrap().remove(0);
    assert_eq!(
        (incident.owner.as_str(), incident.code.as_deref()),
        ("platform", Some("over-limit"))
    );
    assert!(incident.cause.contains("raise `new_workloads`"), "{}", incident.cause);
    // What it has it keeps, and another agent has its own.
    agent.ship(&named("new-0"), b"still served");
    another(&world, &vault.url()).ship(&shop(), b"not concerned");
    let entries = audited(&world);
    assert_eq!(entries.len(), 1, "the rest is counted: {entries:?}");
    vault.shutdown();
    let entries = audited(&world);
    assert_eq!(entries.len(), 2);
    assert!(entries[1].contains(r#""times":16"#), "{entries:?}");
    // A start does not give it the day again.
    let vault = world.start();
    assert!(is_over_limit(&open(&world.agent(&vault), &named("new-4")).unwrap_err()));
}

#[test]
fn bytes_beyond_a_days_worth_and_beyond_a_quota_are_refused() {
    let mut world = World::hurried(LONG, LONG);
    world.config.limits.agents.insert(
        "road-1".to_owned(),
        outlast_vault::AgentLimits { received: 1 << 20, ..Default::default() },
    );
    world.config.limits.workloads.insert(named("small"), 1 << 10);
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    let (agent, other) = (world.agent(&vault), another(&world, &vault.url()));
    let send = |agent: &Agent, workload: &WorkloadName, length: usize| {
        let opened = agent.client.open_workload(workload, agent.speaker()).unwrap();
        // Not a pack: how much comes is counted before it is known what it is.
        let content = bytes::Bytes::from(vec![1; length]);
        let name = outlast_format::sha256(&content);
        let object = Object::Data(PackId(name));
        opened.store.create(&object, content).unwrap_err().to_string()
    };
    let words = send(&agent, &shop(), 2 << 20);
    assert!(words.contains("1.00 MiB a day") && words.contains("429"), "{words}");
    assert!(send(&agent, &shop(), 100).contains("429"), "the day is over for it");
    assert!(send(&other, &named("small"), 2 << 10).contains("1.00 KiB stored of one workload"));
    assert!(send(&other, &shop(), 2 << 20).contains("422"), "it is not a pack, and may be sent");
    let mut open = open_incidents(&operator);
    open.sort();
    assert_eq!(open, ["limits/road-1", "limits/road-2"]);
    other.ship(&shop(), b"served");
}

#[test]
fn a_flood_of_reports_makes_few_workloads_and_one_page() {
    let mut world = World::hurried(LONG, LONG);
    world.config.limits.default.reported_workloads = 100;
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let declared = Declared { rpo_seconds: Some(60), owner: Some("x".repeat(60)) };
    for round in 0..20 {
        let seen = |number| WorkloadReport {
            name: named(&format!("f{round:03}-{number:05}")),
            declared: Some(declared.clone()),
            waiting: 1,
            waiting_bytes: 0,
            rejected: Vec::new(),
            stopped: None,
            unconfirmed: Vec::new(),
            share_bytes: None,
        };
        agent.report((0..10_000).map(seen).collect(), Vec::new());
    }
    assert_eq!(operator.workloads().unwrap().len(), 100);
    assert_eq!(open_incidents(&operator), ["limits/road-1"]);
    // Whoever brings drops makes room for words.
    let first = operator.workloads().unwrap().remove(0).name;
    agent.ship(&first, b"it is there after all");
    let honest = another(&world, &vault.url());
    let seen = WorkloadReport {
        name: shop(),
        declared: None,
        waiting: 1,
        waiting_bytes: 0,
        rejected: Vec::new(),
        stopped: None,
        unconfirmed: Vec::new(),
        share_bytes: None,
    };
    honest.report(vec![seen], Vec::new());
    assert_eq!(operator.workload(&shop()).unwrap().state, "never-seen");
}

#[test]
fn what_is_told_in_parts_is_told_as_in_one_report() {
    let world = World::hurried(LONG, LONG);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let seen = |name: &str| WorkloadReport {
        name: named(name),
        declared: Some(Declared::default()),
        waiting: 0,
        waiting_bytes: 0,
        rejected: Vec::new(),
        stopped: None,
        unconfirmed: Vec::new(),
        share_bytes: None,
    };
    let part = |part, parts, workloads| {
        let mut report = agent.report_of(workloads, vec!["the share is slow".into()]);
        (report.part, report.parts) = (part, parts);
        agent.client.report(&report, agent.speaker())
    };
    part(1, 2, vec![seen("a")]).unwrap();
    part(2, 2, vec![seen("b")]).unwrap();
    let names: Vec<_> = operator.workloads().unwrap().into_iter().map(|view| view.name).collect();
    assert_eq!(names, [named("a"), named("b")]);
    assert_eq!(open_incidents(&operator), [format!("share/road-1/{}", agent.share)]);
    for (number, parts) in [(0, 1), (3, 2), (1, 1_000_000)] {
        let error = part(number, parts, Vec::new()).unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::BadRequest), "{number} of {parts}");
    }
}

#[test]
fn one_who_asks_too_often_is_held_up_and_others_are_not() {
    let mut world = World::hurried(LONG, LONG);
    world.config.limits.agents.insert(
        "road-1".to_owned(),
        outlast_vault::AgentLimits { requests_per_second: 1, ..Default::default() },
    );
    let vault = world.start();
    let agent = world.agent(&vault);
    // A second's worth at once; what comes beyond waits its turn, and too much is refused.
    let refused = std::thread::scope(|scope| {
        let ask = || open(&agent, &shop()).is_err_and(|error| is_over_limit(&error));
        let asking: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        let other = another(&world, &vault.url());
        (0..50).for_each(|_| open(&other, &shop()).unwrap());
        asking.into_iter().map(|asking| asking.join().unwrap()).filter(|refused| *refused).count()
    });
    assert!((1..16).contains(&refused), "{refused} of 16");
    let operator = world.client(&vault, Role::Operator);
    eventually("it is told", || {
        open_incidents(&operator).contains(&"limits/road-1".to_owned()).then_some(())
    });
}

#[test]
fn one_who_sends_packs_that_are_none_waits_for_it_and_others_do_not() {
    let mut world = World::hurried(LONG, LONG);
    world.config.limits.agents.insert(
        "road-1".to_owned(),
        outlast_vault::AgentLimits { requests_per_second: 8, ..Default::default() },
    );
    let vault = world.start();
    let agent = world.agent(&vault);
    let store = agent.client.open_workload(&shop(), agent.speaker()).unwrap().store;
    let junk = |number: u8| {
        let content = vec![number; 256 << 10];
        let object = Object::Data(PackId(outlast_format::sha256(&content)));
        store.create(&object, content.into()).unwrap_err()
    };
    // Each is as much as 64 requests: eight seconds.
    std::thread::scope(|scope| {
        for number in 0..3 {
            let junk = &junk;
            scope.spawn(move || junk(number));
        }
    });
    let error = open(&agent, &shop()).unwrap_err();
    assert!(is_over_limit(&error), "{error}");
    let other = another(&world, &vault.url());
    (0..50).for_each(|_| open(&other, &shop()).unwrap());
    let operator = world.client(&vault, Role::Operator);
    eventually("it is told", || {
        open_incidents(&operator).contains(&"limits/road-1".to_owned()).then_some(())
    });
}
