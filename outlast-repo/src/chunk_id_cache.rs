//! Which blob a piece of content is, by its BLAKE3: known content is recognised without its slow
//! SHA-256.
//!
//! A note here is a hint. It says which SHA-256 belongs to a BLAKE3, which stays true for
//! ever, and nothing of whether the repository has the blob: only the index knows that. Hints are
//! kept in sorted runs, see [`sorted`](crate::sorted), beside the index; they are lost without harm,
//! and so no failure of theirs is an error.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use outlast_format::BlobId;

use crate::Repository;
use crate::cache::Table;
use crate::sorted::{Place, Run, RunSet, Trust, merge_from};

/// Bytes of a record: the BLAKE3 of the content, then the blob's id, which is its SHA-256.
const RECORD_BYTES: usize = 64;
/// Hints in memory before they become a run: about 7 MiB.
const FRESH_MAX: usize = 64 << 10;
/// Hints that are kept: 1 GiB on disk, for 1 TiB of content in chunks of 64 KiB.
const RECORDS_MAX: u64 = 16 << 20;
/// A run with so many hints is not merged any more, so that the oldest can be dropped.
const RUN_RECORDS_MAX: u64 = RECORDS_MAX / 4;
/// Smaller runs that there may be.
const RUNS_MAX: usize = 3;

/// The blob ids of content that was hashed before. Shared between threads.
#[derive(Debug)]
pub struct ChunkIdCache {
    state: RwLock<State>,
    /// `None` if hints are kept in memory only.
    run_set: Mutex<Option<RunSet<RECORD_BYTES>>>,
}

#[derive(Debug, Default)]
struct State {
    fresh: BTreeMap<[u8; 32], BlobId>,
    runs: Arc<[Arc<Run<RECORD_BYTES>>]>,
}

impl ChunkIdCache {
    /// The cache of this host for the content of `repository`. Without a directory for it that is
    /// nothing at first, and never much.
    pub fn open(repository: &Repository) -> Self {
        let (place, key) = repository.table(Table::ChunkIds);
        let run_set = match place {
            Place::Memory => None,
            place => match RunSet::open(place, key, Trust::Tail) {
                Ok((run_set, _)) => Some(run_set),
                Err(error) => {
                    tracing::warn!(%error, "content is recognised more slowly");
                    None
                }
            },
        };
        let runs = run_set.as_ref().map_or(&[][..], RunSet::runs).into();
        let state = RwLock::new(State { fresh: BTreeMap::new(), runs });
        Self { state, run_set: Mutex::new(run_set) }
    }

    /// The id of the blob whose plaintext has this BLAKE3, if it is known; in doubt it is not.
    pub fn get(&self, content: &blake3::Hash) -> Option<BlobId> {
        let key = content.as_bytes();
        let runs = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(id) = state.fresh.get(key) {
                return Some(*id);
            }
            Arc::clone(&state.runs)
        };
        for run in runs.iter() {
            match run.find(key, |_, record| record[32..].first_chunk().copied()) {
                Ok(None) => {}
                Ok(Some(id)) => return Some(BlobId(id)),
                Err(error) => {
                    tracing::warn!(%error, "content is recognised more slowly");
                    self.forget(run);
                }
            }
        }
        None
    }

    /// Notes that the plaintext with the BLAKE3 `content` is the blob `id`.
    pub fn note(&self, content: &blake3::Hash, id: BlobId) {
        let count = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            // Twice as many only while another thread makes a run of them, or if nobody can.
            if state.fresh.len() < 2 * FRESH_MAX {
                state.fresh.insert(*content.as_bytes(), id);
            }
            state.fresh.len()
        };
        if count >= FRESH_MAX {
            match self.run_set.try_lock() {
                Ok(run_set) => self.end_run(run_set),
                Err(TryLockError::Poisoned(error)) => self.end_run(error.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
    }

    /// Keeps what was noted for the next time. Called when a backup has ended.
    pub fn flush(&self) {
        self.end_run(self.run_set.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes a run of what is in memory. Others look up and note meanwhile.
    fn end_run(&self, mut guard: MutexGuard<'_, Option<RunSet<RECORD_BYTES>>>) {
        let Some(run_set) = guard.as_mut() else { return };
        let records: Vec<[u8; RECORD_BYTES]> = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.fresh.iter().map(|(content, id)| record(content, *id)).collect()
        };
        if records.is_empty() {
            return;
        }
        if let Err(error) = run_set.add(&records, &[]).and_then(|()| tidy(run_set)) {
            tracing::warn!(%error, "content is not remembered for the next backup");
            *guard = None;
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.runs = run_set.runs().into();
        for content in records.iter().filter_map(|record| record.first_chunk()) {
            state.fresh.remove(content);
        }
    }

    fn forget(&self, bad: &Arc<Run<RECORD_BYTES>>) {
        let mut run_set = self.run_set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run_set) = run_set.as_mut() {
            run_set.remove(bad);
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.runs = state.runs.iter().filter(|run| !Arc::ptr_eq(run, bad)).cloned().collect();
    }
}

/// Merges small runs, and drops the oldest when there are too many hints.
fn tidy(run_set: &mut RunSet<RECORD_BYTES>) -> Result<(), crate::CacheError> {
    let sizes: Vec<u64> = run_set.runs().iter().map(|run| run.records()).collect();
    let small = sizes.iter().rposition(|&size| size >= RUN_RECORDS_MAX).map_or(0, |full| full + 1);
    if let Some(from) = merge_from(&sizes[small..], RUNS_MAX) {
        run_set.merge(small + from, &[])?;
    }
    while run_set.runs().len() > 1
        && run_set.runs().iter().map(|run| run.records()).sum::<u64>() > RECORDS_MAX
    {
        run_set.remove_oldest();
    }
    Ok(())
}

fn record(content: &[u8; 32], id: BlobId) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..32].copy_from_slice(content);
    record[32..].copy_from_slice(&id.0);
    record
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use outlast_store::memory::MemoryStore;

    use super::*;
    use outlast_format::Sha256Id;

    fn repository(cache: &Path) -> Repository {
        crate::repository::tests::init(&Arc::new(MemoryStore::new())).unwrap().cached_in(cache)
    }

    fn content(n: u32) -> (blake3::Hash, BlobId) {
        (blake3::hash(&n.to_le_bytes()), BlobId::of(&n.to_le_bytes()))
    }

    fn noted(cache: &ChunkIdCache, numbers: std::ops::Range<u32>) {
        for (content, id) in numbers.map(content) {
            cache.note(&content, id);
        }
        cache.flush();
    }

    fn known(cache: &ChunkIdCache, numbers: std::ops::Range<u32>) -> usize {
        let known = |(content, id)| {
            let got = cache.get(&content);
            assert!(got.is_none_or(|got| got == id), "never another blob");
            got.is_some()
        };
        numbers.map(content).filter(|&noted| known(noted)).count()
    }

    fn runs(cache: &Path, repository: &Repository) -> Vec<PathBuf> {
        let directory = cache.join(repository.config().id.to_string()).join("chunks");
        let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some()).collect()
    }

    #[test]
    fn content_is_recognised_once_it_was_noted() {
        let repository = crate::repository::tests::init(&Arc::new(MemoryStore::new())).unwrap();
        let cache = ChunkIdCache::open(&repository);
        assert_eq!(known(&cache, 0..10), 0);
        noted(&cache, 0..10);
        assert_eq!(known(&cache, 0..20), 10);
    }

    #[test]
    fn what_was_flushed_is_known_the_next_time_whoever_else_has_it_open() {
        let cache = tempfile::tempdir().unwrap();
        let repository = repository(cache.path());
        let first = ChunkIdCache::open(&repository);
        for start in [0, 100, 200, 300, 400] {
            noted(&first, start..start + 100);
        }
        assert!(runs(cache.path(), &repository).len() <= RUNS_MAX);
        let second = ChunkIdCache::open(&repository);
        assert_eq!(known(&second, 0..600), 500);
        noted(&second, 500..600);
        assert_eq!(known(&second, 0..600), 600);
        drop((first, second));
        assert_eq!(known(&ChunkIdCache::open(&repository), 0..600), 500, "the second kept nothing");
    }

    #[test]
    fn damage_costs_hints_and_is_never_believed() {
        let cache = tempfile::tempdir().unwrap();
        let repository = repository(cache.path());
        noted(&ChunkIdCache::open(&repository), 0..1000);
        let run = runs(cache.path(), &repository).remove(0);
        let whole = fs::read(&run).unwrap();
        for at in (0..whole.len()).step_by(997) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            outlast_fs::durable::replace(&run, &damaged, 0o600).unwrap();
            assert!(known(&ChunkIdCache::open(&repository), 0..1000) < 1000, "at {at}");
        }
    }
}
