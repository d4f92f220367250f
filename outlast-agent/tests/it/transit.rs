//! Drops that go through media servers: begun, named, waited for, and stored again where something is lacking.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outlast_agent::{Agent, Shutdown, Upstream, UpstreamError, Vault};
use outlast_drop::{DropAddress, Receipt, ReceiptState, Spooled};
use outlast_repo::Repository;
use outlast_testing::{ManualTime, pseudo_random};
use outlast_types::{Clock, DropId, ShareId, SpoolId, SystemRandom, WorkloadName};
use outlast_wire::api::{
    AgentReport, BeginShipment, BillAnswer, CancelShipment, Pending, Reported, Shipment, Waiting,
};
use outlast_wire::holdings::{Question, SignedAnswer};
use outlast_wire::{CallError, Identity, Role};

use crate::support::{World, good_pass, pass};

/// What the road does, and what was said on it.
#[derive(Default)]
struct Road {
    /// The answers to the next bills; after them, the vault is asked.
    answers: Vec<Answer>,
    said: Vec<String>,
    bills: Vec<Shipment>,
}

enum Answer {
    /// Spools say that they took so many objects and bytes.
    Spooled(SpoolId, u64, u64),
    /// The vault lacks the blobs that are named.
    Lacking(fn(&Shipment) -> Vec<String>),
}

/// Media servers in front of the vault, as far as an agent sees them.
struct Relay {
    vault: Vault,
    clock: ManualTime,
    signer: Identity,
    road: Arc<Mutex<Road>>,
}

impl Relay {
    fn agent(world: &World, road: &Arc<Mutex<Road>>) -> Agent {
        world.agent_over(|vault| {
            let (clock, road) = (world.clock.clone(), Arc::clone(road));
            Box::new(Self { vault, clock, signer: world.identity(Role::Media), road })
        })
    }

    fn shipped(&self, bill: &Shipment, spool: Spooled) -> String {
        let Shipment { workload, day, drop, .. } = bill.clone();
        let address = DropAddress { workload, day, drop };
        let receipt = Receipt {
            seal: Some(bill.seal),
            size: Some(bill.size),
            tree: Some(bill.tree),
            snapshot: Some(bill.snapshot_id.to_string()),
            spool: Some(spool),
            ..Receipt::about(bill.share, &address, ReceiptState::Shipped, self.clock.now())
        };
        String::from_utf8(receipt.sign(&self.signer).unwrap().bytes().to_vec()).unwrap()
    }

    fn say(&self, words: String) {
        self.road.lock().unwrap().said.push(words);
    }
}

impl Upstream for Relay {
    fn speak_of(&self, share: ShareId) {
        self.vault.speak_of(share);
    }

    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        self.vault.open(name, shutdown)
    }

    fn begin(&self, begin: &BeginShipment) -> Result<(), CallError> {
        self.say(format!("begin {}", begin.drop));
        self.vault.begin(begin)
    }

    fn cancel(&self, cancel: &CancelShipment) -> Result<(), CallError> {
        self.say(format!("cancel {}: {}", cancel.drop, cancel.reason));
        self.vault.cancel(cancel)
    }

    fn bring(&self, workload: &WorkloadName, drop: Option<DropId>) {
        self.say(drop.map_or("bring nothing".to_owned(), |drop| format!("bring {drop}")));
        self.vault.bring(workload, drop);
    }

    fn is_relayed(&self, _: &WorkloadName) -> bool {
        true
    }

    fn ship(&self, bill: &Shipment) -> Result<BillAnswer, CallError> {
        let answer = {
            let mut road = self.road.lock().unwrap();
            road.bills.push(bill.clone());
            road.said.push(format!("bill {}", bill.drop));
            if road.answers.is_empty() { None } else { Some(road.answers.remove(0)) }
        };
        let pending = Pending { by_vault: true, ..Pending::default() };
        match answer {
            None => self.vault.ship(bill),
            Some(Answer::Lacking(blobs)) => {
                let pending = Some(Pending { blobs: blobs(bill), ..pending });
                Ok(BillAnswer { pending, ..BillAnswer::default() })
            }
            Some(Answer::Spooled(id, objects, bytes)) => {
                let waiting = vec![Waiting { media: "other".to_owned(), spool: id, objects }];
                let shipped = Some(self.shipped(bill, Spooled { id, objects, bytes }));
                let pending = Some(Pending { waiting, ..pending });
                Ok(BillAnswer { pending, shipped, receipt: None })
            }
        }
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.vault.holdings(question)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.vault.report(report)
    }
}

fn spools() -> [SpoolId; 2] {
    [0; 2].map(|_| SpoolId::new(&SystemRandom))
}

#[test]
fn a_drop_is_begun_named_and_shipped_when_spools_cover_its_bill_and_vaulted_in_the_end() {
    let mut world = World::new();
    world.keep = 0;
    let [one, two] = spools();
    let answers = vec![Answer::Spooled(one, 1, 9), Answer::Spooled(two, 9, 9_000_000)];
    let road = Arc::new(Mutex::new(Road { answers, ..Road::default() }));
    let drop = world.dump("shop-db", &pseudo_random(1, 300_000));
    let mut agent = Relay::agent(&world, &road);
    let report = good_pass(&mut agent);
    assert_eq!((report.vaulted.len(), report.waiting), (0, 1));
    let id = drop.drop;
    let said = std::mem::take(&mut road.lock().unwrap().said);
    let expected = [
        format!("begin {id}"),
        format!("bring {id}"),
        "bring nothing".to_owned(),
        format!("bill {id}"),
    ];
    assert_eq!(said, expected);
    assert!(world.has(&drop, ReceiptState::Accepted));
    assert!(!world.has(&drop, ReceiptState::Shipped), "one spool says that it has a part");
    world.clock.advance(Duration::from_secs(31));
    let report = good_pass(&mut agent);
    let shipped = world.receipt(&drop, ReceiptState::Shipped).unwrap();
    assert_eq!(world.signer(&shipped).role(), Role::Media);
    assert_eq!(shipped.receipt().spool.unwrap().id, two);
    assert!(report.released.is_empty() && world.data_is_on_the_share(&drop), "I1");
    world.clock.advance(Duration::from_secs(61));
    let report = good_pass(&mut agent);
    assert_eq!((report.vaulted.len(), report.released.len()), (1, 1));
    let said = &road.lock().unwrap().said;
    assert!(said.iter().all(|it| it.starts_with("bill ")), "it is read once: {said:?}");
}

#[test]
fn blobs_that_a_vault_lacks_are_stored_again_and_only_those() {
    let world = World::new();
    let road = Arc::new(Mutex::new(Road::default()));
    let mut agent = Relay::agent(&world, &road);
    let content = pseudo_random(2, 600_000);
    world.dump("shop-db", &content);
    good_pass(&mut agent);
    // The same content: this bill brings nothing but a tree, and rests on what the first one brought.
    road.lock().unwrap().answers =
        vec![Answer::Lacking(|bill| vec![format!("tree/{}", bill.tree)])];
    let drop = world.dump("shop-db", &content);
    good_pass(&mut agent);
    world.clock.advance(Duration::from_secs(61));
    let report = good_pass(&mut agent);
    assert_eq!(report.vaulted.len(), 1);
    assert_eq!(report.vaulted[0].address, drop);
    let bills = &road.lock().unwrap().bills;
    let again = bills.last().unwrap();
    assert_eq!(bills.len(), 3);
    assert_eq!(again.tree, bills[1].tree);
    assert_eq!(again.counted().packs.unwrap().objects, 1, "the tree's pack, and no other");
    assert_eq!(world.snapshots("shop-db"), 2);
}

#[test]
fn a_vault_that_lacks_the_same_for_ever_is_told_of_and_never_asked_without_end() {
    let world = World::new();
    let answers = (0..1000).map(|_| Answer::Lacking(|bill| vec![format!("tree/{}", bill.tree)]));
    let road = Arc::new(Mutex::new(Road { answers: answers.collect(), ..Road::default() }));
    world.dump("shop-db", b"content");
    let mut agent = Relay::agent(&world, &road);
    let mut told = None;
    for round in 0..12 {
        let report = pass(&mut agent);
        told = told.or((!report.problems.is_empty()).then_some(round));
        let asked = road.lock().unwrap().bills.len();
        assert!(asked <= round + 1, "one bill a round, and no more");
        world.clock.advance(Duration::from_secs(601));
    }
    assert_eq!(told, Some(4));
}

#[test]
fn a_drop_that_leaves_the_share_or_is_rejected_is_cancelled() {
    let world = World::new();
    let [one, _] = spools();
    let answers = vec![Answer::Spooled(one, 1, 9)];
    let road = Arc::new(Mutex::new(Road { answers, ..Road::default() }));
    let gone = world.dump("shop-db", b"content");
    let mut agent = Relay::agent(&world, &road);
    good_pass(&mut agent);
    std::fs::remove_dir_all(world.share.drop_directory(&gone)).unwrap();
    let bad = world.dump("shop-db", &pseudo_random(3, 200_000));
    let segment = world.share.drop_directory(&bad).join("0001.seg");
    let mut content = std::fs::read(&segment).unwrap();
    content[50_000] ^= 1;
    outlast_fs::durable::replace(&segment, &content, 0o644).unwrap();
    let report = pass(&mut agent);
    assert_eq!(report.rejected.len(), 1);
    // What was given up is said with the next report.
    world.clock.advance(Duration::from_secs(61));
    pass(&mut agent);
    let said = &road.lock().unwrap().said;
    for (drop, why) in [(gone.drop, "left the share"), (bad.drop, "")] {
        let cancel = |it: &&String| it.starts_with(&format!("cancel {drop}")) && it.contains(why);
        assert_eq!(said.iter().filter(cancel).count(), 1, "{drop}: {said:?}");
    }
}
