//! What is shown: every cause as data and as a sentence, every state and status.

use super::*;

/// One of each cause, with its code, its key, who owns it, and a part of its sentence.
pub(super) type Told = (Cause, &'static str, &'static str, Owner, &'static str);

fn text() -> String {
    "it is odd".to_owned()
}

fn agent() -> String {
    "road-1".to_owned()
}

pub(super) const DAY: Duration = Duration::from_secs(86_400);

fn of_suspects() -> Vec<Told> {
    vec![(
        Cause::OnlySuspect {
            workload: shop(),
            promised: Promised::Rpo(DAY),
            drop: drop_id(1),
            received: at(0),
            why: text(),
        },
        "only-suspect",
        "recovery-point/shop-db",
        Owner::App,
        "looks like no backup",
    )]
}

fn of_verification() -> Vec<Told> {
    use Owner::{App, Platform};
    let snapshot = SnapshotId([7; 32]);
    let damage = Damage {
        found: at(0),
        what: text(),
        count: 3,
        snapshots: vec![(snapshot, at(1))],
        touched: 2,
        whole: 4,
        newest_whole: Some((snapshot, at(2))),
    };
    vec![
        (
            Cause::DataDamaged { workload: shop(), damage },
            "data-damaged",
            "damaged-data/shop-db",
            Platform,
            "it is odd and 2 more; 2 snapshots cannot be restored whole: 07070707 of \
             2026-09-21T14:13:21Z and 1 more; 4 can, the newest of them 07070707",
        ),
        (
            Cause::NotScrubbed {
                workload: shop(),
                unread: Unread { period: DAY, since: at(0), why: Some(text()) },
            },
            "not-scrubbed",
            "scrub/shop-db",
            Platform,
            "what keeps the vault from it: it is odd",
        ),
        (
            Cause::DrillFailed {
                workload: shop(),
                at: at(0),
                snapshot,
                phase: "load".to_owned(),
                why: text(),
                owner: App,
            },
            "drill-failed",
            "drill/shop-db",
            App,
            "in the phase load: it is odd",
        ),
        (
            Cause::DrillOverdue { workload: shop(), every: DAY, last: None, why: Some(text()) },
            "drill-overdue",
            "drill/shop-db",
            Platform,
            "none was good so far; what is missing: it is odd",
        ),
    ]
}

/// What is missing when a recovery point is.
fn of_points() -> Vec<Told> {
    use Owner::{App, Platform};
    vec![
        (
            Cause::NothingDropped {
                workload: shop(),
                promised: Promised::Rpo(DAY),
                last_vaulted: None,
                known_since: at(0),
                said: None,
                safe: Safe::Vaulted,
            },
            "nothing-dropped",
            "recovery-point/shop-db",
            App,
            "nothing was vaulted since",
        ),
        (
            Cause::NotVaulted {
                workload: shop(),
                promised: Promised::Rpo(DAY),
                waiting_since: at(0),
                safe: Safe::Vaulted,
            },
            "not-vaulted",
            "recovery-point/shop-db",
            Platform,
            "a sealed drop waits",
        ),
    ]
}

fn of_workloads() -> Vec<Told> {
    use Owner::{App, Platform};
    vec![
        (
            Cause::DropRejected {
                workload: shop(),
                drop: drop_id(1),
                code: RejectionCode::WrongHash,
                reason: text(),
            },
            "drop-rejected",
            "rejected-drop/shop-db",
            App,
            "was rejected: it is odd; it is kept in quarantine",
        ),
        (
            Cause::RetiredDropped { workload: shop(), retired: at(0), dropped: at(1) },
            "retired-dropped",
            "retired/shop-db",
            App,
            "was retired at 2026-09-21T14:13:20Z, and a drop of it was vaulted",
        ),
        (
            Cause::ContentUnusable { workload: shop(), problem: text() },
            "content-unusable",
            "content/shop-db",
            App,
            "what shop-db has on the share cannot be used: it is odd",
        ),
        (
            Cause::RepositoryMissing { workload: shop(), what: text() },
            "repository-missing",
            "repository/shop-db",
            Platform,
            "the vault's repository of shop-db is not whole: it is odd",
        ),
        (
            Cause::DropContested {
                workload: shop(),
                agent: agent(),
                drop: drop_id(1),
                difference: text(),
            },
            "drop-contested",
            "contested-drop/shop-db",
            Platform,
            "agent road-1 handed in a bill for drop",
        ),
    ]
}

fn of_sources() -> Vec<Told> {
    use Owner::Platform;
    let share = Some(share(1));
    vec![
        (
            Cause::AgentSilent { agent: agent(), last_heard: at(0), deadline: DAY },
            "agent-silent",
            "agent/road-1",
            Platform,
            "agent road-1 is silent",
        ),
        (
            Cause::ShareSilent { source: source(), last_heard: at(0), deadline: DAY },
            "share-silent",
            "share/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01",
            Platform,
            "agent road-1 says nothing of share 7c6f0b6e",
        ),
        (
            Cause::ShareUnusable { agent: agent(), share, problem: text() },
            "share-unusable",
            "share/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01",
            Platform,
            "agent road-1 cannot use its share: it is odd",
        ),
        (
            Cause::AgentHindered { agent: agent(), share, problem: text() },
            "agent-hindered",
            "work/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01",
            Platform,
            "agent road-1 does not get drops into the vault: it is odd",
        ),
        (
            Cause::StrayOnShare { agent: agent(), share, problem: text() },
            "stray-on-share",
            "stray/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01",
            Platform,
            "on the share of agent road-1 lies what nobody backs up: it is odd",
        ),
        (
            Cause::OverLimit {
                agent: agent(),
                excess: Excess { limit: Limit::Received, allowed: 1 << 40, workload: None },
            },
            "over-limit",
            "limits/road-1",
            Platform,
            "agent road-1 wants more than policy allows it, which is 1.00 TiB a day; what is",
        ),
        (
            Cause::NeverVaulted { agent: agent(), count: 21 },
            "never-vaulted",
            "never-vaulted/road-1",
            Platform,
            "agent road-1 speaks of 21 workloads of which nothing was ever vaulted",
        ),
        (
            Cause::ClockOff { agent: agent(), share, minutes: -2880 },
            "clock-off",
            "clock/road-1/7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01",
            Platform,
            "the clock of agent road-1's host is 2 d behind the vault's",
        ),
    ]
}

fn of_forgetting() -> Vec<Told> {
    use Owner::Platform;
    vec![(
        Cause::ForgettingStopped { problem: "its clock is 40 d ahead".into() },
        "forgetting-stopped",
        "forgetting",
        Platform,
        "the vault forgets no snapshots meanwhile: its clock is 40 d ahead; nothing is lost by that",
    )]
}

fn of_the_vault() -> Vec<Told> {
    use Owner::Platform;
    let lost = LostDrop { workload: shop(), drop: drop_id(1), received: at(0) };
    vec![
        (
            Cause::CertificateEnds { holder: "agent road-1".into(), until: at(0) },
            "certificate-ends",
            "certificate/agent/road-1",
            Platform,
            "the certificate of agent road-1 is valid until 2026-09-21T14:13:20Z only",
        ),
        (
            Cause::CertificateEarly { holder: "vault hq".into(), from: at(0) },
            "certificate-early",
            "certificate/vault/hq",
            Platform,
            "the certificate of vault hq is valid from 2026-09-21T14:13:20Z only",
        ),
        (
            Cause::VaultAbsent { from: at(0), until: at(1) },
            "vault-absent",
            "vault",
            Platform,
            "the vault was down from 2026-09-21T14:13:20Z until 2026-09-21T14:13:21Z",
        ),
        (
            Cause::VaultWentBack { lost: vec![lost.clone(), lost], count: 2 },
            "vault-went-back",
            "vault-went-back",
            Platform,
            "8001 received 2026-09-21T14:13:20Z, shop-db",
        ),
        (
            Cause::AuditLogDamaged { problem: "entries 1 to 9 are missing".into() },
            "audit-log-damaged",
            "audit-log",
            Platform,
            "the vault's audit log is not whole: entries 1 to 9 are missing; keep what is there",
        ),
        (
            Cause::MediaSilent { media: "eu-1".into(), last_heard: at(0) },
            "media-silent",
            "media/eu-1",
            Platform,
            "media server eu-1 is silent: nothing was heard of it since 2026-09-21T14:13:20Z",
        ),
        (
            Cause::MediaHindered { media: "eu-1".into(), problem: "its spool is full".into() },
            "media-hindered",
            "spool/eu-1",
            Platform,
            "media server eu-1 does not hand on what it holds: its spool is full",
        ),
        (
            Cause::ReleasesWithheld {
                agents: vec!["road-1".into(), "road-2".into()],
                until: at(0),
            },
            "releases-withheld",
            "releases-withheld",
            Platform,
            "waiting for road-1, road-2, until 2026-09-21T14:13:20Z at the latest",
        ),
    ]
}

#[test]
fn every_cause_has_a_code_a_key_an_owner_and_a_sentence() {
    let mut codes = BTreeSet::new();
    let all = [
        of_points(),
        handovers::of_handovers(),
        of_workloads(),
        of_verification(),
        of_suspects(),
        of_sources(),
        of_forgetting(),
        of_the_vault(),
    ]
    .concat();
    for (cause, code, key, owner, words) in all {
        assert_eq!(
            (cause.code(), cause.key().to_string(), cause.owner()),
            (code, key.into(), owner)
        );
        assert!(codes.insert(code));
        let sentence = cause.to_string();
        assert!(sentence.contains(words), "{sentence}");
        assert!(!sentence.contains(" and 0 more"), "{sentence}");
        let is_workloads = key.ends_with("/shop-db");
        assert_eq!(cause.workload(), is_workloads.then(shop).as_ref(), "{code}");
        // It is stored under its code, and comes back.
        let stored = serde_json::to_value(&cause).unwrap();
        assert_eq!(stored.as_object().unwrap().keys().collect::<Vec<_>>(), [code]);
        assert_eq!(serde_json::from_value::<Cause>(stored).unwrap(), cause);
    }
}

#[test]
fn a_cause_of_an_agent_that_did_not_name_its_share_is_about_the_agent() {
    let cause = Cause::AgentHindered { agent: "road-1".into(), share: None, problem: "x".into() };
    assert_eq!(cause.key().to_string(), "work/road-1");
    let source = Source { agent: "road-1".into(), share: None };
    let cause = Cause::ShareSilent { source, last_heard: at(0), deadline: Duration::ZERO };
    assert!(cause.to_string().contains("share (unknown)"), "{cause}");
}

#[test]
fn states_have_names_and_settings_have_defaults() {
    use State::{Broken, Fresh, Late, NeverSeen, Paused, Retired, Retiring, Undeclared};
    let all = [NeverSeen, Fresh, Late, Broken, Paused, Retiring, Retired].map(State::as_str);
    assert_eq!(all, ["never-seen", "fresh", "late", "broken", "paused", "retiring", "retired"]);
    assert_eq!(Undeclared.as_str(), "undeclared");
    let seconds =
        [Promise::RPO_MIN, Promise::RPO_DEFAULT, Promise::RPO_MAX].map(|rpo| rpo.as_secs());
    assert_eq!(seconds, [1, 93_600, 31_622_400]);
    let Settings {
        policy,
        services,
        agent_deadline,
        stall,
        reported_max,
        reported_max_of,
        handovers,
        any_handover,
    } = Settings::default();
    assert_eq!((handovers.len(), any_handover), (0, HandoverRule::default()));
    assert_eq!((reported_max, reported_max_of.len(), services.len()), (10_000, 0, 0));
    assert_eq!(policy, Policy::default());
    assert_eq!(*policy.class(&shop()), *Promise::default().class().as_ref());
    assert_eq!([agent_deadline, stall].map(|time| time.as_secs()), [300, 1800]);
}

#[test]
fn what_is_said_from_outside_is_short_and_on_one_line() {
    let mut ledger = ledger();
    let problem = Some(format!("a\nb{}", "x".repeat(600)));
    ledger.apply(Event::Content { workload: shop(), source: source(), problem }, at(0));
    let told = ledger.workload(&shop()).unwrap().content_problem.unwrap();
    assert_eq!((told.chars().count(), &told[..3]), (500, "a b"));
    let (from, shop_db) = (source(), shop());
    let problems: Vec<_> = ledger.troubled().collect();
    assert_eq!(problems, [(&shop_db, Some(&from))]);
    let why = Some("pg_dump failed\nwith 1".to_owned());
    ledger.apply(Event::Failing { workload: name(2), source: source(), why }, at(0));
    assert_eq!(ledger.troubled().count(), 2);
    assert_eq!(ledger.workload(&name(2)).unwrap().failing.unwrap(), "pg_dump failed with 1");
    assert_eq!(ledger.vaulted().count(), 0);
    ledger.apply(vaulted(name(1), 0), at(0));
    assert_eq!(ledger.vaulted().collect::<Vec<_>>(), [&name(1)]);
}

#[test]
fn what_is_remembered_of_one_thing_has_a_bound() {
    // Refused drops: the oldest one is forgotten, and the one after it is not.
    let refused = |number: u32| Event::Rejected {
        workload: shop(),
        source: source(),
        drop: format!("01890a5d-ac96-774b-bcce-b302{number:08x}").parse().unwrap(),
        code: RejectionCode::WrongHash,
        reason: "x".into(),
        place: None,
    };
    let mut ledger = ledger();
    ledger.apply_all((0..1025).map(refused), at(0));
    assert_eq!(keys(&ledger.apply(vaulted(shop(), 0), at(0))), ["-rejected-drop/shop-db"]);
    assert!(ledger.apply(refused(1), at(0)).is_empty());
    assert_eq!(keys(&ledger.apply(refused(0), at(0))), ["+rejected-drop/shop-db"]);

    // Lost drops: so many are counted, and fewer named.
    let lost = |number: u32| {
        let drop = format!("01890a5d-ac96-774b-bcce-b302{number:08x}").parse().unwrap();
        Event::Custody(Finding::Lost { workload: shop(), drop, received: at(0) })
    };
    let told = |count: u32| {
        let mut ledger = Ledger::new(settings(), 0, at(0));
        let opened = ledger.apply_all((0..count).map(lost), at(0));
        opened[0].incident().cause.to_string()
    };
    let words = told(10_001);
    assert!(words.contains("does not hold 10000 drops"), "{words}");
    assert!(
        words.ends_with(" and 9990 more") && words.matches("received").count() == 10,
        "{words}"
    );
    assert!(!told(10).contains("more"));
    assert!(told(11).ends_with(" and 1 more"));
}

#[test]
fn moments_move_by_parts_of_a_second_too() {
    let back = |nanos: u32, by: Duration| {
        let now = Timestamp::from_unix(1_790_000_000, nanos).unwrap();
        let mut ledger = Ledger::new(settings(), 0, now);
        ledger.tick(now.saturating_sub(by));
        let now = ledger.now();
        (now.unix_seconds() - 1_790_000_000, now.nanos())
    };
    assert_eq!(back(5, Duration::new(2, 3)), (-2, 2));
    assert_eq!(back(5, Duration::new(2, 5)), (-2, 0));
    assert_eq!(back(5, Duration::new(2, 6)), (-3, 999_999_999));
}

#[test]
fn why_an_agent_cannot_make_a_drop_pages_nobody_and_is_told_when_the_promise_breaks_of_it() {
    let failing = |why: Option<&str>| Event::Failing {
        workload: shop(),
        source: source(),
        why: why.map(str::to_owned),
    };
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    assert!(ledger.apply(failing(Some("no such database")), at(50)).is_empty(), "it may mend");
    let mut resumed = Ledger::resume(settings(), ledger.rows(), at(50)).unwrap();
    for ledger in [&mut ledger, &mut resumed] {
        ledger.apply(heard(), at(95));
        let told = ledger.tick(at(100));
        assert_eq!(keys(&told), ["+recovery-point/shop-db"]);
        let incident = told[0].incident();
        assert_eq!((incident.cause.code(), incident.owner()), ("nothing-dropped", Owner::App));
        let words = incident.cause.to_string();
        assert!(
            words.ends_with("the agent that makes its drops says why: no such database"),
            "{words}"
        );
    }
    // A drop that comes ends it, whoever made it; so does the agent's word.
    ledger.apply(vaulted(shop(), 110), at(110));
    assert_eq!(ledger.workload(&shop()).unwrap().failing, None);
    ledger.apply(failing(Some("again")), at(111));
    ledger.apply(failing(None), at(112));
    assert_eq!(ledger.workload(&shop()).unwrap().failing, None);
    assert_eq!(ledger.troubled().count(), 0);
    // A workload of which nothing ever came is known by it.
    let why = Some("never".to_owned());
    ledger.apply(Event::Failing { workload: name(3), source: source(), why }, at(120));
    assert_eq!(ledger.workload(&name(3)).unwrap().state, State::NeverSeen);
    ledger.apply(Event::Failing { workload: name(4), source: source(), why: None }, at(120));
    assert_eq!(ledger.workload(&name(4)), None);
}
