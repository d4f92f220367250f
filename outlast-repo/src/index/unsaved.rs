//! Packs that are durable but not listed by any index file yet.
//!
//! Their blobs can be referred to at once, since an index file with them is written before any
//! snapshot. They stay in the list until that file is durable, also when the backup that uploaded
//! them failed: the next one on the same open repository writes it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use outlast_format::index::{IndexFile, Notes};
use outlast_format::pack::PackEntry;
use outlast_format::{IndexId, PackId};
use outlast_store::{Object, StoreError};
use outlast_types::Random;

use super::Index;
use crate::{RepoError, Repository};

/// A durable pack that no index file lists.
#[derive(Debug, Clone)]
pub(crate) struct UnsavedPack {
    pub(crate) id: PackId,
    /// Bytes of the whole pack.
    pub(crate) size: u64,
    pub(crate) entries: Vec<PackEntry>,
}

/// An index file that was written, and the packs in it.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) index: IndexId,
    /// Bytes of the index file.
    pub(crate) size: u64,
    pub(crate) packs: Vec<(PackId, u64)>,
}

impl Index {
    /// Adds a pack that is durable but not in any index file.
    pub(crate) fn add_unsaved(&self, pack: UnsavedPack) {
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        self.add(pack.id, &pack.entries);
        unsaved.push(pack);
    }

    /// Writes an index file with all packs that are in none, and notes that their content was cut
    /// into chunks of `chunk_average` bytes; `None` if there is no such pack.
    ///
    /// The lock is held while it is written: whoever else saves at the same time may refer to the
    /// same packs and must not believe them saved before they are.
    pub(crate) fn save(
        &self,
        repository: &Repository,
        chunk_average: u32,
        random: &dyn Random,
    ) -> Result<Option<Saved>, RepoError> {
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        if unsaved.is_empty() {
            return Ok(None);
        }
        let packs = unsaved.iter().map(|pack| (pack.id, pack.size)).collect();
        let file = IndexFile {
            supersedes: Vec::new(),
            packs: unsaved.iter().map(|pack| (pack.id, pack.entries.clone())).collect(),
            notes: Notes { chunk_average: Some(chunk_average), condemned: None },
        };
        let encode = |source| RepoError::Encode { what: "index", source };
        let document = file.serialize().map_err(encode)?;
        let (name, sealed) = repository.seal_unpacked("index", &document, random)?;
        let size = sealed.len() as u64;
        match repository.store().create(&Object::Index(name), sealed) {
            // The name is the hash of the content: what is there is what we have.
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        unsaved.clear();
        self.note_file(Object::Index(name));
        self.chunk_average.fetch_max(chunk_average, Ordering::Relaxed);
        Ok(Some(Saved { index: IndexId(name.0), size, packs }))
    }
}
