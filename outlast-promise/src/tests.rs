//! The promises of the promises: I2 (no false page) and I3 (no silence), on the
//! stories that broke other people's sleep and, in [`properties`], on random schedules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_types::{DropId, Owner, RejectionCode, ShareId, SnapshotId, Timestamp, WorkloadName};

use super::*;

mod backlog;
mod certificates;
mod classes;
mod deadlines;
mod evidence;
mod handovers;
mod layers;
mod limits;
mod orders;
mod properties;
mod renames;
mod retention;
mod schedules;
mod services;
mod sources;
mod stored;
mod suspects;
mod verifications;
mod words;

const RPO: u64 = 100;
const DEADLINE: u64 = 20;
const SHARE_OPENED: &str = "+share/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01";
const SHARE_RESOLVED: &str = "-share/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01";

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix(1_790_000_000, 0).unwrap().saturating_add(Duration::from_secs(second))
}

fn name(number: usize) -> WorkloadName {
    WorkloadName::new(&format!("w{number}")).unwrap()
}

fn shop() -> WorkloadName {
    WorkloadName::new("shop-db").unwrap()
}

fn drop_id(number: u8) -> DropId {
    format!("01890a5d-ac96-774b-bcce-b302099a80{number:02x}").parse().unwrap()
}

fn settings() -> Settings {
    Settings {
        policy: Promise::new(Duration::from_secs(RPO), "team-shop").unwrap().into(),
        services: BTreeMap::new(),
        agent_deadline: Duration::from_secs(DEADLINE),
        stall: Duration::from_secs(DEADLINE),
        ..Settings::default()
    }
}

/// The same, with what policy says of single workloads.
fn with_policy<S: Into<Said>>(of: impl IntoIterator<Item = (WorkloadName, S)>) -> Settings {
    let mut settings = settings();
    let said = of.into_iter().map(|(name, said)| (name, said.into()));
    settings.policy.workloads = said.collect();
    settings
}

fn ledger() -> Ledger {
    Ledger::new(settings(), 0, at(0))
}

fn vaulted(workload: WorkloadName, second: u64) -> Event {
    Event::Vaulted { workload, at: at(second) }
}

/// What `road-1` says of its share.
fn source() -> Source {
    source_on(1)
}

fn share(number: u8) -> ShareId {
    format!("7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d{number:02x}").parse().unwrap()
}

fn source_on(number: u8) -> Source {
    Source { agent: "road-1".into(), share: Some(share(number)) }
}

fn declared(workload: WorkloadName) -> Event {
    let rpo = Duration::from_secs(RPO);
    let declaration = Declaration::new(Some(rpo), Some("team-shop")).unwrap();
    Event::Declared { workload, source: source(), declaration: Some(declaration) }
}

fn waiting(workload: WorkloadName) -> Event {
    Event::Waiting { workload, source: source() }
}

fn heard() -> Event {
    let source = Source { agent: "road-1".into(), share: None };
    Event::AgentHeard { source, certificate: None }
}

fn ordered(number: u64, order: Order) -> Event {
    Event::Ordered { number, workload: shop(), order }
}

fn rejected(number: u8) -> Event {
    Event::Rejected {
        workload: shop(),
        source: source(),
        drop: drop_id(number),
        code: RejectionCode::WrongHash,
        reason: "segment 0002.seg does not have its hash".into(),
        place: None,
    }
}

/// The agent speaks every ten seconds from `from` until before `until`.
fn alive(ledger: &mut Ledger, from: u64, until: u64) -> Vec<String> {
    let told = (from..until).step_by(10).flat_map(|second| ledger.apply(heard(), at(second)));
    keys(&told.collect::<Vec<_>>())
}

fn keys(changes: &[Change]) -> Vec<String> {
    let sign = |change: &Change| if matches!(change, Change::Opened(_)) { '+' } else { '-' };
    changes.iter().map(|c| format!("{}{}", sign(c), c.incident().key())).collect()
}

#[test]
fn a_workload_goes_through_its_states() {
    let mut ledger = ledger();
    ledger.apply(declared(shop()), at(0));
    let state = |ledger: &Ledger| ledger.workloads().next().unwrap().state;
    assert_eq!(state(&ledger), State::NeverSeen);
    ledger.apply(vaulted(shop(), 10), at(10));
    assert_eq!(state(&ledger), State::Fresh);
    assert_eq!(ledger.next_deadline(), Some(at(110)));
    assert!(ledger.tick(at(104)).is_empty());
    assert_eq!(state(&ledger), State::Late);
    assert!(ledger.tick(at(109)).is_empty(), "late never pages");
    assert_eq!(keys(&ledger.tick(at(110))), ["+recovery-point/shop-db"]);
    assert_eq!(state(&ledger), State::Broken);
    assert!(ledger.tick(at(500)).is_empty(), "one cause, one page");
    assert_eq!(keys(&ledger.apply(vaulted(shop(), 501), at(501))), ["-recovery-point/shop-db"]);
    assert_eq!(ledger.incidents().count(), 0);
}

#[test]
fn a_declared_workload_that_never_drops_breaks_after_its_first_rpo() {
    let mut ledger = ledger();
    assert!(ledger.apply(declared(shop()), at(5)).is_empty());
    assert!(ledger.apply(declared(shop()), at(60)).is_empty(), "saying it again buys no time");
    assert!(ledger.tick(at(104)).is_empty());
    assert_eq!(keys(&ledger.tick(at(105))), ["+recovery-point/shop-db"]);
}

#[test]
fn a_silent_agent_is_one_page_and_what_outlasts_it_is_given_back() {
    let mut ledger = ledger();
    ledger.apply(vaulted(name(0), 0), at(0));
    for workload in 1..=3 {
        ledger.apply(vaulted(name(workload), 1), at(1));
        ledger.apply(waiting(name(workload)), at(1));
        ledger.apply(vaulted(name(workload), 1), at(1));
    }
    assert!(alive(&mut ledger, 10, 70).is_empty());
    assert_eq!(keys(&ledger.tick(at(80))), ["+agent/road-1"]);
    // Nobody ever spoke of w0, so the only agent's silence explains it too.
    assert!(ledger.tick(at(150)).is_empty(), "four broken promises, one cause");
    assert_eq!(ledger.incidents().filter(|i| i.folded_into == Some(1)).count(), 4);

    assert_eq!(keys(&ledger.apply(heard(), at(160))), ["-agent/road-1"]);
    // The backlog gets one deadline to arrive; w1 makes it, and nobody hears that it was broken.
    assert!(ledger.apply(vaulted(name(1), 165), at(165)).is_empty());
    assert!(alive(&mut ledger, 170, 180).is_empty());
    assert_eq!(
        keys(&ledger.tick(at(180))),
        ["+recovery-point/w0", "+recovery-point/w2", "+recovery-point/w3"]
    );
}

#[test]
fn a_media_server_that_is_silent_or_hindered_is_the_platforms_until_it_is_well() {
    let mut ledger = ledger();
    let seen = |silent_since: Option<u64>, problem: Option<&str>| Event::MediaSeen {
        media: "eu-1".to_owned(),
        silent_since: silent_since.map(at),
        problem: problem.map(str::to_owned),
        holds: Some(BTreeSet::new()),
    };
    assert!(ledger.apply(seen(None, None), at(0)).is_empty());
    let full = Some("its spool is full");
    assert_eq!(keys(&ledger.apply(seen(None, full), at(1))), ["+spool/eu-1"]);
    assert!(ledger.apply(seen(None, full), at(2)).is_empty(), "it is told once");
    assert_eq!(keys(&ledger.apply(seen(Some(2), full), at(3))), ["+media/eu-1"]);
    assert_eq!(keys(&ledger.apply(seen(None, None), at(4))), ["-media/eu-1", "-spool/eu-1"]);
    assert!(ledger.apply(seen(None, None), at(5)).is_empty());
}

#[test]
fn an_unusable_share_is_the_platforms_and_explains_its_workloads() {
    let mut ledger = ledger();
    ledger.apply(waiting(shop()), at(0));
    ledger.apply(vaulted(shop(), 1), at(1));
    assert!(alive(&mut ledger, 10, 90).is_empty());
    let seen = |problem: Option<&str>| Event::ShareSeen {
        source: source(),
        problem: problem.map(str::to_owned),
        usable: problem.is_none(),
    };
    let problem = "/mnt/share has no outlast-share.json: is it mounted?";
    assert_eq!(keys(&ledger.apply(seen(Some(problem)), at(90))), [SHARE_OPENED]);
    for second in (100..200).step_by(10) {
        assert!(ledger.apply(seen(Some(problem)), at(second)).is_empty());
    }
    assert_eq!(keys(&ledger.apply(seen(None), at(200))), [SHARE_RESOLVED]);
    assert!(ledger.apply(vaulted(shop(), 210), at(210)).is_empty());
}

#[test]
fn trouble_with_one_thing_on_the_share_does_not_hide_that_a_workload_produced_nothing() {
    let mut ledger = ledger();
    for workload in [0, 1] {
        ledger.apply(waiting(name(workload)), at(0));
        ledger.apply(vaulted(name(workload), 1), at(1));
    }
    let mut told = Vec::new();
    for second in (10..130).step_by(10) {
        let stray = Event::ShareSeen {
            source: source(),
            problem: Some("w/other/drops/README: it is not a directory".into()),
            usable: true,
        };
        // A drop of w1 is there, and does not get through.
        let events = [stray].into_iter().chain((second > 50).then(|| waiting(name(1))));
        told.extend(keys(&ledger.apply_all(events, at(second))));
    }
    assert_eq!(told, [SHARE_OPENED, "+recovery-point/w0"]);
}

#[test]
fn a_share_that_comes_back_with_a_stray_file_on_it_gives_the_backlog_its_time() {
    let mut ledger = ledger();
    ledger.apply(waiting(shop()), at(0));
    ledger.apply(vaulted(shop(), 1), at(1));
    let seen = |problem: &str, usable| Event::ShareSeen {
        source: source(),
        problem: Some(problem.to_owned()),
        usable,
    };
    let mut told = Vec::new();
    for second in (10..200).step_by(10) {
        let gone = second < 150;
        let event = seen(if gone { "not mounted" } else { "a stray file" }, !gone);
        told.push((second, keys(&ledger.apply(event, at(second)))));
    }
    told.retain(|(_, keys)| !keys.is_empty());
    let expected = [(10, SHARE_OPENED), (170, "+recovery-point/shop-db")];
    assert_eq!(told, expected.map(|(second, key)| (second, vec![key.to_owned()])));
}

#[test]
fn a_rejected_drop_pages_once_and_explains_the_missing_recovery_point() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    assert_eq!(keys(&ledger.apply(rejected(1), at(50))), ["+rejected-drop/shop-db"]);
    for second in (60..150).step_by(10) {
        assert!(
            ledger.apply(rejected(1), at(second)).is_empty(),
            "told again is not happened again"
        );
    }
    assert_eq!(keys(&ledger.apply(vaulted(shop(), 150), at(150))), ["-rejected-drop/shop-db"]);
    assert!(
        ledger.apply(rejected(1), at(151)).is_empty(),
        "it is still in quarantine, and old news"
    );
    assert_eq!(keys(&ledger.apply(rejected(2), at(152))), ["+rejected-drop/shop-db"]);
}

#[test]
fn a_missing_repository_pages_once_explains_what_it_breaks_and_resolves_when_it_is_back() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    let looked = |missing: Option<&str>| Event::Repository {
        workload: shop(),
        missing: missing.map(str::to_owned),
    };
    assert!(ledger.apply(looked(None), at(5)).is_empty());
    let opened = ledger.apply(looked(Some("its config is gone")), at(10));
    assert_eq!(keys(&opened), ["+repository/shop-db"]);
    assert_eq!(opened[0].incident().owner(), Owner::Platform);
    assert_eq!(ledger.workloads().next().unwrap().state, State::Broken, "nothing can be had");
    // Its promise breaks meanwhile, and for the same cause.
    for second in (20..200).step_by(10) {
        assert!(ledger.apply(looked(Some("its config is gone")), at(second)).is_empty());
    }
    assert_eq!(keys(&ledger.apply(looked(None), at(200))), ["-repository/shop-db"]);
    // What waits has one deadline to arrive.
    assert!(ledger.tick(at(219)).is_empty());
    assert_eq!(keys(&ledger.tick(at(220))), ["+recovery-point/shop-db"]);
    ledger.apply(vaulted(shop(), 221), at(221));
    ledger.apply(looked(Some("nothing of it is there")), at(230));
    let order = Order::Recreate { at: at(240) };
    let changes = ledger.apply(ordered(1, order), at(240));
    assert_eq!(keys(&changes), ["-repository/shop-db"]);
    assert_eq!(ledger.workloads().next().unwrap().state, State::NeverSeen);
    assert!(ledger.tick(at(339)).is_empty(), "it has an RPO to drop again");
    assert_eq!(keys(&ledger.tick(at(340))), ["+recovery-point/shop-db"]);
}

#[test]
fn what_an_agent_says_of_a_missing_repository_is_no_second_page() {
    let mut ledger = ledger();
    ledger.apply(waiting(shop()), at(0));
    ledger.apply(vaulted(shop(), 1), at(1));
    let looked = |missing: Option<&str>| Event::Repository {
        workload: shop(),
        missing: missing.map(str::to_owned),
    };
    let seen = |problem: Option<&str>| Event::ShareSeen {
        source: source(),
        problem: problem.map(str::to_owned),
        usable: true,
    };
    assert_eq!(keys(&ledger.apply(looked(Some("gone")), at(10))), ["+repository/shop-db"]);
    for second in (15..60).step_by(5) {
        assert!(ledger.apply(seen(Some("the vault cannot now")), at(second)).is_empty());
    }
    assert_eq!(keys(&ledger.apply(looked(None), at(60))), ["-repository/shop-db"]);
    assert!(ledger.apply(seen(None), at(61)).is_empty(), "nobody was told, nobody need be");
    for second in (65..90).step_by(5) {
        assert!(ledger.apply(seen(None), at(second)).is_empty());
    }
    assert_eq!(keys(&ledger.apply(seen(Some("a stray file")), at(90))), [SHARE_OPENED]);
}

#[test]
fn a_drop_that_waits_on_the_share_makes_it_the_platforms_incident() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    ledger.apply(waiting(shop()), at(90));
    let changes = ledger.apply(heard(), at(100));
    assert_eq!(changes[0].incident().owner(), Owner::Platform);
    assert_eq!(keys(&changes), ["+recovery-point/shop-db"]);
}

#[test]
fn a_vault_that_was_down_blames_neither_agents_nor_teams() {
    let mut ledger = ledger();
    ledger.apply(waiting(shop()), at(0));
    ledger.apply(vaulted(shop(), 1), at(1));
    ledger.apply(heard(), at(15));
    let mut ledger = Ledger::resume(settings(), ledger.rows(), at(150)).unwrap();
    assert_eq!(keys(&ledger.tick(at(150))), ["+vault"]);
    assert!(ledger.tick(at(154)).is_empty(), "the agent has its deadline to speak");
    ledger.apply(heard(), at(155));
    assert_eq!(keys(&ledger.apply(vaulted(shop(), 160), at(160))), ["-vault"]);

    let mut late = Ledger::resume(settings(), ledger.rows(), at(300)).unwrap();
    assert_eq!(keys(&late.tick(at(300))), ["+vault"]);
    late.apply(heard(), at(310));
    assert_eq!(keys(&late.tick(at(320))), ["-vault", "+recovery-point/shop-db"]);
}

#[test]
fn a_vault_whose_host_slept_blames_neither_agents_nor_teams() {
    let mut ledger = ledger();
    ledger.apply(heard(), at(0));
    ledger.apply(vaulted(shop(), 1), at(1));
    ledger.slept_until(at(150));
    assert_eq!(keys(&ledger.tick(at(150))), ["+vault"]);
    assert!(ledger.tick(at(154)).is_empty(), "the agent has its deadline to speak");
    // Awake and still nothing: now it is silent.
    assert!(keys(&ledger.tick(at(170))).contains(&"+agent/road-1".to_owned()));
}

#[test]
fn a_vault_that_restarts_for_ever_still_notices_a_silent_agent() {
    let mut ledger = ledger();
    ledger.apply(heard(), at(0));
    let mut told = Vec::new();
    // Five seconds up, two down, again and again.
    for round in 0..6 {
        let now = round * 7;
        ledger = Ledger::resume(settings(), ledger.rows(), at(now)).unwrap();
        told.extend(keys(&ledger.tick(at(now + 5))));
    }
    assert_eq!(told, ["+agent/road-1"]);
}

#[test]
fn a_restart_tells_nobody_again() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    assert_eq!(ledger.tick(at(100)).len(), 1);
    let mut again = Ledger::resume(settings(), ledger.rows(), at(101)).unwrap();
    assert!(again.tick(at(101)).is_empty());
    assert_eq!(keys(&again.apply(vaulted(shop(), 102), at(102))), ["-recovery-point/shop-db"]);
}

#[test]
fn a_clock_that_is_set_back_neither_opens_nor_resolves_nor_delays() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 1000), at(1000));
    assert!(ledger.tick(at(1060)).is_empty());
    // An hour back: 60 s of the 100 s have passed all the same.
    let hour = 3600;
    let back = |second: u64| {
        at(0).saturating_add(Duration::from_secs(second)).saturating_sub(Duration::from_secs(hour))
    };
    assert!(ledger.tick(back(1060)).is_empty());
    assert!(ledger.tick(back(1099)).is_empty());
    assert_eq!(keys(&ledger.tick(back(1100))), ["+recovery-point/shop-db"]);
    assert!(ledger.tick(Timestamp::EPOCH).is_empty());
    let now = Timestamp::EPOCH.saturating_add(Duration::from_secs(1));
    let changes = ledger.apply(Event::Vaulted { workload: shop(), at: at(5000) }, now);
    assert_eq!(keys(&changes), ["-recovery-point/shop-db"]);
    assert_eq!(ledger.workloads().next().unwrap().last_vaulted, Some(now), "never in the future");
}

#[test]
fn pages_say_what_happened_and_what_to_do() {
    let check = |cause: Cause, expected: &str| assert_eq!(cause.to_string(), expected);
    let rpo = Duration::from_secs(26 * 3600);
    check(
        Cause::NothingDropped {
            workload: shop(),
            promised: Promised::Rpo(rpo),
            last_vaulted: Some(at(0)),
            known_since: at(0),
            said: None,
            safe: Safe::Vaulted,
        },
        "shop-db missed its recovery point: nothing newer than 2026-09-21T14:13:20Z is vaulted, \
         and 26 h are promised; check that its instances still write and seal drops",
    );
    check(
        Cause::NothingDropped {
            workload: shop(),
            promised: Promised::Rpo(rpo),
            last_vaulted: None,
            known_since: at(0),
            said: None,
            safe: Safe::Vaulted,
        },
        "shop-db missed its recovery point: nothing was vaulted since it became known at \
         2026-09-21T14:13:20Z, and 26 h are promised; check that its instances mount the share \
         and drop",
    );
    check(
        Cause::NotVaulted {
            workload: shop(),
            promised: Promised::Rpo(rpo),
            waiting_since: at(0),
            safe: Safe::Vaulted,
        },
        "shop-db missed its recovery point of 26 h: a sealed drop waits on the share since \
         2026-09-21T14:13:20Z but is not vaulted; check the agent's log and its way to the vault",
    );
    check(
        Cause::AgentSilent {
            agent: "road-1".into(),
            last_heard: at(0),
            deadline: Duration::from_secs(300),
        },
        "agent road-1 is silent: nothing was heard of it since 2026-09-21T14:13:20Z, and it \
         reports at least every 5 min; check its host and its way to the vault",
    );
    let mut ledger = ledger();
    let opened = ledger.apply(rejected(1), at(0));
    assert_eq!(
        opened[0].to_string(),
        "incident 1 for team-shop (app): drop 01890a5d-ac96-774b-bcce-b302099a8001 of shop-db was \
         rejected: segment 0002.seg does not have its hash; it is kept in quarantine on the \
         share, and the next good drop resolves this"
    );
    let resolved = ledger.apply(vaulted(shop(), 61), at(61));
    assert_eq!(
        resolved.iter().find(|change| change.incident().id == 1).unwrap().to_string(),
        "incident 1 resolved after 1 min 1 s: rejected-drop/shop-db"
    );
}
