//! Where every blob lies: all index files of a repository in one table in memory.
//!
//! An entry takes 48 bytes and its place in the hash table 4 to 11 more, so a million blobs (64 GB
//! of content that was never seen twice) take about 60 MB. Entries are kept in slabs, which never
//! move, so that growing costs no copy and no second room.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::pack::{BlobType, PackEntry};
use outlast_format::{BlobId, IndexId, PackId};
use outlast_store::{Kind, Object};

pub(crate) use unsaved::UnsavedPack;

use crate::{CacheError, RepoError, Repository};

mod unsaved;

/// Where a blob lies and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    pub pack: PackId,
    pub kind: BlobType,
    /// Bytes from the start of the pack.
    pub offset: u32,
    /// Bytes of the sealed blob.
    pub length: u32,
    /// Bytes of the plaintext, if it is compressed.
    pub uncompressed_length: Option<u32>,
}

impl Location {
    /// The location as its pack's header lists it.
    pub fn entry(&self, id: BlobId) -> PackEntry {
        PackEntry {
            kind: self.kind,
            id,
            offset: self.offset,
            length: self.length,
            uncompressed_length: self.uncompressed_length,
        }
    }
}

/// The index of a repository. Shared between threads; packs are added while others look things up.
#[derive(Debug)]
pub struct Index {
    table: RwLock<Table>,
    unsaved: Mutex<Vec<UnsavedPack>>,
    /// The index files that it was read from, or that were written from it.
    files: Mutex<BTreeSet<Object>>,
    problems: Vec<RepoError>,
    /// Blobs that were known when it was loaded.
    loaded: u64,
    /// 0 if none is noted.
    chunk_average: AtomicU32,
    condemned: Vec<(IndexId, Condemned)>,
}

impl Index {
    /// An index that knows nothing.
    pub(crate) fn new() -> Self {
        Self {
            table: RwLock::default(),
            unsaved: Mutex::default(),
            files: Mutex::default(),
            problems: Vec::new(),
            loaded: 0,
            chunk_average: AtomicU32::new(0),
            condemned: Vec::new(),
        }
    }

    /// Reads all index files of `repository`.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let mut index = Self::new();
        for (object, _) in repository.store().list(Kind::Index)? {
            let file = repository.read_unpacked(&object).and_then(|document| {
                IndexFile::parse(&document).map_err(|source| RepoError::Damaged {
                    object,
                    location: repository.location(),
                    source,
                })
            });
            match file {
                Ok(file) => {
                    for (pack, entries) in &file.packs {
                        index.add(*pack, entries);
                    }
                    index.take_notes(object, file.notes);
                    index.note_file(object);
                }
                Err(error @ (RepoError::Damaged { .. } | RepoError::HashMismatch { .. })) => {
                    index.problems.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        index.loaded = index.blobs();
        Ok(index)
    }

    fn take_notes(&mut self, object: Object, notes: Notes) {
        self.chunk_average.fetch_max(notes.chunk_average.unwrap_or(0), Ordering::Relaxed);
        if let (Some(name), Some(condemned)) = (object.name(), notes.condemned) {
            self.condemned.push((IndexId(name.0), condemned));
        }
    }

    /// Checks that `repository` still has every index file that this index rests on. A repository
    /// stays open for days, and meanwhile its disk may have been put back to an older state, or
    /// cleaned by a program that writes new index files for what it keeps. A backup that refers to
    /// blobs which are gone would look whole and could not be restored.
    pub(crate) fn check_current(&self, repository: &Repository) -> Result<(), RepoError> {
        let present = repository.store().list(Kind::Index)?;
        let present: BTreeSet<Object> = present.into_iter().map(|(object, _)| object).collect();
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        match files.difference(&present).next() {
            None => Ok(()),
            Some(&object) => Err(RepoError::Outdated { object, location: repository.location() }),
        }
    }

    fn note_file(&self, object: Object) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(object);
    }

    /// The index files that could not be used, each by its name. What only they list is not known.
    pub fn problems(&self) -> &[RepoError] {
        &self.problems
    }

    /// Where the blob lies. A tree and a piece of content may have the same id: they are two blobs.
    pub fn locate(&self, kind: BlobType, id: &BlobId) -> Result<Option<Location>, CacheError> {
        Ok(self.read().find(kind, id))
    }

    /// Whether the blob is known.
    pub fn has(&self, kind: BlobType, id: &BlobId) -> Result<bool, CacheError> {
        Ok(self.locate(kind, id)?.is_some())
    }

    /// Whether any blob of the pack is known.
    pub fn has_pack(&self, pack: &PackId) -> bool {
        self.read().pack_numbers.contains_key(pack)
    }

    /// All packs that the index files list, in no order.
    pub fn packs(&self) -> Vec<PackId> {
        self.read().packs.clone()
    }

    /// How many blobs are known.
    pub fn blobs(&self) -> u64 {
        self.read().count as u64
    }

    /// The number of a blob that was known when the index was loaded: less than
    /// [`ordinals`](Self::ordinals), of no other blob, and the same as long as the index is open.
    /// A set of blobs is a bitmap of so many bits.
    pub fn ordinal(&self, kind: BlobType, id: &BlobId) -> Result<Option<u64>, CacheError> {
        Ok(self.read().number(kind, id).map(u64::from).filter(|&number| number < self.loaded))
    }

    /// The numbers that [`ordinal`](Self::ordinal) gives are below this one.
    pub fn ordinals(&self) -> u64 {
        self.loaded
    }

    /// The largest average length of chunks, in bytes, that any index file notes.
    pub fn chunk_average(&self) -> Option<u32> {
        Some(self.chunk_average.load(Ordering::Relaxed)).filter(|&average| average > 0)
    }

    /// The marks that prune left, as they were when the index was loaded, with the index file of
    /// each.
    pub fn condemned(&self) -> Vec<(IndexId, Condemned)> {
        self.condemned.clone()
    }

    /// Adds the blobs of a pack that an index file lists.
    fn add(&self, pack: PackId, entries: &[PackEntry]) {
        let mut table = self.write();
        let number = table.number_of(pack);
        for entry in entries {
            table.insert(number, entry);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entries of one slab.
const SLAB: usize = 1024;
/// A free slot of the hash table.
const FREE: u32 = u32::MAX;
/// The bit of `Entry::pack` that tells trees from data.
const TREE_BIT: u32 = 1 << 31;

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: BlobId,
    /// The number of the pack, and [`TREE_BIT`].
    pack: u32,
    offset: u32,
    length: u32,
    /// 0 if it is not compressed, as in the files.
    uncompressed_length: u32,
}

#[derive(Debug, Default)]
struct Table {
    slabs: Vec<Vec<Entry>>,
    count: usize,
    /// Open addressing; numbers of entries.
    slots: Vec<u32>,
    packs: Vec<PackId>,
    pack_numbers: HashMap<PackId, u32>,
}

impl Table {
    fn entry(&self, number: u32) -> &Entry {
        let number = number as usize;
        &self.slabs[number / SLAB][number % SLAB]
    }

    fn number_of(&mut self, pack: PackId) -> u32 {
        let packs = &mut self.packs;
        *self.pack_numbers.entry(pack).or_insert_with(|| {
            packs.push(pack);
            // 2^31 packs of 16 MiB are 32 PiB.
            u32::try_from(packs.len() - 1).unwrap_or(TREE_BIT - 1)
        })
    }

    /// The number of the blob's entry.
    fn number(&self, kind: BlobType, id: &BlobId) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = self.slots[self.slot_of(kind, id)];
        (slot != FREE).then_some(slot)
    }

    fn find(&self, kind: BlobType, id: &BlobId) -> Option<Location> {
        let entry = self.entry(self.number(kind, id)?);
        Some(Location {
            pack: self.packs[(entry.pack & !TREE_BIT) as usize],
            kind,
            offset: entry.offset,
            length: entry.length,
            uncompressed_length: (entry.uncompressed_length > 0)
                .then_some(entry.uncompressed_length),
        })
    }

    fn insert(&mut self, pack: u32, entry: &PackEntry) {
        // Three quarters full at most, or looking up gets slow.
        if (self.count + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let slot = self.slot_of(entry.kind, &entry.id);
        if self.slots[slot] != FREE {
            return;
        }
        // 2^32 entries would take 200 GB here; the on-disk index comes long before.
        self.slots[slot] = u32::try_from(self.count).unwrap_or(FREE);
        if self.slabs.last().is_none_or(|slab| slab.len() == SLAB) {
            self.slabs.push(Vec::with_capacity(SLAB));
        }
        if let Some(slab) = self.slabs.last_mut() {
            slab.push(Entry {
                id: entry.id,
                pack: pack | tree_bit(entry.kind),
                offset: entry.offset,
                length: entry.length,
                uncompressed_length: entry.uncompressed_length.unwrap_or(0),
            });
            self.count += 1;
        }
    }

    /// The slot of the blob, or the free one where it belongs.
    fn slot_of(&self, kind: BlobType, id: &BlobId) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = start_of(id) & mask;
        loop {
            match self.slots[slot] {
                FREE => return slot,
                number => {
                    let entry = self.entry(number);
                    if entry.id == *id && entry.pack & TREE_BIT == tree_bit(kind) {
                        return slot;
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let length = (self.slots.len() * 2).max(64);
        self.slots = vec![FREE; length];
        for number in 0..self.count {
            let number = u32::try_from(number).unwrap_or(FREE);
            let mut slot = start_of(&self.entry(number).id) & (length - 1);
            while self.slots[slot] != FREE {
                slot = (slot + 1) & (length - 1);
            }
            self.slots[slot] = number;
        }
    }
}

fn tree_bit(kind: BlobType) -> u32 {
    match kind {
        BlobType::Data => 0,
        BlobType::Tree => TREE_BIT,
    }
}

/// Ids are hashes already: any four of their bytes are as good as a hash of them.
fn start_of(id: &BlobId) -> usize {
    let [a, b, c, d, ..] = id.0;
    u32::from_le_bytes([a, b, c, d]) as usize
}

#[cfg(test)]
mod tests;
