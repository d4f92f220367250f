//! A store without any room: what nobody needs goes first, and nothing that somebody needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use outlast_format::config::Version;
use outlast_repo::RepoError;
use outlast_store::{Kind, MemoryStore, Object, Store, StoreError};

use super::world::{DAY, Gate, OVER_A_DAY, Stop, World};

/// A store that takes so many bytes more, and counts in blocks as disks do.
struct Small {
    store: Arc<MemoryStore>,
    room: AtomicU64,
}

impl Small {
    fn full(store: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { store, room: AtomicU64::new(0) })
    }
}

fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(4096) * 4096
}

impl Store for Small {
    fn location(&self) -> String {
        "small".to_owned()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let needs = blocks(content.len() as u64);
        let take = |room: u64| room.checked_sub(needs);
        let taken = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        if taken.is_err() {
            let (object, location) = (*object, self.location());
            return Err(StoreError::Full { verb: "create", object, location });
        }
        self.store.create(object, content)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.store.read(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.store.read_range(object, offset, length)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.store.size(object)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        self.store.list(kind)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        let size = self.store.size(object)?;
        self.store.remove(object)?;
        self.room.fetch_add(blocks(size), Ordering::SeqCst);
        Ok(())
    }
}

/// Packs of which all, a part and nothing is needed.
fn mixed() -> World {
    let world = World::new(Version::V2);
    let old = world.back_up(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    world.back_up(&[1, 4, 7]);
    world.forget(old);
    world
}

#[test]
fn a_full_store_is_pruned_and_the_outcome_says_that_it_was_full() {
    let world = mixed();
    let outcome =
        world.prune_with(&world.open_on(Small::full(world.store.clone())), Duration::ZERO).unwrap();
    assert!(outcome.room_packs > 0 && outcome.freed_packs > outcome.room_packs, "{outcome:?}");
    world.assert_clean();
    assert_eq!(world.count(Kind::Lock), 0);
    // Nothing is left for another one.
    let again = world.prune(Duration::ZERO);
    assert_eq!((again.freed_packs, again.room_packs, again.repacked_packs), (0, 0, 0));
}

#[test]
fn what_is_condemned_since_the_grace_time_goes_from_a_full_store_too_and_nothing_else() {
    let world = mixed();
    world.prune(DAY);
    let small = Small::full(world.store.clone());
    world.clock.turn(DAY / 2);
    let before = world.count(Kind::Data);
    // Not yet: nothing may go, and nothing needs to be written.
    world.prune_with(&world.open_on(small.clone()), DAY).unwrap();
    assert_eq!(world.count(Kind::Data), before);
    world.clock.turn(OVER_A_DAY);
    let outcome = world.prune_with(&world.open_on(small), DAY).unwrap();
    assert!(outcome.room_packs > 0 && outcome.freed_packs > 0, "{outcome:?}");
    world.assert_clean();
}

#[test]
fn where_nothing_may_go_a_full_store_is_named_and_left_as_it_is() {
    let world = World::new(Version::V2);
    world.back_up(&[1, 2, 3]);
    let before = world.count(Kind::Data);
    let small = Small::full(world.store.clone());
    let error = world.prune_with(&world.open_on(small), Duration::ZERO).unwrap_err();
    assert!(matches!(error, RepoError::Store(StoreError::Full { .. })), "{error}");
    assert_eq!(world.count(Kind::Data), before);
    world.assert_clean();
}

#[test]
fn killed_anywhere_on_a_full_store_nothing_that_is_needed_is_lost() {
    let template = mixed();
    for nth in 1.. {
        let world = template.copy();
        let gate = Gate::new(Small::full(world.store.clone()), nth, Stop::Die);
        let repository = world.try_open_on(gate.clone());
        let ended = repository.and_then(|r| world.prune_with(&r, Duration::ZERO));
        world.assert_readable();
        if !gate.was_reached() {
            ended.unwrap();
            break;
        }
        world.clock.turn(OVER_A_DAY);
        world.prune_with(&world.open(), Duration::ZERO).unwrap();
        world.assert_clean();
    }
}

#[test]
fn what_somebody_begins_to_need_meanwhile_is_put_back() {
    let template = mixed();
    for nth in (1..).step_by(3) {
        let world = template.copy();
        let inside = world.clone();
        let between = move || {
            // It finds everything there, and refers to it.
            drop(inside.back_up_with(&inside.open(), &[2, 5, 10, 11]));
        };
        let gate = Gate::new(Small::full(world.store.clone()), nth, Stop::Do(Box::new(between)));
        drop(world.prune_with(&world.open_on(gate.clone()), Duration::ZERO));
        world.assert_readable();
        if !gate.was_reached() {
            break;
        }
    }
}
