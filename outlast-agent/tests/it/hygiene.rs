//! A share that stays clean: budgets, old receipts, closed days, and a directory that hangs.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use outlast_agent::{Budgets, Shutdown};
use outlast_drop::files::{Gauge, Meter};
use outlast_drop::{
    Claims, Content, DropAddress, DropWriter, NoticeCode, ReceiptState, WriteError, WriterOptions,
};
use outlast_testing::{ManualTime, pseudo_random};
use outlast_types::{ProblemCode, SystemClock, SystemRandom};

use crate::support::{World, files_in, good_pass, name, pass};

const DAY: Duration = Duration::from_secs(86_400);

/// Begins a drop, and leaves it at that.
fn begin(world: &World, workload: &str) -> Result<DropWriter, WriteError> {
    let (content, options) = (Content::stream("x").unwrap(), WriterOptions::default());
    let workload = name(workload);
    let (clock, random) = (&SystemClock, &SystemRandom);
    DropWriter::create(&world.share, &workload, content, Claims::default(), options, clock, random)
}

#[test]
fn i1_only_who_is_over_budget_is_refused_and_no_drop_is_removed_for_space() {
    let world = World::new();
    let budgets = Budgets { workload: 250_000, ..Budgets::default() };
    let mut agent = world.agent_with(|config| config.budgets = budgets.clone());
    let small = world.dump("small", b"little");
    let big: Vec<_> = (0..3).map(|seed| world.dump("big", &pseudo_random(seed, 90_000))).collect();
    // The vault is away, so nothing may leave the share.
    let world = world.without_vault(|_| {
        let report = pass(&mut agent);
        assert!(report.released.is_empty(), "{report:?}");
    });
    assert!(big.iter().all(|drop| world.data_is_on_the_share(drop)), "they are nowhere else");
    let WriteError::NoRoom { notice } = begin(&world, "big").unwrap_err() else { panic!() };
    assert_eq!((notice.code, notice.left()), (NoticeCode::WorkloadBudget, 0));
    assert!(notice.used >= 270_000, "{notice:?}");
    begin(&world, "small").unwrap();
    assert!(!world.share.workload_directory(&small.workload).join("notice.json").exists());
    // Its team hears why it cannot drop.
    world.clock.advance(Duration::from_secs(100));
    pass(&mut agent);
    let incidents = world.incidents();
    let incident = incidents.iter().find(|it| it.cause.contains("nobody may drop big")).unwrap();
    assert_eq!(incident.owner, "app");
    // One of three goes by the keep rule now that the vault has them all; that makes room.
    assert!(!world.data_is_on_the_share(&big[0]));
    world.clock.advance(Duration::from_secs(100));
    good_pass(&mut agent);
    begin(&world, "big").unwrap();
    assert!(
        files_in(&world.share.workload_directory(&name("big")))
            .iter()
            .all(|file| ["drops", "receipts"].contains(&file.as_str()))
    );
    good_pass(&mut agent);
    assert!(world.incidents().is_empty(), "{:?}", world.incidents());
}

#[test]
fn a_share_that_is_full_refuses_those_who_have_most_of_it_and_is_the_platforms() {
    let world = World::new();
    let budgets = Budgets { share: 100_000, ..Budgets::default() };
    let mut agent = world.agent_with(|config| config.budgets = budgets.clone());
    world.dump("small", &pseudo_random(1, 10_000));
    world.dump("big", &pseudo_random(2, 95_000));
    let report = pass(&mut agent);
    assert_eq!(report.vaulted.len(), 2, "{report:?}");
    let WriteError::NoRoom { notice } = begin(&world, "big").unwrap_err() else { panic!() };
    assert_eq!(notice.code, NoticeCode::ShareBudget);
    begin(&world, "small").unwrap();
    let codes: Vec<_> = report.problems.iter().map(|it| it.met.code()).collect();
    assert_eq!(codes, [ProblemCode::ShareOverBudget]);
}

/// Passes until no receipts of a drop are left, or the agent has had its time for that.
fn sweep(world: &World, agent: &mut outlast_agent::Agent, drop: &DropAddress) -> bool {
    for _ in 0..4 {
        world.clock.advance(Duration::from_secs(1800));
        pass(agent);
    }
    !world.has(drop, ReceiptState::Vaulted)
}

#[test]
fn i1_receipts_go_when_the_vault_has_had_the_record_for_long_enough_and_says_so_now() {
    let mut world = World::new();
    world.keep = 0;
    let mut agent = world.agent_with(|config| config.receipts_keep = 2 * DAY);
    let drop = world.dump("shop", b"content");
    let kept = world.dump("other", b"content");
    good_pass(&mut agent);
    assert!(!world.data_is_on_the_share(&drop) && world.has(&drop, ReceiptState::Released));
    world.clock.advance(DAY);
    assert!(!sweep(&world, &mut agent, &drop), "it is too early");
    world.clock.advance(DAY);
    // While anything lies in its place, its receipts say what that is.
    fs::create_dir_all(world.share.drop_directory(&kept).join("@eaDir")).unwrap();
    let world = world.without_vault(|_| {
        for _ in 0..3 {
            pass(&mut agent);
        }
    });
    assert!(world.has(&drop, ReceiptState::Vaulted), "nobody has said that it has the record");
    assert!(sweep(&world, &mut agent, &drop));
    let receipts = world.share.workload_directory(&drop.workload).join("receipts");
    assert_eq!(files_in(&receipts), [] as [String; 0]);
    assert!(world.has(&kept, ReceiptState::Vaulted) && world.has(&kept, ReceiptState::Released));
    // The vault still knows it, and so does nobody take it for another.
    assert_eq!(world.snapshots("shop"), 1);
}

#[test]
fn i1_receipts_stay_that_a_vault_which_went_back_does_not_know() {
    let mut world = World::new();
    world.keep = 0;
    let (vault, aside) = (world.path("vault"), world.path("aside"));
    let world = world.without_vault(|_| copy(&vault, &aside));
    let mut agent = world.agent_with(|config| config.receipts_keep = 2 * DAY);
    let drop = world.dump("shop", b"content");
    good_pass(&mut agent);
    world.clock.advance(3 * DAY);
    let world = world.without_vault(|_| {
        fs::remove_dir_all(&vault).unwrap();
        copy(&aside, &vault);
    });
    assert!(!sweep(&world, &mut agent, &drop), "it is the proof of what the vault has lost");
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

#[test]
fn i2_old_days_in_which_nothing_is_are_closed_and_no_writer_notices() {
    let mut world = World::new();
    world.keep = 0;
    let mut agent = world.agent();
    let drop = world.dump("shop", b"content");
    good_pass(&mut agent);
    let day =
        world.share.workload_directory(&drop.workload).join("drops").join(drop.day.to_string());
    good_pass(&mut agent);
    assert!(day.exists(), "it may be some writer's today");
    world.clock.advance(4 * DAY);
    for _ in 0..6 {
        good_pass(&mut agent);
    }
    assert!(!day.exists());
    // By the agent's clock this writer is days late; it makes its day anew.
    let late = world.dump("shop", b"late");
    assert_eq!((late.day, good_pass(&mut agent).vaulted.len()), (drop.day, 1));
}

/// Lets looks at one workload hang, and time pass meanwhile.
struct Hang {
    clock: ManualTime,
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Hang {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl Gauge for Hang {
    fn call(&self, path: &Path) {
        let is_look = std::thread::current().name() == Some("look");
        if !is_look || !path.components().any(|part| part.as_os_str() == "hangs") {
            return;
        }
        let mut is_open = self.is_open.lock().unwrap();
        if !*is_open {
            self.clock.advance(Duration::from_secs(11));
        }
        while !*is_open {
            is_open = self.changed.wait(is_open).unwrap();
        }
    }
}

#[test]
fn i3_a_directory_that_hangs_keeps_nobody_waiting_and_is_told() {
    let world = World::new();
    let hang = Arc::new(Hang {
        clock: world.clock.clone(),
        is_open: Mutex::default(),
        changed: Condvar::new(),
    });
    let mut agent = world.agent();
    agent.measure(Meter::new(Arc::<Hang>::clone(&hang)));
    let stuck = world.dump("hangs", b"content");
    // What was at work when the time was over is collected in the next pass.
    pass(&mut agent);
    for round in 0..3 {
        let drop = world.dump("shop", format!("content {round}").as_bytes());
        let report = pass(&mut agent);
        assert!(world.has(&drop, ReceiptState::Vaulted), "{report:?}");
        let told: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
        assert!(told.len() == 1 && told[0].contains("does not come to its end"), "{told:?}");
        world.clock.advance(Duration::from_secs(40));
    }
    let incidents = world.incidents();
    assert!(incidents.iter().any(|it| it.owner == "platform"), "{incidents:?}");
    hang.open();
    while !world.has(&stuck, ReceiptState::Vaulted) {
        agent.pass(&Shutdown::default());
    }
    good_pass(&mut agent);
}

#[test]
fn a_writer_that_begins_while_its_day_is_closed_makes_it_anew() {
    let world = World::new();
    let mut writer = begin(&world, "shop").unwrap();
    writer.write_all(b"content").unwrap();
    let drop = writer.address().clone();
    writer.seal(&SystemClock).unwrap();
    let days = [drop.day];
    let closed = outlast_drop::close_days(&world.share, &drop.workload, &days).unwrap();
    assert!(matches!(closed[..], [(_, outlast_drop::Closing::NotEmpty)]), "{closed:?}");
    assert!(world.data_is_on_the_share(&drop));
}
