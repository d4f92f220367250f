//! Records the calls to a store, so that a test can count what an operation costs.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::{Kind, Object, Store, StoreError, Verb, Written};

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub verb: Verb,
    pub kind: Kind,
    /// `None` for a listing.
    pub object: Option<Object>,
    /// Bytes sent or received as content.
    pub bytes: u64,
    pub ok: bool,
}

/// A store that remembers every call. It grows with each one: for tests, not for production.
pub struct Recording {
    store: Arc<dyn Store>,
    calls: Mutex<Vec<Call>>,
}

impl Recording {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, calls: Mutex::default() }
    }

    /// All calls so far, in the order in which they ended.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many calls of `verb` were made, successful or not.
    pub fn count(&self, verb: Verb) -> usize {
        self.calls().iter().filter(|call| call.verb == verb).count()
    }

    /// Forgets the calls so far.
    pub fn clear(&self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn note(&self, verb: Verb, kind: Kind, object: Option<Object>, bytes: u64, ok: bool) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(Call { verb, kind, object, bytes, ok });
    }

    fn noted<T>(
        &self,
        verb: Verb,
        object: &Object,
        bytes: impl FnOnce(&T) -> usize,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let count = result.as_ref().map_or(0, bytes) as u64;
        self.note(verb, object.kind(), Some(*object), count, result.is_ok());
        result
    }
}

impl Store for Recording {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let size = content.len();
        self.noted(Verb::Create, object, |()| size, self.store.create(object, content))
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.noted(Verb::Read, object, Bytes::len, self.store.read(object))
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let result = self.store.read_range(object, offset, length);
        self.noted(Verb::Read, object, Bytes::len, result)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.noted(Verb::Size, object, |_| 0, self.store.size(object))
    }

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        self.store.written(object)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        let result = self.store.list(kind);
        self.note(Verb::List, kind, None, 0, result.is_ok());
        result
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.noted(Verb::Remove, object, |()| 0, self.store.remove(object))
    }
}
