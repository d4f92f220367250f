//! Where every blob lies.
//!
//! The index of a repository is the sum of its index files. It is kept in sorted runs, see
//! `sorted`, in the directory that [`Repository::cached_in`](crate::Repository::cached_in) names,
//! and otherwise on the heap. A lookup reads one page of each run, of which there are few. On the
//! heap are 8 bytes for 84 blobs, about 100 bytes for each pack, and the blobs of packs that no
//! index file lists yet: 10 million blobs take about 4 MiB.
//!
//! Loading fetches what the runs do not cover. If an index file that they cover is gone, because an
//! older state of the repository was put back or it was cleaned, they are all made anew. One that was
//! damaged since is not fetched, so it does no harm here: a check names it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use outlast_format::index::Condemned;
use outlast_format::pack::{BlobType, PackEntry};
use outlast_format::{BlobId, IndexId, PackId};
use outlast_store::{Kind, Object};

pub(crate) use load::Matching;
pub(crate) use unsaved::UnsavedPack;

use self::record::{Packs, RECORD_BYTES, Record, Spot, decode, id_of};
use self::unsaved::Writing;
use crate::open_store::OpenStore;
use crate::sorted::{Merge, Run};
use crate::{CacheError, RepoError};

mod load;
mod record;
mod runs;
mod save;
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
    /// Where it ends in the pack.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }

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
    state: RwLock<State>,
    /// Taken before `state` by whoever changes that.
    writing: Mutex<Writing>,
    /// The runs that were there when it was loaded. They never change, and number the blobs.
    base: Vec<Arc<Run<RECORD_BYTES>>>,
    /// The index files that it was read from, or that were written from it, with their bytes.
    files: Mutex<BTreeSet<(IndexId, u64)>>,
    problems: Vec<RepoError>,
    /// 0 if none is noted.
    chunk_average: AtomicU32,
    condemned: Vec<(IndexId, Condemned)>,
    /// The numbers of packs in `condemned`.
    condemned_packs: HashSet<u32>,
}

/// The part that lookups see. A blob goes from `fresh` to `runs` in one step.
#[derive(Debug)]
struct State {
    packs: Packs,
    /// Blobs of packs that no index file lists yet.
    fresh: BTreeSet<Record>,
    runs: Arc<[Arc<Run<RECORD_BYTES>>]>,
}

impl Index {
    /// Checks that the store still has every index file that this index rests on. A repository
    /// stays open for days, and meanwhile its disk may have been put back to an older state, or
    /// cleaned by a program that writes new index files for what it keeps. A backup that refers to
    /// blobs which are gone would look whole and could not be restored.
    ///
    /// Whether all of them are as long as they were. What was in one that was cut off since can be
    /// read by whoever knows it, but must not be relied on: nobody else will find it.
    pub(crate) fn check_current(&self, opened: &OpenStore) -> Result<bool, RepoError> {
        let present: HashMap<Object, u64> = opened.store().list(Kind::Index)?.into_iter().collect();
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all_whole = true;
        for (index, bytes) in files.iter() {
            let (object, location) = (Object::Index(*index), opened.location());
            match present.get(&object) {
                Some(size) => all_whole &= size == bytes,
                None => return Err(RepoError::Outdated { object, location }),
            }
        }
        Ok(all_whole)
    }

    /// The index files that it rests on, with their bytes.
    pub(crate) fn files(&self) -> BTreeSet<(IndexId, u64)> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_file(&self, index: IndexId, bytes: u64) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert((index, bytes));
    }

    /// The index files that could not be used, each by its name. What only they list is not known.
    pub fn problems(&self) -> &[RepoError] {
        &self.problems
    }

    /// Where the blob lies. A tree and a piece of content may have the same id: they are two blobs.
    /// Of several copies, one in a pack that no mark of prune condemns is preferred.
    pub fn locate(&self, kind: BlobType, id: &BlobId) -> Result<Option<Location>, CacheError> {
        let mut condemned = None;
        let found = self.search(kind, id, |spot| {
            if self.condemned_packs.contains(&spot.pack) {
                condemned.get_or_insert(spot);
                return None;
            }
            Some(spot)
        })?;
        Ok(found.or(condemned).and_then(|spot| self.location(spot)))
    }

    /// All places where the blob lies.
    pub fn locations(&self, kind: BlobType, id: &BlobId) -> Result<Vec<Location>, CacheError> {
        let mut spots = Vec::new();
        self.search(kind, id, |spot| {
            // Two index files may list one pack.
            if !spots.contains(&spot) {
                spots.push(spot);
            }
            None::<Spot>
        })?;
        Ok(spots.into_iter().filter_map(|spot| self.location(spot)).collect())
    }

    /// Whether the blob is known.
    pub fn has(&self, kind: BlobType, id: &BlobId) -> Result<bool, CacheError> {
        Ok(self.search(kind, id, Some)?.is_some())
    }

    /// Shows the places of a blob to `pick` until it takes one.
    fn search(
        &self,
        kind: BlobType,
        id: &BlobId,
        mut pick: impl FnMut(Spot) -> Option<Spot>,
    ) -> Result<Option<Spot>, CacheError> {
        let mut pick = |record: &Record| {
            let spot = decode(record);
            if spot.kind == kind { pick(spot) } else { None }
        };
        let runs = {
            let state = self.read();
            let mut least = [0; RECORD_BYTES];
            least[..32].copy_from_slice(&id.0);
            let same = state.fresh.range(least..).take_while(|record| record[..32] == id.0);
            if let Some(spot) = same.into_iter().find_map(&mut pick) {
                return Ok(Some(spot));
            }
            Arc::clone(&state.runs)
        };
        // Files are read without the lock: they never change. The oldest is the largest, and has
        // most of what is asked for.
        for run in runs.iter() {
            if let Some(spot) = run.find(&id.0, |_, record| pick(record))? {
                return Ok(Some(spot));
            }
        }
        Ok(None)
    }

    fn location(&self, spot: Spot) -> Option<Location> {
        let Spot { kind, pack, offset, length, uncompressed_length } = spot;
        let pack = self.read().packs.id(pack)?;
        Some(Location { pack, kind, offset, length, uncompressed_length })
    }

    /// Whether any index file lists the pack, or will when the running backup ends.
    pub fn has_pack(&self, pack: &PackId) -> bool {
        self.read().packs.number(pack).is_some()
    }

    /// All packs that the index files list, in no order.
    pub fn packs(&self) -> Vec<PackId> {
        self.read().packs.ids().to_vec()
    }

    /// How many blobs are known, where further copies of one may count, too. See
    /// [`count_blobs`](Self::count_blobs).
    pub fn blobs(&self) -> u64 {
        let state = self.read();
        state.fresh.len() as u64 + state.runs.iter().map(|run| run.records()).sum::<u64>()
    }

    /// How many blobs the index files list. Reads the whole index.
    pub fn count_blobs(&self) -> Result<u64, CacheError> {
        let mut count = 0;
        let mut last = None;
        for entry in self.entries() {
            let (id, location) = entry?;
            let blob = Some((id, location.kind));
            count += u64::from(last != blob);
            last = blob;
        }
        Ok(count)
    }

    /// All blobs that index files list, in the order of their ids, each copy in another place by
    /// itself. Memory does not depend on how many they are.
    pub fn entries(&self) -> impl Iterator<Item = Result<(BlobId, Location), CacheError>> + '_ {
        let runs = Arc::clone(&self.read().runs);
        Merge::new(&runs).filter_map(|record| match record {
            Ok(record) => self.location(decode(&record)).map(|found| Ok((id_of(&record), found))),
            Err(error) => Some(Err(error)),
        })
    }

    /// The number of a blob that was known when the index was loaded: less than
    /// [`ordinals`](Self::ordinals), of no other blob, and the same as long as the index is open.
    /// A set of blobs is a bitmap of so many bits. Where a blob has further copies, some numbers
    /// below that belong to none.
    pub fn ordinal(&self, kind: BlobType, id: &BlobId) -> Result<Option<u64>, CacheError> {
        let mut before = 0;
        for run in &self.base {
            let position = run.find(&id.0, |position, record| {
                (decode(record).kind == kind).then_some(position)
            })?;
            if let Some(position) = position {
                return Ok(Some(before + position));
            }
            before += run.records();
        }
        Ok(None)
    }

    /// The numbers that [`ordinal`](Self::ordinal) gives are below this one.
    pub fn ordinals(&self) -> u64 {
        self.base.iter().map(|run| run.records()).sum()
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

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
