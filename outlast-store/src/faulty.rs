//! Faults on demand, to see that what stands above a store bears them.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::{Kind, Object, Store, StoreError, Verb, Written};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and nothing was done.
    Before(io::ErrorKind),
    /// The call is done, but its answer is lost.
    After(io::ErrorKind),
    /// The store is full ([`Verb::Create`]; other verbs pass).
    Full,
    /// One bit of the content read is flipped ([`Verb::Read`]; other verbs pass).
    FlipBit,
}

/// A store that fails as scripted.
pub struct Faulty {
    store: Arc<dyn Store>,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    faults: HashMap<(Verb, u64), Fault>,
    calls: HashMap<Verb, u64>,
}

impl Faulty {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, script: Mutex::default() }
    }

    /// Lets the `nth` call of `verb` fail, counted from 1 since the store was made.
    pub fn script(&self, verb: Verb, nth: u64, fault: Fault) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.faults.insert((verb, nth), fault);
    }

    fn next(&self, verb: Verb) -> Option<Fault> {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = script.calls.entry(verb).or_default();
        *calls += 1;
        let nth = *calls;
        script.faults.remove(&(verb, nth))
    }

    fn with_fault<T>(
        &self,
        verb: Verb,
        error: impl FnOnce(io::Error) -> StoreError,
        call: impl FnOnce(Option<Fault>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.next(verb) {
            Some(Fault::Before(kind)) => Err(error(injected(kind))),
            Some(Fault::After(kind)) => call(None).and_then(|_| Err(error(injected(kind)))),
            fault => call(fault),
        }
    }

    fn io(&self, verb: Verb, object: &Object) -> impl FnOnce(io::Error) -> StoreError {
        let (object, location) = (*object, self.location());
        move |source| StoreError::Io { verb: verb.as_str(), object, location, source }
    }
}

fn injected(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, format!("injected fault: {kind}"))
}

/// Flips a bit in the middle, where neither a header nor a trailer would catch it by chance.
fn damaged(content: Bytes, fault: Option<Fault>) -> Bytes {
    if fault != Some(Fault::FlipBit) || content.is_empty() {
        return content;
    }
    let mut content = content.to_vec();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    content.into()
}

impl Store for Faulty {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let verb = Verb::Create;
        self.with_fault(verb, self.io(verb, object), |fault| match fault {
            Some(Fault::Full) => Err(StoreError::Full {
                verb: verb.as_str(),
                object: *object,
                location: self.location(),
            }),
            _ => self.store.create(object, content),
        })
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.with_fault(Verb::Read, self.io(Verb::Read, object), |fault| {
            Ok(damaged(self.store.read(object)?, fault))
        })
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.with_fault(Verb::Read, self.io(Verb::Read, object), |fault| {
            Ok(damaged(self.store.read_range(object, offset, length)?, fault))
        })
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.with_fault(Verb::Size, self.io(Verb::Size, object), |_| self.store.size(object))
    }

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        self.store.written(object)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        let location = self.location();
        let error = |source| StoreError::List { kind, location, source };
        self.with_fault(Verb::List, error, |_| self.store.list(kind))
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.with_fault(Verb::Remove, self.io(Verb::Remove, object), |_| self.store.remove(object))
    }
}
