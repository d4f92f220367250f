//! Classes in a ledger: what holds, when pages wait, and how a workload is told of.

use outlast_civil::Zone;

use super::*;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn berlin() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

/// A ledger of which the shop is kept by a class.
fn kept_by(class: Part, now: Timestamp) -> Ledger {
    let mut settings = with_policy([(shop(), Said { class: None, part: class })]);
    settings.policy.default.part.rpo = Some(Duration::from_secs(86_400));
    // Whether an agent speaks is not what is asked here.
    settings.agent_deadline = Duration::from_secs(7 * 86_400);
    Ledger::new(settings, 0, now)
}

fn dropped(ledger: &mut Ledger, moment: &str) -> Vec<String> {
    keys(&ledger.apply(Event::Vaulted { workload: shop(), at: time(moment) }, time(moment)))
}

#[test]
fn a_page_waits_for_a_window_to_end_and_is_told_at_once_then() {
    let maintenance = Some(vec!["2026-11-26 02:00-06:00 patch day".parse().unwrap()]);
    let mut ledger = kept_by(Part { maintenance, ..Part::default() }, time("2026-11-25T00:00:00Z"));
    assert_eq!(dropped(&mut ledger, "2026-11-25T03:00:00Z"), [""; 0]);
    assert_eq!(keys(&ledger.tick(time("2026-11-26T02:59:59Z"))), [""; 0]);
    // It is broken, and an incident is open; nobody is paged.
    assert_eq!(keys(&ledger.tick(time("2026-11-26T03:00:00Z"))), [""; 0]);
    let status = ledger.workload(&shop()).unwrap();
    assert_eq!(status.state, State::Broken);
    let quiet = status.quiet.clone().unwrap();
    assert_eq!((quiet.until, quiet.why.as_str()), (time("2026-11-26T06:00:00Z"), "patch day"));
    assert_eq!(ledger.incidents().next().unwrap().waits, status.quiet);
    let told = status.sentence(time("2026-11-26T03:00:00Z"));
    assert_eq!(
        told,
        "shop-db is broken: last vaulted drop received 24 h ago, promise 24 h; pages wait until \
         2026-11-26 06:00 UTC (patch day)"
    );
    // A restart forgets nothing of it.
    let mut again =
        Ledger::resume(ledger.settings().clone(), ledger.rows(), time("2026-11-26T04:00:00Z"))
            .unwrap();
    assert_eq!(again.incidents().next().unwrap().waits, status.quiet);
    for ledger in [&mut ledger, &mut again] {
        assert_eq!(
            ledger.next_deadline().unwrap().min(time("2026-11-26T06:00:00Z")),
            ledger.next_deadline().unwrap()
        );
        assert_eq!(keys(&ledger.tick(time("2026-11-26T05:59:59Z"))), [""; 0]);
        assert_eq!(keys(&ledger.tick(time("2026-11-26T06:00:00Z"))), ["+recovery-point/shop-db"]);
        assert_eq!(ledger.incidents().next().unwrap().waits, None);
    }
    // What was told is not taken back by the next window, and resolves in it.
    assert_eq!(dropped(&mut ledger, "2026-11-26T07:00:00Z"), ["-recovery-point/shop-db"]);
}

#[test]
fn what_ends_before_its_window_does_is_nobodys_page() {
    let maintenance = Some(vec!["2026-11-26 02:00-06:00 patch day".parse().unwrap()]);
    let mut ledger = kept_by(Part { maintenance, ..Part::default() }, time("2026-11-25T00:00:00Z"));
    dropped(&mut ledger, "2026-11-25T03:00:00Z");
    ledger.tick(time("2026-11-26T03:00:00Z"));
    // A rejected drop waits with it.
    let mut refused = rejected(1);
    if let Event::Rejected { source, .. } = &mut refused {
        *source = self::source();
    }
    assert_eq!(keys(&ledger.apply(refused, time("2026-11-26T03:30:00Z"))), [""; 0]);
    assert_eq!(ledger.incidents().count(), 2);
    assert_eq!(dropped(&mut ledger, "2026-11-26T05:00:00Z"), [""; 0]);
    assert_eq!(ledger.incidents().count(), 0);
}

#[test]
fn a_schedule_breaks_at_its_deadline_and_says_by_when_it_was_promised() {
    let part = Part {
        schedule: Some("0 2 * * *".parse().unwrap()),
        deadline: Some(Duration::from_secs(4 * 3600)),
        zone: Some(berlin()),
        ..Part::default()
    };
    let mut ledger = kept_by(part, time("2026-11-24T00:00:00Z"));
    dropped(&mut ledger, "2026-11-25T01:10:00Z");
    let state = |ledger: &mut Ledger, moment: &str| {
        let told = keys(&ledger.tick(time(moment)));
        (ledger.workload(&shop()).unwrap().state, told)
    };
    assert_eq!(state(&mut ledger, "2026-11-26T03:59:59Z"), (State::Fresh, vec![]));
    assert_eq!(state(&mut ledger, "2026-11-26T04:00:00Z"), (State::Late, vec![]));
    assert_eq!(state(&mut ledger, "2026-11-26T04:59:59Z").0, State::Late);
    let (broken, told) = state(&mut ledger, "2026-11-26T05:00:00Z");
    assert_eq!((broken, told), (State::Broken, vec!["+recovery-point/shop-db".to_owned()]));
    let cause = ledger.incidents().next().unwrap().cause.to_string();
    assert!(
        cause.contains(
            "one was promised by 2026-11-26 06:00 Europe/Berlin, after the schedule 0 2 * * *"
        ),
        "{cause}"
    );
    // What says so is stored, and read again.
    let again = Ledger::resume(ledger.settings().clone(), ledger.rows(), ledger.now()).unwrap();
    assert_eq!(again.incidents().next().unwrap().cause.to_string(), cause);
    let told = ledger.workload(&shop()).unwrap().sentence(time("2026-11-26T05:00:00Z"));
    assert!(
        told.starts_with("shop-db is broken: last vaulted drop received 27 h 50 min ago"),
        "{told}"
    );
    // A share may ask for less than a schedule gives, too.
    let declaration = Some(Declaration::new(Some(Duration::from_secs(3600)), None).unwrap());
    let event = Event::Declared { workload: shop(), source: source(), declaration };
    ledger.apply(event, time("2026-11-26T05:00:00Z"));
    dropped(&mut ledger, "2026-11-26T05:30:00Z");
    let status = ledger.workload(&shop()).unwrap();
    assert_eq!(status.due, time("2026-11-26T06:30:00Z"));
    assert_eq!(status.rpo_from, Origin::Share(share(1)));
}

#[test]
fn patterns_classes_and_single_workloads_say_what_holds_the_nearest_first() {
    let daily: ClassName = "daily".parse().unwrap();
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
    let part =
        |rpo, owner: Option<&str>| Part { rpo, owner: owner.map(str::to_owned), ..Part::default() };
    let said = |class: Option<&ClassName>, part| Said { class: class.cloned(), part };
    let policy = Policy {
        default: said(None, part(hours(48), Some("ops"))),
        classes: [(daily.clone(), part(hours(26), Some("dba")))].into(),
        workloads: [(shop(), said(None, part(None, Some("team-shop"))))].into(),
        patterns: vec![
            ("shop-*".parse().unwrap(), said(Some(&daily), Part::default())),
            ("*-web".parse().unwrap(), said(None, part(hours(12), None))),
        ],
    };
    assert_eq!(policy.judge(), []);
    let name = |name: &str| WorkloadName::new(name).unwrap();
    let mut ledger = Ledger::new(Settings { policy, ..settings() }, 0, at(0));
    for workload in [name("shop-db"), name("shop-web"), name("crm")] {
        ledger.apply(vaulted(workload, 0), at(0));
    }
    let holds = |ledger: &Ledger, of: &str| {
        let status = ledger.workload(&name(of)).unwrap();
        let hours = status.promise.rpo().unwrap().as_secs() / 3600;
        let class = status.promise.class().name.as_ref().map(ToString::to_string);
        let from = (status.rpo_from.to_string(), status.owner_from.to_string());
        (hours, status.promise.owner().to_owned(), class, from)
    };
    let from = |rpo: &str, owner: &str| (rpo.to_owned(), owner.to_owned());
    let class = || Some("daily".to_owned());
    assert_eq!(
        holds(&ledger, "shop-db"),
        (26, "team-shop".into(), class(), from("class daily", "policy"))
    );
    assert_eq!(
        holds(&ledger, "shop-web"),
        (12, "dba".into(), class(), from("policy for *-web", "class daily"))
    );
    assert_eq!(holds(&ledger, "crm"), (48, "ops".into(), None, from("default", "default")));
    // Policy names others, and nobody this one.
    assert_eq!(ledger.workload(&name("crm")).unwrap().state, State::Undeclared);
    assert_eq!(ledger.workload(&name("shop-web")).unwrap().state, State::Fresh);
    let told = ledger.workload(&name("crm")).unwrap();
    assert_eq!(
        told.sentence(at(60)),
        "crm is undeclared: last vaulted drop received 1 min ago, and nobody has declared it, so it is \
         kept by the default: 2 d"
    );
    assert!(told.next_step().unwrap().contains("[workloads.crm]"));
    // It is paged for as any other, and declared by a word of its team.
    let broken = at(48 * 3600);
    assert!(keys(&ledger.tick(broken)).contains(&"+recovery-point/crm".to_owned()));
    assert_eq!(ledger.workload(&name("crm")).unwrap().state, State::Broken);
    let declaration = Some(Declaration::new(None, Some("crm-team")).unwrap());
    let crm = name("crm");
    ledger.apply(Event::Declared { workload: crm.clone(), source: source(), declaration }, broken);
    ledger.apply(Event::Vaulted { workload: crm.clone(), at: broken }, broken);
    assert_eq!(ledger.workload(&crm).unwrap().state, State::Fresh);
}

#[test]
fn a_flaw_is_told_with_its_section_and_key() {
    let daily: ClassName = "daily".parse().unwrap();
    let never = Part { schedule: Some("0 0 31 apr *".parse().unwrap()), ..Part::default() };
    let policy = Policy {
        classes: [(daily.clone(), never)].into(),
        workloads: [(shop(), Said { class: Some("weekly".parse().unwrap()), ..Said::default() })]
            .into(),
        ..Policy::default()
    };
    let flaws = policy.judge();
    let told: Vec<_> =
        flaws.iter().map(|it| format!("{}.{}: {}", it.section, it.key, it.words)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("classes.daily.schedule: 0 0 31 apr * never fires"), "{told:?}");
    assert!(told[1].starts_with("workloads.shop-db.class: there is no class weekly"), "{told:?}");
    for name in ["", "Daily", "a b", &"x".repeat(65)] {
        assert!(name.parse::<ClassName>().is_err(), "{name}");
    }
}

#[test]
fn policy_is_taken_over_at_work_and_counts_at_once() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    // A tighter one breaks at once, a looser one mends at once.
    let tighter = Settings {
        policy: Promise::new(Duration::from_secs(50), "ops").unwrap().into(),
        ..settings()
    };
    assert_eq!(keys(&ledger.adopt(tighter, at(60))), ["+recovery-point/shop-db"]);
    assert_eq!(keys(&ledger.adopt(settings(), at(61))), ["-recovery-point/shop-db"]);
    // What it names is expected from now on, and what it names no more is forgotten.
    let declaration = Declaration::new(Some(Duration::from_secs(10)), None).unwrap();
    ledger.adopt(with_policy([(name(1), declaration)]), at(62));
    assert_eq!(ledger.workload(&name(1)).unwrap().state, State::NeverSeen);
    assert_eq!(keys(&ledger.tick(at(72))), ["+recovery-point/w1"]);
    assert_eq!(keys(&ledger.adopt(settings(), at(73))), ["-recovery-point/w1"]);
    assert_eq!(ledger.workload(&name(1)), None);
    // It can be taken back as any other change, and the rest is as it was.
    assert_eq!(ledger.clone().reconcile(), vec![]);
}

#[test]
fn a_release_under_way_gets_as_much_time_as_the_last_ones_took_and_policy_allows() {
    let part = Part { deploy_grace: Some(Duration::from_secs(40)), ..Part::default() };
    let mut settings = with_policy([(shop(), Said { class: None, part })]);
    settings.policy.default.part.rpo = Some(Duration::from_secs(RPO));
    let mut ledger = Ledger::new(settings, 0, at(0));
    let drop = |ledger: &mut Ledger, second, release: &str, is_last| {
        let told = Event::Released {
            workload: shop(),
            at: at(second),
            release: Some(release.into()),
            is_last,
        };
        keys(&ledger.apply_all([told, vaulted(shop(), second)], at(second)))
    };
    assert_eq!(drop(&mut ledger, 0, "1", true), [""; 0]);
    // Nothing was learnt yet: all that policy allows.
    assert_eq!(keys(&ledger.tick(at(RPO + 16))), [""; 0]);
    assert_eq!(ledger.workload(&shop()).unwrap().state, State::Broken, "the miss is known");
    assert_eq!(drop(&mut ledger, RPO + 16, "2", false), [""; 0]);
    // No release is under way.
    let second = 2 * RPO + 16;
    assert_eq!(keys(&ledger.tick(at(second))), ["+recovery-point/shop-db"]);
    drop(&mut ledger, second + 10, "2", true);
    // The last one took 16 s; it may take a quarter more.
    let second = second + 10 + RPO;
    assert_eq!(keys(&ledger.tick(at(second + 19))), [""; 0]);
    assert_eq!(keys(&ledger.tick(at(second + 20))), ["+recovery-point/shop-db"]);
    // Who releases may say so; it need not be a drop.
    drop(&mut ledger, second + 30, "3", false);
    let says = |until| Event::Deploying { workload: shop(), at: at(second + 40), until };
    ledger.apply(says(None), at(second + 40));
    assert_eq!(keys(&ledger.tick(at(second + 30 + RPO))), [""; 0]);
    // And when it is over at the latest.
    ledger.apply(says(Some(at(second + 35 + RPO))), at(second + 31 + RPO));
    assert_eq!(keys(&ledger.tick(at(second + 34 + RPO))), [""; 0]);
    assert_eq!(keys(&ledger.tick(at(second + 35 + RPO))), ["+recovery-point/shop-db"]);
}

#[test]
fn a_drop_that_is_rejected_in_a_release_does_not_wait_for_it() {
    let part = Part { deploy_grace: Some(Duration::from_secs(40)), ..Part::default() };
    let mut settings = with_policy([(shop(), Said { class: None, part })]);
    settings.policy.default.part.rpo = Some(Duration::from_secs(RPO));
    let mut ledger = Ledger::new(settings, 0, at(0));
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.apply(Event::Deploying { workload: shop(), at: at(1), until: None }, at(1));
    assert_eq!(keys(&ledger.tick(at(RPO))), [""; 0], "its first drop gets its time");
    let changes = ledger.apply(rejected(1), at(RPO + 1));
    assert_eq!(keys(&changes), ["+rejected-drop/shop-db"]);
}

#[test]
fn a_writer_that_stopped_is_told_when_the_promise_breaks_and_pages_nobody() {
    let mut ledger = Ledger::new(
        Settings {
            policy: Promise::new(Duration::from_secs(86_400), "team-shop").unwrap().into(),
            ..settings()
        },
        0,
        at(0),
    );
    let stopped = Stopped { instance: "i-0abc".into(), at: at(86_400), percent: Some(43) };
    let event = Event::Stopped { workload: shop(), source: source(), stopped };
    assert_eq!(keys(&ledger.apply(event.clone(), at(1))), [""; 0]);
    assert_eq!(ledger.workload(&shop()), None, "nobody need have meant a workload");
    ledger.apply(vaulted(shop(), 0), at(2));
    assert_eq!(keys(&ledger.apply(event, at(86_401))), ["+recovery-point/shop-db"]);
    let status = ledger.workload(&shop()).unwrap();
    assert_eq!(
        status.sentence(at(94_200)),
        "shop-db is broken: last vaulted drop received 26 h 10 min ago, promise 24 h; instance i-0abc \
         stopped at 43% at 2026-09-22 14:13 UTC"
    );
    assert!(status.next_step().unwrap().contains("i-0abc"));
    ledger.apply(vaulted(shop(), 94_300), at(94_300));
    assert_eq!(ledger.workload(&shop()).unwrap().stopped, None);
}

#[test]
fn each_state_is_one_sentence_with_human_times() {
    let mut ledger = ledger();
    let told = |ledger: &Ledger, second| ledger.workload(&shop()).unwrap().sentence(at(second));
    ledger.apply(declared(shop()), at(0));
    assert_eq!(
        told(&ledger, 10),
        "shop-db was never seen: nothing was vaulted since it became known 10 s ago, promise 1 min 40 s, \
         the next is due in 1 min 30 s"
    );
    assert!(ledger.workload(&shop()).unwrap().next_step().unwrap().contains("mounts the share"));
    ledger.apply(vaulted(shop(), 20), at(20));
    assert_eq!(
        told(&ledger, 30),
        "shop-db is fresh: last vaulted drop received 10 s ago, promise 1 min 40 s, the next is due in \
         1 min 30 s"
    );
    assert_eq!(ledger.workload(&shop()).unwrap().next_step(), None);
    ledger.apply(ordered(1, Order::Pause { until: at(500) }), at(40));
    assert_eq!(
        told(&ledger, 50),
        "shop-db is paused: its promise does not count until 2026-09-21 14:21 UTC, last vaulted drop \
         received 30 s ago"
    );
    ledger.apply(ordered(2, Order::Retire { at: at(60), until: at(160) }), at(60));
    assert!(told(&ledger, 70).starts_with("shop-db is retiring: drops that were under way"));
    ledger.tick(at(160));
    assert!(
        told(&ledger, 160).starts_with("shop-db is retired: it drops no more since 1 min 40 s")
    );
    let mut ledger = self::ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.apply(waiting(shop()), at(50));
    ledger.tick(at(100));
    assert_eq!(
        told(&ledger, 110),
        "shop-db is broken: last vaulted drop received 1 min 50 s ago, promise 1 min 40 s; a sealed drop \
         waits on its share for 1 min"
    );
}
