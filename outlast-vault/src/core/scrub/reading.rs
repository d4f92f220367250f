//! A store from which content is read at a pace, and no more once the end is asked for.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use outlast_store::{Kind, Object, Paced, Store, StoreError, Written};
use outlast_types::{Interrupt, Timer};

/// Reads of it fail once the end is asked for, so that whoever works through a large repository ends soon.
pub(crate) struct Stoppable {
    store: Arc<dyn Store>,
    stop: Interrupt,
}

/// `store` at so many bytes in a second, or as fast as it can, until `stop` asks for the end.
pub(crate) fn paced(
    store: Arc<dyn Store>,
    rate: Option<NonZeroU64>,
    timer: &Arc<dyn Timer>,
    stop: &Interrupt,
) -> Arc<dyn Store> {
    let store = match rate {
        Some(rate) => Arc::new(Paced::new(store, rate, Arc::clone(timer), stop)),
        None => store,
    };
    Arc::new(Stoppable { store, stop: stop.clone() })
}

impl Stoppable {
    fn go_on(&self, object: &Object) -> Result<(), StoreError> {
        if !self.stop.is_requested() {
            return Ok(());
        }
        Err(StoreError::Io {
            verb: "read",
            object: *object,
            location: self.location(),
            source: io::Error::other("the end was asked for"),
        })
    }
}

impl Store for Stoppable {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        self.store.create(object, content)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.go_on(object)?;
        self.store.read(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.go_on(object)?;
        self.store.read_range(object, offset, length)
    }

    fn read_range_into(
        &self,
        object: &Object,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), StoreError> {
        self.go_on(object)?;
        self.store.read_range_into(object, offset, buffer)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.store.size(object)
    }

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        self.store.written(object)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        self.store.list(kind)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.store.remove(object)
    }
}
