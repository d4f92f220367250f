//! A share that misbehaves: said clearly, nothing lost, the others go on.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use outlast_agent::{Shutdown, Upstream, UpstreamError};
use outlast_drop::{ReceiptState, Share};
use outlast_repo::Repository;
use outlast_types::{SystemClock, SystemRandom, WorkloadName};
use outlast_wire::CallError;
use outlast_wire::api::{AgentReport, BillAnswer, Reported, Shipment};
use outlast_wire::holdings::{Question, SignedAnswer};

use crate::support::{World, good_pass, pass};

#[expect(clippy::disallowed_methods, reason = "a test that moves directories about")]
fn rename(from: &std::path::Path, to: &std::path::Path) {
    fs::rename(from, to).unwrap();
}

#[test]
fn a_share_that_is_not_mounted_is_said_and_the_work_goes_on_when_it_is_back() {
    let world = World::new();
    let drop = world.dump("shop-db", b"content");
    let (share, aside) = (world.share.path(), world.path("aside"));
    rename(share, &aside);
    let mut agent = world.agent();
    let report = pass(&mut agent);
    assert!(report.problems[0].to_string().contains("is the share mounted?"), "{report:?}");
    fs::create_dir(share).unwrap();
    let report = pass(&mut agent);
    assert!(report.problems[0].to_string().contains("is not a share"), "{report:?}");
    assert_eq!(fs::read_dir(share).unwrap().count(), 0, "nothing was written into it");
    fs::remove_dir(share).unwrap();
    rename(&aside, share);
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
    // Gone again, now that the agent knows the share: the vault hears of it when it lasts.
    rename(share, &aside);
    pass(&mut agent);
    assert!(world.incidents().is_empty(), "a hiccup wakes nobody");
    world.clock.advance(Duration::from_secs(20));
    pass(&mut agent);
    let incidents = world.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0].owner, "platform");
    assert!(incidents[0].cause.contains("mounted"), "{incidents:?}");
    rename(&aside, share);
    good_pass(&mut agent);
    assert!(world.incidents().is_empty(), "it resolves by itself");
    assert!(world.has(&drop, ReceiptState::Vaulted));
}

#[test]
fn another_share_in_its_place_is_not_touched() {
    let mut world = World::new();
    let mut agent = world.agent();
    good_pass(&mut agent);
    let (share, aside) = (world.share.path().to_owned(), world.path("aside"));
    rename(&share, &aside);
    world.share = Share::init(&share, &SystemClock, &SystemRandom).unwrap();
    world.dump("shop-db", b"content of another share");
    for _ in 0..2 {
        let report = pass(&mut agent);
        assert!(
            report.problems[0].to_string().contains("is another share than before"),
            "{report:?}"
        );
        assert!(report.problems[0].to_string().contains("share-id"), "what to do: {report:?}");
        assert!(report.vaulted.is_empty());
        drop(agent);
        agent = world.agent();
    }
    fs::remove_dir_all(&share).unwrap();
    rename(&aside, &share);
    good_pass(&mut agent);
}

#[test]
fn one_workload_that_cannot_be_read_does_not_stop_the_others() {
    let world = World::new();
    let good = world.dump("good", b"good");
    let bad = world.dump("bad", b"bad");
    let drops = world.share.workload_directory(&bad.workload).join("drops");
    let aside = world.path("aside");
    rename(&drops, &aside);
    symlink(&aside, &drops).unwrap();
    let mut agent = world.agent();
    let report = pass(&mut agent);
    assert!(world.has(&good, ReceiptState::Vaulted));
    assert!(!report.problems.is_empty() && !world.has(&bad, ReceiptState::Vaulted));
    fs::remove_file(&drops).unwrap();
    rename(&aside, &drops);
    good_pass(&mut agent);
    assert!(world.has(&bad, ReceiptState::Vaulted));
}

#[test]
fn receipts_that_cannot_be_written_are_written_later() {
    let world = World::new();
    let drop = world.dump("shop-db", b"content");
    let receipts = world.share.workload_directory(&drop.workload).join("receipts");
    let mut agent = world.agent();
    // A directory of its name refuses root as well, as a share that is full would.
    let obstacle = receipts.join(format!("{}.accepted.json", drop.drop));
    fs::create_dir_all(&obstacle).unwrap();
    let report = pass(&mut agent);
    assert_eq!((report.vaulted.len(), report.problems.len()), (1, 1), "{report:?}");
    assert_eq!(pass(&mut agent).problems.len(), 1);
    fs::remove_dir(&obstacle).unwrap();
    good_pass(&mut agent);
    for state in [ReceiptState::Accepted, ReceiptState::Shipped, ReceiptState::Vaulted] {
        assert!(world.has(&drop, state), "{state}");
    }
    assert_eq!(world.snapshots("shop-db"), 1);
}

/// A vault during whose calls something happens to the share.
struct Meddling<O, S> {
    vault: outlast_agent::Vault,
    at_open: O,
    at_ship: S,
}

impl<O: Fn() + Send + Sync, S: Fn() + Send + Sync> Upstream for Meddling<O, S> {
    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        (self.at_open)();
        self.vault.open(name, shutdown)
    }

    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError> {
        (self.at_ship)();
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
fn nothing_leaves_the_share_before_the_vaults_receipt_is_on_it() {
    let mut world = World::new();
    world.keep = 0;
    let drop = world.dump("shop-db", b"content");
    let receipts = world.share.workload_directory(&drop.workload).join("receipts");
    let obstacle = receipts.join(format!("{}.vaulted.json", drop.drop));
    let place = obstacle.clone();
    let at_ship = move || fs::create_dir_all(&place).unwrap();
    let mut agent =
        world.agent_over(move |vault| Box::new(Meddling { vault, at_open: || (), at_ship }));
    for _ in 0..2 {
        let report = pass(&mut agent);
        assert!(report.released.is_empty(), "{report:?}");
        assert!(
            report.problems.iter().any(|it| it.to_string().contains("not released yet")),
            "{report:?}"
        );
        assert!(world.data_is_on_the_share(&drop) && !world.has(&drop, ReceiptState::Released));
    }
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(good_pass(&mut agent).released, std::slice::from_ref(&drop));
    assert!(world.has(&drop, ReceiptState::Vaulted) && world.has(&drop, ReceiptState::Released));
}

#[test]
fn a_drop_that_cannot_be_read_holds_up_newer_ones_only_for_a_while() {
    let world = World::new();
    let (stuck, newer) = (world.dump("shop-db", b"stuck"), world.dump("shop-db", b"newer"));
    let other = world.dump("other", b"other");
    let (from, to) = (world.share.drop_directory(&stuck), world.path("hidden"));
    let hidden = (from.clone(), to.clone());
    // Several are opened side by side: one at a time looks and hides.
    let turn = std::sync::Mutex::new(());
    let at_open = move || {
        let _turn = turn.lock().unwrap();
        if hidden.0.exists() {
            rename(&hidden.0, &hidden.1);
        }
    };
    let mut agent =
        world.agent_over(move |vault| Box::new(Meddling { vault, at_open, at_ship: || () }));
    let mut problems = Vec::new();
    for attempt in 1..=3 {
        let report = pass(&mut agent);
        rename(&to, &from);
        assert!(!report.problems.is_empty() && report.rejected.is_empty(), "{report:?}");
        assert_eq!(world.has(&newer, ReceiptState::Vaulted), attempt == 3, "{report:?}");
        assert!(world.has(&other, ReceiptState::Vaulted));
        problems.push(report.problems);
        world.clock.advance(Duration::from_secs(300));
    }
    assert!(problems.iter().all(|told| *told == problems[0]), "one lasting trouble: {problems:?}");
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
    assert!(world.has(&stuck, ReceiptState::Vaulted));
}

#[test]
fn a_receipt_that_nobody_we_trust_signed_changes_nothing() {
    let mut world = World::new();
    world.keep = 0;
    let stranger = World::new();
    let drop = world.dump("shop-db", b"content");
    let theirs = stranger.dump("shop-db", b"content");
    good_pass(&mut stranger.agent());
    // A receipt of another authority, one of another drop, one that is signed by an agent.
    let forged = stranger.receipt(&theirs, ReceiptState::Vaulted).unwrap();
    let receipts = world.share.workload_directory(&drop.workload).join("receipts");
    fs::create_dir_all(&receipts).unwrap();
    let place = |state: &str, bytes: &[u8]| {
        let path = receipts.join(format!("{}.{state}.json", drop.drop));
        std::io::Write::write_all(&mut fs::File::create(path).unwrap(), bytes).unwrap();
    };
    place("vaulted", forged.bytes());
    place("released", b"{\"version\":1}");
    place("rejected", forged.bytes());
    let report = pass(&mut world.agent());
    assert_eq!(report.vaulted.len(), 1, "it is shipped as if they were not there: {report:?}");
    assert_eq!(
        report.problems.iter().filter(|it| it.to_string().contains("is ignored")).count(),
        2
    );
    assert_eq!(world.snapshots("shop-db"), 1);
}
