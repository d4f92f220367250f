//! Every hop is a state to go on from: what was read is not read again, whoever was away.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use outlast_agent::{Agent, Shutdown, Upstream, UpstreamError, Vault};
use outlast_drop::{DropAddress, Receipt, ReceiptState};
use outlast_repo::Repository;
use outlast_testing::{ManualTime, pseudo_random};
use outlast_types::{Clock, WorkloadName};
use outlast_wire::api::{AgentReport, BillAnswer, ErrorBody, ErrorCode, Reported, Shipment};
use outlast_wire::holdings::{Question, SignedAnswer};
use outlast_wire::{CallError, Identity, Role};

use crate::support::{World, good_pass, pass};

/// A media server in front of the vault, as far as an agent sees it.
struct Spool {
    vault: Vault,
    clock: ManualTime,
    signer: Identity,
    line: Arc<Line>,
}

/// What happens behind the media server.
#[derive(Default)]
struct Line {
    /// Whether the vault can be reached.
    is_up: AtomicBool,
    /// Whether the media server has lost its disk.
    is_lost: AtomicBool,
    asked: AtomicUsize,
}

impl Spool {
    /// An agent behind a media server.
    fn agent(world: &World, line: &Arc<Line>) -> Agent {
        world.agent_over(|vault| {
            let signer = world.identity(Role::Media);
            let (clock, line) = (world.clock.clone(), Arc::clone(line));
            Box::new(Self { vault, clock, signer, line })
        })
    }
}

impl Upstream for Spool {
    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        self.vault.open(name, shutdown)
    }

    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError> {
        self.line.asked.fetch_add(1, Ordering::SeqCst);
        if self.line.is_lost.swap(false, Ordering::SeqCst) {
            let body = ErrorBody {
                code: ErrorCode::MissingObjects,
                message: "nothing of it is here".to_owned(),
                hint: String::new(),
                request_id: String::new(),
                missing: Vec::new(),
            };
            let (location, status) = ("the media server".to_owned(), 409);
            return Err(CallError::Refused { location, status, body: Box::new(body) });
        }
        if self.line.is_up.load(Ordering::SeqCst) {
            return self.vault.ship(shipment);
        }
        let Shipment { workload, day, drop, .. } = shipment.clone();
        let address = DropAddress { workload, day, drop };
        let about =
            Receipt::about(shipment.share, &address, ReceiptState::Shipped, self.clock.now());
        let receipt = Receipt {
            seal: Some(shipment.seal),
            size: Some(shipment.size),
            tree: Some(shipment.tree),
            snapshot: Some(shipment.snapshot_id.to_string()),
            ..about
        };
        let signed = receipt.sign(&self.signer).unwrap();
        let receipt = Some(String::from_utf8(signed.bytes().to_vec()).unwrap());
        Ok(BillAnswer { receipt, ..BillAnswer::default() })
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.vault.holdings(question)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.vault.report(report)
    }
}

#[expect(clippy::disallowed_methods, reason = "a test that moves files about")]
fn rename(from: &PathBuf, to: &PathBuf) {
    fs::rename(from, to).unwrap();
}

/// Hides the data of a drop, so that whoever reads it again finds it bad.
fn hide(world: &World, drop: &DropAddress) -> impl Fn() + use<> {
    let segment = world.share.drop_directory(drop).join("0001.seg");
    let aside = world.path(&format!("{}.aside", drop.drop));
    rename(&segment, &aside);
    move || rename(&aside, &segment)
}

#[test]
fn what_a_media_server_has_is_neither_read_again_nor_released_before_the_vault_has_it() {
    let mut world = World::new();
    world.keep = 0;
    let line = Arc::new(Line::default());
    let drop = world.dump("shop-db", b"content");
    let mut agent = Spool::agent(&world, &line);
    let report = good_pass(&mut agent);
    assert_eq!((report.vaulted.len(), report.waiting), (0, 1), "{report:?}");
    let shipped = world.receipt(&drop, ReceiptState::Shipped).unwrap();
    assert_eq!(world.signer(&shipped).role(), Role::Media);
    let _ = hide(&world, &drop);
    for restarted in [false, true] {
        if restarted {
            std::mem::drop(agent);
            agent = Spool::agent(&world, &line);
        }
        let asked = line.asked.load(Ordering::SeqCst);
        world.clock.advance(Duration::from_secs(61));
        let report = good_pass(&mut agent);
        assert_eq!((report.released.len(), report.waiting), (0, 1), "{report:?}");
        assert_eq!(line.asked.load(Ordering::SeqCst), asked + 1, "it is asked again");
        good_pass(&mut agent);
        assert_eq!(line.asked.load(Ordering::SeqCst), asked + 1, "and not all the time");
    }
    // A newer drop is not held up.
    let newer = world.dump("shop-db", b"newer");
    assert_eq!(good_pass(&mut agent).waiting, 2);
    assert!(world.has(&newer, ReceiptState::Shipped));
    line.is_up.store(true, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(600));
    let report = good_pass(&mut agent);
    let vaulted: Vec<_> = report.vaulted.iter().map(|shipped| &shipped.address).collect();
    assert_eq!(vaulted, [&drop, &newer]);
    assert_eq!((report.released.len(), world.snapshots("shop-db")), (2, 2));
    assert!(world.incidents().is_empty());
}

#[test]
fn what_a_media_server_has_lost_is_read_again() {
    let world = World::new();
    let line = Arc::new(Line::default());
    let drop = world.dump("shop-db", &pseudo_random(4, 300_000));
    let mut agent = Spool::agent(&world, &line);
    good_pass(&mut agent);
    line.is_lost.store(true, Ordering::SeqCst);
    line.is_up.store(true, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(61));
    let report = pass(&mut agent);
    assert!(report.problems[0].to_string().contains("nothing of it is here"), "{report:?}");
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
    assert!(world.has(&drop, ReceiptState::Vaulted));
}

#[test]
fn a_replaced_agent_takes_a_media_servers_word_for_a_day_and_then_reads_again() {
    let world = World::new();
    let line = Arc::new(Line::default());
    let drop = world.dump("shop-db", b"content");
    good_pass(&mut Spool::agent(&world, &line));
    fs::remove_dir_all(world.path("state")).unwrap();
    let unhide = hide(&world, &drop);
    let mut agent = Spool::agent(&world, &line);
    assert_eq!(good_pass(&mut agent).waiting, 1);
    world.clock.advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(good_pass(&mut agent).waiting, 1);
    unhide();
    line.is_up.store(true, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(601));
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
}

/// A vault that is away whenever a bill is handed in.
struct Away(Vault);

impl Upstream for Away {
    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        self.0.open(name, shutdown)
    }

    fn ship(&self, _: &Shipment) -> Result<BillAnswer, CallError> {
        let (location, source) = ("the vault".to_owned(), std::io::ErrorKind::TimedOut.into());
        Err(CallError::Unreachable { location, source })
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.0.holdings(question)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.0.report(report)
    }
}

#[test]
fn a_vault_that_goes_away_at_the_bill_costs_no_second_reading_unless_the_bill_is_lost() {
    for (bill_is_lost, receipt_is_lost) in [(false, false), (false, true), (true, false)] {
        let world = World::new();
        let drop = world.dump("shop-db", b"content");
        let mut agent = world.agent_over(|vault| Box::new(Away(vault)));
        assert_eq!(pass(&mut agent).waiting, 1);
        let receipt = |state| world.receipt(&drop, state).unwrap().bytes().to_vec();
        let before = receipt(ReceiptState::Accepted);
        std::mem::drop(agent);
        let unhide = hide(&world, &drop);
        if bill_is_lost {
            fs::remove_dir_all(world.path("state/bills")).unwrap();
            unhide();
        }
        if receipt_is_lost {
            let receipts = world.share.workload_directory(&drop.workload).join("receipts");
            fs::remove_file(receipts.join(format!("{}.shipped.json", drop.drop))).unwrap();
            unhide();
        }
        world.clock.advance(Duration::from_secs(5));
        assert_eq!(good_pass(&mut world.agent()).vaulted.len(), 1);
        assert!(world.has(&drop, ReceiptState::Vaulted) && world.has(&drop, ReceiptState::Shipped));
        assert_eq!(receipt(ReceiptState::Accepted), before, "the first verdict stands");
        let bills = fs::read_dir(world.path("state/bills/shop-db"));
        assert_eq!(bills.map_or(0, Iterator::count), 0, "what is vaulted needs no bill");
    }
}
