//! Agents that want more than policy allows them, and floods of words.

use super::*;

const TOLD_FOR: u64 = 30 * 60;

fn over(limit: Limit) -> Event {
    let excess = Excess { limit, allowed: 7, workload: None };
    Event::OverLimit { agent: "road-1".into(), excess }
}

/// The agent lives, and time passes.
fn later(ledger: &mut Ledger, second: u64) -> Vec<String> {
    keys(&ledger.apply(heard(), at(second)))
}

/// A ledger in which nobody is ever missed.
fn patient(reported_max: usize) -> Ledger {
    let settings =
        Settings { agent_deadline: Duration::from_secs(90_000), reported_max, ..settings() };
    Ledger::new(settings, 0, at(0))
}

#[test]
fn an_agent_that_wants_too_much_is_one_incident_until_half_an_hour_after_the_last_time() {
    let mut ledger = patient(10);
    assert_eq!(keys(&ledger.apply(over(Limit::Received), at(1))), ["+limits/road-1"]);
    assert!(ledger.apply(over(Limit::Received), at(60)).is_empty());
    assert!(ledger.apply(over(Limit::NewWorkloads), at(120)).is_empty(), "one for the agent");
    let told = ledger.incidents().next().unwrap().cause.to_string();
    assert!(told.contains("7 B a day") && told.contains("raise `received`"), "{told}");
    assert!(ledger.tick(at(120 + TOLD_FOR - 1)).is_empty());
    let mut restarted = Ledger::resume(settings(), ledger.rows(), at(121)).unwrap();
    for ledger in [&mut ledger, &mut restarted] {
        assert_eq!(keys(&ledger.tick(at(120 + TOLD_FOR))), ["-limits/road-1"]);
        assert_eq!(ledger.incidents().count(), 0);
    }
}

#[test]
fn a_drop_that_waits_because_its_agent_wants_too_much_is_no_page_of_its_own_meanwhile() {
    let mut ledger = patient(10);
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.apply(waiting(shop()), at(1));
    ledger.apply(over(Limit::Received), at(50));
    assert!(ledger.tick(at(RPO)).is_empty(), "it broke, and the limit explains it");
    assert!(ledger.incidents().any(|incident| incident.folded_into.is_some()));
    // It gets its time, under the one incident, and then speaks for itself.
    assert!(later(&mut ledger, 50 + TOLD_FOR).is_empty());
    let end = 50 + TOLD_FOR + 90_000;
    assert!(later(&mut ledger, end - 10).is_empty());
    let open = ledger.incidents().find(|incident| incident.folded_into.is_none()).unwrap();
    assert_eq!(open.catching_up.unwrap().since, at(50 + TOLD_FOR));
    let told: BTreeSet<String> = keys(&ledger.tick(at(end))).into_iter().collect();
    assert_eq!(told, ["+recovery-point/shop-db", "-limits/road-1"].map(str::to_owned).into());
}

#[test]
fn a_flood_of_words_makes_a_bounded_number_of_workloads_and_one_page() {
    let mut ledger = patient(50);
    let flood = |round: usize| (0..1000).map(move |number| declared(name(1000 * round + number)));
    assert_eq!(keys(&ledger.apply_all(flood(0), at(1))), ["+limits/road-1"]);
    for round in 1..20 {
        assert!(ledger.apply_all(flood(round), at(2)).is_empty());
    }
    assert_eq!(ledger.workloads().count(), 50);
    // They break all together, and are folded into what is told already.
    assert!(ledger.tick(at(2 + RPO)).is_empty());
    assert_eq!(ledger.incidents().filter(|incident| incident.folded_into.is_some()).count(), 51);
    // Who stops wanting too much is told of no more; that nothing came of it all is.
    let told = later(&mut ledger, 2 + TOLD_FOR);
    assert_eq!(told, ["-limits/road-1", "+never-vaulted/road-1"]);
    assert_eq!(ledger.clone().reconcile(), vec![]);
    let all = (0..50).map(|number| vaulted(name(number), 2000));
    assert_eq!(keys(&ledger.apply_all(all, at(2000))), ["-never-vaulted/road-1"]);
    assert_eq!(ledger.incidents().count(), 0);
}

#[test]
fn a_few_workloads_that_never_came_page_for_themselves_and_so_does_what_policy_names() {
    let policy = Declaration::new(Some(Duration::from_secs(RPO)), Some("ops")).unwrap();
    let settings =
        Settings { agent_deadline: Duration::from_secs(90_000), ..with_policy([(shop(), policy)]) };
    let mut ledger = Ledger::new(settings, 0, at(0));
    ledger.apply_all((0..20).map(|number| declared(name(number))), at(0));
    let told = keys(&ledger.tick(at(RPO)));
    assert_eq!(told.len(), 21, "{told:?}");
    assert!(told.iter().all(|key| key.starts_with("+recovery-point/")), "{told:?}");
    // One more, and all that come later are one; what was told stays on its own.
    ledger.apply_all((20..40).map(|number| declared(name(number))), at(RPO));
    assert_eq!(keys(&ledger.tick(at(2 * RPO))), ["+never-vaulted/road-1"]);
    // Given back, as far as they outlast it.
    let all = (0..39).map(|number| vaulted(name(number), 250));
    let told = keys(&ledger.apply_all(all, at(250)));
    assert!(told.contains(&"-never-vaulted/road-1".to_owned()), "{told:?}");
    assert!(told.contains(&"+recovery-point/w39".to_owned()), "{told:?}");
    assert_eq!(told.len(), 22, "{told:?}");
}

#[test]
fn rejected_drops_of_workloads_that_nobody_knows_are_one_page_if_they_are_many() {
    let mut ledger = patient(1000);
    let refused = |number: usize| Event::Rejected {
        workload: name(number),
        source: source(),
        drop: drop_id(1),
        code: RejectionCode::WrongHash,
        reason: "it is torn".into(),
        place: None,
    };
    let told = keys(&ledger.apply_all((0..500).map(refused), at(1)));
    assert_eq!(told, ["+never-vaulted/road-1"]);
    ledger.apply(vaulted(shop(), 1), at(1));
    let of_shop = Event::Rejected {
        workload: shop(),
        source: source(),
        drop: drop_id(2),
        code: RejectionCode::WrongHash,
        reason: "it is torn".into(),
        place: None,
    };
    assert_eq!(keys(&ledger.apply(of_shop, at(2))), ["+rejected-drop/shop-db"]);
}

#[test]
fn the_limit_of_one_agent_is_nothing_to_another() {
    let mut ledger = patient(2);
    ledger.apply_all((0..3).map(|number| declared(name(number))), at(0));
    let other = Source { agent: "road-2".into(), share: Some(share(2)) };
    let waits = Event::Waiting { workload: name(9), source: other };
    assert!(ledger.apply(waits, at(1)).is_empty());
    assert!(ledger.workload(&name(9)).is_some() && ledger.workload(&name(2)).is_none());
    // What was vaulted is known by more than a word, and makes room.
    ledger.apply(vaulted(name(0), 2), at(2));
    ledger.apply(declared(name(2)), at(3));
    assert!(ledger.workload(&name(2)).is_some());
}

#[test]
fn a_ledger_of_before_there_were_limits_suspects_or_reasons_is_read_and_stored_whole() {
    let mut ledger = patient(10);
    ledger.apply(vaulted(shop(), 0), at(0));
    let mut rows = ledger.rows();
    let now = rows.clone();
    assert!(rows[0].state.starts_with(r#"{"version":8,"#), "{rows:?}");
    for before in 3..=7 {
        let before = &format!(r#""version":{before}"#);
        rows[0].state = now[0].state.replace(r#""version":8"#, before);
        let upgraded = Ledger::resume(settings(), rows.clone(), at(0)).unwrap();
        assert_eq!(upgraded.rows(), now);
        assert!(upgraded.unsaved().is_whole);
    }
}

#[test]
fn what_nobody_names_any_more_and_nothing_came_of_is_forgotten_by_itself() {
    const DAY: u64 = 24 * 3600;
    let mut ledger = patient(50);
    let unnamed = |ledger: &Ledger| {
        let all = ledger.unnamed(Duration::from_secs(30 * DAY)).into_iter();
        all.map(|(name, _)| name).collect::<Vec<_>>()
    };
    // Four that an agent spoke of: one goes on, one was vaulted, one is declared, one is gone.
    ledger.apply_all(
        [waiting(name(0)), waiting(name(1)), declared(name(2)), waiting(name(3))],
        at(1),
    );
    ledger.apply(vaulted(name(1), 2), at(2));
    for day in 1..=30 {
        ledger.apply_all([waiting(name(0)), heard()], at(1 + day * DAY));
        let expected = if day < 30 { vec![] } else { vec![name(3)] };
        assert_eq!(unnamed(&ledger), expected, "day {day}");
    }
    // While its agent is silent, nothing is known of it.
    assert!(
        unnamed(&{
            let mut silent = ledger.clone();
            silent.tick(at(2 + 31 * DAY));
            silent
        })
        .is_empty()
    );
    let restarted = Ledger::resume(settings(), ledger.rows(), at(1 + 30 * DAY)).unwrap();
    assert_eq!(unnamed(&restarted), [name(3)], "a restart forgets nothing of it");
    let open =
        |ledger: &Ledger| ledger.incidents().any(|open| open.cause.workload() == Some(&name(3)));
    assert!(open(&ledger), "it broke long ago");
    for known in [0, 1, 2, 3] {
        ledger.apply(Event::Forgotten { workload: name(known) }, at(2 + 30 * DAY));
    }
    assert!(!open(&ledger), "and is told no more");
    let left: Vec<_> = ledger.workloads().map(|known| known.workload).collect();
    assert!(left.contains(&name(1)) && left.contains(&name(2)) && !left.contains(&name(3)));
    assert_eq!(ledger.clone().reconcile(), vec![]);
}
