//! A repository in memory, a clock that tests turn, and a store that stops at a chosen call.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use outlast_format::SnapshotId;
use outlast_format::config::Version;
use outlast_format::crypto::Key;
use outlast_format::snapshot::Snapshot;
use outlast_fs::{Entry, EntryPath, EntrySource, Kind as EntryKind, Metadata, SourceError};
use outlast_repo::backup::{self, Input, Options, Tuning};
use outlast_repo::lock::{Here, Holder};
use outlast_repo::prune::{self, Outcome};
use outlast_repo::{Credential, Maker, RepoError, Repository, check, forget, read};
use outlast_store::{Kind, MemoryStore, Object, Store, StoreError};
use outlast_testing::pseudo_random;
use outlast_types::{Clock, Random, Silent, SystemRandom, Timestamp};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A little longer than the grace time.
pub(crate) const OVER_A_DAY: Duration = Duration::from_secs(25 * 60 * 60);

/// A clock that stands still until it is turned.
#[derive(Clone)]
pub(crate) struct Hands(Arc<Mutex<Timestamp>>);

impl Hands {
    pub(crate) fn turn(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.saturating_add(by);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// What happens before the n-th call of a store.
pub(crate) enum Stop<'h> {
    Never,
    /// This, and the call goes on.
    Do(Box<dyn FnOnce() + Send + 'h>),
    /// This call and all that follow fail, as for a process that is killed.
    Die,
}

/// A store that stops before its n-th call. Calls come one at a time, so that nothing of the same
/// process happens meanwhile.
pub(crate) struct Gate {
    store: Arc<dyn Store>,
    state: Mutex<(u64, u64, Stop<'static>)>,
}

impl Gate {
    /// Stops before call `nth`, from 1.
    pub(crate) fn new(store: Arc<dyn Store>, nth: u64, stop: Stop<'static>) -> Arc<Self> {
        Arc::new(Self { store, state: Mutex::new((0, nth, stop)) })
    }

    /// Whether the call was reached.
    pub(crate) fn was_reached(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 >= state.1
    }

    fn pass(
        &self,
        location: &str,
    ) -> Result<MutexGuard<'_, (u64, u64, Stop<'static>)>, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        if state.0 >= state.1 {
            match std::mem::replace(&mut state.2, Stop::Never) {
                Stop::Never => {}
                Stop::Do(hook) => hook(),
                Stop::Die => {
                    state.2 = Stop::Die;
                    let source = io::Error::new(io::ErrorKind::PermissionDenied, "killed");
                    return Err(StoreError::Open { location: location.into(), source });
                }
            }
        }
        Ok(state)
    }
}

impl Store for Gate {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let _one = self.pass("create")?;
        self.store.create(object, content)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        let _one = self.pass("read")?;
        self.store.read(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let _one = self.pass("read")?;
        self.store.read_range(object, offset, length)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        let _one = self.pass("size")?;
        self.store.size(object)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        let _one = self.pass("list")?;
        self.store.list(kind)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        let _one = self.pass("remove")?;
        self.store.remove(object)
    }
}

/// A repository in memory, and what its snapshots should hold.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    key: Key,
    pub(crate) clock: Hands,
    random: Arc<dyn Random>,
    pub(crate) expected: Arc<Mutex<BTreeMap<SnapshotId, Vec<u64>>>>,
}

impl World {
    pub(crate) fn new(version: Version) -> Self {
        Self::random(version, Arc::new(SystemRandom))
    }

    /// One whose keys and nonces come from `random`.
    pub(crate) fn random(version: Version, random: Arc<dyn Random>) -> Self {
        let store = Arc::new(MemoryStore::new());
        let maker =
            Maker { hostname: String::new(), username: String::new(), created: Timestamp::EPOCH };
        let made = Repository::init(store.clone(), "x", version, &maker, &*random).unwrap();
        let start = Timestamp::from_unix(1_700_000_000, 0).unwrap();
        let (key, clock) = (made.key().clone(), Hands(Arc::new(Mutex::new(start))));
        Self { store, key, clock, random, expected: Arc::default() }
    }

    /// The same store once more, to begin from what it holds now.
    pub(crate) fn copy(&self) -> Self {
        self.copy_at(self.clock.now())
    }

    /// The same at another time.
    pub(crate) fn copy_at(&self, now: Timestamp) -> Self {
        let store = Arc::new(MemoryStore::new());
        for kind in Kind::LISTED {
            for (object, _) in self.store.list(kind).unwrap() {
                store.create(&object, self.store.read(&object).unwrap()).unwrap();
            }
        }
        store.create(&Object::Config, self.store.read(&Object::Config).unwrap()).unwrap();
        let expected = Arc::new(Mutex::new(self.expected.lock().unwrap().clone()));
        let clock = Hands(Arc::new(Mutex::new(now)));
        Self { store, key: self.key.clone(), clock, random: Arc::clone(&self.random), expected }
    }

    /// The same world, for somebody with nonces of his own.
    pub(crate) fn with_random(&self, random: Arc<dyn Random>) -> Self {
        Self { random, ..self.clone() }
    }

    pub(crate) fn open(&self) -> Repository {
        self.open_on(self.store.clone())
    }

    pub(crate) fn open_on(&self, store: Arc<dyn Store>) -> Repository {
        self.try_open_on(store).unwrap()
    }

    pub(crate) fn try_open_on(&self, store: Arc<dyn Store>) -> Result<Repository, RepoError> {
        Repository::open(store, Credential::Key(self.key.clone()))
    }

    /// Backs up one file for each seed, and publishes.
    pub(crate) fn back_up(&self, seeds: &[u64]) -> SnapshotId {
        self.back_up_with(&self.open(), seeds).unwrap()
    }

    pub(crate) fn back_up_with(
        &self,
        repository: &Repository,
        seeds: &[u64],
    ) -> Result<SnapshotId, RepoError> {
        let outcome = self.store_with(repository, seeds)?;
        let id = backup::publish(repository, &outcome)?;
        self.expected.lock().unwrap().insert(id, seeds.to_vec());
        Ok(id)
    }

    /// A backup that nobody has published yet.
    pub(crate) fn store_with(
        &self,
        repository: &Repository,
        seeds: &[u64],
    ) -> Result<backup::Outcome, RepoError> {
        let tuning = Tuning {
            workers: 2,
            uploads: 2,
            data_pack_bytes: 12_000,
            tree_pack_bytes: 1_000,
            checkpoint_bytes: 30_000,
            ..Tuning::default()
        };
        let options = Options { tuning, ..Options::new(self.clock.now()) };
        let input = Input::Tree(Box::new(Files::new(seeds)));
        backup::backup(repository, input, &options, &self.clock, &*self.random, &Silent)
    }

    /// Publishes as a vault does, which gets the snapshot from somebody else and cannot look again.
    pub(crate) fn publish_as_a_vault(&self, outcome: &backup::Outcome, seeds: &[u64]) {
        let object = Object::Snapshot(outcome.snapshot_id);
        self.store.create(&object, outcome.sealed_snapshot.clone()).unwrap();
        self.expected.lock().unwrap().insert(outcome.snapshot_id, seeds.to_vec());
    }

    pub(crate) fn forget(&self, snapshot: SnapshotId) {
        forget::forget(&self.open(), &[snapshot]).unwrap();
        self.expected.lock().unwrap().remove(&snapshot);
    }

    pub(crate) fn prune(&self, grace: Duration) -> Outcome {
        self.prune_with(&self.open(), grace).unwrap()
    }

    pub(crate) fn prune_with(
        &self,
        repository: &Repository,
        grace: Duration,
    ) -> Result<Outcome, RepoError> {
        let options = prune::Options { grace, max_unused: 0.0, ..prune::Options::default() };
        self.prune_as(repository, &options, 1)
    }

    /// As a process of its own; the one with number 0 is dead.
    pub(crate) fn prune_as(
        &self,
        repository: &Repository,
        options: &prune::Options,
        pid: u32,
    ) -> Result<Outcome, RepoError> {
        self.prune_among(repository, options, pid, &|pid| pid != 0)
    }

    /// Beside processes of which only some live.
    pub(crate) fn prune_among(
        &self,
        repository: &Repository,
        options: &prune::Options,
        pid: u32,
        lives: &dyn Fn(u32) -> bool,
    ) -> Result<Outcome, RepoError> {
        let (hostname, username) = ("host".to_owned(), "user".to_owned());
        let holder = Holder { hostname, username, pid, uid: 0, gid: 0 };
        let here = Here { holder, lives };
        prune::prune(repository, options, &here, &self.clock, &*self.random, &Silent)
    }

    /// Every snapshot that should be there is, and holds what it should.
    #[track_caller]
    pub(crate) fn assert_readable(&self) {
        let repository = self.open();
        let found = read::snapshots(&repository).unwrap();
        assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
        let expected = self.expected.lock().unwrap();
        let ids: Vec<SnapshotId> = found.list.iter().map(|(id, _)| *id).collect();
        assert!(expected.keys().all(|id| ids.contains(id)), "a snapshot is gone");
        for (id, snapshot) in &found.list {
            // One whose backup was killed while it published it is whole as well.
            assert_holds(&repository, snapshot, expected.get(id).into_iter().flatten());
        }
    }

    /// And nothing at all is wrong.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        self.assert_readable();
        let options = check::Options { read_data: true, ..check::Options::default() };
        let report = check::check(&self.open(), &options, &Silent).unwrap();
        assert!(report.is_clean(), "{:#?}", report.problems);
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.store.list(kind).unwrap().len()
    }
}

/// These files are in the snapshot, as they were.
#[track_caller]
pub(crate) fn assert_holds<'s>(
    repository: &Repository,
    snapshot: &Snapshot,
    seeds: impl IntoIterator<Item = &'s u64>,
) {
    for seed in seeds {
        let path = EntryPath::parse(path(*seed).as_bytes()).unwrap();
        let mut content = Vec::new();
        read::cat(repository, snapshot.tree, &path, &mut content, &Silent).unwrap();
        assert!(content == self::content(*seed), "{path} differs");
    }
}

fn path(seed: u64) -> String {
    format!("d{}/f{seed}", seed % 3)
}

fn content(seed: u64) -> Vec<u8> {
    // None is worth a pack.
    pseudo_random(seed + 1, 3_000 + 2_000 * usize::try_from(seed % 4).unwrap())
}

/// A file for each seed.
struct Files {
    seeds: VecDeque<u64>,
    content: io::Cursor<Vec<u8>>,
}

impl Files {
    fn new(seeds: &[u64]) -> Self {
        Self { seeds: seeds.iter().copied().collect(), content: io::Cursor::default() }
    }
}

impl EntrySource for Files {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        Ok(self.seeds.pop_front().map(|seed| {
            self.content = io::Cursor::new(content(seed));
            let size = self.content.get_ref().len() as u64;
            let path = EntryPath::parse(path(seed).as_bytes()).unwrap();
            let metadata = Metadata { mode: 0o644, ..Metadata::default() };
            Entry { path, kind: EntryKind::File { size }, metadata }
        }))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.content, buffer)
    }
}
