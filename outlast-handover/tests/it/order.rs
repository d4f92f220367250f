//! Times of change and the order of appearances, whatever the clock does and whoever is replaced.

use std::sync::Mutex;
use std::time::Duration;

use outlast_handover::{Desk, JobFacts, Layout, State, intake};
use outlast_testing::ManualTime;
use outlast_types::Timestamp;

use crate::support::World;

const HOUR: Duration = Duration::from_secs(3600);

fn world_at(time: &ManualTime) -> World {
    World { environment: time.environment(), ..World::new(Layout::Plain) }
}

fn start() -> Timestamp {
    "2026-11-26T03:00:00Z".parse().unwrap()
}

/// A drop staged at 02:55 and shown at 03:10 would be passed over by each incremental that began at 03:00.
#[test]
fn a_files_time_is_in_a_later_second_than_every_job_that_began_without_it() {
    let time = ManualTime::hurrying(start());
    let world = world_at(&time);
    let desk = world.desk();
    let address = world.stream("shop", b"one");
    let sealed = outlast_drop::SealedDrop::open(&world.share, &address).unwrap();
    let copied = intake::copy(&desk, &sealed, &|| false).unwrap();
    time.advance(HOUR);
    let lease = world.begin(&JobFacts::of_id("1"), HOUR);
    let offer = intake::offer(&desk, &world.share, copied, &crate::support::NoKey, false).unwrap();
    assert!(offer.appeared > lease.began);
    assert!(offer.stamp.unix_seconds() > lease.began.unix_seconds());
    // It is not of that job, whatever the job says.
    world.end(lease, 0);
    intake::at(&desk).take_up().unwrap();
    let state = |desk: &Mutex<Desk>| {
        let desk = intake::at(desk);
        desk.ledger().state(&offer.key(), desk.rules()).unwrap()
    };
    assert_eq!(state(&desk), State::Offered);
    let lease = world.begin(&JobFacts::of_id("2"), HOUR);
    assert!(lease.began > offer.appeared, "in the order of things, without a pause between");
    world.end(lease, 0);
    intake::at(&desk).take_up().unwrap();
    assert_eq!(state(&desk), State::Read);
}

#[test]
fn a_clock_that_is_set_back_changes_no_order() {
    let time = ManualTime::hurrying(start());
    let mut world = world_at(&time);
    let mut last = Timestamp::EPOCH;
    for back in 0..4 {
        world.environment = ManualTime::hurrying(start().saturating_sub(HOUR * back)).environment();
        let desk = world.desk();
        for content in [b"one", b"two"] {
            let offer = world.offer(&desk, &world.stream("shop", content)).unwrap();
            assert!(offer.stamp > last && offer.stamp > offer.appeared, "{} {last}", offer.stamp);
            last = offer.stamp;
            let lease = world.begin(&JobFacts::of_id(&format!("{back}-{}", content[0])), HOUR);
            assert!(lease.began > offer.appeared);
            world.end(lease, 0);
            intake::at(&desk).take_up().unwrap();
            let desk = intake::at(&desk);
            assert_eq!(desk.ledger().state(&offer.key(), desk.rules()), Some(State::Read));
        }
    }
}

#[test]
fn another_agent_begins_above_what_the_one_before_it_has_used() {
    let world = World::new(Layout::Plain);
    let desk = world.desk();
    let used = start().saturating_add(HOUR * 24 * 365);
    intake::at(&desk).begin_above(used);
    let offer = world.offer(&desk, &world.stream("shop", b"one")).unwrap();
    assert!(offer.stamp > used);
}

#[test]
fn what_the_desk_knew_is_made_anew_from_the_manifests_and_nothing_counts_as_confirmed() {
    let world = World::new(Layout::Plain);
    let desk = world.desk();
    let first = world.offer(&desk, &world.stream("shop", b"one")).unwrap();
    let second = world.offer(&desk, &world.stream("shop", b"two")).unwrap();
    world.run_job(&desk, "1");
    assert_eq!(intake::at(&desk).ledger().releasable(&world.rules), vec![first.key()]);
    drop(desk);
    std::fs::remove_dir_all(world.place().desk()).unwrap();
    let desk = world.desk();
    assert!(intake::at(&desk).ledger().releasable(&world.rules).is_empty());
    for offer in [&first, &second] {
        let desk = intake::at(&desk);
        let found = &desk.ledger().get(&offer.key()).unwrap().offer;
        assert_eq!(
            (&found.path, found.stamp, found.bytes),
            (&offer.path, offer.stamp, offer.bytes)
        );
    }
    let third = world.offer(&desk, &world.stream("shop", b"three")).unwrap();
    assert!(third.stamp > second.stamp && third.appeared > second.appeared);
}
