//! One backup and one prune, stopped before each of their calls while the other does its work.

use std::sync::Arc;
use std::time::Duration;

use outlast_format::config::Version;
use outlast_repo::RepoError;
use outlast_repo::prune::Outcome;
use outlast_store::Kind;

use super::world::{DAY, Gate, OVER_A_DAY, Stop, World};

/// What is needed and what is not lie side by side, and the next backup needs some of both.
fn template(version: Version) -> World {
    let world = World::new(version);
    let old = world.back_up(&[1, 2, 3, 4, 5, 6, 7, 8]);
    world.back_up(&[2, 5, 9, 10]);
    world.forget(old);
    world
}

/// The content of the backup under way: needed, not needed, and new.
const NEXT: [u64; 7] = [1, 2, 4, 8, 9, 20, 21];

/// In the end all is freed that nobody needs, and nothing else.
#[track_caller]
fn assert_ends_well(world: &World) {
    world.assert_readable();
    // What a prune takes away does not come back, so one look at the end sees what any of them did.
    for _ in 0..3 {
        world.clock.turn(OVER_A_DAY);
        world.prune(DAY);
    }
    world.assert_clean();
    let again = world.prune(Duration::ZERO);
    assert_eq!(again.freed_packs + again.repacked_packs, 0, "nothing is left to free: {again:?}");
    assert_eq!(world.count(Kind::Lock), 0);
}

/// A backup with `between` before its n-th call; false when it has fewer calls.
#[track_caller]
fn backup_interrupted(
    world: &World,
    nth: u64,
    between: impl FnOnce(&World) + Send + 'static,
) -> bool {
    let inside = world.clone();
    let gate = Gate::new(world.store.clone(), nth, Stop::Do(Box::new(move || between(&inside))));
    // Opening reads the config only.
    let repository = world.open_on(gate.clone());
    if let Err(error) = world.back_up_with(&repository, &NEXT) {
        assert!(matches!(error, RepoError::Outdated { .. }), "call {nth}: {error}");
        world.assert_readable();
        world.back_up(&NEXT);
    }
    gate.was_reached()
}

#[track_caller]
fn explore(prepare: impl Fn(&World), between: impl Fn(&World) + Clone + Send + 'static) {
    for version in [Version::V1, Version::V2] {
        let template = template(version);
        prepare(&template);
        for nth in 1.. {
            let world = template.copy();
            let reached = backup_interrupted(&world, nth, between.clone());
            assert_ends_well(&world);
            if !reached {
                assert!(nth > 10, "a backup of {nth} calls");
                break;
            }
        }
    }
}

fn mark(world: &World) -> Outcome {
    let outcome = world.prune(DAY);
    assert!(outcome.waiting.is_some(), "{outcome:?}");
    outcome
}

fn wait_and_sweep(world: &World) {
    world.clock.turn(OVER_A_DAY);
    world.prune(DAY);
}

#[test]
fn a_backup_may_be_interrupted_anywhere_by_a_mark() {
    explore(|_| {}, |world| drop(mark(world)));
}

#[test]
fn a_backup_may_be_interrupted_anywhere_by_a_mark_its_grace_and_its_sweep() {
    explore(
        |_| {},
        |world| {
            mark(world);
            wait_and_sweep(world);
        },
    );
}

#[test]
fn a_backup_that_began_after_the_mark_may_be_interrupted_anywhere_by_the_sweep() {
    explore(|world| drop(mark(world)), wait_and_sweep);
}

#[test]
fn a_backup_may_be_interrupted_anywhere_by_a_prune_without_grace() {
    explore(|_| {}, |world| drop(world.prune(Duration::ZERO)));
}

#[test]
fn what_is_marked_while_a_backup_works_is_spared_though_a_vault_publishes_after_the_sweep() {
    let template = template(Version::V2);
    for nth in 1.. {
        let world = template.copy();
        let inside = world.clone();
        let between = Stop::Do(Box::new(move || drop(mark(&inside))));
        let gate = Gate::new(world.store.clone(), nth, between);
        let outcome = world.store_with(&world.open_on(gate.clone()), &NEXT).unwrap();
        if !gate.was_reached() {
            break;
        }
        wait_and_sweep(&world);
        world.publish_as_a_vault(&outcome, &NEXT);
        world.assert_clean();
        assert_ends_well(&world);
    }
}

/// The other way round: a whole backup, and one that was opened long before, inside a prune.
#[track_caller]
fn prune_interrupted(prepare: impl Fn(&World), grace: Duration) {
    let template = template(Version::V2);
    prepare(&template);
    for nth in 1.. {
        let world = template.copy();
        let long_open = Arc::new(world.open());
        long_open.index().unwrap();
        let inside = world.clone();
        let between = move || {
            for repository in [&long_open, &Arc::new(inside.open())] {
                if let Err(error) = inside.back_up_with(repository, &NEXT) {
                    let is_outdated = matches!(error, RepoError::Outdated { .. });
                    assert!(is_outdated, "call {nth}: {error}");
                }
            }
        };
        let gate = Gate::new(world.store.clone(), nth, Stop::Do(Box::new(between)));
        world.prune_with(&world.open_on(gate.clone()), grace).unwrap();
        let reached = gate.was_reached();
        assert_ends_well(&world);
        if !reached {
            assert!(nth > 10, "a prune of {nth} calls");
            break;
        }
    }
}

#[test]
fn a_mark_may_be_interrupted_anywhere_by_backups() {
    prune_interrupted(|_| {}, DAY);
}

#[test]
fn a_sweep_may_be_interrupted_anywhere_by_backups() {
    prune_interrupted(
        |world| {
            mark(world);
            world.clock.turn(OVER_A_DAY);
        },
        DAY,
    );
}

#[test]
fn a_prune_without_grace_may_be_interrupted_anywhere_by_backups() {
    prune_interrupted(|_| {}, Duration::ZERO);
}

#[test]
fn a_prune_that_is_killed_anywhere_goes_on() {
    for (grace, marked) in [(DAY, false), (DAY, true), (Duration::ZERO, false)] {
        let template = template(Version::V2);
        if marked {
            mark(&template);
            template.clock.turn(OVER_A_DAY);
        }
        // The first call opens the repository.
        for nth in 2.. {
            let world = template.copy();
            let gate = Gate::new(world.store.clone(), nth, Stop::Die);
            // Nobody with this number lives when the next one comes.
            let options =
                outlast_repo::prune::Options { grace, max_unused: 0.0, ..Default::default() };
            let killed = world.prune_as(&world.open_on(gate), &options, 0).is_err();
            world.assert_readable();
            world.back_up(&NEXT);
            assert_ends_well(&world);
            if !killed {
                break;
            }
        }
    }
}
