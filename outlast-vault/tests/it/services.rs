//! Workloads that consist of others, and those whose drops an agent makes itself.

use std::time::Duration;

use outlast_promise::Declaration;
use outlast_types::{ProblemCode, WorkloadName};
use outlast_wire::Role;
use outlast_wire::api::{Declared, Problem, WorkloadReport};

use crate::support::{World, eventually, shop};

const LONG: Duration = Duration::from_secs(3600);

fn name(name: &str) -> WorkloadName {
    WorkloadName::new(name).unwrap()
}

#[test]
fn the_promise_of_a_service_is_kept_while_each_of_its_members_is() {
    let mut world = World::hurried(LONG, LONG);
    let (service, members) = (name("crm"), [name("crm.1"), name("crm.2")]);
    let declaration = Declaration::new(None, Some("team-crm")).unwrap();
    for workload in members.iter().chain([&service]) {
        world.config.policy.workloads.insert(workload.clone(), declaration.clone().into());
    }
    // One that falls silent is told soon.
    let hurried = Declaration::new(Some(Duration::from_secs(2)), None).unwrap();
    world.config.policy.workloads.insert(members[1].clone(), hurried.into());
    world.config.services.insert(service.clone(), members.to_vec());
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    for workload in [&members[0], &members[1], &name("crm.3")] {
        agent.ship(workload, b"content");
    }
    let broken = eventually("the member breaks", || {
        let view = operator.workload(&service).unwrap();
        (view.state == "broken").then_some(view)
    });
    let states: Vec<_> =
        broken.members.iter().map(|it| (it.name.as_str(), it.state.as_str())).collect();
    assert_eq!(states, [("crm.1", "fresh"), ("crm.2", "broken")]);
    assert_eq!((broken.owner.as_deref(), broken.rpo_seconds), (Some("team-crm"), Some(3600)));
    assert_eq!(
        (broken.snapshots, broken.open_incidents, broken.unlisted),
        (2, 1, vec![name("crm.3")])
    );
    let oldest = operator.workload(&members[0]).unwrap();
    assert_eq!(broken.last_vaulted, oldest.last_vaulted, "the oldest of its members'");
    assert_eq!((oldest.member_of, oldest.members.len()), (Some(service.clone()), 0));
    let incidents = operator.incidents().unwrap();
    let keys: Vec<_> = incidents.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["recovery-point/crm.2"], "the member's, and no other");
    let listed: Vec<_> = operator.workloads().unwrap().into_iter().map(|it| it.name).collect();
    assert_eq!(listed, ["crm", "crm.1", "crm.2", "crm.3"].map(name));
    // Who may see a part of it sees that part.
    let identity = world.identity_of(Role::Reader, "auditor", "crm.1");
    let reader = outlast_wire::ApiClient::new(&vault.url(), &identity).unwrap();
    let seen: Vec<_> = reader.workloads().unwrap().into_iter().collect();
    assert_eq!((seen.len(), seen[0].member_of.as_ref()), (1, None));
}

#[test]
fn what_an_agent_says_of_its_own_sources_is_shown_and_pages_nobody_by_itself() {
    let world = World::hurried(LONG, LONG);
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let declared = Declared { rpo_seconds: Some(600), owner: Some("team-x".into()) };
    let of_shop = WorkloadReport {
        name: shop(),
        declared: Some(declared),
        waiting: 0,
        waiting_bytes: 0,
        rejected: Vec::new(),
        stopped: None,
        unconfirmed: Vec::new(),
        share_bytes: None,
    };
    let mut report = agent.report_of(vec![of_shop], vec!["no such database".into()]);
    report.details = vec![Problem {
        kind: ProblemCode::SourceFailing.kind(),
        code: ProblemCode::SourceFailing,
        workload: Some(shop()),
        text: "no such database".into(),
    }];
    report.share_usable = Some(true);
    agent.client.report(&report, agent.speaker()).unwrap();
    let view = operator.workload(&shop()).unwrap();
    assert_eq!(
        (view.state.as_str(), view.failing.as_deref()),
        ("never-seen", Some("no such database"))
    );
    // A share adds who is told, and replaces nobody.
    assert_eq!(view.owner.as_deref(), Some("team-shop"));
    assert!(operator.incidents().unwrap().is_empty());
    // Until it says so no more.
    report.details.clear();
    report.problems.clear();
    report.workloads.clear();
    agent.client.report(&report, agent.speaker()).unwrap();
    assert_eq!(operator.workload(&shop()).unwrap().failing, None);
}
