//! What is on its way for longer than any grace time, beside daily prunes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use outlast_format::config::Version;
use outlast_repo::prune::Options;
use outlast_store::{Kind, Object, Store, StoreError, Written};
use outlast_types::{Clock as _, Timestamp};

use super::world::{DAY, Hands, OVER_A_DAY, World};

/// A store that tells when an object came, by the test's clock, and counts what is sent to it.
struct Dated {
    store: Arc<dyn Store>,
    clock: Hands,
    came: Mutex<BTreeMap<Object, Timestamp>>,
    sent: Mutex<u64>,
}

impl Dated {
    fn new(world: &World) -> Arc<Self> {
        let (store, clock) = (world.store.clone(), world.clock.clone());
        Arc::new(Self { store, clock, came: Mutex::default(), sent: Mutex::default() })
    }
}

impl Store for Dated {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let length = content.len() as u64;
        self.store.create(object, content)?;
        if object.kind() == Kind::Data {
            *self.sent.lock().unwrap() += length;
        }
        self.came.lock().unwrap().insert(*object, self.clock.now());
        Ok(())
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

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        let at = self.came.lock().unwrap().get(object).copied();
        Ok(at.map(|at| Written { at, now: self.clock.now() }))
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.store.remove(object)
    }
}

/// Ten days in each of which a part of one drop comes, and somebody prunes; then it is published. Returns
/// the bytes of packs that were sent for it, and how many packs were removed meanwhile.
fn ten_days(is_awaited: bool, is_pruned: bool) -> (u64, u64) {
    let world = World::new(Version::V2);
    let dated = Dated::new(&world);
    let open = || world.open_on(dated.clone());
    // Something is there that nobody needs any more, from before.
    let old = world.back_up_with(&open(), &[90, 91, 92, 93, 94]).unwrap();
    world.back_up_with(&open(), &[80, 81]).unwrap();
    world.forget(old);
    let prune = |since: Option<Timestamp>| {
        let options = Options { awaited_since: since, max_unused: 0.0, ..Options::default() };
        world.prune_as(&open(), &options, 1).unwrap()
    };
    if is_pruned {
        prune(None);
    }
    world.clock.turn(DAY / 24);
    *dated.sent.lock().unwrap() = 0;
    let began = world.clock.now();
    let (mut seeds, mut removed) = (vec![80, 81], 0);
    for day in 0..10 {
        // The agent was killed since, and reads from the beginning, as far as its drop is there.
        seeds.extend((0..4).map(|file| day * 4 + file));
        world.store_with(&open(), &seeds).unwrap();
        world.clock.turn(OVER_A_DAY);
        if is_pruned {
            removed += prune(is_awaited.then_some(began)).freed_packs;
        }
    }
    let sent = *dated.sent.lock().unwrap();
    let outcome = world.store_with(&open(), &seeds).unwrap();
    world.publish_as_a_vault(&outcome, &seeds);
    world.assert_clean();
    // What nobody needs goes when nothing is on its way.
    if is_pruned {
        for _ in 0..3 {
            prune(None);
            world.clock.turn(OVER_A_DAY);
        }
        world.assert_clean();
    }
    (sent, removed)
}

#[test]
fn a_shipment_over_ten_days_with_daily_prunes_is_sent_once() {
    let (undisturbed, _) = ten_days(true, false);
    let (awaited, removed) = ten_days(true, true);
    let (forgotten, _) = ten_days(false, true);
    assert!(removed > 0, "what was condemned before it began goes all the same");
    // Trees of each day differ; their sizes may do so by some bytes.
    assert!(awaited <= undisturbed + undisturbed / 50, "{awaited} against {undisturbed}");
    assert!(forgotten > undisturbed * 3 / 2, "else this test shows nothing: {forgotten}");
}

#[test]
fn what_came_or_was_condemned_since_something_is_on_its_way_stays_whatever_the_grace_time() {
    let world = World::new(Version::V2);
    let dated = Dated::new(&world);
    let open = || world.open_on(dated.clone());
    let old = world.back_up_with(&open(), &[1, 2, 3]).unwrap();
    world.forget(old);
    world.clock.turn(DAY);
    let began = world.clock.now();
    // It rests on what nobody needs any more, and nobody has condemned.
    let outcome = world.store_with(&open(), &[1, 2, 3, 4]).unwrap();
    let since = Some(began);
    let at_once = Options { grace: std::time::Duration::ZERO, ..Options::default() };
    for options in [at_once, Options::default(), Options::default()] {
        let options = Options { awaited_since: since, max_unused: 0.0, ..options };
        let pruned = world.prune_as(&open(), &options, 1).unwrap();
        assert_eq!(pruned.freed_packs, 0);
        assert!(pruned.awaited && pruned.waiting.is_some());
        world.clock.turn(OVER_A_DAY);
    }
    world.publish_as_a_vault(&outcome, &[1, 2, 3, 4]);
    world.assert_clean();
    let pruned = world.prune_as(&open(), &Options::default(), 1).unwrap();
    assert!(!pruned.awaited);
    world.assert_clean();
}
