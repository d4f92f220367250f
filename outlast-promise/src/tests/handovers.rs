//! Recovery points that a backup product holds: what counts as safe, and who is asked when it does not.

use super::words::{DAY, Told};
use super::*;
use crate::class::Part;

mod rooms;

const NBU: &str = "nbu";

/// What is safe, for all workloads.
fn settings_of(safe: Safe) -> Settings {
    let mut settings = settings();
    settings.policy.default.part = Part { safe: Some(safe), ..settings.policy.default.part };
    let second = Duration::from_secs;
    settings.any_handover =
        HandoverRule { read_within: second(60), confirm_within: second(30), ..Default::default() };
    settings
}

fn ledger_of(safe: Safe) -> Ledger {
    Ledger::new(settings_of(safe), 0, at(0))
}

fn confirmed(workload: WorkloadName, number: u8, second: u64, vaulted: bool) -> Event {
    Event::Confirmed { workload, drop: drop_id(number), at: at(second), vaulted }
}

fn withdrawn(workload: WorkloadName, number: u8) -> Event {
    let reason = "image agenthost_17 is gone".to_owned();
    let (handover, drop) = (NBU.to_owned(), drop_id(number));
    Event::Withdrawn { workload, source: source(), handover, drop, reason }
}

fn lying(workload: WorkloadName, read: Option<bool>) -> Event {
    let lies = read.map(|read| (NBU.to_owned(), read));
    Event::Lying { workload, source: source(), lies }
}

fn handed(handed: Handed) -> Event {
    let handovers = BTreeMap::from([(NBU.to_owned(), handed)]);
    Event::HandedOver { source: source(), handovers }
}

/// The oldest drop that no job has sent, and the oldest that is not confirmed, appeared then.
fn lie(unread: Option<u64>, unconfirmed: Option<u64>) -> Handed {
    let (unread, unconfirmed) = (unread.map(at), unconfirmed.map(at));
    Handed { product: Some("NetBackup".to_owned()), unread, unconfirmed, ..Handed::default() }
}

fn failed(at_second: u64, unconfirmed: u64) -> Handed {
    let failed = FailedJob {
        job: "agenthost_17".to_owned(),
        at: at(at_second),
        status: Some(96),
        meaning: Some("no tape was to be had".to_owned()),
        advice: Some("add scratch media, and run the policy again".to_owned()),
    };
    Handed { failed: Some(failed), ..lie(Some(unconfirmed), Some(unconfirmed)) }
}

/// Its agent speaks of its share.
fn spoke() -> Event {
    Event::AgentHeard { source: source(), certificate: None }
}

fn state(ledger: &Ledger, workload: &WorkloadName) -> State {
    ledger.workload(workload).unwrap().state
}

#[test]
fn each_word_for_safe_counts_what_it_says_and_nothing_else() {
    let cases = [
        // vaulted alone, confirmed alone, both of one drop, both of two drops
        (Safe::Vaulted, [true, false, true, true]),
        (Safe::Confirmed, [false, true, true, true]),
        (Safe::Either, [true, true, true, true]),
        (Safe::Both, [false, false, true, false]),
    ];
    for (safe, counts) in cases {
        let stories = [
            vec![vaulted(shop(), 90)],
            vec![confirmed(shop(), 1, 90, false)],
            vec![vaulted(shop(), 90), confirmed(shop(), 1, 90, true)],
            vec![vaulted(shop(), 90), confirmed(shop(), 1, 80, false)],
        ];
        for (story, counts) in stories.into_iter().zip(counts) {
            let mut ledger = ledger_of(safe);
            ledger.apply(heard(), at(0));
            ledger.apply_all(vec![vaulted(shop(), 1), confirmed(shop(), 9, 1, true)], at(1));
            let told = ledger.apply_all(story.clone(), at(95));
            assert_eq!(keys(&told), ["+agent/road-1"], "it is silent, and that is another story");
            ledger.apply(heard(), at(100));
            let is_fresh = state(&ledger, &shop()) != State::Broken;
            ledger.tick(at(101));
            let is_safe = state(&ledger, &shop()) == State::Fresh;
            assert_eq!(is_safe, counts, "{safe} {story:?}");
            assert!(is_fresh, "{safe}: until its time is over");
        }
    }
}

#[test]
fn what_is_confirmed_late_is_as_old_as_its_first_sight() {
    let mut ledger = ledger_of(Safe::Confirmed);
    ledger.apply(confirmed(shop(), 1, 0, false), at(50));
    assert_eq!(ledger.workload(&shop()).unwrap().last_safe, Some(at(0)));
    assert_eq!(keys(&ledger.tick(at(99))), [""; 0]);
    assert_eq!(keys(&ledger.tick(at(100))), ["+recovery-point/shop-db"]);
    // An older one that comes later makes nothing fresh; the same again changes nothing.
    assert_eq!(keys(&ledger.apply(confirmed(shop(), 2, 10, false), at(111))), [""; 0]);
    let told = ledger.apply(confirmed(shop(), 3, 60, false), at(112));
    assert_eq!(keys(&told), ["-recovery-point/shop-db"]);
    ledger.mark_saved();
    ledger.apply(confirmed(shop(), 3, 60, false), at(112));
    assert_eq!(ledger.unsaved().rows, []);
    // A clock of the future is that of now.
    ledger.apply(confirmed(shop(), 4, 9999, false), at(113));
    assert_eq!(ledger.workload(&shop()).unwrap().last_safe, Some(at(113)));
}

#[test]
fn what_is_withdrawn_takes_freshness_back_and_is_one_page_of_the_backup_team() {
    let mut ledger = ledger_of(Safe::Confirmed);
    let all = || (1..=7).map(name);
    ledger.apply(heard(), at(0));
    ledger.apply_all(all().map(|name| confirmed(name, 1, 0, false)), at(0));
    ledger.apply(heard(), at(19));
    ledger.apply_all(all().map(|name| confirmed(name, 2, 30, false)), at(30));
    ledger.apply(heard(), at(31));
    let told = ledger.apply_all(all().map(|name| withdrawn(name, 2)), at(35));
    assert_eq!(keys(&told), ["+handover-withdrawn/road-1/nbu"]);
    let incident = told[0].incident();
    assert_eq!((incident.owner(), incident.team.as_str()), (Owner::Backup, "backup team"));
    assert!(
        incident.cause.to_string().contains("w1, w2, w3, w4, w5 and 2 more"),
        "{}",
        incident.cause
    );
    assert_eq!(ledger.workload(&name(1)).unwrap().last_safe, Some(at(0)), "what it had before");
    // The promises that break of that are explained, and so are nobody's second page.
    assert_eq!(alive(&mut ledger, 40, 120), [""; 0]);
    assert_eq!(state(&ledger, &name(1)), State::Broken);
    assert_eq!(ledger.incidents().filter(|it| it.folded_into == Some(incident.id)).count(), 7);
    let told = ledger.apply_all(all().map(|name| confirmed(name, 2, 30, false)), at(121));
    assert_eq!(keys(&told), ["-handover-withdrawn/road-1/nbu"]);
    // What was never confirmed can not be withdrawn.
    assert_eq!(keys(&ledger.apply(withdrawn(name(1), 9), at(122))), [""; 0]);
}

#[test]
fn a_product_that_does_not_read_is_one_page_of_its_team_until_all_of_it_is_confirmed() {
    let mut ledger = ledger_of(Safe::Confirmed);
    ledger.apply(spoke(), at(0));
    let all = || (1..=3).map(name);
    ledger.apply_all(all().map(|name| confirmed(name, 1, 0, false)), at(0));
    let mut told = Vec::new();
    for second in (10..120).step_by(10) {
        let rows = all().map(|name| lying(name, Some(false)));
        let report = rows.chain([handed(lie(Some(5), Some(5)))]);
        told.extend(keys(&ledger.apply_all(report.collect::<Vec<_>>(), at(second))));
    }
    assert_eq!(told, ["+handover/road-1/nbu"], "the workloads broke at 100, and are explained");
    assert_eq!(state(&ledger, &name(1)), State::Broken);
    // It reads; what it has is told in two parts, and a look finds nothing waiting before the second.
    ledger.apply_all([handed(lie(None, Some(5)))], at(121));
    ledger.apply_all([handed(lie(None, None)), confirmed(name(1), 2, 110, false)], at(125));
    ledger.apply_all(all().map(|name| lying(name, None)), at(126));
    assert_eq!(keys(&ledger.tick(at(130))), [""; 0]);
    ledger
        .apply_all([confirmed(name(2), 2, 110, false), confirmed(name(3), 2, 110, false)], at(131));
    ledger.apply(heard(), at(140));
    let mut told = keys(&ledger.tick(at(144)));
    told.extend(keys(&ledger.tick(at(145))));
    assert_eq!(told, ["-handover/road-1/nbu"]);
}

#[test]
fn a_product_that_reads_and_never_confirms_is_told_apart_from_one_that_does_not_read() {
    let mut ledger = ledger_of(Safe::Vaulted);
    let mut told = Vec::new();
    for second in (0..80).step_by(10) {
        told.extend(ledger.apply(handed(lie(None, Some(0))), at(second)));
    }
    assert_eq!(keys(&told), ["+handover/road-1/nbu"]);
    assert_eq!(told[0].incident().cause.code(), "handover-unconfirmed");
    assert_eq!(told[0].incident().opened, at(30), "so long after it was known to be read");
    // Whoever confirms the oldest is slow, and not away.
    let mut ledger = ledger_of(Safe::Vaulted);
    for second in (0..200).step_by(10) {
        let told = ledger.apply(handed(lie(None, Some(1 + second / 20))), at(second));
        assert_eq!(keys(&told), [""; 0]);
    }
}

#[test]
fn a_job_that_fails_is_one_page_until_a_later_one_has_what_it_did_not_take() {
    let mut ledger = ledger_of(Safe::Confirmed);
    // One that fails over a directory in which nothing waits hurts nobody.
    let nothing = Handed { unread: None, unconfirmed: None, ..failed(3, 0) };
    assert_eq!(keys(&ledger.apply(handed(nothing), at(5))), [""; 0]);
    // And one that began before the drop appeared is not to blame for it.
    assert_eq!(keys(&ledger.apply(handed(failed(3, 6)), at(7))), [""; 0]);
    let told = ledger.apply(handed(failed(10, 6)), at(12));
    assert_eq!(keys(&told), ["+handover/road-1/nbu"]);
    assert_eq!(
        told[0].to_string(),
        "incident 1 for backup team (backup): job agenthost_17 of NetBackup over the hand-over nbu of \
         agent road-1, begun at 2026-09-21T14:13:30Z, failed with status 96 (no tape was to be had): drops \
         that lie there are not confirmed and stay; add scratch media, and run the policy again; this ends \
         when a later job has taken them"
    );
    // The next one runs, fails, runs, and ends well: nobody hears of it again before all is confirmed.
    assert_eq!(keys(&ledger.apply(handed(lie(Some(6), Some(6))), at(15))), [""; 0]);
    assert_eq!(keys(&ledger.apply(handed(failed(20, 6)), at(22))), [""; 0]);
    assert_eq!(keys(&ledger.apply(handed(lie(None, Some(6))), at(25))), [""; 0]);
    assert_eq!(keys(&ledger.apply(handed(lie(None, None)), at(28))), [""; 0]);
    ledger.apply(heard(), at(40));
    assert_eq!(keys(&ledger.tick(at(48))), ["-handover/road-1/nbu"]);
}

#[test]
fn the_last_word_of_a_silent_agent_blames_no_product() {
    let mut ledger = ledger_of(Safe::Confirmed);
    ledger.apply_all([confirmed(shop(), 1, 0, false), lying(shop(), Some(false))], at(0));
    ledger.apply(handed(lie(Some(0), Some(0))), at(1));
    let mut told = Vec::new();
    for second in 2..150 {
        told.extend(keys(&ledger.tick(at(second))));
    }
    assert_eq!(told, ["+agent/road-1"]);
    // It is back, and says that a job took all meanwhile.
    let told = ledger.apply_all(
        [confirmed(shop(), 2, 140, false), lying(shop(), None), handed(lie(None, None)), heard()],
        at(150),
    );
    assert_eq!(keys(&told), ["-agent/road-1"]);
}

/// The vault itself was away when the time for a job ended.
#[test]
fn what_an_agent_said_before_the_vault_was_away_blames_no_product_until_it_speaks_again() {
    for is_read in [true, false] {
        let mut ledger = ledger_of(Safe::Confirmed);
        let first = [confirmed(shop(), 1, 0, false), lying(shop(), Some(false)), heard()];
        ledger.apply_all(first, at(0));
        ledger.apply_all([handed(lie(Some(0), Some(0))), heard()], at(45));
        ledger.slept_until(at(70));
        assert_eq!(keys(&ledger.tick(at(70))), [""; 0]);
        let told = match is_read {
            true => vec![lying(shop(), Some(true)), handed(lie(None, Some(0))), heard()],
            false => vec![handed(lie(Some(0), Some(0))), heard()],
        };
        let told = keys(&ledger.apply_all(told, at(71)));
        let wanted = if is_read { vec![] } else { vec!["+handover/road-1/nbu".to_owned()] };
        assert_eq!(told, wanted, "{is_read}");
    }
}

#[test]
fn whoever_had_the_drop_last_is_asked_for_a_recovery_point_that_is_not_confirmed() {
    let cases: [(&str, Safe, Vec<Event>, &str, Owner); 6] = [
        (
            "it lies there",
            Safe::Confirmed,
            vec![lying(shop(), Some(true))],
            "not-confirmed",
            Owner::Backup,
        ),
        (
            "it waits on the share",
            Safe::Confirmed,
            vec![waiting(shop())],
            "not-vaulted",
            Owner::Platform,
        ),
        (
            "nobody hands it over",
            Safe::Confirmed,
            vec![vaulted(shop(), 60)],
            "not-confirmed",
            Owner::Platform,
        ),
        (
            "it is handed over instead, and both are wanted",
            Safe::Both,
            vec![confirmed(shop(), 3, 60, false)],
            "not-vaulted",
            Owner::Platform,
        ),
        ("nothing came", Safe::Either, vec![], "nothing-dropped", Owner::App),
        ("nothing came", Safe::Confirmed, vec![lying(shop(), None)], "nothing-dropped", Owner::App),
    ];
    for (what, safe, events, code, owner) in cases {
        let mut ledger = ledger_of(safe);
        ledger.apply_all([vaulted(shop(), 0), confirmed(shop(), 1, 0, true), spoke()], at(0));
        alive(&mut ledger, 10, 60);
        ledger.apply_all(events, at(60));
        alive(&mut ledger, 70, 100);
        let told = ledger.apply(heard(), at(100));
        assert_eq!(keys(&told), ["+recovery-point/shop-db"], "{what}, {safe}");
        let incident = told[0].incident();
        assert_eq!((incident.cause.code(), incident.owner()), (code, owner), "{what}, {safe}");
    }
}

#[test]
fn one_cause_a_drop_that_comes_while_a_product_is_in_trouble_pages_nobody_for_the_one_that_lies_there()
 {
    let story = |safe, comes: u64| {
        let mut ledger = ledger_of(safe);
        ledger.apply_all([spoke(), vaulted(shop(), 0), confirmed(shop(), 1, 0, true)], at(0));
        let mut told = Vec::new();
        for second in (10..=150).step_by(10) {
            let mut report =
                vec![spoke(), lying(shop(), Some(false)), handed(lie(Some(5), Some(5)))];
            // The vault has it soon, as it has the one that lies there.
            report.extend((second == comes).then(|| waiting(shop())));
            told.extend(ledger.apply_all(report, at(second)));
        }
        told
    };
    for safe in [Safe::Confirmed, Safe::Either, Safe::Both] {
        assert_eq!(keys(&story(safe, 120)), ["+handover/road-1/nbu"], "{safe}");
    }
    // What waits for the vault since before the promise broke is the platform's.
    let told = story(Safe::Both, 90);
    assert_eq!(keys(&told), ["+handover/road-1/nbu", "+recovery-point/shop-db"]);
    assert_eq!(told[1].incident().cause.code(), "not-vaulted");
    assert_eq!(told[1].incident().owner(), Owner::Platform);
}

#[test]
fn a_workload_that_produced_nothing_is_its_teams_whatever_the_product_does() {
    let mut ledger = ledger_of(Safe::Confirmed);
    ledger.apply_all([confirmed(shop(), 1, 0, false), confirmed(name(1), 1, 0, false)], at(0));
    let mut told = Vec::new();
    for second in (10..130).step_by(10) {
        // Only the other one has dropped.
        let report =
            [lying(name(1), Some(false)), lying(shop(), None), handed(lie(Some(1), Some(1)))];
        told.extend(keys(&ledger.apply_all(report, at(second))));
    }
    assert_eq!(told, ["+handover/road-1/nbu", "+recovery-point/shop-db"]);
}

#[test]
fn a_hand_over_that_its_agent_names_no_more_is_no_trouble_any_more() {
    let mut ledger = ledger_of(Safe::Confirmed);
    ledger.apply(handed(failed(10, 6)), at(12));
    assert_eq!(ledger.incidents().count(), 1);
    // After a restart it is still known.
    let rows = ledger.rows();
    let mut ledger = Ledger::resume(settings_of(Safe::Confirmed), rows, at(14)).unwrap();
    assert_eq!(keys(&ledger.apply(handed(failed(10, 6)), at(15))), [""; 0]);
    let gone = Event::HandedOver { source: source(), handovers: BTreeMap::new() };
    assert_eq!(keys(&ledger.apply(gone, at(16))), ["-handover/road-1/nbu"]);
}

#[test]
fn a_pause_and_a_retirement_count_confirmations_as_they_do_what_is_vaulted() {
    let mut ledger = ledger_of(Safe::Confirmed);
    ledger.apply_all([confirmed(shop(), 1, 0, false), heard()], at(0));
    ledger.apply(ordered(1, Order::Retire { at: at(5), until: at(10) }), at(5));
    assert_eq!(state(&ledger, &shop()), State::Retiring);
    let told = ledger.apply_all([confirmed(shop(), 2, 15, false), heard()], at(15));
    assert_eq!(keys(&told), ["+retired/shop-db"]);
    ledger.apply(ordered(2, Order::Pause { until: at(200) }), at(16));
    assert_eq!(state(&ledger, &shop()), State::Paused);
    assert_eq!(alive(&mut ledger, 20, 200), [""; 0]);
    assert_eq!(keys(&ledger.apply(heard(), at(200))), ["+recovery-point/shop-db"]);
}

/// One of each cause of hand-overs.
pub(super) fn of_handovers() -> Vec<Told> {
    use Owner::Backup;
    let handover = || HandoverId { agent: "road-1".to_owned(), name: "nbu".to_owned() };
    let product = || Some("NetBackup".to_owned());
    let failed =
        FailedJob { job: "17".to_owned(), at: at(0), status: None, meaning: None, advice: None };
    let not_confirmed = Cause::NotConfirmed {
        workload: shop(),
        promised: Promised::Rpo(DAY),
        handover: Some(handover()),
        read: true,
        since: at(0),
    };
    let of_product = |cause, code, words| (cause, code, "handover/road-1/nbu", Backup, words);
    let mut all = vec![
        (
            not_confirmed,
            "not-confirmed",
            "recovery-point/shop-db",
            Backup,
            "its drop lies in the hand-over nbu of agent road-1 since 2026-09-21T14:13:20Z, a job has read it, \
             and the backup product has not confirmed it",
        ),
        of_product(
            Cause::HandoverJobFailed { handover: handover(), product: None, failed },
            "handover-job-failed",
            "job 17 of the backup product over the hand-over nbu of agent road-1, begun at \
             2026-09-21T14:13:20Z, failed: drops that lie there are not confirmed and stay; look at that job",
        ),
        of_product(
            Cause::HandoverUnread {
                handover: handover(),
                product: product(),
                since: at(0),
                within: DAY,
            },
            "handover-unread",
            "NetBackup has not read the hand-over nbu of agent road-1: what lies there since \
             2026-09-21T14:13:20Z was sent by no job, and it is to be read within 24 h",
        ),
        of_product(
            Cause::HandoverUnconfirmed {
                handover: handover(),
                product: product(),
                since: at(0),
                within: DAY,
            },
            "handover-unconfirmed",
            "NetBackup has read the hand-over nbu of agent road-1, and has not confirmed since",
        ),
    ];
    all.extend(of_rooms());
    all
}

fn of_rooms() -> Vec<Told> {
    use Owner::{Backup, Platform};
    let handover = || HandoverId { agent: "road-1".to_owned(), name: "nbu".to_owned() };
    let of_room = |cause, code, words| (cause, code, "handover-room/road-1/nbu", Platform, words);
    vec![
        of_room(
            Cause::HandoverFull { handover: handover(), problem: "it is odd".to_owned() },
            "handover-full",
            "is full: it is odd; nothing is lost",
        ),
        of_room(
            Cause::HandoverUnusable { handover: handover(), problem: "it is odd".to_owned() },
            "handover-unusable",
            "does not work as it should: it is odd",
        ),
        (
            Cause::HandoverWithdrawn {
                handover: handover(),
                product: Some("NetBackup".to_owned()),
                count: 7,
                workloads: vec![shop()],
                reason: "it is odd".to_owned(),
            },
            "handover-withdrawn",
            "handover-withdrawn/road-1/nbu",
            Backup,
            "drops of shop-db and 6 more (it is odd)",
        ),
    ]
}
