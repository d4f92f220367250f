use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};

use outlast_testing::ManualTime;
use outlast_types::{Clock, ContentHash, ShareId, SystemClock, SystemRandom};
use outlast_wire::CallError;
use outlast_wire::api::{AgentReport, Reported};
use outlast_wire::holdings::{Answer, HeldDrop};

use super::*;
use crate::action::Hop;
use crate::destination::{Delivered, Destination};

const QUICK: Duration = Duration::from_secs(20);

/// A destination that takes as long as a test likes.
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
}

impl Destination for Gates {
    fn heed(&mut self, _: &Shutdown) {}

    fn speak_of(&self, _: ShareId) {}

    fn load(&self, cargo: &Cargo<'_>, accepted: &mut dyn FnMut(Content)) -> Result<Taken, Failure> {
        let name = cargo.address.workload.to_string();
        let (state, changed) = &*self.state;
        let mut state = state.lock().unwrap();
        state.begun.push(name.clone());
        if !state.open.contains(&name) {
            self.time.advance(QUICK);
        }
        while !state.open.contains(&name) {
            // One that is stuck does not hear that it is to stop.
            if cargo.is_stopped() && !name.starts_with("stuck") {
                return Err(Failure::Stopped);
            }
            state = changed.wait_timeout(state, Duration::from_millis(1)).unwrap().0;
        }
        accepted(Content { seal: ContentHash([7; 32]), bytes: 9 });
        Ok(Taken { read: 9, new: 5, sent: 3 })
    }

    fn deliver(&self, _: &Cargo<'_>, _: ContentHash) -> Result<Delivered, Failure> {
        Err(Failure::NotLoaded)
    }

    fn confirm(&self, _: Vec<HeldDrop>, _: Vec<String>) -> Result<Answer, String> {
        Err("nobody asks here".to_owned())
    }

    fn report(&self, _: &AgentReport) -> Result<Reported, CallError> {
        Ok(Reported::default())
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
}

impl Yard {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, random) = (&SystemClock, &SystemRandom);
        let share = Share::init(&directory.path().join("share"), clock, random).unwrap();
        let time = ManualTime::new(clock.now());
        let state = Arc::new((Mutex::default(), Condvar::new()));
        let gates = Gates { time: time.clone(), state: Arc::clone(&state) };
        let line = Line::new(Box::new(gates), time.environment(), QUICK);
        let hauls = Hauls::new(time.environment(), QUICK);
        let (line, shutdown) = (Arc::new(line), Shutdown::default());
        Self { _directory: directory, share, time, state, line, hauls, shutdown }
    }

    fn open(&self, workload: &str) {
        self.state.0.lock().unwrap().open.insert(workload.to_owned());
        self.state.1.notify_all();
    }

    /// Begins to load a drop; what comes of it: `ended`, `goes on` or `waits`.
    fn load(&mut self, workload: &str) -> &'static str {
        let address = outlast_drop::DropAddress {
            workload: WorkloadName::new(workload).unwrap(),
            day: outlast_types::Timestamp::EPOCH.day(),
            drop: "01a2066b-8649-78cb-a8bc-a5af0e952507".parse().unwrap(),
        };
        let seal = ContentHash([7; 32]);
        let parcel = Parcel { address, seal, hop: Hop::Sealed, holder: None, is_loaded: false };
        let limits = DropLimits::default();
        match self.hauls.load(&self.line, &self.share, &parcel, limits, &self.shutdown) {
            Begun::Ended(Loaded { content, result }) => {
                assert!(content.is_some() && result.is_ok());
                "ended"
            }
            Begun::GoesOn => "goes on",
            Begun::Waits => "waits",
        }
    }

    /// Waits until `workload` has ended beside the others; whether it came to its end.
    fn ended(&mut self, workload: &str) -> bool {
        loop {
            if let Some((share, parcel, Loaded { content, result })) = self.hauls.collect().pop() {
                assert_eq!(share.id(), self.share.id());
                assert_eq!(parcel.address.workload.as_str(), workload);
                assert_eq!(content.is_some(), result.is_ok());
                return result.is_ok();
            }
            thread::yield_now();
        }
    }

    fn begun(&self, workload: &str) -> usize {
        self.state.0.lock().unwrap().begun.iter().filter(|name| *name == workload).count()
    }
}

#[test]
fn one_that_takes_long_goes_on_beside_the_others_and_is_read_once() {
    let mut yard = Yard::new();
    yard.open("shop");
    assert_eq!(yard.load("shop"), "ended");
    assert_eq!(yard.load("huge"), "goes on");
    assert_eq!((yard.hauls.count(), yard.hauls.has_ended()), (1, false));
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
fn of_two_that_take_long_each_has_its_turn_and_the_next_is_twice_as_long() {
    let mut yard = Yard::new();
    assert_eq!((yard.load("one"), yard.load("two")), ("goes on", "goes on"));
    assert!(!yard.ended("two"), "there is room for one");
    assert_eq!(yard.load("two"), "waits", "and it is known to take long");
    yard.time.advance(TURN);
    assert_eq!(yard.load("two"), "goes on");
    assert!(!yard.ended("one"), "its turn was over");
    yard.time.advance(TURN - Duration::from_secs(30));
    assert_eq!(yard.load("one"), "waits");
    yard.time.advance(Duration::from_secs(30));
    assert_eq!(yard.load("one"), "goes on");
    assert!(!yard.ended("two"));
    yard.time.advance(2 * TURN - Duration::from_secs(30));
    assert_eq!(yard.load("two"), "waits", "the second turn is longer");
    yard.open("one");
    assert!(yard.ended("one"));
    assert_eq!(yard.load("two"), "goes on");
}

#[test]
fn whoever_hangs_takes_no_more_than_its_share_of_threads_and_all_end_with_the_agent() {
    let mut yard = Yard::new();
    for stuck in ["stuck-1", "stuck-2", "stuck-3"] {
        assert_eq!(yard.load(stuck), "goes on");
    }
    yard.open("shop");
    assert_eq!(yard.load("shop"), "waits", "two do not hear that they are to stop");
    assert!(yard.hauls.collect().is_empty());
    yard.open("stuck-2");
    assert!(yard.ended("stuck-2"));
    assert_eq!(yard.load("shop"), "ended");
    yard.open("stuck-1");
    yard.open("stuck-3");
    yard.hauls.close();
    assert_eq!(yard.hauls.count(), 0);
}
