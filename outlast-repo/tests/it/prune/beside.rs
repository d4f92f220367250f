//! What else goes on beside a prune: readers, clocks that go wrong, and stock restic with its locks.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use outlast_format::config::Version;
use outlast_repo::prune::{self, Outcome};
use outlast_repo::{RepoError, check, restore};
use outlast_store::{DirectoryStore, Kind, Store};
use outlast_testing::pseudo_random;
use outlast_types::{Clock, Silent};

use super::world::{DAY, Gate, OVER_A_DAY, Stop, World};
use crate::restic;

/// Packs of which a part is needed.
fn mixed() -> World {
    let world = World::new(Version::V2);
    let old = world.back_up(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    world.back_up(&[1, 4, 7]);
    world.forget(old);
    world
}

#[test]
fn a_restore_that_began_before_the_packs_moved_ends_well_after_they_are_gone() {
    let world = mixed();
    let reader = world.open();
    reader.index().unwrap();
    let (_, snapshot) = outlast_repo::read::snapshots(&reader).unwrap().list.remove(0);
    let Outcome { repacked_packs, .. } = world.prune(DAY);
    assert!(repacked_packs > 0);
    world.clock.turn(OVER_A_DAY);
    assert!(world.prune(DAY).freed_packs > 0);
    let target = tempfile::tempdir().unwrap();
    let options = restore::Options { verify: true, overwrite: true, ..Default::default() };
    let summary =
        restore::restore(&reader, snapshot.tree, target.path(), &options, &Silent).unwrap();
    assert!(summary.problems.is_empty(), "{:?}", summary.problems);
}

#[test]
fn a_mark_from_the_future_is_dated_anew_and_swept_a_grace_time_later() {
    let world = mixed();
    let past = world.copy();
    world.clock.turn(DAY * 3650);
    assert!(world.prune(DAY).waiting.is_some());
    // The clock was wrong, and is set back: to that of the copy.
    let back = world.copy_at(past.clock.now());
    let waiting = back.prune(DAY).waiting.unwrap();
    assert_eq!(waiting.due, back.clock.now().saturating_add(DAY));
    back.clock.turn(DAY / 2);
    assert_eq!(back.prune(DAY).freed_packs, 0);
    back.clock.turn(OVER_A_DAY);
    assert!(back.prune(DAY).freed_packs > 0);
    back.assert_clean();
}

#[test]
fn a_second_prune_inside_the_first_harms_nothing() {
    for (grace, turned) in [(DAY, OVER_A_DAY), (Duration::ZERO, Duration::ZERO)] {
        let template = mixed();
        template.prune(DAY);
        template.clock.turn(turned);
        for nth in 1.. {
            let world = template.copy();
            let inside = world.clone();
            let between = move || {
                if let Err(error) = inside.prune_with(&inside.open(), grace) {
                    let is_locked = matches!(error, RepoError::Locked { .. });
                    assert!(is_locked, "call {nth}: {error}");
                }
            };
            let gate = Gate::new(world.store.clone(), nth, Stop::Do(Box::new(between)));
            // What the other one took away under its feet is a reason to run again.
            drop(world.prune_with(&world.open_on(gate.clone()), grace));
            let reached = gate.was_reached();
            world.clock.turn(OVER_A_DAY);
            world.prune(DAY);
            world.clock.turn(OVER_A_DAY);
            world.prune(DAY);
            world.assert_clean();
            assert_eq!(world.count(Kind::Lock), 0);
            if !reached {
                break;
            }
        }
    }
}

#[test]
fn stock_restic_and_a_sweep_keep_away_from_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let repository = directory.path().join("repository");
    let source = directory.path().join("source");
    std::fs::create_dir_all(source.join("directory")).unwrap();
    restic::back_up(&repository, &source, "2", "auto");
    // A backup of restic's that waits for its input holds a lock.
    let mut waiting = restic::command(&repository, directory.path(), &["backup", "--stdin"]);
    let mut waiting = waiting.stdin(Stdio::piped()).spawn().unwrap();
    let store: Arc<dyn Store> = Arc::new(DirectoryStore::open(&repository).unwrap());
    // More than a pipe holds: when all of it is taken, restic has its lock and reads.
    waiting.stdin.as_ref().unwrap().write_all(&pseudo_random(1, 1 << 20)).unwrap();
    assert_eq!(store.list(Kind::Lock).unwrap().len(), 1);
    let opened = restic::open(&repository);
    let first = outlast_repo::read::resolve(&opened, "latest").unwrap().id;
    outlast_repo::forget::forget(&opened, &[first]).unwrap();
    let world = World::new(Version::V2);
    world.clock.turn(outlast_types::SystemClock.now().since(world.clock.now()));
    let options = prune::Options { grace: Duration::ZERO, ..Default::default() };
    let outcome = world.prune_as(&opened, &options, 1).unwrap();
    assert!(outcome.postponed.is_some(), "{outcome:?}");
    assert_eq!(outcome.freed_packs, 0);
    drop(waiting.stdin.take());
    assert!(waiting.wait().unwrap().success());
    let outcome = world.prune_as(&restic::open(&repository), &options, 1).unwrap();
    assert!(outcome.postponed.is_none() && outcome.freed_packs > 0, "{outcome:?}");
    restic::run(&repository, directory.path(), &["check", "--read-data"]);
    let report = check::check(&restic::open(&repository), &Default::default(), &Silent).unwrap();
    assert!(report.is_clean());
}
