//! What was read through to the vault, kept for a while: configs and indexes, of each workload by itself.
//!
//! An index is named by the hash of its content, and compared with that whenever it is read: a damaged
//! one is read anew. A config is not; the engine opens it with the repository's key, and so finds out
//! whether it is right.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use outlast_store::{Kind, Object};
use outlast_types::{WorkloadName, hex};

use crate::error::MediaError;
use crate::files::Documents;

/// The longest that is kept, in bytes.
const BYTES_MAX: u64 = 64 << 20;

/// A bounded cache on disk.
pub(crate) struct Cache {
    documents: Documents,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    max: u64,
    bytes: u64,
    /// By name, with when it was used last.
    kept: HashMap<String, Kept>,
    used: u64,
}

struct Kept {
    size: u64,
    used: u64,
}

impl Cache {
    pub(crate) fn open(directory: &Path, max: u64) -> Result<Self, MediaError> {
        let documents = Documents::open(directory.join("cache"), BYTES_MAX)?;
        let mut state = State { max, ..State::default() };
        for name in documents.names()? {
            let name = name.join("~");
            let size =
                std::fs::metadata(documents.directory().join(&name)).map_or(0, |it| it.len());
            state.bytes += size;
            state.kept.insert(name, Kept { size, used: 0 });
        }
        let cache = Self { documents, state: Mutex::new(state) };
        cache.set_max(max);
        Ok(cache)
    }

    /// How many bytes may be kept from now on.
    pub(crate) fn set_max(&self, max: u64) {
        let mut state = self.lock();
        state.max = max;
        self.make_room(&mut state, 0);
    }

    /// What is kept under this name; an index only if it is what its name says.
    pub(crate) fn get(&self, workload: &WorkloadName, object: &Object) -> Option<Bytes> {
        let name = name_of(workload, object);
        {
            let mut state = self.lock();
            state.used += 1;
            let used = state.used;
            state.kept.get_mut(&name)?.used = used;
        }
        let content = self.documents.read(&[&name]).ok()??;
        if object.name().is_some_and(|hash| hash != outlast_format::sha256(&content)) {
            tracing::warn!(%workload, %object, "what the cache has is damaged; it is read anew");
            self.forget(&name);
            return None;
        }
        Some(content.into())
    }

    /// Keeps what was read. What cannot be kept is read again the next time.
    pub(crate) fn put(&self, workload: &WorkloadName, object: &Object, content: &[u8]) {
        self.keep(name_of(workload, object), content);
    }

    /// The names of a workload's objects with their sizes, as they were listed last.
    pub(crate) fn listing(
        &self,
        workload: &WorkloadName,
        kind: Kind,
    ) -> Option<Vec<(String, u64)>> {
        let content = self.documents.read(&[&list_of(workload, kind)]).ok()??;
        serde_json::from_slice(&content).ok()
    }

    pub(crate) fn put_listing(
        &self,
        workload: &WorkloadName,
        kind: Kind,
        listed: &[(Object, u64)],
    ) {
        let name = |object: &Object| object.name().map(|name| hex::encode(&name));
        let listed: Vec<(String, u64)> =
            listed.iter().filter_map(|(object, size)| Some((name(object)?, *size))).collect();
        if let Ok(content) = serde_json::to_vec(&listed) {
            self.keep(list_of(workload, kind), &content);
        }
    }

    fn keep(&self, name: String, content: &[u8]) {
        let size = content.len() as u64;
        let mut state = self.lock();
        if size > state.max.min(BYTES_MAX) {
            return;
        }
        if let Some(before) = state.kept.remove(&name) {
            state.bytes -= before.size;
        }
        self.make_room(&mut state, size);
        if let Err(error) = self.documents.write(&[&name], content) {
            tracing::warn!(%error, "the cache cannot be written");
            return;
        }
        state.used += 1;
        state.bytes += size;
        let used = state.used;
        state.kept.insert(name, Kept { size, used });
    }

    fn forget(&self, name: &str) {
        let mut state = self.lock();
        self.remove(&mut state, name);
    }

    fn make_room(&self, state: &mut State, wanted: u64) {
        while state.bytes + wanted > state.max {
            let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.used);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { return };
            self.remove(state, &name);
        }
    }

    fn remove(&self, state: &mut State, name: &str) {
        if let Some(kept) = state.kept.remove(name) {
            state.bytes -= kept.size;
        }
        if let Err(error) = self.documents.remove(&[name]) {
            tracing::warn!(%error, "the cache cannot be tidied");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn list_of(workload: &WorkloadName, kind: Kind) -> String {
    format!("{workload}~{kind}~list")
}

/// A name tells the workload, so that nobody reads of one what was kept for another.
fn name_of(workload: &WorkloadName, object: &Object) -> String {
    match object.name() {
        Some(name) => format!("{workload}~{}", hex::encode(&name)),
        None => format!("{workload}~config"),
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::IndexId;

    use super::*;

    fn index(content: &[u8]) -> Object {
        Object::Index(IndexId(outlast_format::sha256(content)))
    }

    #[test]
    fn a_cache_keeps_what_was_used_last_and_gives_nothing_damaged_or_of_another_workload() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b): (WorkloadName, WorkloadName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let contents = [[1; 100], [2; 100], [3; 100]];
        let [one, two, three] = contents.map(|content| index(&content));
        let cache = Cache::open(directory.path(), 250).unwrap();
        cache.put(&a, &one, &contents[0]);
        cache.put(&a, &two, &contents[1]);
        assert_eq!(cache.get(&a, &one).unwrap(), &contents[0][..]);
        assert_eq!(cache.get(&b, &one), None);
        cache.put(&a, &three, &contents[2]);
        assert_eq!(cache.get(&a, &two), None, "it was used least");
        drop(cache);

        let cache = Cache::open(directory.path(), 250).unwrap();
        assert!(cache.get(&a, &one).is_some() && cache.get(&a, &three).is_some());
        let path = directory.path().join("cache").join(name_of(&a, &one));
        outlast_fs::durable::replace(&path, &[7; 100], 0o600).unwrap();
        assert_eq!(cache.get(&a, &one), None);
        assert!(!path.exists());
        cache.set_max(0);
        assert_eq!(cache.get(&a, &three), None);
    }
}
