//! One name, several sources.

use super::*;

fn seen(number: u8, problem: Option<&str>) -> Event {
    let problem = problem.map(str::to_owned);
    Event::ShareSeen { source: source_on(number), usable: problem.is_none(), problem }
}

fn heard_of(number: u8) -> Event {
    Event::AgentHeard { source: source_on(number), certificate: None }
}

#[test]
fn what_is_well_with_one_share_resolves_nothing_of_another() {
    let mut ledger = ledger();
    ledger.apply(seen(1, None), at(0));
    let opened = keys(&ledger.apply(seen(2, Some("not mounted")), at(1)));
    assert_eq!(opened, ["+share/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d02"]);
    for second in (10..100).step_by(10) {
        assert!(ledger.apply(seen(1, None), at(second)).is_empty());
        assert!(ledger.apply(seen(2, Some("not mounted")), at(second)).is_empty());
    }
    let resolved = keys(&ledger.apply(seen(2, None), at(100)));
    assert_eq!(resolved, ["-share/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d02"]);
}

#[test]
fn of_two_agents_of_one_name_the_one_that_falls_silent_is_told() {
    let mut ledger = ledger();
    for (number, workload) in [(1, 0), (2, 1)] {
        ledger.apply(Event::Waiting { workload: name(workload), source: source_on(number) }, at(0));
        ledger.apply(vaulted(name(workload), 0), at(0));
    }
    let mut told = Vec::new();
    for second in (5..150).step_by(5) {
        // What does not say of which share it speaks speaks for none of the two.
        told.extend(keys(&ledger.apply(heard(), at(second))));
        told.extend(keys(&ledger.apply(heard_of(1), at(second))));
        told.extend(keys(&ledger.apply(vaulted(name(0), second), at(second))));
    }
    assert_eq!(told, ["+share/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d02"], "it explains w1");
    let words = ledger.incidents().next().unwrap().cause.to_string();
    assert!(words.contains("a name of its own"), "{words}");
    assert_eq!(
        keys(&ledger.apply(heard_of(2), at(150))),
        ["-share/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d02"]
    );

    // A share that nothing comes from any more is not missed.
    ledger.apply(Event::Waiting { workload: name(1), source: source_on(1) }, at(151));
    ledger.apply(vaulted(name(1), 151), at(151));
    assert_eq!(alive(&mut ledger, 155, 156), [""; 0]);
    for second in (160..240).step_by(5) {
        assert!(ledger.apply(heard_of(1), at(second)).is_empty(), "{second}");
    }
}

#[test]
fn a_ledger_that_knew_agents_by_name_only_learns_their_shares() {
    let old = concat!(
        r#"{"version":1,"now":"2026-09-21T14:15:00Z","last_incident_id":3,"workloads":{"shop-db":"#,
        r#"{"promise":{"rpo":{"secs":90,"nanos":0},"owner":"team-x"},"declared":true,"#,
        r#""known_since":"2026-09-21T14:13:20Z","last_vaulted":"2026-09-21T14:13:20Z","#,
        r#""waiting_since":null,"agent":"road-1","rejected":null,"rejected_before":[]}},"#,
        r#""agents":{"road-1":{"heard":"2026-09-21T14:15:00Z","unheard":{"secs":0,"nanos":0},"#,
        r#""share_problem":"not mounted","share_usable":false,"recovering":null}},"#,
        r#""absence":null,"open":[{"id":3,"cause":{"share-unusable":{"agent":"road-1","#,
        r#""problem":"not mounted"}},"team":"platform","opened":"2026-09-21T14:14:00Z","#,
        r#""folded_into":null,"announced":true}]}"#,
    );
    let document = [Row { part: "document".into(), key: String::new(), state: old.into() }];
    let mut ledger = Ledger::resume(settings(), document, at(100)).unwrap();
    let status = ledger.workloads().next().unwrap();
    assert_eq!(
        (status.promise.rpo().unwrap().as_secs(), status.promise.also()),
        (90, &["team-x".into()][..])
    );
    assert!(ledger.apply(heard(), at(101)).is_empty());
    let resolved = ledger.apply(seen(1, None), at(110));
    assert_eq!(resolved[0].incident().id, 3);
    assert_eq!(keys(&resolved), [SHARE_RESOLVED]);
    assert_eq!(ledger.workloads().next().unwrap().source, Some(source()));
    assert_eq!(ledger.sources().count(), 1);
    // Whoever said it says it no more.
    let event = Event::Declared { workload: shop(), source: source(), declaration: None };
    ledger.apply(event, at(111));
    assert_eq!(ledger.workloads().next().unwrap().promise.rpo(), Some(Duration::from_secs(RPO)));
}

#[test]
fn an_agent_with_endless_shares_does_not_fill_the_ledger() {
    let mut ledger = ledger();
    for number in 0..200 {
        ledger.apply(heard_of(number), at(u64::from(number)));
    }
    assert_eq!(ledger.sources().count(), 17, "sixteen, and one for all others");
}

#[test]
fn each_trouble_that_an_agent_tells_has_the_owner_who_can_end_it() {
    let mut ledger = ledger();
    let hindered = |work: Option<&str>, stray: Option<&str>| Event::Hindered {
        source: source(),
        work: work.map(str::to_owned),
        stray: stray.map(str::to_owned),
    };
    let content = |problem: Option<&str>| Event::Content {
        source: source(),
        workload: shop(),
        problem: problem.map(str::to_owned),
    };
    let owner = |changes: &[Change]| changes[0].incident().owner();
    let changes = ledger.apply(content(Some("workload.toml: rpo: ...")), at(1));
    assert_eq!((keys(&changes), owner(&changes)), (vec!["+content/shop-db".into()], Owner::App));
    let changes = ledger.apply(hindered(None, Some("w/Shop")), at(2));
    assert_eq!(
        (keys(&changes), owner(&changes)),
        (vec!["+stray/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01".into()], Owner::Platform)
    );
    // What keeps drops from the vault explains a promise that breaks while one waits, and gives it
    // one deadline afterwards; a stray directory explains nothing.
    ledger.apply(waiting(shop()), at(3));
    let changes = ledger.apply(hindered(Some("the vault's disk is full"), None), at(4));
    assert_eq!(
        keys(&changes),
        [
            "+work/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01",
            "-stray/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01"
        ]
    );
    assert!(alive(&mut ledger, 5, 200).is_empty());
    // It is over when what it held up has come.
    assert!(ledger.apply(hindered(None, None), at(200)).is_empty());
    assert_eq!(
        keys(&ledger.apply(vaulted(shop(), 210), at(210))),
        ["-work/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01"]
    );
    assert_eq!(keys(&ledger.apply(content(None), at(211))), ["-content/shop-db"]);
    assert_eq!(ledger.incidents().count(), 0);
}

#[test]
fn a_clock_that_is_minutes_off_is_told_once_and_resolves_when_it_is_set() {
    let mut ledger = ledger();
    let seen = |ahead: i64| Event::ClockSeen { source: source(), ahead };
    // Words travel, and clocks drift.
    assert!(ledger.apply(seen(-120), at(1)).is_empty());
    let changes = ledger.apply(seen(600), at(2));
    assert_eq!(keys(&changes), ["+clock/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01"]);
    assert_eq!(changes[0].incident().owner(), Owner::Platform);
    let words = changes[0].incident().cause.to_string();
    assert!(words.contains("10 min ahead of the vault's") && words.contains("NTP"), "{words}");
    assert!(ledger.apply(seen(660), at(3)).is_empty(), "one cause, one page");
    let changes = ledger.apply(seen(3), at(4));
    assert_eq!(keys(&changes), ["-clock/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01"]);
    let changes = ledger.apply(seen(i64::MIN), at(5));
    assert_eq!(changes.len(), 1, "whatever somebody says");
}
