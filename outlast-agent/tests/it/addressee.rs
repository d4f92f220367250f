//! Who is told of a trouble: those who can end it, in words that fit.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use outlast_agent::{Agent, Shutdown, Upstream, UpstreamError, Vault};
use outlast_repo::Repository;
use outlast_types::WorkloadName;
use outlast_wire::CallError;
use outlast_wire::api::{
    AgentReport, BillAnswer, ErrorBody, ErrorCode, IncidentView, Reported, Shipment,
};
use outlast_wire::holdings::{Question, SignedAnswer};

use crate::support::{World, good_pass, pass};

/// Lets a trouble last; what is open at the vault then.
fn lasting(world: &World, agent: &mut Agent) -> Vec<IncidentView> {
    for _ in 0..2 {
        pass(agent);
        world.clock.advance(Duration::from_secs(16));
    }
    pass(agent);
    world.incidents()
}

fn declare(world: &World, text: &str) {
    let path = world.share.path().join("w/shop/workload.toml");
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_bad_declaration_is_told_to_the_team_that_wrote_it_and_to_nobody_else() {
    let world = World::new();
    world.dump("shop", b"a dump");
    world.dump("blog", b"another");
    let mut agent = world.agent();
    good_pass(&mut agent);
    for (text, reason) in [("rpo = \"2 fortnights\"\n", "rpo"), ("rpoo = \"2d\"\n", "almost")] {
        declare(&world, text);
        let [incident] = &lasting(&world, &mut agent)[..] else {
            panic!("{:?}", world.incidents())
        };
        assert_eq!((incident.owner.as_str(), incident.key.as_str()), ("app", "content/shop"));
        assert_eq!(incident.workload.as_ref().map(WorkloadName::as_str), Some("shop"));
        let cause = &incident.cause;
        assert!(cause.contains("workload.toml") && cause.contains(reason), "{cause}");
        assert!(!cause.contains("share of"), "{cause}");
        declare(&world, "rpo = \"2d\"\n");
        pass(&mut agent);
        assert_eq!(world.incidents(), [], "it resolves by itself");
    }
    // A day that no program makes is the team's, too.
    fs::create_dir(world.share.path().join("w/shop/drops/2026-01-31")).unwrap();
    let [incident] = &lasting(&world, &mut agent)[..] else { panic!("{:?}", world.incidents()) };
    assert_eq!(incident.key, "content/shop");
}

#[test]
fn what_lies_about_on_the_share_is_no_incident_unless_somebody_drops_there() {
    let world = World::new();
    world.dump("shop", b"a dump");
    let workloads = world.share.path().join("w");
    for name in ["@eaDir", "lost+found", "My Documents"] {
        fs::create_dir(workloads.join(name)).unwrap();
    }
    File::create(workloads.join("readme.txt")).unwrap();
    let mut agent = world.agent();
    good_pass(&mut agent);
    assert_eq!(lasting(&world, &mut agent), []);
    fs::create_dir_all(workloads.join("Shop_DB/drops")).unwrap();
    let [incident] = &lasting(&world, &mut agent)[..] else { panic!("{:?}", world.incidents()) };
    assert_eq!(
        (incident.owner.as_str(), incident.key.rsplit_once('/').unwrap().0),
        ("platform", "stray/eu-1")
    );
    assert!(incident.cause.contains("Shop_DB"), "{}", incident.cause);
    assert!(!incident.cause.contains("cannot use its share"), "{}", incident.cause);
}

/// A vault whose disk is full.
struct Full(Vault);

impl Upstream for Full {
    fn open(
        &self,
        workload: &WorkloadName,
        shutdown: &Shutdown,
    ) -> Result<Repository, UpstreamError> {
        self.0.open(workload, shutdown)
    }

    fn ship(&self, _: &Shipment) -> Result<BillAnswer, CallError> {
        let body = ErrorBody {
            code: ErrorCode::Full,
            message: "the vault's disk is full".to_owned(),
            hint: "free space on the vault; nothing is lost meanwhile".to_owned(),
            request_id: String::new(),
            missing: Vec::new(),
        };
        let location = "https://vault:8443/".to_owned();
        Err(CallError::Unable { location, status: 507, body: Box::new(body) })
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.0.report(report)
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.0.holdings(question)
    }
}

#[test]
fn a_full_vault_is_the_platforms_and_no_trouble_of_the_share() {
    let world = World::new();
    world.dump("shop", b"a dump");
    let mut agent = world.agent_over(|vault| Box::new(Full(vault)));
    let [incident] = &lasting(&world, &mut agent)[..] else { panic!("{:?}", world.incidents()) };
    assert_eq!(
        (incident.owner.as_str(), incident.key.rsplit_once('/').unwrap().0),
        ("platform", "work/eu-1")
    );
    assert!(incident.cause.contains("the vault's disk is full"), "{}", incident.cause);
    assert!(!incident.cause.contains("cannot use its share"), "{}", incident.cause);
    drop(agent);
    good_pass(&mut world.agent());
    assert_eq!(world.incidents(), []);
}
