//! The last stage: packs into the store, and the books about them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Receiver;
use outlast_format::{IndexId, PackId};
use outlast_store::{Object, create_or_find};
use outlast_types::Timestamp;

use super::Context;
use super::packing::Packing;
use super::publish_guard::PublishGuard;
use super::stop::Halt;
use crate::RepoError;
use crate::index::UnsavedPack;
use crate::journal::Journal;
use crate::packer::OpenPack;

/// Names packs and stores them; runs on a few threads, because a store answers slowly.
pub(super) fn upload(
    context: &Context<'_>,
    packing: &Packing,
    packs: &Receiver<OpenPack>,
) -> Result<(), Halt> {
    while let Some(open) = context.stop.receive(packs)? {
        let (pack, bytes) = open.finish(context.repository.key(), context.random);
        let object = Object::Data(pack.id);
        create_or_find(context.repository.store(), &object, bytes.clone())?;
        packing.take_back(context, bytes);
        // Not through a queue: a pack that is durable is remembered even when all stages stop.
        context.ledger.record(context, pack)?;
    }
    Ok(())
}

/// What became durable, and what is not in an index file yet.
#[derive(Debug)]
pub(super) struct Ledger(Mutex<Books>);

#[derive(Debug)]
struct Books {
    journal: Option<Journal>,
    packs: Vec<(PackId, u64)>,
    indexes: Vec<(IndexId, u64)>,
    /// Since the last index file.
    bytes: u64,
    blobs: usize,
    since: Timestamp,
}

impl Ledger {
    pub(super) fn new(journal: Option<Journal>, now: Timestamp) -> Self {
        let (packs, indexes) = (Vec::new(), Vec::new());
        Self(Mutex::new(Books { journal, packs, indexes, bytes: 0, blobs: 0, since: now }))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a pack that is durable; writes an index file when it is time.
    fn record(&self, context: &Context<'_>, pack: UnsavedPack) -> Result<(), RepoError> {
        let mut books = self.books();
        books.bytes += pack.size;
        books.blobs += pack.entries.len();
        let journaled = books.journal.as_mut().map_or(Ok(()), |journal| journal.append(&pack));
        let entries = pack.entries.clone();
        // Before anybody can find a blob in it.
        context.recognizer.referenced().rely(pack.id, pack.size);
        context.index.add_unsaved(pack);
        context.recognizer.settle(&entries);
        journaled?;
        let tuning = context.tuning;
        let due = books.bytes >= tuning.checkpoint_bytes
            || books.blobs >= tuning.checkpoint_blobs
            || context.clock.now().since(books.since) >= tuning.checkpoint_interval;
        if due { books.save(context) } else { Ok(()) }
    }

    /// Writes what is in no index file yet, and makes sure of all that is relied on; returns all packs and indexes of this backup.
    pub(super) fn close(&self, context: &Context<'_>) -> Result<Durable, RepoError> {
        let mut books = self.books();
        books.save(context)?;
        let packs = std::mem::take(&mut books.packs);
        let indexes = std::mem::take(&mut books.indexes);
        let referenced = context.recognizer.referenced();
        let guard = referenced.secure(context.index, packs.iter().copied(), context.random)?;
        Ok(Durable { packs, indexes, guard })
    }
}

/// The objects that a backup made durable, with their sizes in bytes.
#[derive(Debug)]
pub(super) struct Durable {
    pub(super) packs: Vec<(PackId, u64)>,
    pub(super) indexes: Vec<(IndexId, u64)>,
    pub(super) guard: PublishGuard,
}

impl Books {
    fn save(&mut self, context: &Context<'_>) -> Result<(), RepoError> {
        if let Some(saved) = context.index.save(
            context.repository.opened(),
            context.chunking.average,
            context.random,
        )? {
            self.packs.extend(saved.packs);
            self.indexes.push((saved.index, saved.size));
            // Only now: until the index is durable, the journal is all that knows the packs.
            if let Some(journal) = &mut self.journal {
                journal.clear()?;
            }
        }
        (self.bytes, self.blobs, self.since) = (0, 0, context.clock.now());
        Ok(())
    }
}
