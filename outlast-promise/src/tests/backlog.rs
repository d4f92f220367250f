//! After an outage: what it held up arrives, without a storm, and nobody is forgotten.

use super::*;

const HOUR: u64 = 3600;

/// An RPO of a day, deadlines as they are, and `count` workloads whose last drop came at 0.
fn house(count: usize) -> Ledger {
    let default_promise = Promise::new(Duration::from_secs(24 * HOUR), "team-shop").unwrap();
    let settings = Settings { policy: default_promise.into(), ..Settings::default() };
    let mut ledger = Ledger::new(settings, 0, at(0));
    let known = (0..count).flat_map(|number| [waiting(name(number)), vaulted(name(number), 0)]);
    ledger.apply_all(known, at(0));
    ledger
}

/// All that the agent says of its share at `second`, by one whole look: these workloads wait.
fn look(waiting_now: &[usize], second: u64) -> Vec<Event> {
    let mut events = vec![Event::AgentHeard { source: source(), certificate: None }];
    for number in waiting_now {
        events.push(waiting(name(*number)));
        events.push(backlog(*number, 1, 100));
    }
    events.push(Event::Looked { source: source(), began: at(second) });
    events
}

fn backlog(number: usize, drops: u64, bytes: u64) -> Event {
    Event::Backlog { workload: name(number), source: source(), drops, bytes }
}

fn came(number: usize, second: u64) -> [Event; 2] {
    [vaulted(name(number), second), backlog(number, 0, 0)]
}

fn pages(changes: &[Change]) -> Vec<String> {
    keys(changes).into_iter().filter(|key| key.starts_with('+')).collect()
}

#[test]
fn what_waits_is_caught_up_under_the_one_incident_and_what_was_not_named_pages_at_once() {
    let mut ledger = house(3);
    assert_eq!(keys(&ledger.tick(at(300))), ["+agent/road-1"]);
    assert!(ledger.tick(at(48 * HOUR)).is_empty(), "three broken promises, one cause");
    // It is back: two of them wait, and the third stays silent.
    let back = 48 * HOUR;
    let changes = ledger.apply_all(look(&[0, 1], back), at(back));
    assert_eq!(keys(&changes), ["+recovery-point/w2"]);
    let open: Vec<Incident> = ledger.incidents().collect();
    let catching_up = open[0].catching_up.as_ref().unwrap();
    assert_eq!((catching_up.most, catching_up.left, catching_up.since), (2, 2, at(back)));
    assert_eq!(open.iter().filter(|it| it.folded_into == Some(open[0].id)).count(), 2);
    assert!(ledger.apply_all(came(0, back + 60), at(back + 60)).is_empty());
    let changes = ledger.apply_all(came(1, back + 120), at(back + 120));
    assert_eq!(keys(&changes), ["-agent/road-1"], "all has come");
    assert_eq!(
        keys(&ledger.apply_all(came(2, back + 130), at(back + 130))),
        ["-recovery-point/w2"]
    );
}

#[test]
fn an_older_drop_that_came_is_not_the_end_while_the_agent_names_another() {
    let mut ledger = house(1);
    ledger.tick(at(300));
    let back = 72 * HOUR;
    ledger.apply_all(look(&[0], back), at(back));
    // The drop of the second day, as its recovery point's time says: still too old.
    let changes = ledger.apply(vaulted(name(0), 30 * HOUR), at(back + 60));
    assert!(changes.is_empty(), "{changes:?}");
    assert!(ledger.apply_all(look(&[0], back + 90), at(back + 90)).is_empty());
    assert_eq!(keys(&ledger.apply_all(came(0, back + 99), at(back + 99))), ["-agent/road-1"]);
}

#[test]
fn when_nothing_moves_for_half_an_hour_each_speaks_for_itself() {
    let mut ledger = house(2);
    ledger.tick(at(300));
    let back = 48 * HOUR;
    ledger.apply_all(look(&[0, 1], back), at(back));
    let mut told = Vec::new();
    for minute in 1..=60 {
        let now = back + 60 * minute;
        // It is heard, and until the tenth minute fewer bytes are left each time.
        let left = backlog(0, 1, 100 - minute.min(10));
        let changes = ledger.apply_all([heard(), waiting(name(0)), left], at(now));
        told.extend(keys(&changes).into_iter().map(|key| (minute, key)));
    }
    let key = |minute, key: &str| (minute, key.to_owned());
    let gave_up =
        [key(40, "-agent/road-1"), key(40, "+recovery-point/w0"), key(40, "+recovery-point/w1")];
    assert_eq!(told.iter().collect::<BTreeSet<_>>(), gave_up.iter().collect());
    let end = back + HOUR + 100;
    assert_eq!(keys(&ledger.apply_all(came(0, end), at(end))), ["-recovery-point/w0"]);
}

#[test]
fn who_is_asked_after_an_outage_is_who_has_the_drop_now_and_not_who_seemed_to_when_it_broke() {
    let mut ledger = house(1);
    ledger.apply_all(came(0, 10), at(10));
    ledger.tick(at(400));
    // It broke while nobody heard of any drop; it was made all the same.
    assert!(ledger.tick(at(48 * HOUR)).is_empty());
    let back = 48 * HOUR;
    ledger.apply_all(look(&[0], back), at(back));
    let mut told = Vec::new();
    for minute in 1..=31 {
        told.extend(ledger.apply_all(look(&[0], back + 60 * minute), at(back + 60 * minute)));
    }
    let page = told.iter().find(|change| change.incident().cause.workload().is_some()).unwrap();
    let incident = page.incident();
    assert_eq!((incident.cause.code(), incident.owner()), ("not-vaulted", Owner::Platform));
    assert_eq!(incident.team, "platform");
}

#[test]
fn what_moves_and_takes_twice_as_long_as_was_first_estimated_speaks_for_itself() {
    let mut ledger = house(100);
    ledger.tick(at(300));
    let back = 48 * HOUR;
    let all: Vec<usize> = (0..100).collect();
    ledger.apply_all(look(&all, back), at(back));
    // One a minute for twenty minutes, and then bytes only: the estimate was 100 minutes.
    let mut told = Vec::new();
    for minute in 1..=300 {
        let now = back + 60 * minute;
        let mut events = vec![heard(), Event::Moved { source: source() }];
        if minute <= 20 {
            events.extend(came(usize::try_from(minute).unwrap() - 1, now));
        }
        let changes = ledger.apply_all(events, at(now));
        told.extend(keys(&changes).into_iter().map(|key| (minute, key)));
    }
    assert_eq!(told.len(), 81, "the agent's resolves, and eighty page");
    assert!(told.iter().all(|(minute, _)| *minute == 200), "{:?}", told.first());
}

#[test]
fn an_outage_that_comes_back_before_all_has_come_is_no_second_page() {
    let mut ledger = house(2);
    let mut told = keys(&ledger.tick(at(300)));
    for round in 0..5 {
        let back = 48 * HOUR + round * 1000;
        told.extend(keys(&ledger.apply_all(look(&[0, 1], back), at(back))));
        // Silent again.
        told.extend(keys(&ledger.tick(at(back + 400))));
        let words = ledger.incidents().next().unwrap().cause.to_string();
        assert!(words.contains(&at(back).to_string()), "the newest silence: {words}");
    }
    assert_eq!(told, ["+agent/road-1"]);
}

#[test]
fn a_drop_that_was_rejected_holds_no_incident_open() {
    let mut ledger = house(1);
    ledger.apply(waiting(name(0)), at(10));
    ledger.tick(at(310));
    let mut events = look(&[], 400);
    events.push(backlog(0, 0, 0));
    assert_eq!(keys(&ledger.apply_all(events, at(400))), ["-agent/road-1"]);
    // Another that waits does.
    assert_eq!(keys(&ledger.tick(at(700))), ["+agent/road-1"]);
    assert!(ledger.apply_all([heard(), waiting(name(0))], at(710)).is_empty());
    assert_eq!(keys(&ledger.apply_all(came(0, 720), at(720))), ["-agent/road-1"]);
}

#[test]
fn a_share_that_was_only_slow_held_nothing_up_and_its_incident_ends_at_once() {
    let mut ledger = house(1);
    ledger.apply_all(look(&[0], 1), at(1));
    let seen = |problem: Option<&str>| Event::ShareSeen {
        source: source(),
        problem: problem.map(str::to_owned),
        usable: true,
    };
    let share = "share/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01";
    let opened = ledger.apply(seen(Some("the share is too slow")), at(2));
    assert_eq!(keys(&opened), [format!("+{share}")]);
    assert_eq!(keys(&ledger.apply(seen(None), at(3))), [format!("-{share}")]);
}

#[test]
fn a_vault_that_is_started_anew_goes_on_catching_up() {
    let mut ledger = house(2);
    ledger.tick(at(300));
    let back = 48 * HOUR;
    ledger.apply_all(look(&[0, 1], back), at(back));
    let settings = Settings {
        policy: Promise::new(Duration::from_secs(24 * HOUR), "team-shop").unwrap().into(),
        ..Settings::default()
    };
    let mut again = Ledger::resume(settings, ledger.rows(), at(back + 10)).unwrap();
    assert!(again.tick(at(back + 10)).is_empty());
    assert!(again.apply_all(came(0, back + 11), at(back + 11)).is_empty());
    assert!(again.incidents().next().unwrap().catching_up.is_some());
    assert_eq!(keys(&again.apply_all(came(1, back + 12), at(back + 12))), ["-agent/road-1"]);
}

#[test]
fn what_waits_for_a_vault_that_was_down_is_explained_until_it_has_come() {
    let mut ledger = house(3);
    ledger.tick(at(100));
    let back = 48 * HOUR;
    ledger.slept_until(at(back));
    assert_eq!(keys(&ledger.tick(at(back))), ["+vault"]);
    let mut told = keys(&ledger.apply_all(look(&[0, 1], back + 10), at(back + 10)));
    for second in (20..3000).step_by(10) {
        let now = back + second;
        let mut events = vec![heard()];
        match second {
            1000 => events.extend(came(0, now)),
            2000 => events.extend(came(1, now)),
            _ => {}
        }
        told.extend(keys(&ledger.apply_all(events, at(now))));
    }
    // One deadline after it was back, the one of which nothing waits pages.
    assert_eq!(told, ["+recovery-point/w2", "-vault"]);
}

#[test]
fn after_the_end_of_a_certificate_what_waits_is_caught_up_like_after_any_silence() {
    let mut ledger = house(2);
    let certified = |until: u64| Event::AgentHeard {
        source: source(),
        certificate: Some(Validity { from: at(0), until: at(until) }),
    };
    ledger.apply(certified(200), at(1));
    let told = keys(&ledger.tick(at(301)));
    assert_eq!(told, ["+certificate/agent/road-1"]);
    assert!(ledger.tick(at(48 * HOUR)).is_empty(), "it explains the silence and what breaks");
    let back = 48 * HOUR;
    let mut events = look(&[0, 1], back);
    events[0] = certified(1000 * HOUR);
    assert!(ledger.apply_all(events, at(back)).is_empty(), "all waits");
    assert!(ledger.apply_all(came(0, back + 900), at(back + 900)).is_empty());
    ledger.apply(heard(), at(back + 1100));
    let changes = ledger.apply_all(came(1, back + 1200), at(back + 1200));
    assert_eq!(keys(&changes), ["-certificate/agent/road-1"]);
}

#[test]
fn a_media_server_in_trouble_explains_what_is_known_to_wait_with_it_and_nothing_else() {
    let mut ledger = house(3);
    let seen = |problem: Option<&str>, holds: &[usize]| Event::MediaSeen {
        media: "eu-1".to_owned(),
        silent_since: None,
        problem: problem.map(str::to_owned),
        holds: Some(holds.iter().map(|number| name(*number)).collect()),
    };
    let mut told = Vec::new();
    let mut second = 100;
    while second < 25 * HOUR {
        let mut events = look(&[0, 1], second);
        if second == HOUR + 100 {
            events.push(seen(Some("its line is down"), &[0]));
        }
        told.extend(keys(&ledger.apply_all(events, at(second))));
        second += 200;
    }
    // w1 waits, but not there; w2 waits nowhere.
    assert_eq!(told, ["+spool/eu-1", "+recovery-point/w1", "+recovery-point/w2"]);
    let broken = ledger.incidents().find(|it| it.folded_into.is_some()).unwrap();
    assert_eq!(broken.cause.workload(), Some(&name(0)));
    // A vault that begins anew has yet to hear what waits there.
    ledger = Ledger::resume(ledger.settings().clone(), ledger.rows(), at(second)).unwrap();
    let mut unheard = seen(Some("its line is down"), &[]);
    if let Event::MediaSeen { holds, .. } = &mut unheard {
        *holds = None;
    }
    assert!(ledger.apply(unheard, at(second)).is_empty());
    // The line is back; what waits there has its time.
    let mut events = look(&[0, 1], second);
    events.push(seen(None, &[0]));
    assert!(ledger.apply_all(events, at(second)).is_empty());
    let end = second + 200;
    assert_eq!(keys(&ledger.apply_all(came(0, end), at(end))), ["-spool/eu-1"]);
}

#[test]
fn ten_thousand_workloads_after_two_days_on_a_narrow_line_are_no_storm_and_nobody_is_forgotten() {
    const COUNT: usize = 10_000;
    // These stopped dropping while nobody could see it.
    let dead: BTreeSet<usize> = (0..COUNT).filter(|number| number % 1000 == 7).collect();
    let living: Vec<usize> = (0..COUNT).filter(|number| !dead.contains(number)).collect();
    let mut ledger = house(COUNT);
    let mut told = keys(&ledger.tick(at(300)));
    told.extend(keys(&ledger.tick(at(24 * HOUR))));
    assert_eq!(told, ["+agent/road-1"]);
    let back = 48 * HOUR;
    let changes = ledger.apply_all(look(&living, back), at(back));
    let dead: BTreeSet<String> =
        dead.iter().map(|number| format!("+recovery-point/w{number}")).collect();
    assert_eq!(pages(&changes).into_iter().collect::<BTreeSet<_>>(), dead, "at once");
    // The line carries 250 in ten minutes: 6 h 40 min.
    let mut told = Vec::new();
    for (round, batch) in living.chunks(250).enumerate() {
        let before = back + 600 * round as u64;
        for step in [200, 400] {
            told.extend(ledger.apply(heard(), at(before + step)));
        }
        let now = before + 600;
        let mut events = vec![heard()];
        events.extend(batch.iter().flat_map(|number| came(*number, now)));
        told.extend(ledger.apply_all(events, at(now)));
        if round == 1 {
            let open = ledger.incidents().next().unwrap();
            let estimate = open.catching_up.unwrap().estimate.unwrap();
            assert_eq!(estimate.since(at(back)).as_secs() / HOUR, 6, "{estimate}");
        }
    }
    assert_eq!(keys(&told), ["-agent/road-1"], "no storm");
    let open: BTreeSet<String> =
        ledger.incidents().map(|incident| format!("+{}", incident.key())).collect();
    assert_eq!(open, dead, "nobody is forgotten");
    // And the next day, all that did not drop again is told, each by itself.
    let next = back + 600 * 40 + 24 * HOUR;
    let mut second = back + 600 * 40;
    let mut told = Vec::new();
    while second < next {
        second += 250;
        told.extend(ledger.apply(heard(), at(second)));
    }
    assert_eq!(pages(&told).len(), living.len());
}
