//! Who says that a drop is safe, and of which drop: ids used twice, receipts of something else,
//! a vault that went back.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outlast_agent::{Shutdown, Upstream, UpstreamError};
use outlast_drop::hash::{Algorithm, Digest};
use outlast_drop::{Claims, Content, DropAddress, ReceiptState, Seal, Segment};
use outlast_repo::Repository;
use outlast_types::{ContentHash, Timestamp, WorkloadName};
use outlast_wire::api::{AgentReport, BillAnswer, Reported, Shipment};
use outlast_wire::holdings::{Question, SignedAnswer};
use outlast_wire::{CallError, Role};

use crate::support::{World, good_pass, pass};

/// Before each honest bill, somebody with an agent's certificate hands in one of his own for the
/// same drop.
struct Thief {
    vault: outlast_agent::Vault,
    /// Whether the honest agent is answered with the receipt for the thief's bill.
    answers: bool,
}

impl Upstream for Thief {
    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        self.vault.open(name, shutdown)
    }

    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError> {
        let forged = Shipment { seal: ContentHash([6; 32]), size: 1, ..shipment.clone() };
        let answer = self.vault.ship(&forged)?;
        if self.answers { Ok(answer) } else { self.vault.ship(shipment) }
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.vault.holdings(question)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.vault.report(report)
    }
}

#[test]
fn a_receipt_for_a_forged_bill_never_makes_the_real_drop_safe() {
    for answers in [false, true] {
        let mut world = World::new();
        world.keep = 0;
        let drop = world.dump("shop-db", b"the real content");
        let mut agent = world.agent_over(|vault| Box::new(Thief { vault, answers }));
        let report = pass(&mut agent);
        assert!(report.vaulted.is_empty() && report.released.is_empty(), "{report:?}");
        assert!(!world.has(&drop, ReceiptState::Vaulted));
        std::mem::drop(agent);

        // The vault refuses the honest bill, and says so to people; nothing is removed.
        let mut agent = world.agent();
        pass(&mut agent);
        world.dump("shop-db", b"a later drop");
        pass(&mut agent);
        pass(&mut agent);
        assert!(world.data_is_on_the_share(&drop));
        let keys: Vec<_> = world.incidents().into_iter().map(|incident| incident.key).collect();
        assert!(keys.contains(&"contested-drop/shop-db".to_owned()), "{keys:?}");
    }
}

/// Puts a sealed stream of one segment at `address`, as whoever can write to the share can.
fn plant(world: &World, address: &DropAddress, content: &[u8]) {
    let directory = world.share.drop_directory(address);
    fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        fs::File::create(directory.join(name)).unwrap().write_all(bytes).unwrap();
    };
    let size = content.len() as u64;
    let digest = Digest::of(Algorithm::Blake3, content);
    let seal = Seal {
        drop: address.drop,
        workload: address.workload.clone(),
        content: Content::stream("dump.sql").unwrap(),
        claims: Claims::default(),
        sealed: None,
        compression: None,
        sealed_to: None,
        segments: vec![Segment { name: "0001.seg".to_owned(), size, raw_size: size, digest }],
    };
    write("0001.seg", content);
    write("sealed.json", &seal.to_bytes().unwrap());
}

fn yesterday_of(address: &DropAddress) -> DropAddress {
    let day = Timestamp::from_unix(address.day.start().unix_seconds() - 3600, 0).unwrap().day();
    DropAddress { day, ..address.clone() }
}

#[test]
fn an_id_that_is_used_twice_never_makes_the_other_drop_go() {
    let mut world = World::new();
    world.keep = 0;
    let mut writer = world.writer("shop-db", Content::stream("dump.sql").unwrap());
    writer.write_all(b"the honest content").unwrap();
    let honest = writer.address().clone();
    // While its writer works, junk is sealed under its id, in another day.
    let junk = yesterday_of(&honest);
    plant(&world, &junk, b"junk");
    let mut agent = world.agent();
    let report = pass(&mut agent);
    assert_eq!(report.vaulted[0].address, junk, "{report:?}");
    writer.seal(&outlast_types::SystemClock).unwrap();

    let report = pass(&mut agent);
    assert_eq!((report.rejected.len(), &report.rejected[0].0), (1, &honest), "{report:?}");
    for restarted in [false, true] {
        if restarted {
            drop(agent);
            agent = world.agent();
        }
        world.dump("shop-db", b"later");
        pass(&mut agent);
        pass(&mut agent);
        assert!(world.data_is_on_the_share(&honest), "nothing of it is removed");
    }
    let keys: Vec<_> = world.incidents().into_iter().map(|incident| incident.key).collect();
    assert!(!keys.contains(&"share/eu-1".to_owned()), "{keys:?}");
}

#[test]
fn two_drops_of_one_id_that_are_found_together_are_never_taken_for_one() {
    let mut world = World::new();
    world.keep = 0;
    let today = world.dump("shop-db", b"content of today");
    let yesterday = yesterday_of(&today);
    plant(&world, &yesterday, b"content of yesterday");
    let mut agent = world.agent();
    let reports = [pass(&mut agent), pass(&mut agent)];
    let vaulted: Vec<_> = reports.iter().flat_map(|report| &report.vaulted).collect();
    let rejected: Vec<_> = reports.iter().flat_map(|report| &report.rejected).collect();
    assert_eq!((vaulted.len(), rejected.len()), (1, 1), "{reports:?}");
    assert_ne!(vaulted[0].address, rejected[0].0);
    assert!(world.data_is_on_the_share(&rejected[0].0));
}

#[test]
fn a_drop_that_is_sealed_again_after_it_was_vaulted_is_rejected_and_stays() {
    for restarted in [false, true] {
        let mut world = World::new();
        world.keep = 1;
        let drop = world.dump("shop-db", b"what was vaulted");
        let mut agent = world.agent();
        good_pass(&mut agent);
        plant(&world, &drop, b"something else");
        if restarted {
            std::mem::drop(agent);
            agent = world.agent();
        }
        world.dump("shop-db", b"newer");
        let reports = [pass(&mut agent), pass(&mut agent), pass(&mut agent)];
        assert!(reports.iter().all(|report| report.released.is_empty()), "{reports:?}");
        let rejected: Vec<_> = reports.iter().flat_map(|report| &report.rejected).collect();
        assert_eq!((rejected.len(), &rejected[0].0), (1, &drop), "{reports:?}");
        assert!(world.data_is_on_the_share(&drop));
        let told = world.incidents();
        assert!(told.iter().any(|incident| incident.key == "rejected-drop/shop-db"), "{told:?}");
    }
}

#[test]
fn a_false_receipt_does_not_keep_the_real_one_from_landing() {
    let world = World::new();
    let drop = world.dump("shop-db", b"content");
    let receipts = world.share.workload_directory(&drop.workload).join("receipts");
    let name = format!("{}.vaulted.json", drop.drop);
    // Whole, but signed by nobody whom we know.
    let seal = fs::read(world.share.drop_directory(&drop).join("sealed.json")).unwrap();
    let forged = format!(
        "{{\"version\":2,\"share\":\"{}\",\"workload\":\"shop-db\",\"day\":\"{}\",\"drop\":\"{}\",\
         \"seal\":\"{}\",\"state\":\"vaulted\",\"at\":\"2030-01-01T00:00:00Z\",\"by\":\"main\",\
         \"role\":\"vault\",\"certificate\":\"\",\"signature\":\"00\"}}\n",
        world.share.id(),
        drop.day,
        drop.drop,
        Seal::digest_of(&seal)
    );
    fs::create_dir_all(&receipts).unwrap();
    fs::File::create(receipts.join(name)).unwrap().write_all(forged.as_bytes()).unwrap();
    let report = pass(&mut world.agent());
    assert_eq!(report.vaulted.len(), 1, "{report:?}");
    let landed = world.receipt(&drop, ReceiptState::Vaulted).unwrap();
    assert_eq!(world.signer(&landed).role(), Role::Vault);
    assert!(good_pass(&mut world.agent()).vaulted.is_empty(), "it is proved now");
}

fn copy_tree(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// Reports are due every 30 seconds by the agent's clock.
fn later(world: &World) {
    world.clock.advance(Duration::from_secs(31));
}

#[test]
fn what_a_vault_that_went_back_does_not_hold_is_shipped_again_and_told_and_never_released() {
    for restarted in [false, true] {
        let mut world = World::new();
        world.keep = 2;
        let mut agent = world.agent();
        world.dump("shop-db", b"one");
        good_pass(&mut agent);
        let (vault, copy) = (world.path("vault"), world.path("copy"));
        world = world.without_vault(|_| copy_tree(&vault, &copy));
        let drops: Vec<_> = ["two", "three", "four"]
            .map(|content| {
                let drop = world.dump("shop-db", content.as_bytes());
                pass(&mut agent);
                drop
            })
            .into();
        pass(&mut agent);
        assert!(!world.data_is_on_the_share(&drops[0]), "it was released, as the rule says");
        world = world.without_vault(|_| {
            fs::remove_dir_all(&vault).unwrap();
            copy_tree(&copy, &vault);
        });
        assert_eq!(world.snapshots("shop-db"), 1);
        if restarted {
            drop(agent);
            agent = world.agent();
        }

        // It is heard that the vault began anew; then it is asked; then it is shipped.
        let mut vaulted = Vec::new();
        for _ in 0..3 {
            later(&world);
            vaulted.extend(pass(&mut agent).vaulted.into_iter().map(|shipped| shipped.address));
            assert!(drops[1..].iter().all(|drop| world.data_is_on_the_share(drop)));
        }
        assert_eq!(vaulted, drops[1..], "what is still on the share");
        assert_eq!(world.snapshots("shop-db"), 3);
        let told = world.incidents();
        let lost = told.iter().find(|incident| incident.key == "vault-went-back").unwrap();
        assert!(lost.cause.contains(&drops[0].drop.to_string()), "{}", lost.cause);
        // Once it holds them again, they go their way.
        world.dump("shop-db", b"five");
        let report = pass(&mut agent);
        assert_eq!(report.released, [drops[1].clone()], "{report:?}");
        let numbers: Vec<_> = drops[1..]
            .iter()
            .map(|drop| world.receipt(drop, ReceiptState::Vaulted).unwrap().receipt().sequence)
            .collect();
        assert!(numbers.iter().all(|number| *number > Some(4)), "no number twice: {numbers:?}");
    }
}

#[test]
fn an_agent_that_cannot_ask_the_vault_releases_nothing() {
    let mut world = World::new();
    world.keep = 0;
    let drop = world.dump("shop-db", b"content");
    let mut agent = world.agent_over(|vault| Box::new(Mute { vault }));
    let report = pass(&mut agent);
    assert_eq!((report.vaulted.len(), report.released.len()), (1, 0), "{report:?}");
    assert!(world.has(&drop, ReceiptState::Vaulted) && world.data_is_on_the_share(&drop));
    std::mem::drop(agent);
    assert_eq!(good_pass(&mut world.agent()).released, std::slice::from_ref(&drop));
}

/// Repeats one old answer of the vault to every question, as whoever stands in between could.
struct Mute {
    vault: outlast_agent::Vault,
}

impl Upstream for Mute {
    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        self.vault.open(name, shutdown)
    }

    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError> {
        self.vault.ship(shipment)
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        let nonce = outlast_wire::holdings::Nonce::new(&outlast_types::SystemRandom);
        self.vault.holdings(&Question { nonce, ..question.clone() })
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.vault.report(report)
    }
}
