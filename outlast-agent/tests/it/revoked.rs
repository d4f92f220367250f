//! A vault's identity that is revoked: it frees nothing, and what it signed hides nothing.

use std::fs;

use outlast_agent::{Agent, Shutdown, Upstream, UpstreamError};
use outlast_drop::{DropAddress, Receipt, ReceiptState, Seal, receipt};
use outlast_repo::Repository;
use outlast_types::{Clock, SystemClock, Timestamp, WorkloadName};
use outlast_wire::api::{AgentReport, BillAnswer, Reported, Shipment};
use outlast_wire::holdings::{Answer, Question, SignedAnswer};
use outlast_wire::revocation::{Revocation, Revocations, Revoked};
use outlast_wire::{CallError, Identity, IdentityHandle, Role};

use crate::support::{World, good_pass, pass};

/// The receipt of a thief of a vault's key, for a drop that no vault holds.
fn forge(world: &World, thief: &Identity, address: &DropAddress) {
    let seal = fs::read(world.share.drop_directory(address).join("sealed.json")).unwrap();
    let vaulted = ReceiptState::Vaulted;
    let forged = Receipt {
        seal: Some(Seal::digest_of(&seal)),
        size: Some(7),
        tree: Some("01".repeat(32).parse().unwrap()),
        snapshot: Some("02".repeat(32)),
        ..Receipt::about(world.share.id(), address, vaulted, SystemClock.now())
    };
    receipt::write(&world.share, &forged.sign(thief).unwrap()).unwrap();
}

#[test]
fn what_a_thief_signed_as_the_vault_keeps_no_drop_from_being_shipped() {
    let world = World::new();
    let thief = world.identity(Role::Vault);
    let mut agent = world.agent();
    world.dump("shop-db", b"an honest one");
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);

    // As long as nobody knows of the theft, it looks like the vault's own.
    let hidden = world.dump("shop-db", b"one that shall be lost");
    forge(&world, &thief, &hidden);
    assert_eq!(pass(&mut agent).vaulted.len(), 0);
    world.revoke_vault("other");
    agent.hear_news();
    let shipped = |agent: &mut Agent| {
        let reports = [pass(agent), pass(agent)];
        let vaulted = reports.iter().flat_map(|report| &report.vaulted);
        vaulted.map(|it| it.address.clone()).collect::<Vec<_>>()
    };
    assert_eq!(shipped(&mut agent), std::slice::from_ref(&hidden));
    assert_eq!(
        world.signer(&world.receipt(&hidden, ReceiptState::Vaulted).unwrap()).name(),
        "main"
    );

    // And one that is forged from then on, by an agent that was started again, too.
    for restarted in [false, true] {
        if restarted {
            drop(agent);
            agent = world.agent();
        }
        let another = world.dump("shop-db", format!("another, {restarted}").as_bytes());
        forge(&world, &thief, &another);
        assert_eq!(shipped(&mut agent), [another]);
    }
    assert_eq!(world.snapshots("shop-db"), 4);
}

/// A thief of a vault's key on the road, who says to every question that all is held.
struct Impostor {
    vault: outlast_agent::Vault,
    thief: Identity,
}

impl Upstream for Impostor {
    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        self.vault.open(name, shutdown)
    }

    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError> {
        self.vault.ship(shipment)
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        let answer = Answer {
            nonce: question.nonce.clone(),
            at: SystemClock.now(),
            run: "the thief's".to_owned(),
            sequence: 1,
            held: question.drops.clone(),
            recorded: Vec::new(),
            handed: Vec::new(),
            unsafe_alone: Vec::new(),
            refused: Vec::new(),
            withheld: false,
        };
        Ok(SignedAnswer::sign(&answer, &self.thief).unwrap())
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.vault.report(report)
    }
}

#[test]
fn the_word_of_who_is_revoked_frees_nothing() {
    let mut world = World::new();
    world.keep = 0;
    let identity = Identity::load(&world.path("agent-identity")).unwrap();
    let handle = IdentityHandle::from(identity);
    let environment = world.environment();
    let url = world.vault.url();
    let vault = outlast_agent::Vault::new(&url, handle.clone(), environment.clone()).unwrap();
    let thief = world.identity(Role::Vault);
    let peer = thief.peer().clone();
    let upstream = Box::new(Impostor { vault, thief });
    let config = world.config();
    let mut agent = Agent::with_upstream(config, environment, handle.clone(), upstream).unwrap();
    let first = world.dump("shop-db", b"one");
    assert_eq!(pass(&mut agent).released, [first], "nobody knows of the theft yet");
    let begun_by = SystemClock.now();
    let revoked = Revoked::Holder { peer, begun_by };
    let entry = Revocation { revoked, at: Timestamp::EPOCH, reason: None };
    handle.learn(Revocations::new(1, vec![entry]));
    let second = world.dump("shop-db", b"two");
    for _ in 0..2 {
        let report = pass(&mut agent);
        assert!(report.released.is_empty(), "{report:?}");
        assert!(world.data_is_on_the_share(&second));
    }
    drop(agent);
    assert_eq!(good_pass(&mut world.agent()).released, [second], "the vault's own word does");
}
