//! Which packs were proved: one file for each workload, to which lines of fixed length are added.
//!
//! It is a cache. A note that is lost, torn or damaged means that its pack is proved once more when
//! somebody next relies on it; so nothing here is made durable. It is not held in memory: whoever
//! asks has some packs in mind, and reads through it, 48 bytes for each pack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use outlast_format::{PackId, sha256};
use outlast_types::WorkloadName;

use crate::core::storage::{Durability, Storage, StorageError};

/// A pack's id, its size, and the beginning of a hash of both.
const NOTE_BYTES: usize = 32 + 8 + 8;

pub(super) struct Proofs {
    storage: Storage,
    /// Held while a note is added, so that none is torn by another.
    writing: Mutex<()>,
}

impl Proofs {
    pub(super) fn open(storage: &Storage) -> Self {
        Self { storage: Storage::clone(storage), writing: Mutex::new(()) }
    }

    /// Notes that a pack was proved when it had this size.
    pub(super) fn note(
        &self,
        workload: &WorkloadName,
        pack: PackId,
        size: u64,
    ) -> Result<(), StorageError> {
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key_of(workload);
        let append = || {
            let length = self.storage.length(&key)?.unwrap_or(0);
            // After a crash the last one may be torn: the next takes its place.
            let whole = length / NOTE_BYTES as u64 * NOTE_BYTES as u64;
            self.storage.append(&key, whole, &encode(pack, size), Durability::Fast)
        };
        append().map_err(StorageError::of(&*self.storage, "write", &key))
    }

    /// Those of `packs`, each given with its size, that were proved.
    pub(super) fn find(
        &self,
        workload: &WorkloadName,
        packs: &BTreeMap<PackId, u64>,
    ) -> Result<BTreeSet<PackId>, StorageError> {
        let key = key_of(workload);
        let mut found = BTreeSet::new();
        let mut note = Vec::with_capacity(NOTE_BYTES);
        let mut take = |piece: &[u8]| {
            let mut rest = piece;
            while !rest.is_empty() {
                let (more, after) = rest.split_at(rest.len().min(NOTE_BYTES - note.len()));
                note.extend_from_slice(more);
                rest = after;
                if note.len() == NOTE_BYTES {
                    found.extend(proved(&note, packs));
                    note.clear();
                }
            }
            true
        };
        let read = self.storage.read_through(&key, &mut take);
        read.map_err(StorageError::of(&*self.storage, "read", &key))?;
        Ok(found)
    }
}

fn key_of(workload: &WorkloadName) -> String {
    format!("proofs/{workload}")
}

/// The pack of a note, if it is one of `packs` and of its size.
fn proved(note: &[u8], packs: &BTreeMap<PackId, u64>) -> Option<PackId> {
    let pack = PackId(note.get(..32)?.try_into().ok()?);
    let size = *packs.get(&pack)?;
    (note == encode(pack, size)).then_some(pack)
}

fn encode(pack: PackId, size: u64) -> [u8; NOTE_BYTES] {
    let mut note = [0; NOTE_BYTES];
    note[..32].copy_from_slice(&pack.0);
    note[32..40].copy_from_slice(&size.to_le_bytes());
    let hash = sha256(&note[..40]);
    note[40..].copy_from_slice(&hash[..8]);
    note
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::storage::memory::MemoryStorage;

    #[test]
    fn what_was_noted_is_found_again_with_its_size_only_and_a_torn_note_is_none() {
        let storage: Storage = Arc::new(MemoryStorage::default());
        let proofs = Proofs::open(&storage);
        let shop = WorkloadName::new("shop").unwrap();
        let pack = |n: u8| PackId([n; 32]);
        let wanted: BTreeMap<_, _> = (0..4).map(|n| (pack(n), 100)).collect();
        let found = || proofs.find(&shop, &wanted).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(found(), []);
        proofs.note(&shop, pack(1), 100).unwrap();
        proofs.note(&shop, pack(2), 99).unwrap();
        proofs.note(&shop, pack(3), 100).unwrap();
        assert_eq!(found(), [pack(1), pack(3)]);
        let key = key_of(&shop);
        let read = || storage.read(&key, 1 << 20).unwrap().unwrap();
        for cut in 1..NOTE_BYTES {
            storage.replace(&key, &read()[..3 * NOTE_BYTES - cut], Durability::Fast).unwrap();
            assert_eq!(found(), [pack(1)], "{cut} bytes are missing");
            proofs.note(&shop, pack(3), 100).unwrap();
            assert_eq!(found(), [pack(1), pack(3)], "{cut} bytes were missing");
        }
        let mut bytes = read();
        bytes[33] ^= 1;
        storage.replace(&key, &bytes, Durability::Fast).unwrap();
        assert_eq!(found(), [pack(3)]);
    }
}
