//! Packs into index files.
//!
//! Blobs of a pack that is durable can be referred to at once, since an index file with them is
//! written before any snapshot. The pack stays in the list of those that are unsaved until that file
//! is durable, also when the backup that uploaded it failed: the next one on the same open
//! repository writes it.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use outlast_format::index::{IndexFile, Notes};
use outlast_format::{IndexId, PackId};
use outlast_types::Random;

use super::Index;
use super::record::encode;
use super::runs::{File, IndexRuns};
use super::unsaved::{UnsavedPack, Writing};
use crate::open_store::OpenStore;
use crate::{RepoError, index_file};

/// Runs that one session may add before they are merged.
pub(super) const RUNS_MAX_ADDED: usize = 6;

/// An index file that was written, and the packs in it.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) index: IndexId,
    /// Bytes of the index file.
    pub(crate) size: u64,
    pub(crate) packs: Vec<(PackId, u64)>,
}

impl Index {
    /// Adds a pack that is durable but not in any index file. Its blobs stay on the heap until then:
    /// a run on disk with a blob that no index file lists would make the next backup refer to it.
    pub(crate) fn add_unsaved(&self, pack: UnsavedPack) {
        let mut writing = self.writing();
        let mut state = self.write();
        let number = state.packs.number_of(pack.id);
        state.fresh.extend(pack.entries.iter().map(|entry| encode(number, entry)));
        writing.unsaved.push(pack);
    }

    /// The packs that are in no index file, with their bytes.
    pub(crate) fn unsaved_packs(&self) -> Vec<(PackId, u64)> {
        self.writing().unsaved.iter().map(|pack| (pack.id, pack.size)).collect()
    }

    /// Writes an index file with all packs that are in none, and notes that their content was cut
    /// into chunks of `chunk_average` bytes; `None` if there is no such pack.
    ///
    /// The lock is held while it is written: whoever else saves at the same time may refer to the
    /// same packs and must not believe them saved before they are.
    pub(crate) fn save(
        &self,
        opened: &OpenStore,
        chunk_average: u32,
        random: &dyn Random,
    ) -> Result<Option<Saved>, RepoError> {
        let mut writing = self.writing();
        if writing.unsaved.is_empty() {
            return Ok(None);
        }
        let unsaved = &writing.unsaved;
        let packs = unsaved.iter().map(|pack| (pack.id, pack.size)).collect();
        let notes = Notes { chunk_average: Some(chunk_average), condemned: None };
        let file = IndexFile {
            supersedes: Vec::new(),
            packs: unsaved.iter().map(|pack| (pack.id, pack.entries.clone())).collect(),
            notes: notes.clone(),
        };
        let (index, size) = index_file::write(opened, &file, random)?;
        writing.unsaved.clear();
        self.move_to_run(&mut writing.runs, File { id: index, bytes: size, notes })?;
        self.note_file(index, size);
        self.chunk_average.fetch_max(chunk_average, Ordering::Relaxed);
        Ok(Some(Saved { index, size, packs }))
    }

    /// Moves the blobs of the packs that were just saved from the heap to a run. The index file is
    /// durable, so a cache that takes nothing more must not end the backup: the rest of this session
    /// is kept on the heap, and the next one fetches the file.
    fn move_to_run(&self, runs: &mut IndexRuns, file: File) -> Result<(), RepoError> {
        let state = self.read();
        let files = vec![file];
        if let Err(error) = runs.add(&state.fresh, files.clone(), &state.packs) {
            tracing::warn!(%error, "keeping new entries of the index in memory");
            runs.stop_writing();
            runs.add(&state.fresh, files, &state.packs)?;
        }
        if let Err(error) = runs.compact(self.base.len(), RUNS_MAX_ADDED, &state.packs) {
            tracing::warn!(%error, "leaving the parts of the index as they are");
        }
        drop(state);
        let mut state = self.write();
        state.runs = runs.runs().into();
        state.fresh.clear();
        Ok(())
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
