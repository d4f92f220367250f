//! A store in memory, for tests and rehearsals.

use std::collections::BTreeMap;
use std::io;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use crate::{Kind, Object, Store, StoreError, Verb};

/// A store that ends with the process. It keeps the whole contract but durability.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: RwLock<BTreeMap<Object, Bytes>>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `content` in the place of what is there, which no store does for its users: for tests
    /// that damage a repository.
    pub fn overwrite(&self, object: &Object, content: Bytes) {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        objects.insert(*object, content);
    }

    fn find(&self, object: &Object) -> Result<Bytes, StoreError> {
        // A panic elsewhere cannot leave the map half-changed, so a poisoned lock is still good.
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let found = objects.get(object).cloned();
        found.ok_or_else(|| StoreError::NotFound { object: *object, location: self.location() })
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        if objects.contains_key(object) {
            return Err(StoreError::AlreadyExists { object: *object, location: self.location() });
        }
        objects.insert(*object, content);
        Ok(())
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.find(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let content = self.find(object)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match start.checked_add(length) {
            Some(end) if end <= content.len() => Ok(content.slice(start..end)),
            _ => Err(StoreError::Io {
                verb: Verb::Read.as_str(),
                object: *object,
                location: self.location(),
                source: beyond_end(offset, length, content.len() as u64),
            }),
        }
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        Ok(self.find(object)?.len() as u64)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let of_kind = objects.iter().filter(|(object, _)| object.kind() == kind);
        Ok(of_kind.map(|(object, content)| (*object, content.len() as u64)).collect())
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        match objects.remove(object) {
            Some(_) => Ok(()),
            None => Err(StoreError::NotFound { object: *object, location: self.location() }),
        }
    }
}

/// The error for a range that an object of `size` bytes does not have.
pub(crate) fn beyond_end(offset: u64, length: usize, size: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{length} bytes at {offset} were asked for, but it has {size} bytes"),
    )
}
