use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex};

use outlast_testing::ManualTime;
use outlast_types::{Clock, ContentHash, ShareId, SystemClock, SystemRandom};
use outlast_wire::CallError;
use outlast_wire::api::{AgentReport, Reported};
use outlast_wire::holdings::{Answer, HeldDrop};

use super::*;
use crate::destination::Destination;

const QUICK: Duration = Duration::from_secs(20);

/// A destination that takes as long as a test likes, to load; or to deliver, what is called so.
struct Gates {
    time: ManualTime,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// Workloads whose loads end.
    open: BTreeSet<String>,
    /// Each load that began.
    begun: Vec<String>,
    /// Those that waited for their way to be free.
    waiting: BTreeSet<String>,
}

impl Destination for Gates {
    fn heed(&mut self, _: &Shutdown) {}

    fn speak_of(&self, _: ShareId) {}

    fn load(&self, cargo: &Cargo<'_>, accepted: &mut dyn FnMut(Content)) -> Result<Taken, Failure> {
        let name = cargo.address.workload.as_str();
        assert!(!name.starts_with("bad"), "it is bad");
        self.state.0.lock().unwrap().begun.push(name.to_owned());
        if !name.starts_with("deliver") && !self.pass(cargo) {
            return Err(Failure::Stopped);
        }
        accepted(Content { seal: ContentHash([7; 32]), bytes: 9 });
        Ok(Taken { read: 9, new: 5, sent: 3, is_relayed: false })
    }

    fn deliver(&self, cargo: &Cargo<'_>, seal: ContentHash) -> Result<Delivered, Failure> {
        assert_eq!(seal, ContentHash([7; 32]));
        if cargo.address.workload.as_str().starts_with("deliver") {
            self.pass(cargo);
        }
        Err(Failure::NotLoaded)
    }

    fn confirm(&self, _: Vec<HeldDrop>, _: Vec<String>) -> Result<Answer, String> {
        Err("nobody asks here".to_owned())
    }

    fn report(&self, _: &AgentReport) -> Result<Reported, CallError> {
        Ok(Reported::default())
    }
}

impl Gates {
    /// Waits until the way is free; whether it was before the end was asked for.
    fn pass(&self, cargo: &Cargo<'_>) -> bool {
        let name = cargo.address.workload.as_str();
        let (state, changed) = &*self.state;
        let mut state = state.lock().unwrap();
        if !state.open.contains(name) && !name.starts_with("quick") {
            self.time.advance(QUICK);
        }
        state.waiting.insert(name.to_owned());
        changed.notify_all();
        while !state.open.contains(name) {
            // One that is stuck does not hear that it is to stop.
            if cargo.is_stopped() && !name.starts_with("stuck") {
                return false;
            }
            state = changed.wait_timeout(state, Duration::from_millis(1)).unwrap().0;
        }
        true
    }
}

struct Yard {
    _directory: tempfile::TempDir,
    share: Share,
    time: ManualTime,
    state: Arc<(Mutex<State>, Condvar)>,
    line: Arc<Line>,
    hauls: Hauls,
    shutdown: Shutdown,
    /// Hauls that have ended, and whether their drops were loaded.
    arrived: Vec<(String, bool)>,
}

impl Yard {
    fn new(places: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, random) = (&SystemClock, &SystemRandom);
        let share = Share::init(&directory.path().join("share"), clock, random).unwrap();
        let time = ManualTime::new(clock.now());
        let state = Arc::new((Mutex::default(), Condvar::new()));
        let gates = Gates { time: time.clone(), state: Arc::clone(&state) };
        let line = Line::new(Box::new(gates), time.environment(), QUICK);
        let hauls = Hauls::new(time.environment(), QUICK, places);
        let (line, shutdown) = (Arc::new(line), Shutdown::default());
        let arrived = Vec::new();
        Self { _directory: directory, share, time, state, line, hauls, shutdown, arrived }
    }

    fn open(&self, workload: &str) {
        self.state.0.lock().unwrap().open.insert(workload.to_owned());
        self.state.1.notify_all();
    }

    /// Begins to carry a drop, if there is a place for it, or makes room.
    fn begin(&mut self, workload: &str) -> bool {
        let name = WorkloadName::new(workload).unwrap();
        if !self.hauls.takes(&name) {
            let is_long = self.hauls.is_long(&name);
            let waits = !self.hauls.is_under_way(&name);
            self.hauls.make_room(waits && is_long, waits && !is_long);
            return false;
        }
        let address = outlast_drop::DropAddress {
            workload: name,
            day: outlast_types::Timestamp::EPOCH.day(),
            drop: "01a2066b-8649-78cb-a8bc-a5af0e952507".parse().unwrap(),
        };
        let seal = ContentHash([7; 32]);
        let parcel = Parcel {
            address,
            seal,
            hop: Hop::Sealed,
            holder: None,
            is_loaded: false,
            first_seen: None,
            copy: None,
        };
        let limits = DropLimits::default();
        self.state.0.lock().unwrap().waiting.remove(workload);
        self.hauls.begin(&self.line, &self.share, parcel, limits, &self.shutdown).unwrap();
        true
    }

    /// Begins to carry a drop, and waits for what is quick; what comes of it: `ended`, `goes on` or
    /// `waits`.
    fn load(&mut self, workload: &str) -> &'static str {
        if !self.begin(workload) {
            return "waits";
        }
        let name = WorkloadName::new(workload).unwrap();
        loop {
            self.collect();
            if let Some(is_loaded) = self.take(workload) {
                assert!(is_loaded);
                return "ended";
            }
            if !self.hauls.wait() || self.hauls.is_long(&name) {
                self.has_come_to_its_gate(workload);
                return "goes on";
            }
        }
    }

    /// Waits for a haul that goes on to begin, since time passes when it does.
    fn has_come_to_its_gate(&self, workload: &str) {
        let (state, changed) = &*self.state;
        let mut state = state.lock().unwrap();
        while !state.waiting.contains(workload) {
            state = changed.wait_timeout(state, Duration::from_millis(1)).unwrap().0;
        }
    }

    fn collect(&mut self) {
        while let Some(Arrival { share, parcel, news, is_last, .. }) = self.hauls.collect() {
            assert_eq!(share.id(), self.share.id());
            if let News::Loaded(Loaded { content, result }) = &news {
                assert_eq!(content.is_some(), result.is_ok());
            }
            let is_loaded = match news {
                News::Loaded(loaded) => loaded.result.is_ok(),
                News::Delivered(Err(Failure::NotLoaded)) => true,
                News::Delivered(_) => false,
            };
            if is_last {
                self.arrived.push((parcel.address.workload.to_string(), is_loaded));
            } else {
                assert!(is_loaded && self.hauls.is_under_way(&parcel.address.workload));
            }
        }
    }

    /// Whether a haul that has ended had loaded its drop.
    fn take(&mut self, workload: &str) -> Option<bool> {
        let position = self.arrived.iter().position(|(name, _)| name == workload)?;
        Some(self.arrived.remove(position).1)
    }

    /// Waits until `workload` has ended; whether it came to its end.
    fn ended(&mut self, workload: &str) -> bool {
        loop {
            self.collect();
            if let Some(is_loaded) = self.take(workload) {
                return is_loaded;
            }
            thread::yield_now();
        }
    }

    /// Waits until so many wait for their ways to be free.
    fn all_wait(&self, count: usize) {
        let mut state = self.state.0.lock().unwrap();
        while state.waiting.len() < count {
            state = self.state.1.wait(state).unwrap();
        }
    }

    fn begun(&self, workload: &str) -> usize {
        self.state.0.lock().unwrap().begun.iter().filter(|name| *name == workload).count()
    }
}

#[test]
fn one_that_takes_long_goes_on_beside_the_others_and_is_read_once() {
    let mut yard = Yard::new(2);
    yard.open("shop");
    assert_eq!(yard.load("shop"), "ended");
    assert_eq!(yard.load("huge"), "goes on");
    assert_eq!((yard.hauls.count(), yard.hauls.has_news()), (1, false));
    for _ in 0..3 {
        assert_eq!((yard.load("shop"), yard.load("huge")), ("ended", "waits"));
        // While nobody else wants its place, it has all the time in the world.
        yard.time.advance(TURN * 100);
    }
    yard.open("huge");
    assert!(yard.ended("huge"));
    assert_eq!((yard.begun("huge"), yard.hauls.count()), (1, 0));
    assert_eq!(yard.load("huge"), "ended", "the next one begins as any other");
}

#[test]
fn as_many_go_side_by_side_as_there_are_places_and_of_each_workload_one() {
    let mut yard = Yard::new(8);
    let names: Vec<String> = (0..9).map(|number| format!("quick-{number}")).collect();
    for name in &names[..8] {
        assert!(yard.begin(name), "nobody waits for another");
        assert!(!yard.begin(name), "of each workload one");
    }
    yard.all_wait(8);
    assert!(!yard.begin(&names[8]), "there are eight places");
    assert_eq!(yard.hauls.count(), 8);
    yard.open(&names[3]);
    assert!(yard.ended(&names[3]));
    assert!(yard.begin(&names[8]), "and one that is free is taken by the next");
    for name in &names {
        yard.open(name);
    }
    for name in names.iter().filter(|name| **name != names[3]) {
        assert!(yard.ended(name) && yard.begun(name) == 1);
    }
}

#[test]
fn a_delivery_that_takes_long_keeps_nobody_waiting_and_what_was_loaded_is_told_at_once() {
    let mut yard = Yard::new(2);
    yard.open("shop");
    assert_eq!(yard.load("deliver-late"), "goes on");
    yard.all_wait(1);
    assert_eq!(yard.load("shop"), "ended");
    assert_eq!(yard.load("deliver-late"), "waits", "its next drop does not overtake it");
    yard.open("deliver-late");
    assert!(yard.ended("deliver-late"));
    assert_eq!(yard.begun("deliver-late"), 1);
}

#[test]
fn of_two_that_take_long_each_has_its_turn_and_the_next_is_twice_as_long() {
    let mut yard = Yard::new(2);
    assert_eq!((yard.load("one"), yard.load("two")), ("goes on", "goes on"));
    assert_eq!(yard.load("shop"), "waits", "the last place is for others");
    assert!(!yard.ended("two"), "so whoever took it and takes long has to wait");
    yard.open("shop");
    assert_eq!(yard.load("shop"), "ended");
    assert_eq!(yard.load("two"), "waits", "it is known to take long");
    yard.time.advance(TURN);
    assert_eq!(yard.load("two"), "waits");
    assert!(!yard.ended("one"), "its turn was over");
    assert_eq!(yard.load("two"), "goes on");
    yard.time.advance(TURN - Duration::from_secs(30));
    assert_eq!(yard.load("one"), "waits");
    assert_eq!(yard.load("shop"), "ended");
    assert_eq!(yard.hauls.count(), 1);
    yard.time.advance(Duration::from_secs(30));
    assert_eq!(yard.load("one"), "waits");
    assert!(!yard.ended("two"));
    assert_eq!(yard.load("one"), "goes on");
    yard.time.advance(2 * TURN - Duration::from_secs(30));
    assert_eq!(yard.load("two"), "waits", "the second turn is longer");
    yard.open("one");
    assert!(yard.ended("one"));
    assert_eq!(yard.load("two"), "goes on");
}

#[test]
fn nothing_is_read_twice_while_there_are_places_for_all_who_wait() {
    let mut yard = Yard::new(4);
    for huge in ["one", "two", "three", "four"] {
        assert_eq!(yard.load(huge), "goes on");
    }
    yard.time.advance(TURN * 100);
    assert_eq!(
        (yard.load("one"), yard.hauls.count()),
        ("waits", 4),
        "only its own next drop waits"
    );
    yard.collect();
    assert!(yard.arrived.is_empty());
    yard.open("shop");
    assert_eq!(yard.load("shop"), "waits");
    // Its turn is over: it had its place for longest.
    assert!(!yard.ended("one"));
    assert_eq!(yard.load("shop"), "ended");
    assert_eq!((yard.load("one"), yard.hauls.count()), ("waits", 3), "the places are taken");
}

#[test]
fn whoever_hangs_takes_no_more_than_its_place_and_all_end_with_the_agent() {
    let mut yard = Yard::new(4);
    for stuck in ["stuck-1", "stuck-2", "stuck-3", "stuck-4"] {
        assert_eq!(yard.load(stuck), "goes on");
    }
    yard.open("shop");
    for _ in 0..6 {
        assert_eq!(yard.load("shop"), "waits", "none hears that it is to stop");
        yard.time.advance(QUICK);
    }
    let told = |yard: &Yard| yard.hauls.under_way.iter().filter(|it| it.stopped.is_some()).count();
    assert_eq!(told(&yard), 4, "one after the other is told to");
    yard.collect();
    assert!(yard.arrived.is_empty());
    yard.open("stuck-2");
    assert!(yard.ended("stuck-2"));
    assert_eq!(yard.load("shop"), "ended");
    for stuck in ["stuck-1", "stuck-3", "stuck-4"] {
        yard.open(stuck);
    }
    yard.hauls.close();
    assert_eq!((yard.hauls.count(), yard.hauls.has_news()), (0, false));
}

#[test]
fn a_panic_of_a_haul_is_the_agents() {
    let mut yard = Yard::new(2);
    yard.open("shop");
    assert!(yard.begin("bad") && yard.begin("shop"));
    let broken = catch_unwind(AssertUnwindSafe(|| yard.ended("bad")));
    assert!(broken.is_err());
    assert!(yard.ended("shop"));
}
