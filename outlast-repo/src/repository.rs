//! An open repository: its store with key and config, and its index.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use outlast_format::config::{Config, Version};
use outlast_format::crypto::Key;
use outlast_format::key_file::{KeyFile, Maker};
use outlast_format::{KeyId, Sha256Id};
use outlast_store::{Object, Store, StoreError};
use outlast_types::Random;

use crate::RepoError;
use crate::cache::{Cache, Table};
use crate::credential::{Credential, NewPassword};
use crate::index::{Index, Matching};
use crate::open_store::OpenStore;
use crate::sorted::Place;

/// How often the index is loaded when index files vanish meanwhile.
const LOADS_MAX: u32 = 5;

/// An open repository. Cheap to share by reference between threads.
pub struct Repository {
    opened: OpenStore,
    /// Where this host keeps tables about repositories.
    cache: Cache,
    matching: Matching,
    index: OnceLock<Index>,
    /// Held while the index is being loaded, so that it is loaded once.
    loading: Mutex<()>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("location", &self.location())
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Makes a repository in `store`: a random key, sealed under `password` in a key file, and the
    /// config. The config comes last, because it is what makes a store a repository.
    pub fn init<'p>(
        store: Arc<dyn Store>,
        password: impl Into<NewPassword<'p>>,
        version: Version,
        maker: &Maker,
        random: &dyn Random,
    ) -> Result<Self, RepoError> {
        Ok(Self::of(OpenStore::init(store, password.into(), version, maker, random)?))
    }

    /// Opens the repository in `store`. The index is loaded when it is first asked for.
    pub fn open(store: Arc<dyn Store>, credential: Credential<'_>) -> Result<Self, RepoError> {
        Ok(Self::of(OpenStore::open(store, credential)?))
    }

    /// The repository in `store` that `key` alone opens, since it has no key file; made, if there is
    /// none yet.
    pub fn keyed(
        store: Arc<dyn Store>,
        key: Key,
        version: Version,
        random: &dyn Random,
    ) -> Result<Self, RepoError> {
        Ok(Self::of(OpenStore::keyed(store, key, version, random)?))
    }

    fn of(opened: OpenStore) -> Self {
        Self {
            opened,
            cache: Cache::default(),
            matching: Matching::Name,
            index: OnceLock::new(),
            loading: Mutex::new(()),
        }
    }

    /// The same repository, opened anew: it knows nothing of the index yet.
    pub(crate) fn afresh(&self) -> Self {
        Self { cache: self.cache.clone(), ..Self::of(self.opened.clone()) }
    }

    /// The same repository, opened anew to rely on what its index says: what only the cache knows any
    /// more does not count.
    pub(crate) fn relying(&self) -> Self {
        Self { matching: Matching::NameAndLength, ..self.afresh() }
    }

    /// Keeps the index in sorted files below `directory`, in one named by the repository's id,
    /// instead of in memory. They are made when they are missing or do not fit, and may be removed
    /// whenever nobody uses them.
    #[must_use]
    pub fn cached_in(self, directory: &Path) -> Self {
        Self { cache: Cache::Kept(directory.to_owned()), ..self }
    }

    /// Keeps the index in files without names in `directory`, instead of in memory: nothing is left
    /// of them when the repository is closed.
    #[must_use]
    pub fn scratch_in(self, directory: &Path) -> Self {
        Self { cache: Cache::Scratch(directory.to_owned()), ..self }
    }

    /// The place for a table about it, and the key under which its pages are checked.
    pub(crate) fn table(&self, table: Table) -> (Place, [u8; 32]) {
        self.cache.table(&self.opened, table)
    }

    /// Its store with key and config, for those who need no index.
    pub(crate) fn opened(&self) -> &OpenStore {
        &self.opened
    }

    /// Adds a key file, so that `password` opens the repository, too.
    pub fn add_key<'p>(
        &self,
        password: impl Into<NewPassword<'p>>,
        maker: &Maker,
        random: &dyn Random,
    ) -> Result<KeyId, RepoError> {
        self.opened.add_key(password.into(), maker, random)
    }

    /// The store that holds it.
    pub fn store(&self) -> &dyn Store {
        self.opened.store()
    }

    /// Where it is, for messages.
    pub fn location(&self) -> String {
        self.opened.location()
    }

    /// The repository key. Whoever has it can read everything.
    pub fn key(&self) -> &Key {
        self.opened.key()
    }

    /// The key file that opened it; `None` if the key was handed in, or made just now.
    pub fn key_file(&self) -> Option<&KeyFile> {
        self.opened.key_file()
    }

    /// Version, id and polynomial.
    pub fn config(&self) -> &Config {
        self.opened.config()
    }

    /// Where every blob lies; loaded at the first call. Index files that are damaged are skipped
    /// and named by [`Index::problems`]; a store that does not answer is an error.
    pub fn index(&self) -> Result<&Index, RepoError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let _one_loader = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = self.load_index()?;
        Ok(self.index.get_or_init(|| index))
    }

    /// Loads the index. A prune may take an index file away between the listing and the reading:
    /// what takes its place is listed then.
    fn load_index(&self) -> Result<Index, RepoError> {
        let load = || Index::load(&self.opened, &self.cache, self.matching);
        let mut result = load();
        for _ in 1..LOADS_MAX {
            match result {
                Err(RepoError::Store(StoreError::NotFound {
                    object: Object::Index(_), ..
                })) => {
                    result = load();
                }
                _ => break,
            }
        }
        result
    }

    /// The JSON document in an index, snapshot or lock: its hash is checked, then it is opened and
    /// decompressed.
    pub fn read_unpacked(&self, object: &Object) -> Result<Vec<u8>, RepoError> {
        self.opened.read_unpacked(object)
    }

    /// The same for a document of at most `bytes_max` bytes.
    pub fn read_unpacked_within(
        &self,
        object: &Object,
        bytes_max: u64,
    ) -> Result<Vec<u8>, RepoError> {
        self.opened.read_unpacked_within(object, bytes_max)
    }

    /// The stored form of a JSON `document` for an index, snapshot or lock, and its name.
    pub fn seal_unpacked<I: Sha256Id>(
        &self,
        what: &'static str,
        document: &[u8],
        random: &dyn Random,
    ) -> Result<(I, Bytes), RepoError> {
        self.opened.seal_unpacked(what, document, random)
    }
}

#[cfg(test)]
pub(crate) mod tests;
