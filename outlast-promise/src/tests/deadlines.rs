//! The last moment before each deadline, and the first one at it; sleeping until it misses nothing.

use super::*;

/// Sleeps until each deadline of the ledger in turn, for as long as it is before `until`, and says
/// what was told when.
fn slept(ledger: &mut Ledger, until: u64) -> Vec<(Timestamp, String)> {
    let mut told = Vec::new();
    while let Some(next) = ledger.next_deadline().filter(|next| *next < at(until)) {
        assert!(next >= ledger.now(), "a deadline that has passed is none");
        told.extend(keys(&ledger.tick(next)).into_iter().map(|key| (next, key)));
        assert!(ledger.next_deadline().is_none_or(|after| after > next), "and it passes once");
    }
    told
}

fn on(second: u64, key: &str) -> (Timestamp, String) {
    (at(second), key.to_owned())
}

fn nano(second: u64) -> Timestamp {
    at(second).saturating_sub(Duration::from_nanos(1))
}

fn state(ledger: &Ledger) -> State {
    ledger.workload(&shop()).unwrap().state
}

#[test]
fn a_recovery_point_is_late_in_its_last_sixteenth_and_broken_at_its_end() {
    let promise = Promise::new(Duration::from_secs(160), "x").unwrap();
    let check = |now, expected| {
        assert_eq!(evaluate(&promise, at(0), Some(at(0)), now), expected);
    };
    check(nano(150), State::Fresh);
    check(at(150), State::Late);
    check(nano(160), State::Late);
    check(at(160), State::Broken);
    assert_eq!(evaluate(&promise, at(0), None, nano(160)), State::NeverSeen);
    assert_eq!(evaluate(&promise, at(0), None, at(160)), State::Broken);
    assert_eq!(evaluate(&promise, at(0), Some(at(9)), at(3)), State::Fresh, "the future is now");
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    assert_eq!(ledger.workload(&shop()).unwrap().due, at(RPO));
    assert!(ledger.tick(nano(RPO)).is_empty());
    assert_eq!(keys(&ledger.tick(at(RPO))), ["+recovery-point/shop-db"]);
    assert_eq!(ledger.next_deadline(), None);
}

#[test]
fn an_agent_is_silent_at_its_deadline_and_its_backlog_has_another_one() {
    let mut ledger = ledger();
    ledger.apply_all([waiting(shop()), vaulted(shop(), 0)], at(0));
    assert!(ledger.tick(nano(DEADLINE)).is_empty());
    assert!(!ledger.sources().next().unwrap().silent);
    assert_eq!(slept(&mut ledger, 99), [on(DEADLINE, "+agent/road-1")]);
    assert!(ledger.sources().next().unwrap().silent);
    assert_eq!(slept(&mut ledger, 110), []);
    assert_eq!(keys(&ledger.apply(heard(), at(110))), ["-agent/road-1"]);
    ledger.apply(heard(), at(125));
    assert!(ledger.tick(nano(130)).is_empty());
    assert_eq!(slept(&mut ledger, 131), [on(130, "+recovery-point/shop-db")]);
    assert_eq!(ledger.sources().next().unwrap().last_heard, at(125));
}

fn begin_of(end: &Event) -> Topic {
    match end {
        Event::ShareSeen { .. } => Topic::Share,
        Event::Hindered { .. } => Topic::Work,
        _ => Topic::Repository,
    }
}

#[test]
fn every_problem_of_a_source_that_ends_gives_its_backlog_one_deadline() {
    let ends: [(Event, Event); 3] = [
        (
            Event::ShareSeen { source: source(), problem: Some("gone".into()), usable: false },
            Event::ShareSeen { source: source(), problem: None, usable: true },
        ),
        (
            Event::Hindered { source: source(), work: Some("full".into()), stray: None },
            Event::Hindered { source: source(), work: None, stray: None },
        ),
        (
            Event::Repository { workload: shop(), missing: Some("gone".into()) },
            Event::Repository { workload: shop(), missing: None },
        ),
    ];
    for (begin, end) in ends {
        let mut ledger = ledger();
        ledger.apply_all([vaulted(shop(), 0), waiting(shop())], at(0));
        assert_eq!(ledger.apply(begin, at(1)).len(), 1);
        assert_eq!(alive(&mut ledger, 10, 151), [""; 0], "it explains what breaks");
        // Its own incident ends with what it held up, and a repository's at once.
        let is_own = matches!(begin_of(&end), Topic::Share | Topic::Work);
        assert_eq!(ledger.apply(end, at(151)).len(), usize::from(!is_own));
        ledger.apply(heard(), at(160));
        assert!(ledger.tick(nano(171)).is_empty());
        let mut told = slept(&mut ledger, 172);
        assert!(told.iter().all(|(moment, _)| *moment == at(171)));
        told.retain(|(_, key)| key.starts_with('+'));
        assert_eq!(told, [on(171, "+recovery-point/shop-db")]);
        assert_eq!(ledger.incidents().count(), 1, "nothing else stays open");
    }
}

#[test]
fn an_agents_complaint_outlasts_the_repository_that_explained_it_by_one_deadline() {
    let mut ledger = ledger();
    ledger.apply_all([waiting(shop()), vaulted(shop(), 0)], at(0));
    let looked = |missing: Option<&str>| {
        let missing = missing.map(str::to_owned);
        Event::Repository { workload: shop(), missing }
    };
    let complaint = Event::Hindered { source: source(), work: Some("refused".into()), stray: None };
    // What explains is settled first, even if both are heard in one breath.
    let changes = ledger.apply_all([complaint, looked(Some("gone"))], at(5));
    assert_eq!(keys(&changes), ["+repository/shop-db"]);
    assert_eq!(keys(&ledger.apply(looked(None), at(10))), ["-repository/shop-db"]);
    ledger.apply(heard(), at(20));
    let work = "+work/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01";
    assert!(ledger.tick(nano(30)).is_empty());
    assert_eq!(slept(&mut ledger, 31), [on(30, work)]);
}

#[test]
fn an_agents_certificate_is_told_before_it_begins_and_with_a_third_of_it_left() {
    let mut ledger = ledger();
    let certificate = Some(Validity { from: at(10), until: at(40) });
    let event = Event::AgentHeard { source: source(), certificate };
    assert_eq!(keys(&ledger.apply(event.clone(), at(0))), ["+certificate/agent/road-1"]);
    ledger.apply(event.clone(), at(9));
    assert!(ledger.tick(nano(10)).is_empty());
    assert_eq!(slept(&mut ledger, 11), [on(10, "-certificate/agent/road-1")]);
    ledger.apply(event, at(20));
    assert!(ledger.tick(nano(30)).is_empty());
    assert_eq!(slept(&mut ledger, 31), [on(30, "+certificate/agent/road-1")]);
    let own = Event::OwnCertificate {
        holder: "vault hq".into(),
        certificate: Validity { from: at(31), until: at(61) },
    };
    ledger.apply(own, at(31));
    assert!(slept(&mut ledger, 60).contains(&on(51, "+certificate/vault/hq")));
}

#[test]
fn silence_from_the_end_of_a_certificate_on_is_explained_by_it() {
    for (heard, told) in [
        (19, vec!["+certificate/agent/road-1"]),
        (18, vec!["+certificate/agent/road-1", "+agent/road-1"]),
    ] {
        let mut ledger = ledger();
        let certificate = Some(Validity { from: at(0), until: at(39) });
        ledger.apply(Event::AgentHeard { source: source(), certificate }, at(heard));
        let slept: Vec<_> = slept(&mut ledger, 60).into_iter().map(|(_, key)| key).collect();
        assert_eq!(slept, told, "heard at {heard}, and refused from 39 on");
    }
}

#[test]
fn an_outage_is_longer_than_a_deadline_and_explains_what_broke_in_it_and_one_deadline_after() {
    let after = |away: u64, due: u64| {
        let mut ledger = ledger();
        ledger.apply(vaulted(shop(), due), at(due));
        ledger.tick(at(due + RPO - 50));
        let from = due + RPO - 50;
        let mut ledger = Ledger::resume(settings(), ledger.rows(), at(from + away)).unwrap();
        let mut told = keys(&ledger.tick(at(from + away)));
        told.extend(slept(&mut ledger, 500).into_iter().map(|(_, key)| key));
        told
    };
    // 20 s are what anybody may be silent.
    assert_eq!(after(DEADLINE, 0), ["+recovery-point/shop-db"]);
    assert_eq!(after(30, 0), ["+recovery-point/shop-db"], "it broke when the time was over");
    assert_eq!(after(31, 0), ["+vault", "-vault", "+recovery-point/shop-db"]);
    assert_eq!(after(50, 0), ["+vault", "-vault", "+recovery-point/shop-db"]);

    // What broke at the very moment at which the vault went down was not seen by it any more.
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.tick(nano(RPO));
    ledger.slept_until(at(200));
    assert_eq!(keys(&ledger.tick(at(200))), ["+vault"]);
    assert!(ledger.tick(nano(220)).is_empty());
    assert_eq!(keys(&ledger.tick(at(220))), ["-vault", "+recovery-point/shop-db"]);
}

#[test]
fn an_outage_takes_no_page_over_that_was_out_before_it() {
    let mut ledger = ledger();
    ledger.apply_all([vaulted(name(0), 0), vaulted(name(1), 100)], at(100));
    ledger.tick(at(150));
    let own = |ledger: &Ledger| {
        let pages = ledger.incidents().filter(|incident| incident.folded_into.is_none());
        pages.map(|incident| incident.key().to_string()).collect::<BTreeSet<_>>()
    };
    assert_eq!(own(&ledger), ["recovery-point/w0".to_owned()].into());
    ledger.slept_until(at(250));
    assert_eq!(keys(&ledger.tick(at(250))), ["+vault"], "w1 broke while nobody looked");
    assert_eq!(own(&ledger), ["recovery-point/w0".to_owned(), "vault".to_owned()].into());
}

#[test]
fn an_outage_explains_nothing_that_broke_before_it() {
    let mut ledger = ledger();
    ledger.apply_all([vaulted(shop(), 0), vaulted(name(1), 100)], at(100));
    ledger.apply(ordered(1, Order::Pause { until: at(500) }), at(100));
    ledger.tick(at(150));
    ledger.slept_until(at(250));
    assert_eq!(keys(&ledger.tick(at(250))), ["+vault"]);
    // Its last drop was too old before the vault went away.
    let resumed = ledger.apply(ordered(2, Order::Resume), at(255));
    assert_eq!(keys(&resumed), ["+recovery-point/shop-db"]);
}

#[test]
fn a_sleep_as_long_as_anybody_may_be_silent_excuses_nothing() {
    let woken = |until| {
        let mut ledger = ledger();
        ledger.apply(vaulted(shop(), 0), at(0));
        ledger.tick(at(90));
        ledger.slept_until(until);
        keys(&ledger.tick(until))
    };
    assert_eq!(woken(at(90 + DEADLINE)), ["+recovery-point/shop-db"]);
    assert_eq!(woken(at(90 + DEADLINE + 1)), ["+vault"]);
}

#[test]
fn a_pause_ends_at_its_moment_and_a_drop_at_it_renews() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.apply(ordered(1, Order::Pause { until: at(300) }), at(10));
    ledger.tick(nano(300));
    assert_eq!((state(&ledger), ledger.workload(&shop()).unwrap().due), (State::Paused, at(300)));
    assert_eq!(ledger.workload(&shop()).unwrap().until, Some(at(300)));
    // A drop before its end leaves the pause; one at its end makes an end of it.
    ledger.apply(vaulted(shop(), 250), nano(300));
    assert_eq!(ledger.workload(&shop()).unwrap().due, at(350));
    assert_eq!(state(&ledger), State::Paused);
    ledger.apply(vaulted(shop(), 300), at(300));
    assert_eq!(state(&ledger), State::Fresh);
    assert_eq!(ledger.workload(&shop()).unwrap().due, at(400));
    assert_eq!(slept(&mut ledger, 500), [on(400, "+recovery-point/shop-db")]);
}

#[test]
fn a_retirement_surprises_nobody_before_its_moment_and_from_then_on_nobody_misses_the_agent() {
    let retired = |dropped: Timestamp| {
        let mut ledger = ledger();
        ledger.apply(ordered(1, Order::Retire { at: at(5), until: at(60) }), at(10));
        keys(&ledger.apply(Event::Vaulted { workload: shop(), at: dropped }, at(60)))
    };
    assert_eq!(retired(nano(60)), [""; 0]);
    assert_eq!(retired(at(60)), ["+retired/shop-db"]);

    let mut ledger = ledger();
    ledger.apply_all([waiting(shop()), vaulted(shop(), 0)], at(0));
    ledger.apply(ordered(1, Order::Retire { at: at(5), until: at(60) }), at(10));
    assert_eq!(slept(&mut ledger, 60), [on(DEADLINE, "+agent/road-1")]);
    assert!(ledger.tick(nano(60)).is_empty());
    assert_eq!(state(&ledger), State::Retiring);
    assert_eq!(ledger.workload(&shop()).unwrap().until, Some(at(60)));
    assert_eq!(slept(&mut ledger, 61), [on(60, "-agent/road-1")]);
    assert_eq!(state(&ledger), State::Retired);
    assert_eq!(ledger.workload(&shop()).unwrap().until, None);
    assert_eq!(ledger.workload(&shop()).unwrap().retired, Some(at(5)));
}

#[test]
fn a_second_sign_of_life_comes_half_a_recovery_point_later() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.apply(ordered(1, Order::Retire { at: at(1), until: at(2) }), at(1));
    assert_eq!(keys(&ledger.apply(vaulted(shop(), 10), at(10))), ["+retired/shop-db"]);
    let at_moment = |moment| Event::Vaulted { workload: shop(), at: moment };
    assert!(ledger.apply(at_moment(nano(10 + RPO / 2)), at(70)).is_empty());
    let changes = ledger.apply(at_moment(at(10 + RPO / 2)), at(70));
    assert_eq!(keys(&changes), ["-retired/shop-db"]);
}

#[test]
fn a_clock_that_steps_back_a_second_was_read_too_early_and_by_more_was_set() {
    let back = |by: Duration| {
        let mut ledger = ledger();
        ledger.apply(vaulted(shop(), 0), at(50));
        ledger.tick(at(50).saturating_sub(by));
        (ledger.now(), ledger.next_deadline())
    };
    let second = Duration::from_secs(1);
    assert_eq!(back(second), (at(50), Some(at(100))));
    let more = second + Duration::from_nanos(1);
    assert_eq!(back(more), (nano(49), Some(nano(99))), "all moments go with it");
}

#[test]
fn a_clock_that_is_set_back_takes_every_moment_with_it() {
    let mut ledger = ledger();
    let hour = Duration::from_secs(3600);
    let certificate = Validity { from: at(0).saturating_sub(2 * hour), until: at(100_000) };
    ledger.apply(Event::OwnCertificate { holder: "vault hq".into(), certificate }, at(0));
    ledger.apply_all([waiting(shop()), vaulted(shop(), 0), waiting(shop())], at(0));
    let lost = Finding::Lost { workload: shop(), drop: drop_id(1), received: at(0) };
    let contested = Finding::Contested {
        workload: name(1),
        agent: "road-1".into(),
        drop: drop_id(2),
        difference: "its size".into(),
    };
    ledger.apply_all([Event::Custody(lost), Event::Custody(contested)], at(1));
    let looked = |missing| Event::Repository { workload: name(2), missing };
    ledger.apply(looked(Some("gone".into())), at(2));
    ledger.apply(looked(None), at(3));
    let seen = |problem: Option<&str>| {
        let problem = problem.map(str::to_owned);
        Event::ShareSeen { source: source(), usable: problem.is_none(), problem }
    };
    ledger.apply(seen(Some("gone")), at(4));
    ledger.apply(seen(None), at(5));
    ledger.apply(ordered(1, Order::Retire { at: at(3), until: at(90) }), at(6));
    let orders = [
        (2, name(3), Order::Retire { at: at(4), until: at(8) }),
        (3, name(4), Order::Pause { until: at(700) }),
    ];
    for (number, workload, order) in orders {
        ledger.apply(Event::Ordered { number, workload, order }, at(7));
    }
    ledger.apply(vaulted(name(3), 8), at(8));
    ledger.slept_until(at(60));
    ledger.tick(at(60));
    let moved = |text: &str| -> Vec<Timestamp> {
        let words = text.split('"').filter(|word| word.len() == 20 && word.ends_with('Z'));
        words.map(|word| word.parse().unwrap()).collect()
    };
    let moments = |ledger: &Ledger| -> Vec<Timestamp> {
        let rows = ledger.rows();
        // When certificates end, and when a drop was received, is not the ledger's to move.
        let own = rows.iter().filter(|row| row.part != "head");
        own.flat_map(|row| moved(&row.state)).collect()
    };
    let before = moments(&ledger);
    assert!(before.len() > 20, "{before:?}");
    let mut back = ledger.clone();
    back.tick(at(60).saturating_sub(hour));
    let after = moments(&back);
    assert_eq!(before.len(), after.len());
    let stayed: Vec<_> = before.iter().zip(&after).filter(|(one, other)| one == other).collect();
    // When the lost drop was received, there and in the incident that tells of it, and what another
    // incident says was known when it opened.
    assert_eq!(stayed, [0, 4, 8, 0].map(at).each_ref().map(|moment| (moment, moment)));
    let shifted = |at: &Timestamp| at.saturating_sub(hour);
    let moved = before.iter().zip(&after).filter(|(one, other)| one != other);
    assert!(moved.clone().all(|(one, other)| shifted(one) == *other), "{before:?} {after:?}");
    assert_eq!(back.now(), at(60).saturating_sub(hour));
    let outage = |ledger: &Ledger| {
        let head: serde_json::Value = serde_json::from_str(&ledger.rows()[0].state).unwrap();
        ["from", "until", "recovered"].map(|moment| -> Timestamp {
            head["head"]["outage"][moment].as_str().unwrap().parse().unwrap()
        })
    };
    assert_eq!(outage(&back), outage(&ledger).map(|moment| shifted(&moment)));
}

#[test]
fn a_drop_that_is_told_late_takes_nothing_from_a_newer_one() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 50), at(50));
    ledger.apply(vaulted(shop(), 20), at(60));
    let known = ledger.workload(&shop()).unwrap();
    assert_eq!((known.last_vaulted, known.due), (Some(at(50)), at(50 + RPO)));
}
