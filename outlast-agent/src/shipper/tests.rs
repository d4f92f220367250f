mod transit;

use std::collections::VecDeque;
use std::sync::Mutex;

use outlast_drop::Receipt;
use outlast_testing::ManualTime;
use outlast_types::{
    Clock, ContentHash, Day, DropIdentity, ProblemCode, ShareId, SystemClock, SystemRandom,
};
use outlast_wire::api::{AgentReport, Reported};
use outlast_wire::holdings::{Answer, HeldDrop};
use outlast_wire::{CallError, CertificateAuthority, Identity, Peer, Role, ca};

use super::*;
use crate::destination::{Cargo, Destination};
use crate::secured::Secured;

/// A destination that does as it is told.
#[derive(Default)]
struct Script(Arc<Mutex<VecDeque<Told>>>);

enum Told {
    /// To load: whether the content is accepted, and what fails then.
    Load(bool, Option<Failure>),
    /// To deliver.
    Deliver(Result<Secured, Failure>),
}

fn seal() -> ContentHash {
    ContentHash([7; 32])
}

impl Destination for Script {
    fn heed(&mut self, _: &Shutdown) {}

    fn speak_of(&self, _: ShareId) {}

    fn load(&self, _: &Cargo<'_>, accepted: &mut dyn FnMut(Content)) -> Result<Taken, Failure> {
        let Some(Told::Load(is_accepted, failure)) = self.0.lock().unwrap().pop_front() else {
            panic!("it is read without need")
        };
        if is_accepted {
            accepted(Content { seal: seal(), bytes: 9 });
        }
        failure.map_or(Ok(Taken { read: 9, new: 5, sent: 3, is_relayed: false }), Err)
    }

    fn deliver(&self, cargo: &Cargo<'_>, asked: ContentHash) -> Result<Delivered, Failure> {
        assert_eq!(asked, seal());
        let Some(Told::Deliver(told)) = self.0.lock().unwrap().pop_front() else {
            panic!("it is delivered without need")
        };
        let secured = told?;
        // What is on a receipt is the destination's to verify.
        let about =
            Receipt::about(cargo.share.id(), cargo.address, secured.state, SystemClock.now());
        Ok(Delivered { receipt: about.sign(&Nobody).unwrap(), secured })
    }

    fn confirm(&self, _: Vec<HeldDrop>, _: Vec<String>) -> Result<Answer, String> {
        Err("nobody asks here".to_owned())
    }

    fn report(&self, _: &AgentReport) -> Result<Reported, CallError> {
        Ok(Reported::default())
    }
}

struct Nobody;

impl outlast_drop::Signer for Nobody {
    fn name(&self) -> String {
        String::new()
    }

    fn role(&self) -> String {
        String::new()
    }

    fn certificate_pem(&self) -> String {
        String::new()
    }

    fn sign(&self, _: &[u8]) -> std::io::Result<Vec<u8>> {
        Ok(vec![1])
    }
}

/// A shipper on a share, with a destination that does as it is told.
struct Dock {
    _directory: tempfile::TempDir,
    share: Share,
    time: ManualTime,
    script: Arc<Mutex<VecDeque<Told>>>,
    line: Arc<Line>,
    shipper: Shipper,
}

impl Dock {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, random) = (&SystemClock, &SystemRandom);
        let share = Share::init(&directory.path().join("share"), clock, random).unwrap();
        let time = ManualTime::new(clock.now());
        let environment = time.environment();
        let scribe = Arc::new(Scribe {
            identity: identity(&directory.path().join("ca")).into(),
            clock: Arc::clone(&environment.clock),
        });
        let script = Arc::new(Mutex::new(VecDeque::new()));
        let destination = Box::new(Script(Arc::clone(&script)));
        let pause = Duration::from_secs(30);
        let line = Arc::new(Line::new(destination, environment.clone(), pause));
        let quick = Duration::from_secs(30);
        let shipper = Shipper::new(scribe, environment, pause, quick, 8);
        Self { _directory: directory, share, time, script, line, shipper }
    }

    /// Goes one hop, in which the destination does as it is told.
    fn step(&mut self, parcel: &mut Parcel, told: Told) -> Step {
        self.script.lock().unwrap().push_back(told);
        let (address, limits) = (parcel.address.clone(), DropLimits::default());
        let (stop, shutdown) = (Shutdown::default(), Shutdown::default());
        let (share, address) = (&self.share, &address);
        let cargo = Cargo {
            share,
            address,
            copy: None,
            first_seen: None,
            limits: &limits,
            stop: &stop,
            shutdown: &shutdown,
        };
        let step = if parcel.hop < Hop::Shipped {
            let mut content = None;
            let result = self.line.load(&cargo, &mut |accepted| content = Some(accepted));
            self.shipper.loaded(share, parcel, Loaded { content, result })
        } else {
            let delivered = self.line.deliver(&cargo, parcel.seal);
            self.shipper.delivered(parcel, delivered)
        };
        assert!(self.script.lock().unwrap().is_empty());
        step
    }

    /// Carries a drop as far as it comes, as a haul beside others; each hop in which it does.
    fn carry(&mut self, parcel: Parcel, told: Vec<Told>) -> Vec<Hopped> {
        self.script.lock().unwrap().extend(told);
        let shutdown = Shutdown::default();
        let limits = DropLimits::default();
        assert!(self.shipper.begin(&self.line, &self.share, parcel, limits, &shutdown).is_none());
        let mut hops = Vec::<Hopped>::new();
        while hops.last().is_none_or(|hop| !hop.has_stopped) {
            assert!(self.shipper.hauls_mut().wait() || self.shipper.hauls().has_news());
            while let Some(hopped) = self.shipper.hopped() {
                hops.push(hopped);
            }
        }
        assert!(self.script.lock().unwrap().is_empty());
        hops
    }

    fn advance(&self, seconds: u64) {
        self.time.advance(Duration::from_secs(seconds));
    }

    fn is_held_up(&self, parcel: &Parcel) -> Option<Turn> {
        self.shipper.held_up(&parcel.address).map(|(turn, _)| turn)
    }

    /// Says that `role` has a drop.
    fn secured(&self, parcel: &Parcel, role: Role, state: ReceiptState) -> Secured {
        let DropAddress { workload, day, drop } = parcel.address.clone();
        let drop = DropIdentity { share: self.share.id(), workload, day, drop, seal: seal() };
        let (tree, snapshot) = ("01".repeat(32).parse().unwrap(), "02".repeat(32).parse().unwrap());
        let held = HeldDrop { drop, size: 9, tree, snapshot };
        let by = Peer::new(role, "it").unwrap();
        Secured { by, at: self.time.now(), state, counts_now: true, held, is_doubtful: false }
    }
}

fn identity(directory: &std::path::Path) -> Identity {
    let authority = CertificateAuthority::create(directory, &SystemClock, &SystemRandom).unwrap();
    let peer = Peer::new(Role::Agent, "eu-1").unwrap();
    let request = ca::Request::new(peer, Duration::from_secs(3600));
    authority.issue(&request, &SystemClock, &SystemRandom).unwrap()
}

fn parcel(number: u8, hop: Hop) -> Parcel {
    let address = DropAddress {
        workload: WorkloadName::new("shop").unwrap(),
        day: "20260131".parse::<Day>().unwrap(),
        drop: format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap(),
    };
    let (holder, is_loaded, first_seen, copy) = (None, false, None, None);
    Parcel { address, seal: seal(), hop, holder, is_loaded, first_seen, copy }
}

/// The states of the receipts that are to be written.
fn recorded(step: &Step) -> Vec<ReceiptState> {
    let states = step.actions.iter().filter_map(|action| match action {
        Action::Record(signed) => Some(signed.receipt().state),
        _ => None,
    });
    states.collect()
}

fn codes(step: &Step) -> Vec<ProblemCode> {
    step.problems.iter().map(|problem| problem.met.code()).collect()
}

const ACCEPTED: ReceiptState = ReceiptState::Accepted;
const SHIPPED: ReceiptState = ReceiptState::Shipped;
const VAULTED: ReceiptState = ReceiptState::Vaulted;

#[test]
fn a_drop_goes_hop_by_hop_and_each_says_so() {
    let mut dock = Dock::new();
    let mut drop = parcel(1, Hop::Sealed);
    let step = dock.step(&mut drop, Told::Load(true, None));
    assert_eq!((recorded(&step), step.turn), (vec![ACCEPTED, SHIPPED], None));
    assert_eq!((drop.hop, step.problems.len()), (Hop::Shipped, 0));
    let proven = Proven::Shipped { seal: seal(), holder: None };
    let advance = Action::Advance { address: drop.address.clone(), proven };
    assert_eq!(step.actions.last(), Some(&advance));
    let secured = dock.secured(&drop, Role::Vault, VAULTED);
    let step = dock.step(&mut drop, Told::Deliver(Ok(secured.clone())));
    assert_eq!((recorded(&step), step.turn), (vec![VAULTED], Some(Turn::Next)));
    let hold = Action::Hold { address: drop.address.clone(), secured };
    assert_eq!(step.actions.last(), Some(&hold));
}

#[test]
fn a_haul_takes_a_drop_as_far_as_it_comes() {
    let mut dock = Dock::new();
    let drop = parcel(1, Hop::Sealed);
    let secured = dock.secured(&drop, Role::Vault, VAULTED);
    let told = vec![Told::Load(true, None), Told::Deliver(Ok(secured))];
    let hops = dock.carry(drop.clone(), told);
    let states: Vec<_> = hops.iter().map(|hop| recorded(&hop.step)).collect();
    assert_eq!(states, [vec![ACCEPTED, SHIPPED], vec![VAULTED]]);
    let turns: Vec<_> = hops.iter().map(|hop| (hop.step.turn, hop.has_stopped)).collect();
    assert_eq!(turns, [(None, false), (Some(Turn::Next), true)]);
    assert!(hops.iter().all(|hop| hop.parcel.hop == Hop::Shipped && hop.parcel.is_loaded));
    // What fails is not handed over.
    let failure = Failure::Workload("the disk is full".to_owned());
    let hops = dock.carry(drop.clone(), vec![Told::Load(true, Some(failure))]);
    assert_eq!(hops.len(), 1);
    assert_eq!((hops[0].parcel.hop, hops[0].step.turn), (Hop::Accepted, Some(Turn::Stop)));
    // What is not at hand after all goes on from another hop.
    let hops = dock.carry(parcel(1, Hop::Shipped), vec![Told::Deliver(Err(Failure::NotLoaded))]);
    assert_eq!((hops.len(), hops[0].parcel.hop, hops[0].step.turn), (1, Hop::Accepted, None));
}

#[test]
fn a_verdict_is_made_once_even_if_the_rest_fails() {
    let mut dock = Dock::new();
    let mut drop = parcel(1, Hop::Sealed);
    let failure = || Failure::Workload("the disk is full".to_owned());
    let step = dock.step(&mut drop, Told::Load(true, Some(failure())));
    assert_eq!((recorded(&step), step.turn), (vec![ACCEPTED], Some(Turn::Stop)));
    assert_eq!((drop.hop, codes(&step)), (Hop::Accepted, vec![ProblemCode::ShippingFailed]));
    let step = dock.step(&mut drop, Told::Load(true, None));
    assert_eq!((recorded(&step), drop.hop), (vec![SHIPPED], Hop::Shipped));
    // Of content that was not read to its end nothing is said.
    let mut drop = parcel(2, Hop::Sealed);
    let step = dock.step(&mut drop, Told::Load(false, Some(failure())));
    assert_eq!((recorded(&step), drop.hop), (vec![], Hop::Sealed));
    // A verdict about another seal is another verdict.
    let mut drop = Parcel { seal: ContentHash([8; 32]), ..parcel(3, Hop::Accepted) };
    let step = dock.step(&mut drop, Told::Load(true, None));
    assert_eq!((recorded(&step), drop.seal), (vec![ACCEPTED, SHIPPED], seal()));
}

#[test]
fn what_is_not_at_hand_is_read_again_once() {
    let mut dock = Dock::new();
    let mut drop = parcel(1, Hop::Shipped);
    let not_loaded = || Told::Deliver(Err(Failure::NotLoaded));
    let step = dock.step(&mut drop, not_loaded());
    assert_eq!((drop.hop, step.turn, step.problems.len()), (Hop::Accepted, None, 0));
    dock.step(&mut drop, Told::Load(true, None));
    assert_eq!(drop.hop, Hop::Shipped);
    let step = dock.step(&mut drop, not_loaded());
    assert_eq!((step.turn, codes(&step)), (Some(Turn::Stop), vec![ProblemCode::ShippingFailed]));
    // One that takes without saying what has taken nothing.
    let mut drop = parcel(2, Hop::Sealed);
    let step = dock.step(&mut drop, Told::Load(false, None));
    assert_eq!((drop.hop, step.turn), (Hop::Sealed, Some(Turn::Stop)));
}

#[test]
fn a_holder_is_asked_again_holds_up_nothing_and_is_believed_for_a_day() {
    let mut dock = Dock::new();
    let mut drop = parcel(1, Hop::Shipped);
    let holder = dock.secured(&drop, Role::Media, SHIPPED);
    let step = dock.step(&mut drop, Told::Deliver(Ok(holder.clone())));
    assert_eq!((recorded(&step), step.turn), (vec![SHIPPED], Some(Turn::Overtake)));
    assert_eq!(dock.is_held_up(&drop), Some(Turn::Overtake));
    assert!(dock.shipper.held_up(&drop.address).unwrap().1.is_none(), "it is no problem");
    assert_eq!(dock.is_held_up(&parcel(2, Hop::Sealed)), None);
    dock.advance(30);
    assert_eq!(dock.is_held_up(&drop), None, "it is asked again");
    drop.holder = Some(holder.clone());
    let step = dock.step(&mut drop, Told::Deliver(Ok(holder.clone())));
    assert_eq!((step.actions.len(), step.turn), (0, Some(Turn::Overtake)), "nothing new");
    let day = HOLDER_PATIENCE.as_secs();
    dock.advance(day - 31);
    let step = dock.step(&mut drop, Told::Deliver(Err(Failure::NotLoaded)));
    assert_eq!((drop.hop, step.turn), (Hop::Shipped, Some(Turn::Overtake)));
    dock.advance(1);
    let step = dock.step(&mut drop, Told::Deliver(Err(Failure::NotLoaded)));
    assert_eq!((drop.hop, step.turn), (Hop::Accepted, None));
}

#[test]
fn a_drop_that_cannot_be_read_holds_up_the_newer_ones_for_three_attempts() {
    let mut dock = Dock::new();
    let mut drop = parcel(1, Hop::Sealed);
    let mut first = None;
    for attempt in 1..=4 {
        let failure = Failure::Share(format!("attempt {attempt}"));
        let step = dock.step(&mut drop, Told::Load(false, Some(failure)));
        let turn = if attempt < READS_BEFORE_OVERTAKING { Turn::Stop } else { Turn::Overtake };
        assert_eq!((step.turn, dock.is_held_up(&drop)), (Some(turn), Some(turn)), "{attempt}");
        assert_eq!(codes(&step), [ProblemCode::DropUnreadable]);
        let told = first.get_or_insert_with(|| step.problems[0].clone());
        assert_eq!(step.problems[0], *told, "one problem that lasts");
        assert_eq!(dock.is_held_up(&parcel(2, Hop::Sealed)), None);
        dock.advance(600);
        assert_eq!(dock.is_held_up(&drop), None);
    }
    // Another of its workload that arrives says nothing about this one.
    let mut other = parcel(2, Hop::Shipped);
    let secured = dock.secured(&other, Role::Vault, VAULTED);
    dock.step(&mut other, Told::Deliver(Ok(secured)));
    let failure = Failure::Share("again".to_owned());
    let step = dock.step(&mut drop, Told::Load(false, Some(failure)));
    assert_eq!(step.turn, Some(Turn::Overtake));
    dock.shipper.forget(&drop.address);
    assert_eq!(dock.is_held_up(&drop), None);
}

#[test]
fn a_failure_of_a_workload_holds_up_all_its_drops_and_its_first_reason_stays() {
    let mut dock = Dock::new();
    let (mut drop, other) = (parcel(1, Hop::Shipped), parcel(2, Hop::Sealed));
    let failure = |text: &str| Told::Deliver(Err(Failure::Forgotten(text.to_owned())));
    let first = dock.step(&mut drop, failure("request 1"));
    assert_eq!((first.turn, codes(&first)), (Some(Turn::Stop), vec![ProblemCode::UpstreamForgot]));
    let proven = Proven::Accepted { seal: seal() };
    let advance = Action::Advance { address: drop.address.clone(), proven };
    assert_eq!(first.actions, [advance], "nobody has it, and the verdict stands");
    assert_eq!(dock.is_held_up(&other), Some(Turn::Stop));
    dock.advance(600);
    assert_eq!(dock.is_held_up(&other), None);
    let second = dock.step(&mut drop, failure("request 2"));
    assert_eq!(second.problems, first.problems);
    dock.advance(600);
    let secured = dock.secured(&drop, Role::Vault, VAULTED);
    dock.step(&mut drop, Told::Deliver(Ok(secured)));
    assert_eq!(dock.is_held_up(&other), None);
    let third = dock.step(&mut drop, failure("request 3"));
    assert_ne!(third.problems, first.problems, "it begins anew");
}

#[test]
fn only_what_is_bad_is_refused_and_a_line_that_is_down_makes_all_wait() {
    let mut dock = Dock::new();
    let mut drop = parcel(1, Hop::Sealed);
    let step = dock.step(&mut drop, Told::Load(false, Some(Failure::Stopped)));
    assert_eq!((step.turn, step.actions.len(), step.problems.len()), (Some(Turn::Stop), 0, 0));
    assert_eq!(dock.is_held_up(&drop), None);
    let down = Failure::Unreachable("it is away".to_owned());
    let step = dock.step(&mut drop, Told::Load(false, Some(down)));
    assert_eq!(codes(&step), [ProblemCode::UpstreamUnreachable]);
    assert_eq!((step.turn, dock.is_held_up(&drop)), (Some(Turn::Stop), None));
    assert!(dock.line.is_waiting() && dock.line.must_ask());
    let rejection = Rejection::MissingSegment { name: "0001.seg".to_owned() };
    let bad = Failure::Refused(rejection.clone());
    let step = dock.step(&mut drop, Told::Load(false, Some(bad)));
    let refuse = Action::Refuse { address: drop.address.clone(), rejection };
    assert_eq!((step.turn, step.actions), (Some(Turn::Next), vec![refuse]));
}

#[test]
fn drops_that_are_gone_are_forgotten() {
    let mut dock = Dock::new();
    let mut drop = parcel(1, Hop::Sealed);
    dock.step(&mut drop, Told::Load(false, Some(Failure::Share("it hangs".to_owned()))));
    let workload = drop.address.workload.clone();
    dock.shipper.retain(&workload, &HashSet::from([place(&drop.address)]));
    assert_eq!(dock.is_held_up(&drop), Some(Turn::Stop));
    dock.shipper.retain(&workload, &HashSet::new());
    assert_eq!(dock.is_held_up(&drop), None);
}
