//! New index files, one after the other.

use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::pack::PackEntry;
use outlast_format::{IndexId, PackId};
use outlast_types::Random;

use super::Outcome;
use crate::{RepoError, Repository, index_file};

/// Blobs that one index file lists, as in stock restic.
const BLOBS_MAX: usize = 50_000;

pub(super) struct Writer<'w> {
    repository: &'w Repository,
    random: &'w dyn Random,
    dry_run: bool,
    chunk_average: Option<u32>,
    packs: Vec<(PackId, Vec<PackEntry>)>,
    /// In `packs`.
    blobs: usize,
    written: Vec<IndexId>,
    packs_total: u64,
    blobs_total: u64,
}

impl<'w> Writer<'w> {
    pub(super) fn new(
        repository: &'w Repository,
        random: &'w dyn Random,
        dry_run: bool,
        chunk_average: Option<u32>,
    ) -> Self {
        Self {
            repository,
            random,
            dry_run,
            chunk_average,
            packs: Vec::new(),
            blobs: 0,
            written: Vec::new(),
            packs_total: 0,
            blobs_total: 0,
        }
    }

    /// Lists a pack in this index file or the next.
    pub(super) fn add(&mut self, pack: PackId, entries: Vec<PackEntry>) -> Result<(), RepoError> {
        self.packs_total += 1;
        self.blobs_total += entries.len() as u64;
        self.blobs += entries.len();
        self.packs.push((pack, entries));
        if self.blobs >= BLOBS_MAX { self.flush() } else { Ok(()) }
    }

    /// Writes a mark of prune's, in a file of its own as prune does.
    pub(super) fn mark(&mut self, condemned: Condemned) -> Result<(), RepoError> {
        let notes = Notes { chunk_average: self.chunk_average, condemned: Some(condemned) };
        self.write(&IndexFile { notes, ..IndexFile::default() })
    }

    /// Writes what is left; says what was written. How content is cut is noted at all events, by
    /// the index files that are kept (`kept_average`) or by a new one.
    pub(super) fn finish(
        mut self,
        kept_average: Option<u32>,
        outcome: &mut Outcome,
    ) -> Result<(), RepoError> {
        let unnoted = self.chunk_average > kept_average && self.written.is_empty();
        if unnoted || !self.packs.is_empty() {
            self.flush()?;
        }
        outcome.written = self.written;
        outcome.packs = self.packs_total;
        outcome.blobs = self.blobs_total;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RepoError> {
        let notes = Notes { chunk_average: self.chunk_average, condemned: None };
        let packs = std::mem::take(&mut self.packs);
        self.blobs = 0;
        self.write(&IndexFile { packs, notes, ..IndexFile::default() })
    }

    fn write(&mut self, file: &IndexFile) -> Result<(), RepoError> {
        if !self.dry_run {
            let (object, _) = index_file::write(self.repository, file, self.random)?;
            self.written.extend(object.index());
        }
        Ok(())
    }
}
