//! A storage in memory, for tests: it keeps the whole contract but durability.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use outlast_fs::{Entry, EntryPath, EntrySource, Metadata, SourceError};
use outlast_repo::Repository;
use outlast_store::{Kind, MemoryStore, Object, Store, StoreError, Written};
use outlast_types::{Timestamp, WorkloadName};

use super::{
    ASIDE_PREFIX, Durability, OWN_REPOSITORY, Records, RepositoryStore, Staged, VaultStorage,
};

#[derive(Default)]
pub(crate) struct MemoryStorage {
    records: Mutex<BTreeMap<String, Vec<u8>>>,
    repositories: Mutex<BTreeMap<String, Arc<MemoryRepository>>>,
}

/// A repository whose objects cannot be read while that is asked for, as on a disk that hangs.
#[derive(Default)]
struct MemoryRepository {
    objects: Arc<MemoryStore>,
    is_away: AtomicBool,
}

impl MemoryStorage {
    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<String, Arc<MemoryRepository>>> {
        self.repositories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects of a repository, to damage them.
    pub(crate) fn store(&self, workload: &WorkloadName) -> Arc<MemoryStore> {
        Arc::clone(&self.stores().get(workload.as_str()).unwrap().objects)
    }

    /// Whether no object of a repository can be read from now on.
    pub(crate) fn set_away(&self, workload: &WorkloadName, is_away: bool) {
        let stores = self.stores();
        stores.get(workload.as_str()).unwrap().is_away.store(is_away, Ordering::Relaxed);
    }
}

impl Records for MemoryStorage {
    fn location(&self, key: &str) -> String {
        format!("memory/{key}")
    }

    fn read(&self, key: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        match self.records().get(key) {
            Some(content) if content.len() as u64 > bytes_max => {
                Err(ErrorKind::FileTooLarge.into())
            }
            content => Ok(content.cloned()),
        }
    }

    fn read_through(&self, key: &str, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        let content = self.records().get(key).cloned().unwrap_or_default();
        // In odd pieces, so that nobody relies on their length.
        for piece in content.chunks(7) {
            if !take(piece) {
                break;
            }
        }
        Ok(())
    }

    fn length(&self, key: &str) -> io::Result<Option<u64>> {
        Ok(self.records().get(key).map(|content| content.len() as u64))
    }

    fn replace(&self, key: &str, content: &[u8], _durability: Durability) -> io::Result<()> {
        self.records().insert(key.to_owned(), content.to_owned());
        Ok(())
    }

    fn append(
        &self,
        key: &str,
        at: u64,
        content: &[u8],
        _durability: Durability,
    ) -> io::Result<()> {
        let mut records = self.records();
        let record = records.entry(key.to_owned()).or_default();
        record.truncate(usize::try_from(at).unwrap_or(usize::MAX));
        record.extend_from_slice(content);
        Ok(())
    }

    fn remove(&self, key: &str) -> io::Result<bool> {
        Ok(self.records().remove(key).is_some())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let below = format!("{folder}/");
        let name = |key: &String| Some(key.strip_prefix(&below)?.split('/').next()?.to_owned());
        let mut names: Vec<String> = self.records().keys().filter_map(name).collect();
        names.dedup();
        Ok(names)
    }

    fn has_any(&self, folder: &str) -> io::Result<bool> {
        Ok(!self.list(folder)?.is_empty())
    }

    fn set_aside(&self, key: &str, stamp: &str) -> io::Result<bool> {
        let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
        self.rename(key, &format!("{ASIDE_PREFIX}{name}-{stamp}"))
    }

    fn rename(&self, key: &str, name: &str) -> io::Result<bool> {
        let mut records = self.records();
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let aside = format!("{folder}/{name}");
        let is_meant = |rest: &str| rest.is_empty() || rest.starts_with('/');
        let names: Vec<String> = records
            .keys()
            .filter(|name| name.strip_prefix(key).is_some_and(is_meant))
            .cloned()
            .collect();
        let is_taken = |known: &String| known.strip_prefix(&aside).is_some_and(is_meant);
        if !names.is_empty() && records.keys().any(is_taken) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        for name in &names {
            let content = records.remove(name).unwrap_or_default();
            records.insert(format!("{aside}{}", &name[key.len()..]), content);
        }
        Ok(!names.is_empty())
    }
}

impl VaultStorage for MemoryStorage {
    fn repositories_location(&self) -> String {
        "memory".to_owned()
    }

    fn repositories(&self) -> io::Result<Vec<WorkloadName>> {
        Ok(self.stores().keys().filter_map(|name| name.parse().ok()).collect())
    }

    fn holds(&self, workload: &WorkloadName, kind: Kind) -> io::Result<bool> {
        let Some(store) = self.stores().get(workload.as_str()).cloned() else { return Ok(false) };
        let listed = store.objects.list(kind).map_err(io::Error::other)?;
        Ok(!listed.is_empty())
    }

    fn make_repository(
        &self,
        workload: &WorkloadName,
    ) -> Result<Arc<dyn RepositoryStore>, StoreError> {
        self.stores().entry(workload.to_string()).or_default();
        self.open_repository(workload)
    }

    fn open_repository(
        &self,
        workload: &WorkloadName,
    ) -> Result<Arc<dyn RepositoryStore>, StoreError> {
        let store = self.stores().get(workload.as_str()).cloned();
        let store = store.ok_or_else(|| StoreError::Open {
            location: "memory".to_owned(),
            source: ErrorKind::NotFound.into(),
        })?;
        Ok(store)
    }

    fn rename_repository(&self, from: &WorkloadName, to: &WorkloadName) -> io::Result<bool> {
        let mut stores = self.stores();
        if stores.contains_key(to.as_str()) && stores.contains_key(from.as_str()) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let Some(store) = stores.remove(from.as_str()) else { return Ok(false) };
        stores.insert(to.to_string(), store);
        Ok(true)
    }

    fn set_repository_aside(&self, workload: &WorkloadName, stamp: &str) -> io::Result<bool> {
        let mut stores = self.stores();
        let Some(store) = stores.remove(workload.as_str()) else { return Ok(false) };
        stores.insert(format!("{ASIDE_PREFIX}{workload}-{stamp}"), store);
        Ok(true)
    }

    fn own_repository(&self) -> Result<Option<Arc<dyn RepositoryStore>>, StoreError> {
        Ok(self.stores().get(OWN_REPOSITORY).cloned().map(|store| store as _))
    }

    fn make_own_repository(&self) -> Result<Arc<dyn RepositoryStore>, StoreError> {
        Ok(Arc::clone(self.stores().entry(OWN_REPOSITORY.to_owned()).or_default()) as _)
    }

    fn set_own_repository_aside(&self, stamp: &str) -> io::Result<bool> {
        let mut stores = self.stores();
        let Some(store) = stores.remove(OWN_REPOSITORY) else { return Ok(false) };
        stores.insert(format!("{ASIDE_PREFIX}{OWN_REPOSITORY}-{stamp}"), store);
        Ok(true)
    }

    fn state(&self) -> io::Result<Box<dyn EntrySource>> {
        let is_saved = |key: &String| !key.starts_with("recovery/");
        let records = self.records().clone().into_iter().filter(|(key, _)| is_saved(key));
        let records: Vec<_> = records.collect();
        Ok(Box::new(RecordTree { ahead: records.into_iter(), current: Vec::new() }))
    }

    fn with_cache(&self, repository: Repository) -> Repository {
        repository
    }
}

impl MemoryRepository {
    fn reading(&self, object: &Object) -> Result<&MemoryStore, StoreError> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(StoreError::Io {
                verb: "read",
                object: *object,
                location: self.location(),
                source: ErrorKind::TimedOut.into(),
            });
        }
        Ok(&self.objects)
    }
}

impl Store for MemoryRepository {
    fn location(&self) -> String {
        self.objects.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        self.objects.create(object, content)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.reading(object)?.read(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.reading(object)?.read_range(object, offset, length)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.objects.size(object)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        self.objects.list(kind)
    }

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        self.objects.written(object)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.objects.remove(object)
    }
}

impl RepositoryStore for MemoryRepository {
    fn stage(self: Arc<Self>, object: &Object) -> Result<Box<dyn Staged>, StoreError> {
        let store = Arc::clone(&self.objects);
        Ok(Box::new(StagedInMemory { store, object: *object, content: Vec::new() }))
    }

    fn keep(&self, _object: &Object) -> Result<(), StoreError> {
        Ok(())
    }

    fn sweep(&self, _moment: Timestamp) -> u64 {
        0
    }
}

/// All records as files.
struct RecordTree {
    ahead: std::vec::IntoIter<(String, Vec<u8>)>,
    current: Vec<u8>,
}

impl EntrySource for RecordTree {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        let Some((key, content)) = self.ahead.next() else { return Ok(None) };
        let kind = outlast_fs::Kind::File { size: content.len() as u64 };
        self.current = content;
        let path = EntryPath::parse(key.as_bytes()).map_err(|error| SourceError::Entry {
            path: key,
            source: io::Error::new(ErrorKind::InvalidInput, error),
        })?;
        Ok(Some(Entry { path, kind, metadata: Metadata::default() }))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current[..length]);
        self.current.drain(..length);
        Ok(length)
    }
}

struct StagedInMemory {
    store: Arc<MemoryStore>,
    object: Object,
    content: Vec<u8>,
}

impl Staged for StagedInMemory {
    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        self.content.extend_from_slice(piece);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let found = self.content.get(start..end).ok_or_else(|| StoreError::Io {
            verb: "read",
            object: self.object,
            location: self.store.location(),
            source: ErrorKind::UnexpectedEof.into(),
        })?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<(), StoreError> {
        self.store.create(&self.object, Bytes::from(self.content))
    }

    fn publish_over(self: Box<Self>) -> Result<(), StoreError> {
        self.store.overwrite(&self.object, Bytes::from(self.content));
        Ok(())
    }
}
