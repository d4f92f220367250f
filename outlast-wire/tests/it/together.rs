//! What comes waits for the disk with others, so that they can share a sync, whether or not it takes turns
//! to be proved.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use outlast_store::{Kind, MemoryStore, Object, Store, Verb};
use outlast_types::WorkloadName;
use outlast_wire::rest::{self, HostError, Incoming, RepositoryHost, Sender, Whole};
use outlast_wire::server::Limits;
use outlast_wire::{Peer, Role};

use crate::support::{World, sample};

/// More than packs are proved at one time, and as many as one peer may have threads for.
const TOGETHER: usize = 8;

/// A disk that ends nobody's sync before so many wait for it.
#[derive(Default)]
struct Disk {
    waiting: Mutex<usize>,
    changed: Condvar,
}

impl Disk {
    /// Whether so many waited at one time.
    fn sync(&self) -> bool {
        let mut waiting = self.waiting.lock().unwrap();
        *waiting += 1;
        self.changed.notify_all();
        let deadline = Duration::from_secs(120);
        let alone = |waiting: &mut usize| *waiting < TOGETHER;
        !self.changed.wait_timeout_while(waiting, deadline, alone).unwrap().1.timed_out()
    }
}

/// Keeps what comes.
struct Keeper {
    store: Arc<MemoryStore>,
    disk: Arc<Disk>,
    proves: bool,
    proved: Arc<AtomicUsize>,
}

/// A pack on its way.
struct Kept {
    whole: Box<dyn Incoming>,
    proved: Arc<AtomicUsize>,
}

impl Incoming for Kept {
    fn take(&mut self, piece: &[u8]) -> Result<(), HostError> {
        self.whole.take(piece)
    }

    fn prove(&mut self) -> Result<(), HostError> {
        self.proved.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn store(self: Box<Self>) -> Result<(), HostError> {
        self.whole.store()
    }
}

impl RepositoryHost for Keeper {
    fn store(&self, _: &Peer, _: &WorkloadName, _: Verb) -> Result<Arc<dyn Store>, HostError> {
        Ok(Arc::clone(&self.store) as Arc<dyn Store>)
    }

    fn create(&self, _: &Peer, _: &WorkloadName) -> Result<(), HostError> {
        Ok(())
    }

    fn proves_packs(&self) -> bool {
        self.proves
    }

    fn receive(
        &self,
        _: Sender<'_>,
        _: &WorkloadName,
        object: &Object,
    ) -> Result<Box<dyn Incoming>, HostError> {
        let (store, disk, object) = (Arc::clone(&self.store), Arc::clone(&self.disk), *object);
        let whole = Whole::new(move |content| {
            if !disk.sync() {
                return Err(HostError::Busy { reason: "it waited alone".to_owned() });
            }
            Ok(store.create(&object, content)?)
        });
        Ok(Box::new(Kept { whole: Box::new(whole), proved: Arc::clone(&self.proved) }))
    }

    fn remove(&self, _: &Peer, _: &WorkloadName, object: &Object) -> Result<(), HostError> {
        Ok(self.store.remove(object)?)
    }
}

/// How many of the packs were proved in a turn.
fn kept_together(proves: bool) -> usize {
    let world = World::new();
    let proved = Arc::<AtomicUsize>::default();
    let keeper =
        Keeper { store: Arc::default(), disk: Arc::default(), proves, proved: Arc::clone(&proved) };
    let kept = Arc::clone(&keeper.store);
    let server = world.serve_router(rest::router(Arc::new(keeper)), Limits::default());
    let client = world.store(&server, Role::Agent);
    std::thread::scope(|scope| {
        for number in 0..TOGETHER {
            let client = &client;
            scope.spawn(move || {
                let (pack, content) = sample(Kind::Data, &format!("pack {number}"));
                client.create(&pack, content).unwrap();
            });
        }
    });
    assert_eq!(kept.list(Kind::Data).unwrap().len(), TOGETHER);
    proved.load(Ordering::SeqCst)
}

#[test]
fn packs_that_are_only_kept_wait_for_the_disk_together() {
    assert_eq!(kept_together(false), 0);
}

#[test]
fn packs_are_proved_in_turns_and_wait_for_the_disk_together() {
    assert_eq!(kept_together(true), TOGETHER);
}
