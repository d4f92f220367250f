//! Agents that die between any two steps, and vaults that do not answer.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outlast_agent::{Agent, AgentError, Shutdown, StateError, Upstream, UpstreamError, Vault};
use outlast_drop::{Content, DropAddress, Receipt, ReceiptState, Seal, receipt};
use outlast_repo::Repository;
use outlast_testing::pseudo_random;
use outlast_types::{Clock, WorkloadName};
use outlast_wire::api::{AgentReport, BillAnswer, ErrorBody, ErrorCode, Reported, Shipment};
use outlast_wire::holdings::{Question, SignedAnswer};
use outlast_wire::{CallError, Role};

use crate::support::{World, good_pass, pass};

/// A road that breaks around the shipment.
#[derive(Clone, Copy, PartialEq)]
enum Break {
    BeforeTheBill,
    BeforeTheAnswer,
    WrongAnswer,
    ObjectsLost,
}

struct Broken {
    vault: Vault,
    at: Break,
    /// Shipments that still break.
    times: AtomicUsize,
}

impl Upstream for Broken {
    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        self.vault.open(name, shutdown)
    }

    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError> {
        let left = self.times.load(Ordering::SeqCst);
        if left == 0 {
            return self.vault.ship(shipment);
        }
        self.times.store(left - 1, Ordering::SeqCst);
        let gone = || CallError::Unreachable {
            location: "the vault".to_owned(),
            source: std::io::ErrorKind::ConnectionReset.into(),
        };
        if self.at == Break::BeforeTheBill {
            return Err(gone());
        }
        if self.at == Break::ObjectsLost {
            let body = ErrorBody {
                code: ErrorCode::MissingObjects,
                message: "one object is missing".to_owned(),
                hint: String::new(),
                request_id: left.to_string(),
                missing: vec!["data/00".to_owned()],
            };
            let (location, status) = ("the vault".to_owned(), 409);
            return Err(CallError::Refused { location, status, body: Box::new(body) });
        }
        let answer = self.vault.ship(shipment)?;
        if self.at == Break::BeforeTheAnswer {
            return Err(gone());
        }
        let receipt = answer.receipt.map(|text| text.replace("vaulted", "shipped"));
        Ok(BillAnswer { receipt, ..answer })
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.vault.holdings(question)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.vault.report(report)
    }
}

fn broken(world: &World, at: Break, times: usize) -> Agent {
    world.agent_over(|vault| Box::new(Broken { vault, at, times: AtomicUsize::new(times) }))
}

#[test]
fn an_agent_that_dies_around_the_bill_of_lading_leaves_one_snapshot_and_no_doubt() {
    for at in [Break::BeforeTheBill, Break::BeforeTheAnswer] {
        let mut world = World::new();
        world.keep = 0;
        let content = pseudo_random(3, 500_000);
        let drop = world.dump("shop-db", &content);
        let mut agent = broken(&world, at, 1);
        let report = pass(&mut agent);
        assert!(report.vaulted.is_empty() && report.released.is_empty());
        assert_eq!(report.waiting, 1);
        assert!(
            world.has(&drop, ReceiptState::Shipped) && !world.has(&drop, ReceiptState::Vaulted)
        );
        assert!(world.data_is_on_the_share(&drop), "not released without the vault's word");
        std::mem::drop(agent);
        let report = good_pass(&mut world.agent());
        assert_eq!((report.vaulted.len(), report.released.len()), (1, 1));
        assert_eq!(world.snapshots("shop-db"), 1);
        assert_eq!(fs::read(world.restore("shop-db").join("dump.sql")).unwrap(), content);
    }
}

#[test]
fn a_vault_that_cannot_be_reached_is_tried_again_later_and_less_and_less_often() {
    let world = World::new();
    let drop = world.dump("shop-db", b"content");
    let mut agent = broken(&world, Break::BeforeTheBill, 2);
    assert!(!pass(&mut agent).problems.is_empty());
    assert!(good_pass(&mut agent).vaulted.is_empty(), "too early to try again");
    world.clock.advance(Duration::from_secs(30));
    assert!(!pass(&mut agent).problems.is_empty());
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
    assert!(world.has(&drop, ReceiptState::Vaulted));
}

#[test]
fn a_receipt_that_the_vault_did_not_sign_is_not_believed() {
    let mut world = World::new();
    world.keep = 0;
    let drop = world.dump("shop-db", b"content");
    let mut agent = broken(&world, Break::WrongAnswer, 1);
    let report = pass(&mut agent);
    assert!(report.problems[0].to_string().contains("the vault's receipt"), "{report:?}");
    assert!(world.data_is_on_the_share(&drop) && !world.has(&drop, ReceiptState::Vaulted));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(good_pass(&mut agent).released.len(), 1);
}

#[test]
fn a_drop_whose_objects_got_lost_on_the_way_is_shipped_again_and_the_trouble_is_told_once() {
    let world = World::new();
    let drop = world.dump("shop-db", b"content");
    let mut agent = broken(&world, Break::ObjectsLost, 2);
    let first = pass(&mut agent).problems;
    assert!(first[0].to_string().contains("one object is missing"), "{first:?}");
    assert_eq!(pass(&mut agent).problems, first, "it waits, and says why");
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(pass(&mut agent).problems, first, "the same trouble, whatever its request id");
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
    assert!(world.has(&drop, ReceiptState::Vaulted));
}

#[test]
fn a_vault_that_is_down_for_a_while_costs_nothing_but_time() {
    let mut world = World::new();
    world.keep = 0;
    let drop = world.dump("shop-db", b"content");
    let mut agent = world.agent();
    let world = world.without_vault(|share| {
        let report = pass(&mut agent);
        assert!(
            report.problems[0].to_string().contains("cannot reach https://127.0.0.1"),
            "{report:?}"
        );
        assert!(report.released.is_empty() && share.drop_directory(&drop).exists());
    });
    world.clock.advance(Duration::from_secs(60));
    let report = good_pass(&mut agent);
    assert_eq!((report.vaulted.len(), report.released.len()), (1, 1));
}

/// A receipt that an agent wrote just before it died.
fn write_receipt(world: &World, address: &DropAddress, state: ReceiptState) {
    let seal = fs::read(world.share.drop_directory(address).join("sealed.json")).ok();
    let document = Receipt {
        seal: seal.map(|bytes| Seal::digest_of(&bytes)),
        ..Receipt::about(world.share.id(), address, state, world.clock.now())
    };
    let signed = document.sign(&world.identity(Role::Agent)).unwrap();
    receipt::write(&world.share, &signed).unwrap();
}

#[test]
fn a_release_that_was_broken_off_is_finished() {
    let world = World::new();
    let drop = world.dump("shop-db", &[1; 250_000]);
    let mut agent = world.agent();
    good_pass(&mut agent);
    std::mem::drop(agent);
    write_receipt(&world, &drop, ReceiptState::Released);
    fs::remove_file(world.share.drop_directory(&drop).join("sealed.json")).unwrap();
    let report = good_pass(&mut world.agent());
    assert_eq!(report.released, std::slice::from_ref(&drop));
    assert!(!world.share.drop_directory(&drop).exists());
}

#[test]
fn an_agents_word_without_the_vaults_releases_nothing() {
    let world = World::new();
    let drop = world.dump("shop-db", b"content");
    write_receipt(&world, &drop, ReceiptState::Released);
    let report = good_pass(&mut world.agent());
    assert_eq!((report.vaulted.len(), report.released.len()), (1, 0));
    assert!(world.data_is_on_the_share(&drop) && world.has(&drop, ReceiptState::Vaulted));
}

#[test]
fn an_abandonment_that_was_broken_off_is_finished_but_a_sealed_drop_is_shipped() {
    let world = World::new();
    let dead = world.writer("shop-db", Content::stream("dump.sql").unwrap());
    let address = dead.address().clone();
    drop(dead);
    let sealed = world.dump("other", b"sealed at the last moment");
    write_receipt(&world, &address, ReceiptState::Abandoned);
    write_receipt(&world, &sealed, ReceiptState::Abandoned);
    let report = good_pass(&mut world.agent());
    assert_eq!(report.abandoned, std::slice::from_ref(&address));
    assert!(!world.share.drop_directory(&address).exists());
    assert_eq!(report.vaulted.len(), 1);
    assert!(world.has(&sealed, ReceiptState::Vaulted));
}

#[test]
fn a_seal_of_a_drop_that_was_given_up_is_no_incident_if_nothing_is_left_of_it() {
    let world = World::new();
    let lose = |name: &str| {
        let drop = world.dump(name, &[1; 1000]);
        fs::remove_file(world.share.drop_directory(&drop).join("0001.seg")).unwrap();
        drop
    };
    let (given_up, lost) = (lose("shop-db"), lose("other"));
    write_receipt(&world, &given_up, ReceiptState::Abandoned);
    let mut agent = world.agent();
    let report = good_pass(&mut agent);
    assert_eq!(report.abandoned, std::slice::from_ref(&given_up));
    assert!(!world.share.drop_directory(&given_up).exists());
    // Of which nobody has said that: a sealed drop has lost its data.
    assert_eq!(report.rejected.len(), 1);
    assert_eq!(report.rejected[0].0, lost);
}

#[test]
fn an_agent_that_is_asked_to_stop_breaks_off_and_the_next_one_goes_on() {
    let world = World::new();
    let content = pseudo_random(11, 2_000_000);
    let drop = world.dump("shop-db", &content);
    let shutdown = Shutdown::default();
    shutdown.request();
    let mut agent = world.agent();
    let report = agent.pass(&shutdown);
    assert!(report.vaulted.is_empty() && report.rejected.is_empty());
    agent.run(&shutdown);
    std::mem::drop(agent);
    assert!(!world.has(&drop, ReceiptState::Rejected));
    assert_eq!(good_pass(&mut world.agent()).vaulted.len(), 1);
}

/// Asks for the end as soon as the repository is open, so that the read is broken off.
struct Stopping {
    vault: Vault,
    shutdown: Shutdown,
}

impl Upstream for Stopping {
    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        let opened = self.vault.open(name, shutdown);
        self.shutdown.request();
        opened
    }

    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError> {
        self.vault.ship(shipment)
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.vault.holdings(question)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.vault.report(report)
    }
}

#[test]
fn a_stop_in_the_middle_of_a_drop_is_no_verdict_about_it() {
    let world = World::new();
    let drop = world.dump("shop-db", &pseudo_random(12, 2_000_000));
    let shutdown = Shutdown::default();
    let asking = shutdown.clone();
    let mut agent = world.agent_over(move |vault| Box::new(Stopping { vault, shutdown: asking }));
    let report = agent.pass(&shutdown);
    assert!(report.vaulted.is_empty() && report.rejected.is_empty(), "{report:?}");
    assert_eq!((report.waiting, report.problems.len()), (1, 0), "{report:?}");
    std::mem::drop(agent);
    assert_eq!(good_pass(&mut world.agent()).vaulted.len(), 1);
    assert!(world.has(&drop, ReceiptState::Vaulted));
}

#[test]
fn two_agents_never_share_a_state_directory_and_only_agents_are_agents() {
    let world = World::new();
    let agent = world.agent();
    let environment = outlast_types::Environment::system;
    let error = Agent::start(world.config(), environment()).err().unwrap();
    assert!(matches!(error, AgentError::State(StateError::Running { .. })), "{error}");
    drop(agent);
    let vault = Vault::new(&world.vault.url(), world.identity(Role::Agent).into(), environment());
    let operator = world.identity(Role::Operator).into();
    let error =
        Agent::with_upstream(world.config(), environment(), operator, Box::new(vault.unwrap()))
            .err();
    assert!(matches!(error, Some(AgentError::WrongRole { .. })));
}
