//! A workload, or a pass, that takes long: the others go on, and the vault hears of the agent.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use outlast_agent::{Agent, AgentConfig, Shutdown, Upstream, UpstreamError, Vault};
use outlast_drop::{DropAddress, ReceiptState};
use outlast_repo::Repository;
use outlast_testing::{ManualTime, pseudo_random};
use outlast_types::{ProblemCode, WorkloadName};
use outlast_wire::CallError;
use outlast_wire::api::{AgentReport, BillAnswer, Reported, Shipment};
use outlast_wire::holdings::{Question, SignedAnswer};

use crate::support::{World, good_pass};

/// A vault that lets some calls wait.
struct Slow {
    vault: Vault,
    clock: ManualTime,
    gate: Arc<Gate>,
    reports: Mutex<Sender<AgentReport>>,
}

#[derive(Default)]
struct Gate {
    /// The call that waits, with its workload, and how many do.
    state: Mutex<(Option<&'static str>, usize)>,
    changed: Condvar,
}

impl Gate {
    fn close(&self, call: &'static str) {
        self.state.lock().unwrap().0 = Some(call);
    }

    fn open(&self) {
        self.state.lock().unwrap().0 = None;
        self.changed.notify_all();
    }

    fn pass(&self, call: &str, begin: impl FnOnce()) {
        let mut state = self.state.lock().unwrap();
        if state.0 != Some(call) {
            return;
        }
        state.1 += 1;
        begin();
        self.changed.notify_all();
        while state.0.is_some() {
            state = self.changed.wait(state).unwrap();
        }
    }

    /// Waits until a call waits.
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        while state.1 == 0 {
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// Lets all go at the end of a test, also of one that fails.
struct AtEnd<'a>(&'a Gate, Shutdown);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.open();
        self.1.request();
    }
}

impl Upstream for Slow {
    fn open(&self, name: &WorkloadName, shutdown: &Shutdown) -> Result<Repository, UpstreamError> {
        // Longer than others wait for it.
        let begin = || self.clock.advance(Duration::from_secs(30));
        self.gate.pass(&format!("open {name}"), begin);
        self.vault.open(name, shutdown)
    }

    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError> {
        let begin = || self.clock.advance(Duration::from_secs(30));
        self.gate.pass(&format!("ship {}", shipment.workload), begin);
        self.vault.ship(shipment)
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.gate.pass("holdings", || ());
        self.vault.holdings(question)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        // Nobody may listen.
        let _ = self.reports.lock().unwrap().send(report.clone());
        self.vault.report(report)
    }
}

/// An agent over such a vault, and the reports that it sends.
fn agent(
    world: &World,
    gate: &Arc<Gate>,
    change: impl FnOnce(&mut AgentConfig),
) -> (Agent, Receiver<AgentReport>) {
    let (sender, reports) = channel();
    let (clock, gate, reports_to) = (world.clock.clone(), Arc::clone(gate), Mutex::new(sender));
    let agent = world.agent_over_with(change, |vault| {
        Box::new(Slow { vault, clock, gate, reports: reports_to })
    });
    (agent, reports)
}

/// Lets passes follow each other until a drop is vaulted. One pass is not always enough: when the time
/// leaps for one haul, it does for those beside it.
fn until_vaulted(world: &World, agent: &mut Agent, drop: &DropAddress) {
    while !world.has(drop, ReceiptState::Vaulted) {
        good_pass(agent);
    }
}

#[test]
fn a_workload_that_takes_long_keeps_nobody_waiting_and_goes_on_where_it_is() {
    let world = World::new();
    let gate = Arc::new(Gate::default());
    gate.close("open huge");
    let (mut agent, reports) = agent(&world, &gate, |config| config.report = Duration::ZERO);
    let _end = AtEnd(&gate, Shutdown::default());
    let huge = world.dump("huge", &pseudo_random(1, 300_000));
    let other = world.dump("other", b"content");
    until_vaulted(&world, &mut agent, &other);
    assert_eq!(good_pass(&mut agent).waiting, 1);
    // Others come and go meanwhile, and the vault hears what waits.
    for round in 0..3 {
        let next = world.dump("other", format!("content {round}").as_bytes());
        until_vaulted(&world, &mut agent, &next);
        assert!(!world.has(&huge, ReceiptState::Shipped));
    }
    let told = reports.try_iter().last().unwrap();
    let waiting = told.workloads.iter().find(|it| it.name.as_str() == "huge").unwrap();
    assert_eq!(waiting.waiting, 1);
    let figures = told.figures.unwrap();
    assert_eq!((figures.long_loads, figures.drops_waiting, figures.drops_vaulted), (1, 1, 4));
    assert!(figures.oldest_waiting_seconds.is_some());
    gate.open();
    until_vaulted(&world, &mut agent, &huge);
    assert_eq!(gate.state.lock().unwrap().1, 1, "it was begun once");
    assert_eq!(world.snapshots("huge"), 1);
}

#[test]
fn a_delivery_that_takes_long_keeps_no_other_waiting_and_silences_nobody() {
    let world = World::new();
    let gate = Arc::new(Gate::default());
    gate.close("ship slow");
    let (mut agent, reports) = agent(&world, &gate, |config| config.report = Duration::ZERO);
    let _end = AtEnd(&gate, Shutdown::default());
    let slow = world.dump("slow", &pseudo_random(1, 300_000));
    let next = world.dump("slow", b"the next of its workload");
    for round in 0..3 {
        let other = world.dump("other", format!("content {round}").as_bytes());
        until_vaulted(&world, &mut agent, &other);
        assert_eq!(good_pass(&mut agent).waiting, 2);
        assert!(!world.has(&next, ReceiptState::Accepted), "it overtakes nobody");
    }
    // What is known of it is on the share, and the vault hears that it waits.
    assert!(world.has(&slow, ReceiptState::Shipped) && !world.has(&slow, ReceiptState::Vaulted));
    let told = reports.try_iter().last().unwrap();
    assert!(told.details.is_empty() && told.share_usable == Some(true), "{told:?}");
    gate.open();
    until_vaulted(&world, &mut agent, &next);
    assert!(world.has(&slow, ReceiptState::Vaulted));
    assert_eq!(gate.state.lock().unwrap().1, 1, "it was handed in once");
}

#[test]
fn drops_of_many_workloads_are_shipped_side_by_side_each_in_order() {
    let world = World::new();
    let gate = Arc::new(Gate::default());
    let (mut agent, _reports) = agent(&world, &gate, |config| config.loads_at_once = 8);
    let mut expected = BTreeMap::<_, Vec<_>>::new();
    for round in 0..4_u64 {
        for number in 0..12_u64 {
            let workload = format!("w{number:02}");
            let drop = world.dump(&workload, &pseudo_random(100 * number + round, 30_000));
            expected.entry(workload).or_default().push(drop);
        }
    }
    let mut vaulted = BTreeMap::<_, Vec<_>>::new();
    let report = good_pass(&mut agent);
    assert_eq!((report.vaulted.len(), report.waiting), (48, 0), "{report:?}");
    for drop in report.vaulted {
        vaulted.entry(drop.address.workload.to_string()).or_default().push(drop.address);
    }
    assert_eq!(vaulted, expected, "the oldest of each workload comes first");
    assert_eq!(report.released.len(), 24, "two of each stay");
    assert!((0..12).all(|number| world.snapshots(&format!("w{number:02}")) == 4));
}

#[test]
fn a_pass_that_hangs_does_not_silence_the_agent_and_is_told() {
    let world = World::new();
    let gate = Arc::new(Gate::default());
    let (mut agent, reports) = agent(&world, &gate, |config| config.report = Duration::ZERO);
    (0..2).for_each(|_| drop(world.dump("shop", b"content")));
    good_pass(&mut agent);
    // The oldest of three is not needed any more, which the pass asks the vault.
    gate.close("holdings");
    world.dump("shop", b"content");
    let shutdown = Shutdown::default();
    thread::scope(|scope| {
        let _end = AtEnd(&gate, shutdown.clone());
        scope.spawn(|| agent.run(&shutdown));
        gate.wait();
        reports.try_iter().count();
        let report = reports.recv().unwrap();
        assert!(report.details.is_empty() && report.share_usable == Some(true), "{report:?}");
        world.clock.advance(Duration::from_secs(3600));
        let hanging = reports.iter().find(|report| !report.details.is_empty()).unwrap();
        assert_eq!(hanging.details[0].code, ProblemCode::PassHangs);
        assert_eq!(hanging.share_usable, Some(false));
        assert!(hanging.figures.unwrap().pass_under_way_millis.unwrap() >= 3_600_000);
        // It goes on, and so it ends by itself.
        gate.open();
        let well = reports.iter().find(|report| report.details.is_empty()).unwrap();
        assert_eq!(well.share_usable, Some(true));
    });
}

#[test]
fn the_figures_travel_with_the_report_and_lie_in_a_file() {
    let world = World::new();
    let textfile = world.path("outlast.prom");
    let gate = Arc::new(Gate::default());
    let (mut agent, reports) =
        agent(&world, &gate, |config| config.textfile = Some(textfile.clone()));
    for _ in 0..2 {
        world.dump("shop", &pseudo_random(3, 400_000));
        good_pass(&mut agent);
        world.clock.advance(Duration::from_secs(60));
    }
    let figures = reports.try_iter().last().unwrap().figures.unwrap();
    assert_eq!(figures.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((figures.passes, figures.drops_vaulted, figures.bytes_read), (2, 2, 800_000));
    assert!(figures.bytes_known >= 300_000, "the second is the first: {figures:?}");
    assert!((400_000..500_000).contains(&figures.bytes_sent), "{figures:?}");
    assert!(figures.state_bytes.unwrap() > 0 && figures.clock.is_some());
    let text = fs::read_to_string(&textfile).unwrap();
    assert!(text.contains("outlast_agent_drops_vaulted_total{agent=\"eu-1\"} 2\n"), "{text}");
    assert!(text.contains("outlast_agent_read_bytes_total{agent=\"eu-1\"} 800000\n"), "{text}");
    let leftovers = fs::read_dir(world.path("")).unwrap();
    let names = leftovers.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains("tmp")), "it is replaced in one step");
}
