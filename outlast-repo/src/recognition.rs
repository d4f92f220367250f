//! Which blob a piece of content is, by its BLAKE3: known content is recognised without its slow
//! SHA-256.
//!
//! What is noted here is a hint. It says which SHA-256 belongs to a BLAKE3, which stays true for
//! ever, and nothing of whether the repository has the blob: only the index knows that.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use outlast_format::BlobId;

use crate::Repository;

/// Entries that are kept in memory, of 64 bytes each.
const FRESH_MAX: usize = 64 << 10;

/// What is known of content that was hashed before. Shared between threads.
#[derive(Debug)]
pub struct Recognition {
    fresh: RwLock<HashMap<[u8; 32], BlobId>>,
}

impl Recognition {
    /// What is known on this host of the content of `repository`. Without a cache on disk that is
    /// nothing at first.
    pub fn open(_repository: &Repository) -> Self {
        Self { fresh: RwLock::default() }
    }

    /// The id of the blob whose plaintext has this BLAKE3, if it is known; in doubt it is not.
    pub fn get(&self, content: &blake3::Hash) -> Option<BlobId> {
        let fresh = self.fresh.read().unwrap_or_else(PoisonError::into_inner);
        fresh.get(content.as_bytes()).copied()
    }

    /// Notes that the plaintext with the BLAKE3 `content` is the blob `id`.
    pub fn note(&self, content: &blake3::Hash, id: BlobId) {
        let mut fresh = self.fresh.write().unwrap_or_else(PoisonError::into_inner);
        if fresh.len() < FRESH_MAX {
            fresh.insert(*content.as_bytes(), id);
        }
    }

    /// Keeps what was noted for the next time. Called when a backup has ended.
    pub fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outlast_store::memory::MemoryStore;

    use super::*;

    #[test]
    fn content_is_recognised_once_it_was_noted() {
        let repository = crate::repository::tests::init(&Arc::new(MemoryStore::new())).unwrap();
        let recognition = Recognition::open(&repository);
        let content = blake3::hash(b"content");
        assert_eq!(recognition.get(&content), None);
        recognition.note(&content, BlobId::of(b"content"));
        assert_eq!(recognition.get(&content), Some(BlobId::of(b"content")));
    }
}
