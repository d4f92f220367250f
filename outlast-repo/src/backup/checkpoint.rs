//! Checkpoints: index files now and then for what is durable, so that a kill costs little.

use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_format::{IndexId, PackId};
use outlast_types::{Clock, Random, Timestamp};

use super::known_blobs::KnownBlobs;
use super::publish_guard::PublishGuard;
use super::tuning::Tuning;
use crate::index::UnsavedPack;
use crate::journal::Journal;
use crate::{Index, RepoError, Repository};

/// Where packs and index files go, and when an index file is due.
pub(super) struct Work<'a> {
    pub(super) repository: &'a Repository,
    pub(super) index: &'a Index,
    pub(super) limits: &'a Tuning,
    pub(super) chunk_average: u32,
    pub(super) is_looked_over: bool,
    pub(super) clock: &'a dyn Clock,
    pub(super) random: &'a dyn Random,
}

/// The packs and index files that became durable, and what is in no index file yet.
pub(super) struct Checkpoint<'a> {
    work: Work<'a>,
    state: Mutex<State>,
}

struct State {
    journal: Option<Journal>,
    packs: Vec<(PackId, u64)>,
    indexes: Vec<(IndexId, u64)>,
    /// Since the last index file.
    bytes: u64,
    blobs: usize,
    since: Timestamp,
}

/// The objects that a backup made durable, with their sizes in bytes.
#[derive(Debug)]
pub(super) struct Durable {
    pub(super) packs: Vec<(PackId, u64)>,
    pub(super) indexes: Vec<(IndexId, u64)>,
    pub(super) guard: PublishGuard,
}

impl<'a> Checkpoint<'a> {
    pub(super) fn new(work: Work<'a>, journal: Option<Journal>) -> Self {
        let (packs, indexes, since) = (Vec::new(), Vec::new(), work.clock.now());
        let state = State { journal, packs, indexes, bytes: 0, blobs: 0, since };
        Self { work, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a pack that is durable; writes an index file when it is time.
    pub(super) fn record(
        &self,
        known_blobs: &KnownBlobs<'_>,
        pack: UnsavedPack,
    ) -> Result<(), RepoError> {
        let mut state = self.state();
        state.bytes += pack.size;
        state.blobs += pack.entries.len();
        let journaled = state.journal.as_mut().map_or(Ok(()), |journal| journal.append(&pack));
        let entries = pack.entries.clone();
        // Before anybody can find a blob in it.
        known_blobs.referenced().rely(pack.id, pack.size);
        self.work.index.add_unsaved(pack);
        known_blobs.settle(&entries);
        journaled?;
        let Work { limits, clock, .. } = self.work;
        let is_due = state.bytes >= limits.checkpoint_bytes
            || state.blobs >= limits.checkpoint_blobs
            || clock.now().since(state.since) >= limits.checkpoint_interval;
        if is_due { state.save(&self.work) } else { Ok(()) }
    }

    /// Writes what is in no index file yet, and makes sure of all that is referred to, unless somebody else
    /// does; returns all packs and index files of this backup.
    pub(super) fn close(&self, known_blobs: &KnownBlobs<'_>) -> Result<Durable, RepoError> {
        let mut state = self.state();
        state.save(&self.work)?;
        let packs = std::mem::take(&mut state.packs);
        let indexes = std::mem::take(&mut state.indexes);
        let (own, referenced) = (packs.iter().copied(), known_blobs.referenced());
        let guard = match self.work.is_looked_over {
            true => referenced.leave(),
            false => referenced.secure(self.work.index, own, self.work.random)?,
        };
        Ok(Durable { packs, indexes, guard })
    }
}

impl State {
    fn save(&mut self, work: &Work<'_>) -> Result<(), RepoError> {
        let opened = work.repository.opened();
        if let Some(saved) = work.index.save(opened, work.chunk_average, work.random)? {
            self.packs.extend(saved.packs);
            self.indexes.push((saved.index, saved.size));
            // Only now: until the index is durable, the journal is all that knows the packs.
            if let Some(journal) = &mut self.journal {
                journal.clear()?;
            }
        }
        (self.bytes, self.blobs, self.since) = (0, 0, work.clock.now());
        Ok(())
    }
}
