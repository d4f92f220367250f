use std::sync::atomic::{AtomicBool, Ordering};

use outlast_types::Interrupt as Stop;

use super::*;
use crate::core::jobs::Progress;
use crate::core::testing::{World, agent, bill, shop, upload};
use crate::core::vault::Vault;

/// Brings nothing back, and says what it is told to say.
#[derive(Default)]
struct Stage {
    has_no_room: AtomicBool,
    fails: AtomicBool,
}

impl Ground for Stage {
    fn lowered(&self, _task: &Task<'_>) -> Option<String> {
        self.has_no_room.load(Ordering::Relaxed).then(|| "there is no room".to_owned())
    }

    fn stream(&self, _task: &Task<'_>) -> Outcome {
        Outcome::new(DrillLevel::Stream)
    }

    fn load(&self, task: &Task<'_>) -> Outcome {
        let mut outcome = Outcome::new(DrillLevel::Load);
        outcome.scratch_bytes = task.size * 2;
        outcome.phases = vec![
            Phase::new("restore", Duration::from_millis(20), 7),
            Phase::new("load", Duration::from_millis(30), 0),
        ];
        outcome.failure = self.fails.load(Ordering::Relaxed).then(|| Failure {
            phase: "load".to_owned(),
            why: "table orders is not there".to_owned(),
            owner: Owner::App,
        });
        outcome
    }
}

fn scene() -> (World, Arc<Stage>) {
    let mut world = World::new();
    let stage = Arc::new(Stage::default());
    world.ground = Some(Arc::clone(&stage) as _);
    (world, stage)
}

fn ship(vault: &Vault) -> SnapshotId {
    let bill = bill(vault, &shop(), &upload(vault, &shop(), b"content"));
    vault.publish(&bill, &agent()).unwrap();
    bill.snapshot_id
}

fn go(vault: &Vault) -> String {
    vault.drill(&Progress::new(&vault.environment, &Stop::default())).unwrap()
}

fn told(vault: &Vault) -> Vec<String> {
    let mut open = vault.promises.catalog().incidents().unwrap();
    open.retain(|it| it.resolved.is_none() && it.key.starts_with("drill/"));
    open.iter().map(|incident| crate::core::incidents::in_words(&incident.cause)).collect()
}

#[test]
fn a_drill_is_recorded_with_its_time_and_is_an_entry_and_a_failure_is_told_until_one_is_good() {
    let (world, stage) = scene();
    let vault = world.open();
    let snapshot = ship(&vault);
    vault.order_drill(&shop(), "operator up", None, None).unwrap();
    let again = vault.order_drill(&shop(), "operator up", None, None);
    assert!(matches!(again, Err(VaultError::DrillUnderWay { .. })));
    assert_eq!(go(&vault), "did 1 drills");
    let drill = vault.drills.of(&shop()).newest().cloned().unwrap();
    assert_eq!(
        (drill.snapshot, drill.state, drill.by.as_str()),
        (snapshot, DrillState::Good, "operator up")
    );
    assert_eq!(drill.rto_milliseconds(), Some(50));
    assert_eq!(vault.last_drilled(&shop()), Some(snapshot));
    assert_eq!(vault.drills.of(&shop()).factor_percent(), 225, "as measured, and a quarter");

    stage.fails.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        vault.order_drill(&shop(), "operator up", Some(&snapshot.to_string()[..8]), None).unwrap();
        go(&vault);
        let told = told(&vault);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("table orders is not there"), "{told:?}");
    }
    // It is known after a restart, and mended by a good one.
    drop(vault);
    let vault = world.open();
    assert_eq!(vault.drills.of(&shop()).drills.len(), 3);
    stage.fails.store(false, Ordering::Relaxed);
    vault.order_drill(&shop(), "operator up", None, None).unwrap();
    go(&vault);
    assert_eq!(told(&vault), [""; 0]);
    assert_eq!(world.entries(&crate::core::audit::AuditAction::Drilled), 4);
    let unknown = vault.order_drill(&shop(), "operator up", Some("ffff"), None);
    assert!(matches!(unknown, Err(VaultError::UnknownSnapshot { .. })));
}

#[test]
fn a_stream_is_never_taken_for_a_load() {
    let (world, stage) = scene();
    stage.has_no_room.store(true, Ordering::Relaxed);
    let vault = world.open();
    ship(&vault);
    vault.order_drill(&shop(), "operator up", None, None).unwrap();
    go(&vault);
    let records = vault.drills.of(&shop());
    let drill = records.newest().unwrap();
    assert_eq!(
        (drill.state, drill.wanted, drill.level),
        (DrillState::Good, DrillLevel::Load, DrillLevel::Stream)
    );
    assert_eq!((drill.rto_milliseconds(), vault.last_drilled(&shop())), (None, None));
    assert!(!drill.satisfies(DrillLevel::Load) && drill.satisfies(DrillLevel::Stream));
    let every = Duration::from_secs(3600);
    let rule = DrillRule { every: Some(every), ..DrillRule::default() };
    let first = drill.began;
    // It is tried again after a while, and overdue after a whole period, with what is missing.
    assert_eq!(records.due(&rule, first, 0), Some(first.saturating_add(every / 2)));
    assert_eq!(records.trouble(&rule, first, first), None);
    match records.trouble(&rule, first, first.saturating_add(every)) {
        Some(DrillTrouble::Overdue { last: None, why: Some(why), .. }) => {
            assert!(why.contains("there is no room"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_due_is_done_by_itself_and_what_was_cut_off_says_nothing() {
    let (mut world, _stage) = scene();
    world.drills.default.every = Some(Duration::from_nanos(8));
    let vault = world.open();
    assert_eq!(go(&vault), "", "there is nothing to bring back");
    ship(&vault);
    let stopped = Stop::default();
    stopped.request();
    vault.drill(&Progress::new(&vault.environment, &stopped)).unwrap();
    assert!(
        vault
            .drills
            .of(&shop())
            .trouble(&DrillRule::default(), Timestamp::EPOCH, Timestamp::EPOCH)
            .is_none()
    );
    drop(vault);
    world.drills.default.every = Some(Duration::from_secs(3600));
    let vault = world.open();
    assert_eq!(go(&vault), "");
    let cut_off = vault.drills.of(&shop());
    assert!(cut_off.drills.iter().all(|drill| drill.state == DrillState::Aborted), "{cut_off:?}");
    assert_eq!(told(&vault), [""; 0]);
}

#[test]
fn a_workload_is_drilled_as_it_says_else_as_its_class_else_as_all_are() {
    let hour = |hours: u64| Duration::from_secs(hours * 3600);
    let gold = DrillPart {
        every: Some(hour(24)),
        recipe: Some("postgresql".to_owned()),
        check: Some("SELECT 1".to_owned()),
        ..DrillPart::default()
    };
    let own = DrillPart {
        level: Some(DrillLevel::Stream),
        command: Some(vec!["/bin/check".to_owned()]),
        ..DrillPart::default()
    };
    let mut policy = DrillPolicy::default();
    assert!(!policy.wants_any() && !policy.wants_loads());
    policy.classes.insert("gold".to_owned(), gold);
    policy.workloads.insert(shop(), own);
    assert!(policy.wants_any());
    let other = WorkloadName::new("other").unwrap();
    assert_eq!(policy.rule(&other, None), DrillRule::default());
    assert_eq!(policy.rule(&other, Some("silver")), DrillRule::default());
    let of_class = policy.rule(&other, Some("gold"));
    assert_eq!((of_class.every, of_class.recipe.as_deref()), (Some(hour(24)), Some("postgresql")));
    let of_shop = policy.rule(&shop(), Some("gold"));
    assert_eq!((of_shop.every, of_shop.level), (Some(hour(24)), DrillLevel::Stream));
    // By a command, and so by no recipe.
    assert_eq!((of_shop.recipe, of_shop.command.len()), (None, 1));
    assert_eq!(of_shop.check.as_deref(), Some("SELECT 1"));
}
