//! The stage with many threads: scans blocks for candidates, and turns chunks into sealed blobs.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, never, select_biased};
use outlast_format::BlobId;
use outlast_format::chunker::Gear;
use outlast_format::compress::Compressor;
use outlast_format::config::Version;
use outlast_format::crypto::{NONCE_LENGTH, OVERHEAD};
use outlast_format::pack::{BlobType, PackEntry};

use super::Context;
use super::block::{Block, ChunkBatch, ChunkBytes, Event, KnownChunk, ScannedBlock};
use super::effort::{NoiseFilter, Plan, Verdict};
use super::stop::Halt;
use crate::packer::SealedBlob;
use crate::{Index, RepoError};

/// Tells new blobs from known ones, those on their way to the store included.
#[derive(Debug)]
pub(super) struct Recognizer<'a> {
    index: &'a Index,
    /// Blobs that somebody seals now or that lie in a pack which is not durable yet.
    under_way: Mutex<HashSet<(BlobType, BlobId)>>,
}

impl<'a> Recognizer<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self { index, under_way: Mutex::default() }
    }

    /// Whether the blob is new. It is the caller's to store, then, and nobody else's.
    pub(super) fn claim(&self, kind: BlobType, id: BlobId) -> Result<bool, RepoError> {
        // Most blobs are known, and need no lock.
        if self.index.has(kind, &id)? {
            return Ok(false);
        }
        // The index is asked again under the lock: a blob goes from here to there, and must not
        // slip through between two looks.
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(!self.index.has(kind, &id)? && under_way.insert((kind, id)))
    }

    /// The blobs of a pack are in the index now.
    pub(super) fn settle(&self, entries: &[PackEntry]) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            under_way.remove(&(entry.kind, entry.id));
        }
    }
}

/// Compresses and encrypts blobs; one per thread.
pub(super) struct Sealer<'a> {
    context: &'a Context<'a>,
    /// None in version 1 of the format.
    compressor: Option<Compressor>,
    noise: NoiseFilter,
    /// The compressed form of the blob at hand. Kept, because new memory for every blob costs more
    /// than the copy to where it belongs, which is as long as the blob and no longer.
    compressed: Vec<u8>,
}

impl<'a> Sealer<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Result<Self, Halt> {
        let compressor = match context.repository.config().version {
            Version::V1 => None,
            Version::V2 => Some(
                Compressor::new(context.effort.tree_level())
                    .map_err(|source| RepoError::Encode { what: "compressor", source })?,
            ),
        };
        Ok(Self { context, compressor, noise: NoiseFilter::default(), compressed: Vec::new() })
    }

    pub(super) fn seal(
        &mut self,
        kind: BlobType,
        id: BlobId,
        plaintext: &[u8],
    ) -> Result<SealedBlob, Halt> {
        let is_compressed = match kind {
            BlobType::Data => self.compress_data(plaintext)?,
            // In version 2 always, as stock restic has it.
            BlobType::Tree if self.compressor.is_some() => {
                self.compress(self.context.effort.tree_level(), plaintext)?;
                true
            }
            BlobType::Tree => false,
        };
        let content = if is_compressed { &self.compressed } else { plaintext };
        let mut bytes = Vec::with_capacity(content.len() + OVERHEAD);
        bytes.resize(NONCE_LENGTH, 0);
        bytes.extend_from_slice(content);
        self.context.repository.key().seal_tail(&mut bytes, 0, self.context.random);
        self.context.counters.added(kind, plaintext.len(), bytes.len());
        let uncompressed_length =
            is_compressed.then(|| u32::try_from(plaintext.len()).unwrap_or(u32::MAX));
        Ok(SealedBlob { kind, id, bytes, uncompressed_length })
    }

    /// Whether `self.compressed` has the content in fewer bytes. Content that does not get smaller
    /// is stored as it is, which spares readers the work.
    fn compress_data(&mut self, plaintext: &[u8]) -> Result<bool, Halt> {
        if self.compressor.is_none() {
            return Ok(false);
        }
        let verdict = self.noise.judge(plaintext);
        if verdict == Verdict::Noise {
            return Ok(false);
        }
        match self.context.effort.plan() {
            Plan::Compress(level) => self.compress(level, plaintext)?,
            Plan::Compare(fast, usual) => {
                self.compress(fast, plaintext)?;
                let fast = self.compressed.len();
                self.compress(usual, plaintext)?;
                self.context.effort.compared(fast, self.compressed.len());
            }
        }
        let length = self.compressed.len();
        if verdict == Verdict::Doubtful {
            self.noise.tried(length < plaintext.len() - plaintext.len() / 50);
        }
        Ok(length < plaintext.len())
    }

    fn compress(&mut self, level: i32, plaintext: &[u8]) -> Result<(), Halt> {
        let Some(compressor) = &mut self.compressor else { return Ok(()) };
        self.compressed.clear();
        compressor
            .set_level(level)
            .and_then(|()| compressor.compress_onto(plaintext, &mut self.compressed))
            .map_err(|source| RepoError::Encode { what: "compressed blob", source })?;
        Ok(())
    }
}

/// Where a worker gets its work and where results go.
#[derive(Clone)]
pub(super) struct Worker<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) gear: &'a Gear,
    pub(super) blocks: Receiver<Block>,
    pub(super) scanned: Sender<ScannedBlock>,
    pub(super) batches: Receiver<ChunkBatch>,
    pub(super) events: Sender<Event>,
    pub(super) blobs: Sender<SealedBlob>,
}

impl Worker<'_> {
    /// Works until there are neither blocks nor batches. Batches go first: they free buffers.
    pub(super) fn run(self) -> Result<(), Halt> {
        let mut sealer = Sealer::new(self.context)?;
        let (mut blocks, mut batches) = (Some(&self.blocks), Some(&self.batches));
        let (no_blocks, no_batches) = (never(), never());
        while blocks.is_some() || batches.is_some() {
            select_biased! {
                recv(self.context.stop.thrown()) -> _ => return Err(Halt::Stopped),
                recv(batches.unwrap_or(&no_batches)) -> batch => match batch {
                    Ok(batch) => self.store(&mut sealer, &batch)?,
                    Err(_) => batches = None,
                },
                recv(blocks.unwrap_or(&no_blocks)) -> block => match block {
                    Ok(block) => self.scan(block)?,
                    Err(_) => blocks = None,
                },
            }
        }
        Ok(())
    }

    fn scan(&self, block: Block) -> Result<(), Halt> {
        let candidates = block.segments.iter().map(|segment| {
            let mut candidates = Vec::new();
            let whole = segment.position == 0 && segment.last;
            // A file that is no longer than the shortest chunk is one chunk.
            if !(whole && segment.range.len() <= self.context.chunking.min as usize) {
                let before = if segment.position == 0 { &[][..] } else { &block.before };
                let bytes = block.bytes(&segment.range);
                self.gear.scan(before, bytes, segment.position, &mut candidates);
            }
            candidates
        });
        let candidates = candidates.collect();
        self.context.stop.send(&self.scanned, ScannedBlock { block, candidates })
    }

    fn store(&self, sealer: &mut Sealer<'_>, batch: &ChunkBatch) -> Result<(), Halt> {
        let mut known = Vec::with_capacity(batch.chunks.len());
        for chunk in &batch.chunks {
            let bytes = match &chunk.bytes {
                ChunkBytes::InBlock(range) => batch.block.bytes(range),
                ChunkBytes::Joined(bytes) => bytes,
            };
            let id = BlobId::of(bytes);
            if self.context.recognizer.claim(BlobType::Data, id)? {
                let blob = sealer.seal(BlobType::Data, id, bytes)?;
                self.context.stop.send(&self.blobs, blob)?;
            }
            let (file, number, length) = (chunk.file, chunk.number, bytes.len());
            known.push(KnownChunk { file, number, length, id });
        }
        if known.is_empty() {
            return Ok(());
        }
        self.context.stop.send(&self.events, Event::Chunks(known))
    }
}
