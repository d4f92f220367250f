//! Who made which lock: noted beside the repository.

use std::collections::BTreeSet;
use std::io;

use outlast_store::{Kind, Store};
use outlast_types::{LockId, WorkloadName, hex};
use outlast_wire::Peer;

use crate::core::error::VaultError;
use crate::core::storage::{Durability, Storage};

const FOLDER: &str = "lock-holders";
/// The longest note of a holder: a role and a name.
const HOLDER_BYTES_MAX: u64 = 1 << 10;

/// Who made which lock: a small file for each. Losing one costs its holder the right to remove the
/// lock before it is stale, so nothing here is made durable.
pub(super) struct Holders {
    storage: Storage,
}

impl Holders {
    pub(super) fn open(storage: &Storage) -> Self {
        Self { storage: Storage::clone(storage) }
    }

    pub(super) fn note(
        &self,
        workload: &WorkloadName,
        lock: LockId,
        peer: &Peer,
    ) -> io::Result<()> {
        let holder = peer.to_string();
        self.storage.replace(&key_of(workload, lock), holder.as_bytes(), Durability::Fast)
    }

    /// Whether `peer` made the lock.
    pub(super) fn is(&self, workload: &WorkloadName, lock: LockId, peer: &Peer) -> bool {
        self.storage
            .read(&key_of(workload, lock), HOLDER_BYTES_MAX)
            .is_ok_and(|holder| holder.is_some_and(|holder| holder == peer.to_string().as_bytes()))
    }

    /// Forgets the makers of locks that are gone, however they went.
    pub(super) fn forget_gone(
        &self,
        workload: &WorkloadName,
        store: &dyn Store,
    ) -> Result<(), VaultError> {
        let folder = format!("{FOLDER}/{workload}");
        let Ok(noted) = self.storage.list(&folder) else { return Ok(()) };
        let held: BTreeSet<String> = store
            .list(Kind::Lock)?
            .into_iter()
            .filter_map(|(object, _)| Some(hex::encode(&object.name()?)))
            .collect();
        for name in noted.iter().filter(|name| !held.contains(*name)) {
            // One that stays is looked at again with the next lock.
            let _ = self.storage.remove(&format!("{folder}/{name}"));
        }
        Ok(())
    }
}

fn key_of(workload: &WorkloadName, lock: LockId) -> String {
    format!("{FOLDER}/{workload}/{lock}")
}
