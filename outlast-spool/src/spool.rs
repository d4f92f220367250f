//! The spool itself: a directory, and what is known of it in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use outlast_fs::durable::{self, Staged};
use outlast_fs::lock::DirectoryLock;
use outlast_types::{DropId, Environment, SpoolId, Timestamp, WorkloadName};

use crate::commit::GroupCommit;
use crate::error::SpoolError;
use crate::item::{Arrival, Item, Key};
use crate::room::{Book, Room, Usage};

const ID: &str = "id";
const LOCK: &str = "lock";
const ITEMS: &str = "items";

/// A durable queue in a directory, for many threads at once.
pub struct Spool {
    items: PathBuf,
    id: SpoolId,
    /// Its own files as they were found, each with what tells it from another of the same name.
    found: [(PathBuf, FileId); 2],
    environment: Environment,
    commits: GroupCommit,
    state: Mutex<State>,
    _lock: DirectoryLock,
}

struct State {
    book: Book,
    by_key: HashMap<Key, Arrival>,
    /// Of each workload, in the order in which they came.
    queues: BTreeMap<WorkloadName, BTreeMap<Arrival, Item>>,
    last: Arrival,
}

impl Spool {
    /// Opens the spool in `directory`, which is made if it is missing, and takes stock of what is there.
    pub fn open(
        directory: &Path,
        room: Room,
        environment: Environment,
    ) -> Result<Arc<Self>, SpoolError> {
        let items = directory.join(ITEMS);
        durable::create_directories(directory, 0o700).map_err(SpoolError::io("make", directory))?;
        let in_use = || SpoolError::InUse { path: directory.to_owned() };
        let lock = DirectoryLock::take(directory, LOCK).map_err(|error| {
            SpoolError::io("lock", directory)(io::Error::other(error.to_string()))
        })?;
        let lock = lock.ok_or_else(in_use)?;
        // An id without items is what was left of another spool.
        let is_known = items.is_dir();
        durable::create_directories(&items, 0o700).map_err(SpoolError::io("make", &items))?;
        let id = read_or_make_id(directory, is_known, &environment)?;
        let found = [look(directory.join(ID))?, look(items.clone())?];
        let mut state = State {
            book: Book::new(room),
            by_key: HashMap::new(),
            queues: BTreeMap::new(),
            last: Arrival(0),
        };
        // What is found counts as durable, and its writer may have died before it had made it so.
        durable::sync_directory(&items).map_err(SpoolError::io("make durable", &items))?;
        let listed = fs::read_dir(&items).map_err(SpoolError::io("list", &items))?;
        for entry in listed {
            let name = entry.map_err(SpoolError::io("list", &items))?.file_name();
            let path = items.join(&name);
            if durable::is_temporary(&name) {
                // Of a writer that was killed: nobody was told that it is here.
                fs::remove_file(&path).map_err(SpoolError::io("remove", &path))?;
                continue;
            }
            match name.to_str().and_then(Item::parse) {
                Some(item) => state.find(item),
                None => {
                    tracing::warn!(path = %path.display(), "this is not of the spool; left alone")
                }
            }
        }
        let (commits, state) = (GroupCommit::default(), Mutex::new(state));
        Ok(Arc::new(Self { items, id, found, environment, commits, state, _lock: lock }))
    }

    /// Which one it is.
    pub fn id(&self) -> SpoolId {
        self.id
    }

    /// Whether it is still where it was opened: nobody removed it, and no other one took its place.
    pub fn is_in_place(&self) -> bool {
        self.found.iter().all(|(path, id)| file_id(path).is_ok_and(|now| now == *id))
    }

    /// How much may be in it from now on; what is in it stays.
    pub fn set_room(&self, room: Room) {
        self.lock().book.set_room(room);
    }

    /// What is here of `key`, durably.
    pub fn find(&self, key: &Key) -> Option<Item> {
        let state = self.lock();
        let arrival = state.by_key.get(key)?;
        state.queues.get(&key.workload)?.get(arrival).cloned()
    }

    /// What is in it, and what is about to be.
    pub fn usage(&self) -> Usage {
        self.lock().book.all()
    }

    /// The same of each workload of which there is anything.
    pub fn usage_by_workload(&self) -> BTreeMap<WorkloadName, Usage> {
        self.lock().book.by_workload().clone()
    }

    /// The workloads of which something is here, with the time at which their oldest item came.
    pub fn waiting(&self) -> Vec<(WorkloadName, Timestamp)> {
        let state = self.lock();
        let oldest = |queue: &BTreeMap<Arrival, Item>| Some(queue.keys().next()?.at());
        let queues = state.queues.iter();
        queues.filter_map(|(name, queue)| Some((name.clone(), oldest(queue)?))).collect()
    }

    /// The `count` oldest items of a workload that came after `after`.
    pub fn oldest(
        &self,
        workload: &WorkloadName,
        after: Option<Arrival>,
        count: usize,
    ) -> Vec<Item> {
        let state = self.lock();
        let Some(queue) = state.queues.get(workload) else { return Vec::new() };
        let from = after.map_or(Arrival(0), |Arrival(number)| Arrival(number.saturating_add(1)));
        queue.range(from..).take(count).map(|(_, item)| item.clone()).collect()
    }

    /// What is here of each shipment, and when the last of it came.
    pub fn shipments(&self) -> BTreeMap<(WorkloadName, DropId), Shipped> {
        let state = self.lock();
        let mut found: BTreeMap<_, Shipped> = BTreeMap::new();
        for item in state.queues.values().flat_map(BTreeMap::values) {
            let Some(drop) = item.shipment else { continue };
            let shipped = found
                .entry((item.key.workload.clone(), drop))
                .or_insert(Shipped { usage: Usage::default(), last: item.arrival.at() });
            shipped.usage.items += 1;
            shipped.usage.bytes += item.size;
            shipped.last = shipped.last.max(item.arrival.at());
        }
        found
    }

    /// The items of a workload that came for this drop, or for none that was named.
    pub fn of_shipment(&self, workload: &WorkloadName, drop: Option<DropId>) -> Vec<Item> {
        let state = self.lock();
        let queue = state.queues.get(workload).into_iter().flat_map(BTreeMap::values);
        queue.filter(|item| item.shipment == drop).cloned().collect()
    }

    /// Begins to take in `key`, for a drop if it is said for which; none if it is here.
    pub fn begin(
        self: &Arc<Self>,
        key: Key,
        shipment: Option<DropId>,
    ) -> Result<Option<Incoming>, SpoolError> {
        if self.lock().by_key.contains_key(&key) {
            return Ok(None);
        }
        // Its own name is known when its size is.
        let place = self.items.join(key.what.to_string().replace(' ', "-"));
        let staged = Staged::create(&place, 0o600).map_err(SpoolError::io("write", &place))?;
        let spool = Arc::clone(self);
        Ok(Some(Incoming { spool, key, shipment, staged: Some(staged), size: 0 }))
    }

    /// The content of an item. It is what was written there; whether it still hashes to its name is for
    /// the reader to see.
    pub fn read(&self, item: &Item) -> Result<File, SpoolError> {
        let path = self.path_of(item);
        File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                let Key { workload, what } = item.key.clone();
                SpoolError::Absent { workload, what }
            }
            _ => SpoolError::io("read", &path)(source),
        })
    }

    /// Removes an item that was handed on, or that nobody wants. One that is gone already is gone, and one
    /// that the disk does not let go is here again after the next start, and not before.
    pub fn remove(&self, item: &Item) -> Result<(), SpoolError> {
        let path = self.path_of(item);
        let removed = fs::remove_file(&path);
        self.lock().forget(item);
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(SpoolError::io("remove", &path)(source))
            }
            _ => Ok(()),
        }
    }

    fn path_of(&self, item: &Item) -> PathBuf {
        self.items.join(item.file_name())
    }

    fn sync(&self) -> io::Result<()> {
        durable::sync_directory(&self.items)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is here of a shipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    pub usage: Usage,
    /// When the last of it came, by the spool's clock.
    pub last: Timestamp,
}

/// What lies in the spool of a directory, which may be in use, with the files that hold it.
pub fn listed(directory: &Path) -> Result<Vec<(Item, PathBuf)>, SpoolError> {
    let items = directory.join(ITEMS);
    let failed = || SpoolError::io("list", &items);
    let mut found = Vec::new();
    for entry in fs::read_dir(&items).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        if let Some(item) = name.to_str().and_then(Item::parse) {
            found.push((item, items.join(name)));
        }
    }
    found.sort_by_key(|(item, _)| item.arrival);
    Ok(found)
}

impl State {
    /// An item lies here from before.
    fn find(&mut self, item: Item) {
        self.last = self.last.max(item.arrival);
        self.book.found(&item);
        self.insert(item);
    }

    fn insert(&mut self, item: Item) {
        self.by_key.insert(item.key.clone(), item.arrival);
        self.queues.entry(item.key.workload.clone()).or_default().insert(item.arrival, item);
    }

    fn forget(&mut self, item: &Item) {
        let Some(queue) = self.queues.get_mut(&item.key.workload) else { return };
        let Some(item) = queue.remove(&item.arrival) else { return };
        if queue.is_empty() {
            self.queues.remove(&item.key.workload);
        }
        if self.by_key.get(&item.key) == Some(&item.arrival) {
            self.by_key.remove(&item.key);
        }
        self.book.gone(&item);
    }

    /// A number that is later than all others, and the time where the clock allows it.
    fn next_arrival(&mut self, now: Timestamp) -> Arrival {
        let nanos = u64::try_from(now.since(Timestamp::EPOCH).as_nanos()).unwrap_or(u64::MAX);
        self.last = Arrival(nanos.max(self.last.0.saturating_add(1)));
        self.last
    }
}

/// An item that comes piece by piece. Dropped before it is stored, it leaves nothing.
pub struct Incoming {
    spool: Arc<Spool>,
    key: Key,
    shipment: Option<DropId>,
    /// Until it has its name.
    staged: Option<Staged>,
    size: u64,
}

impl Incoming {
    /// Takes the next piece, if there is room for it.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        self.spool.lock().book.promise(&self.key, piece.len() as u64)?;
        self.size += piece.len() as u64;
        let Some(staged) = &self.staged else { return Ok(()) };
        staged.file().write_all(piece).map_err(SpoolError::io("write", &self.spool.items))
    }

    /// All of it came, and its SHA-256 is `hash`: it is in the spool, durably, when this returns.
    pub fn store(mut self, hash: [u8; 32]) -> Result<Item, SpoolError> {
        if hash != self.key.what.hash() {
            return Err(SpoolError::WrongHash { what: self.key.what });
        }
        let spool = Arc::clone(&self.spool);
        let arrival = spool.lock().next_arrival(spool.environment.clock.now());
        let (key, shipment) = (self.key.clone(), self.shipment);
        let item = Item { key, arrival, size: self.size, shipment };
        let path = spool.path_of(&item);
        if let Some(staged) = self.staged.take() {
            staged.publish_unsynced(&path).map_err(SpoolError::io("store", &path))?;
        }
        spool.commits.commit(|| spool.sync()).map_err(SpoolError::io("sync", &spool.items))?;
        let mut state = spool.lock();
        // Two may have brought the same: the first one is here, and both are right.
        if let Some(first) = state.by_key.get(&item.key).copied() {
            drop(state);
            let _ = fs::remove_file(&path);
            return Ok(Item { arrival: first, ..item });
        }
        state.book.stored(&item);
        // It is the item's now.
        self.size = 0;
        state.insert(item.clone());
        Ok(item)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.spool.lock().book.take_back(&self.key, self.size);
    }
}

/// Device, inode, and when it was made where the file system says so: the next one often has the inode.
type FileId = (u64, u64, Option<SystemTime>);

fn file_id(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|found| (found.dev(), found.ino(), found.created().ok()))
}

fn look(path: PathBuf) -> Result<(PathBuf, FileId), SpoolError> {
    let id = file_id(&path).map_err(SpoolError::io("look at", &path))?;
    Ok((path, id))
}

/// The id that is there, if it `is_known` that its items are, too; else a new one.
fn read_or_make_id(
    directory: &Path,
    is_known: bool,
    environment: &Environment,
) -> Result<SpoolId, SpoolError> {
    let path = directory.join(ID);
    match durable::read_bounded(&path, 64) {
        Ok(text) if is_known => {
            let text = String::from_utf8_lossy(&text);
            text.trim().parse().map_err(|error| {
                let reason = io::Error::new(io::ErrorKind::InvalidData, format!("{error}"));
                SpoolError::io("understand", &path)(reason)
            })
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SpoolError::io("read", &path)(error))
        }
        _ => {
            let id = SpoolId::new(&*environment.random);
            durable::replace(&path, format!("{id}\n").as_bytes(), 0o600)
                .map_err(SpoolError::io("make", &path))?;
            Ok(id)
        }
    }
}
