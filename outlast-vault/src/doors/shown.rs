//! A repository without the snapshots that are forgotten: they are in no list, and can still be read by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use outlast_store::{Kind, Object, Store, StoreError, Written};
use outlast_types::SnapshotId;

/// The same store, whose lists leave some snapshots out.
pub(super) struct Shown {
    pub(super) store: Arc<dyn Store>,
    pub(super) hidden: BTreeSet<SnapshotId>,
}

impl Store for Shown {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        self.store.create(object, content)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.store.read(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.store.read_range(object, offset, length)
    }

    fn read_range_into(
        &self,
        object: &Object,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), StoreError> {
        self.store.read_range_into(object, offset, buffer)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.store.size(object)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        let mut listed = self.store.list(kind)?;
        if kind == Kind::Snapshot {
            let is_hidden = |object: &Object| {
                object.snapshot().is_some_and(|snapshot| self.hidden.contains(&snapshot))
            };
            listed.retain(|(object, _)| !is_hidden(object));
        }
        Ok(listed)
    }

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        self.store.written(object)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.store.remove(object)
    }
}

#[cfg(test)]
mod tests {
    use outlast_store::MemoryStore;

    use super::*;

    #[test]
    fn what_is_hidden_is_in_no_list_and_is_read_by_its_name() {
        let store = Arc::new(MemoryStore::default());
        let [one, two] = [1, 2].map(|number| Object::Snapshot(SnapshotId([number; 32])));
        for object in [&one, &two] {
            store.create(object, Bytes::from_static(b"x")).unwrap();
        }
        let shown = Shown { store, hidden: BTreeSet::from([SnapshotId([1; 32])]) };
        assert_eq!(shown.list(Kind::Snapshot).unwrap(), [(two, 1)]);
        assert_eq!(shown.read(&one).unwrap(), "x");
    }
}
