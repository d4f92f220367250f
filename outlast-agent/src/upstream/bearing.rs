//! A workload's objects, with a ticket in hand that is renewed before its hour is over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_wire::RestStore;

use super::errand::Errand;

/// A ticket is good for an hour; this leaves time to ask again, should nobody answer at first.
const RENEWED_AFTER: Duration = Duration::from_secs(40 * 60);

/// A store of whoever is at the other end, for which the agent asks for a new ticket now and then.
pub(super) struct Bearing {
    pub(super) store: RestStore,
    pub(super) errand: Arc<Errand>,
}

impl Bearing {
    fn at_hand(&self) -> &RestStore {
        self.errand.renew(RENEWED_AFTER);
        &self.store
    }
}

impl Store for Bearing {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        self.at_hand().create(object, content)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.at_hand().read(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.at_hand().read_range(object, offset, length)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.at_hand().size(object)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        self.at_hand().list(kind)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.at_hand().remove(object)
    }
}
