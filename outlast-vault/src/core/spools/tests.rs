//! What a vault tells of media servers, and when.

use std::sync::Arc;

use outlast_types::{SpoolId, SystemRandom};

use super::*;
use crate::core::storage::memory::MemoryStorage;

fn spools() -> Spools {
    Spools::open(&(Arc::new(MemoryStorage::default()) as _), Timestamp::EPOCH).unwrap()
}

fn report(workload: &WorkloadName, objects: u64) -> MediaReport {
    MediaReport {
        spool: SpoolId::new(&SystemRandom),
        run: "1".to_owned(),
        version: "0".to_owned(),
        at: Timestamp::EPOCH,
        state: MediaState::Taking,
        rows: vec![MediaRow {
            workload: workload.clone(),
            objects,
            bytes: objects,
            oldest_seconds: 0,
        }],
        objects,
        bytes: objects,
        room: 100 << 30,
        room_left: 50 << 30,
        line_allowed: None,
        line_rate: 0,
        empty_in_seconds: None,
        problems: Vec::new(),
        shipments: Vec::new(),
    }
}

#[test]
fn what_waits_is_what_a_media_server_said_last_and_not_long_ago() {
    let spools = spools();
    let (shop, now) = (WorkloadName::new("shop").unwrap(), Timestamp::EPOCH);
    let after = |seconds| now.saturating_add(Duration::from_secs(seconds));
    assert_eq!(spools.waiting(&shop, now), []);
    spools.note("eu-1", report(&shop, 3), now).unwrap();
    spools.note("eu-2", report(&WorkloadName::new("other").unwrap(), 3), now).unwrap();
    let waiting = spools.waiting(&shop, after(599));
    assert_eq!(
        waiting.iter().map(|it| (&*it.media, it.objects)).collect::<Vec<_>>(),
        [("eu-1", 3)]
    );
    assert_eq!(spools.waiting(&shop, after(600)), [], "that is too long ago");
    spools.note("eu-1", report(&shop, 0), after(1)).unwrap();
    assert_eq!(spools.waiting(&shop, after(2)), [], "it was handed on");
}

#[test]
fn what_a_trouble_holds_up_is_named_while_it_waits_and_nothing_that_comes_later() {
    let spools = spools();
    let [shop, other] = ["shop", "other"].map(|name| WorkloadName::new(name).unwrap());
    let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
    let patience = |_: &WorkloadName| Duration::from_secs(3600);
    let held = |now| {
        let told =
            spools.news(now, &patience, &|_, _| false).into_iter().map(|event| match event {
                Event::MediaSeen { holds, .. } => holds.into_iter().flatten().collect::<Vec<_>>(),
                event => panic!("{event:?}"),
            });
        told.collect::<Vec<_>>()
    };
    let broken = |workload: &WorkloadName, objects| MediaReport {
        problems: vec!["its line is down".to_owned()],
        ..report(workload, objects)
    };
    spools.note("eu-1", report(&shop, 3), after(1)).unwrap();
    assert_eq!(held(after(1)), [[]], "it is well");
    spools.note("eu-1", broken(&shop, 3), after(2)).unwrap();
    assert_eq!(held(after(2)), [vec![shop.clone()]]);
    let mut both = report(&shop, 2);
    both.rows.extend(report(&other, 1).rows);
    spools.note("eu-1", both, after(3)).unwrap();
    assert_eq!(held(after(3)), [vec![shop.clone()]], "it is over, and this waits because of it");
    spools.note("eu-1", report(&other, 1), after(4)).unwrap();
    assert_eq!(held(after(4)), [[]]);
    assert_eq!(held(after(5)), Vec::<Vec<WorkloadName>>::new());
}

#[test]
fn one_cause_a_vault_that_begins_anew_tells_of_none_before_it_is_heard_or_missed() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
    let patience = |_: &WorkloadName| Duration::from_secs(3600);
    let [shop, silent] = ["shop", "silent"].map(|name| WorkloadName::new(name).unwrap());
    let broken = MediaReport { problems: vec!["its line is down".to_owned()], ..report(&shop, 3) };
    let spools = Spools::open(&storage, after(0)).unwrap();
    spools.note("eu-1", broken.clone(), after(10)).unwrap();
    spools.note("eu-2", report(&silent, 3), after(10)).unwrap();
    assert_eq!(spools.news(after(400), &patience, &|_, _| false).len(), 2);
    let again = Spools::open(&storage, after(500)).unwrap();
    let told = |now| again.news(now, &patience, &|_, _| false);
    assert_eq!(told(after(501)), [], "what was told before holds");
    // It is well now, and what waits with it may have been held up.
    again.note("eu-1", report(&shop, 3), after(510)).unwrap();
    let seen = |media: &str, silent_since, holds| Event::MediaSeen {
        media: media.to_owned(),
        silent_since,
        problem: None,
        holds,
    };
    let held = Some(BTreeSet::from([shop.clone()]));
    assert_eq!(told(after(511)), [seen("eu-1", None, held)]);
    assert_eq!(told(after(800)), [seen("eu-2", Some(after(10)), None)]);
    assert_eq!(told(after(801)).len(), 0);
}

#[test]
fn no_more_media_servers_are_remembered_than_memory_is_meant_for() {
    let spools = spools();
    let shop = WorkloadName::new("shop").unwrap();
    for number in 0..MEDIA_SERVERS_MAX as u64 + 10 {
        let at = Timestamp::EPOCH.saturating_add(Duration::from_secs(number));
        spools.note(&format!("eu-{number}"), report(&shop, 1), at).unwrap();
    }
    assert_eq!(spools.heard().len(), MEDIA_SERVERS_MAX);
    assert!(!spools.heard().contains_key("eu-0"), "the oldest goes first");
}

fn news(spools: &Spools, now: Timestamp) -> Vec<(bool, Option<String>)> {
    let patience = |_: &WorkloadName| Duration::from_secs(3600);
    let revoked = Timestamp::EPOCH.saturating_add(Duration::from_secs(50));
    let is_revoked = |media: &str, last| media == "revoked" && last < revoked;
    let told = spools.news(now, &patience, &is_revoked).into_iter().map(|event| match event {
        Event::MediaSeen { silent_since, problem, .. } => (silent_since.is_some(), problem),
        event => panic!("{event:?}"),
    });
    told.collect()
}

#[test]
fn one_that_falls_silent_is_missed_also_over_a_restart_unless_it_was_drained() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let shop = WorkloadName::new("shop").unwrap();
    let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
    let spools = Spools::open(&storage, after(0)).unwrap();
    spools.note("eu-1", report(&shop, 3), after(10)).unwrap();
    let drained = MediaReport { state: MediaState::Drained, ..report(&shop, 0) };
    spools.note("eu-2", drained, after(10)).unwrap();
    let kept = MediaReport { state: MediaState::Maintenance, ..report(&shop, 0) };
    spools.note("eu-3", kept, after(10)).unwrap();
    assert_eq!(news(&spools, after(20)), [(false, None), (false, None), (false, None)]);
    assert_eq!(news(&spools, after(309)), []);
    assert_eq!(news(&spools, after(310)), [(true, None)], "eu-1");
    spools.note("eu-1", report(&shop, 3), after(311)).unwrap();
    assert_eq!(news(&spools, after(312)), [(false, None)], "it is back");
    spools.save().unwrap();
    let spools = Spools::open(&storage, after(5000)).unwrap();
    assert_eq!(spools.waiting(&shop, after(320)), [], "what it holds is to be heard anew");
    assert_eq!(
        news(&spools, after(5001)),
        [(false, None)],
        "what was let go; of others nobody knows"
    );
    assert_eq!(news(&spools, after(5300)), [(true, None)]);
    assert_eq!(news(&spools, after(5000 + 86_400)), [(true, None)], "maintenance has an end");
    assert_eq!(spools.all().len(), 2, "what was drained is forgotten");
}

#[test]
fn i2_a_vault_that_slept_misses_none_that_it_could_not_hear() {
    let spools = spools();
    let shop = WorkloadName::new("shop").unwrap();
    let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
    spools.note("eu-1", report(&shop, 3), after(1)).unwrap();
    spools.listen(after(2));
    assert_eq!(news(&spools, after(2)), [(false, None)]);
    // Its host slept for an hour.
    spools.listen(after(3602));
    assert_eq!(news(&spools, after(3602)), []);
    for second in 3603..3902 {
        spools.listen(after(second));
        assert_eq!(news(&spools, after(second)), [], "{second}");
    }
    spools.listen(after(3902));
    assert_eq!(news(&spools, after(3902)), [(true, None)], "it had its time");
    // And sleeps again: that is no sign of life.
    spools.listen(after(9000));
    assert_eq!(news(&spools, after(9000)), []);
}

#[test]
fn one_whose_certificates_were_revoked_is_not_missed_until_it_has_another_and_speaks() {
    let spools = spools();
    let shop = WorkloadName::new("shop").unwrap();
    let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
    spools.note("eu-1", report(&shop, 3), after(10)).unwrap();
    assert_eq!(news(&spools, after(310)), [(true, None)], "its host has burnt");
    spools.dismiss_all();
    assert_eq!(news(&spools, after(311)), [(false, None)], "it was let go");
    spools.note("revoked", report(&shop, 3), after(10)).unwrap();
    assert_eq!(news(&spools, after(400)), [(false, None)]);
    assert_eq!(spools.waiting(&shop, after(20)), [], "nor is anything waited for there");
    spools.note("revoked", report(&shop, 3), after(500)).unwrap();
    assert_eq!(news(&spools, after(501)), []);
    assert_eq!(news(&spools, after(800)), [(true, None)]);
}

#[test]
fn a_full_spool_and_what_waits_too_long_are_told_in_words_that_do_not_change() {
    let spools = spools();
    let shop = WorkloadName::new("shop").unwrap();
    let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
    let full = MediaReport { room_left: 63 << 20, ..report(&shop, 3) };
    spools.note("eu-1", full, after(1)).unwrap();
    let [(false, Some(problem))] = &news(&spools, after(1))[..] else { panic!("told") };
    assert!(problem.contains("its spool is full"), "{problem}");
    for seconds in [3601, 3700] {
        let mut late = report(&shop, 3);
        late.rows[0].oldest_seconds = seconds;
        late.problems = vec!["its disk is slow".to_owned()];
        spools.note("eu-1", late, after(2)).unwrap();
        let told = news(&spools, after(2));
        let [(false, Some(problem))] = &told[..] else {
            assert_eq!((seconds, told.len()), (3700, 0), "it is the same");
            continue;
        };
        assert!(problem.starts_with("its disk is slow; what it holds of shop waits"), "{problem}");
    }
}
