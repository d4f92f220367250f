//! Jobs by hooks: leases, streams, what lapses, and when something leaves.

use std::time::Duration;

use outlast_handover::inbox::{self, Word};
use outlast_handover::lease::{self, Beginning};
use outlast_handover::status::Overview;
use outlast_handover::{FileFact, Holds, JobFacts, Layout, Outcome, Rules, State, intake};
use outlast_testing::ManualTime;

use crate::support::World;

const HOUR: Duration = Duration::from_secs(3600);

fn world() -> (World, ManualTime) {
    let time = ManualTime::hurrying("2026-11-26T12:00:00Z".parse().unwrap());
    let world = World::new(Layout::Plain);
    (World { environment: time.environment(), ..world }, time)
}

#[test]
fn a_lease_can_be_begun_twice_and_lapses_when_its_job_died() {
    let (world, time) = world();
    let desk = world.desk();
    let job = JobFacts::of_id("1");
    let first = world.begin(&job, HOUR);
    time.advance(HOUR / 2);
    let again = world.begin(&job, HOUR);
    assert_eq!(first.began, again.began);
    assert!(again.deadline > first.deadline);
    intake::at(&desk).take_up().unwrap();
    assert_eq!(lease::list(&world.place()).unwrap().0.len(), 1);
    time.advance(HOUR * 2);
    intake::at(&desk).take_up().unwrap();
    assert!(lease::list(&world.place()).unwrap().0.is_empty());
    let overview = Overview::read(&world.rules.directory).unwrap();
    let died = &overview.ledger.jobs()[&job.key()];
    assert!(!died.has_sent() && outlast_handover::words::outcome(died).contains("lapsed"));
}

#[test]
fn nothing_leaves_while_a_job_reads_or_in_the_hours_of_the_product() {
    let (mut world, time) = world();
    world.rules.read_window = Some("22:00-06:00".parse().unwrap());
    let desk = world.desk();
    let old = world.offer(&desk, &world.stream("shop", b"one")).unwrap();
    world.offer(&desk, &world.stream("shop", b"two")).unwrap();
    world.run_job(&desk, "1");
    let lease = world.begin(&JobFacts::of_id("2"), HOUR);
    assert!(intake::at(&desk).clear_out().unwrap().is_empty(), "a job reads");
    world.end(lease, 0);
    time.advance(HOUR * 11);
    assert!(intake::at(&desk).clear_out().unwrap().is_empty(), "it is 23:00");
    assert!(world.path(&old).is_dir());
    time.advance(HOUR * 8);
    assert_eq!(intake::at(&desk).clear_out().unwrap(), vec![old.key()]);
    assert!(!world.path(&old).exists());
    assert_eq!(std::fs::read_dir(world.place().trash()).unwrap().count(), 0);
    assert!(intake::at(&desk).ledger().is_gone(&old.key()), "so that it is not offered again");
}

#[test]
fn streams_are_counted_and_a_list_of_files_confirms_only_what_is_in_it() {
    let (world, _) = world();
    let desk = world.desk();
    let offer = world.offer(&desk, &world.stream("shop", b"one")).unwrap();
    let job = JobFacts { policy: Some("apps".to_owned()), ..JobFacts::default() };
    let begin = |stream| {
        let beginning = Beginning { job: job.clone(), stream, streams: Some(2), length: HOUR };
        lease::begin(&world.place(), &beginning, &world.environment).unwrap().0
    };
    let (one, two) = (begin(1), begin(2));
    let state = || {
        let mut desk = intake::at(&desk);
        desk.take_up().unwrap();
        desk.ledger().state(&offer.key(), &world.rules).unwrap()
    };
    world.end(one, 0);
    assert_eq!(state(), State::Offered);
    world.end(two, 0);
    assert_eq!(state(), State::Read);
    let facts = |name: &str, size| FileFact {
        path: world.path(&offer).join(name).display().to_string(),
        size,
        modified: offer.stamp.unix_seconds(),
    };
    let manifest = std::fs::metadata(world.path(&offer).join("outlast-drop.json")).unwrap().len();
    world.confirm(&job, Outcome::Well, Holds::Listed(vec![facts("shop.sql", 3)]));
    assert_eq!(state(), State::Read, "its manifest is a file, too");
    world.confirm(&job, Outcome::Well, Holds::Listed(vec![facts("outlast-drop.json", manifest)]));
    assert_eq!(state(), State::Confirmed);
    let word = Word::Withdrawn { job: job.key(), reason: "expired".to_owned() };
    inbox::put(&world.place(), &word, &world.environment).unwrap();
    assert_eq!(state(), State::Read);
}

#[test]
fn a_word_that_nobody_can_read_is_put_aside_and_keeps_nothing_up() {
    let (world, _) = world();
    let desk = world.desk();
    let offer = world.offer(&desk, &world.stream("shop", b"one")).unwrap();
    let bad = world.place().inbox().join("00000000000000000000-bad.json");
    outlast_fs::durable::create_new(&bad, b"{", 0o600).unwrap();
    world.run_job(&desk, "1");
    let desk = intake::at(&desk);
    assert_eq!(desk.ledger().state(&offer.key(), &world.rules), Some(State::Confirmed));
    assert!(!bad.exists() && world.place().desk().join("unreadable").is_dir());
}

#[test]
fn a_status_explains_each_drop_that_waits_in_one_sentence() {
    let (mut world, _) = world();
    world.rules = Rules { keep_until: vec!["full".to_owned()], ..world.rules.clone() };
    let desk = world.desk();
    let why = || {
        let overview = Overview::read(&world.rules.directory).unwrap();
        overview.drops(world.environment.clock.now())[0].why.clone()
    };
    world.offer(&desk, &world.stream("shop", b"one")).unwrap();
    assert!(why().contains("no job has begun"), "{}", why());
    let job = JobFacts { schedule: Some("daily".to_owned()), ..JobFacts::of_id("1") };
    let lease = world.begin(&job, HOUR);
    assert!(why().contains("1 (daily) reads it now"), "{}", why());
    world.end(lease, 13);
    intake::at(&desk).take_up().unwrap();
    assert!(why().contains("status 13"), "{}", why());
    let second = JobFacts { schedule: Some("daily".to_owned()), ..JobFacts::of_id("2") };
    let lease = world.begin(&second, HOUR);
    world.end(lease, 0);
    intake::at(&desk).take_up().unwrap();
    assert!(why().contains("nothing has confirmed"), "{}", why());
    let failed = Outcome::Failed { status: 84, words: "media write error".to_owned() };
    world.confirm(&second, failed, Holds::Listed(Vec::new()));
    intake::at(&desk).take_up().unwrap();
    assert!(why().contains("2 (daily), failed with status 84: media write"), "{}", why());
    world.run_job(&desk, "3");
    assert!(why().contains("until a job of \"full\""), "{}", why());
}
