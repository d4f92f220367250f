//! The stage with many threads: scans blocks for candidates, and turns chunks into sealed blobs.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, never, select_biased};
use outlast_format::chunker::Gear;
use outlast_format::compress::Compressor;
use outlast_format::config::Version;
use outlast_format::crypto::NONCE_LENGTH;
use outlast_format::pack::{BlobType, PackEntry};
use outlast_format::{BlobId, Sha256Id};

use super::Context;
use super::block::{Block, Chunk, ChunkBatch, ChunkBytes, Event, KnownChunk, ScannedBlock};
use super::effort::{NoiseFilter, Plan, Verdict};
use super::packing::Packing;
use super::referenced::ReferencedPacks;
use super::stop::Halt;
use super::survey::{Survey, survey};
use super::trail::Step;
use crate::packer::SealedBlob;
use crate::{Index, RepoError};

/// Tells new blobs from known ones, those on their way to the store included.
#[derive(Debug)]
pub(super) struct Recognizer<'a> {
    index: &'a Index,
    referenced: ReferencedPacks<'a>,
    /// Blobs that somebody seals now or that lie in a pack which is not durable yet.
    under_way: Mutex<HashSet<(BlobType, BlobId)>>,
}

impl<'a> Recognizer<'a> {
    pub(super) fn new(index: &'a Index, referenced: ReferencedPacks<'a>) -> Self {
        Self { index, referenced, under_way: Mutex::default() }
    }

    /// The packs that the backup relies on.
    pub(super) fn referenced(&self) -> &ReferencedPacks<'a> {
        &self.referenced
    }

    /// Whether the blob lies in a pack that stays and that reaches so far.
    fn knows(&self, kind: BlobType, id: &BlobId) -> Result<bool, RepoError> {
        let Some(found) = self.index.locate(kind, id)? else { return Ok(false) };
        if self.referenced.allows(found.pack, found.end())? {
            return Ok(true);
        }
        // There may be another copy: one that was stored anew because this one cannot be had.
        for other in self.index.locations(kind, id)? {
            if other.pack != found.pack && self.referenced.allows(other.pack, other.end())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the blob is new. It is the caller's to store, then, and nobody else's.
    pub(super) fn claim(&self, kind: BlobType, id: BlobId) -> Result<bool, RepoError> {
        // Most blobs are known, and need no lock.
        if self.knows(kind, &id)? {
            return Ok(false);
        }
        // The index is asked again under the lock: a blob goes from here to there, and must not
        // slip through between two looks.
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(!self.knows(kind, &id)? && under_way.insert((kind, id)))
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
    /// Where the blob at hand is compressed and encrypted in place: room for the nonce, then the
    /// content. Kept, because new memory for every blob costs time.
    sealed: Vec<u8>,
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
        Ok(Self { context, compressor, noise: NoiseFilter::default(), sealed: Vec::new() })
    }

    /// How hard trees are compressed, if they are at all.
    pub(super) fn tree_level(&self) -> Option<i32> {
        self.compressor.as_ref().map(|_| self.context.effort.tree_level())
    }

    /// The blob as it belongs in a pack, until the next one is sealed.
    pub(super) fn seal(
        &mut self,
        kind: BlobType,
        id: BlobId,
        plaintext: &[u8],
    ) -> Result<SealedBlob<'_>, Halt> {
        let is_compressed = match kind {
            BlobType::Data => self.compress_data(plaintext)?,
            // In version 2 always, as stock restic has it.
            BlobType::Tree if self.compressor.is_some() => {
                self.compress(self.context.effort.tree_level(), plaintext)?;
                true
            }
            BlobType::Tree => false,
        };
        if !is_compressed {
            self.sealed.clear();
            self.sealed.resize(NONCE_LENGTH, 0);
            self.sealed.extend_from_slice(plaintext);
        }
        self.context.repository.key().seal_tail(&mut self.sealed, 0, self.context.random);
        let bytes = &self.sealed;
        self.context.counters.added(kind, plaintext.len(), bytes.len());
        let uncompressed_length =
            is_compressed.then(|| u32::try_from(plaintext.len()).unwrap_or(u32::MAX));
        Ok(SealedBlob { kind, id, bytes, uncompressed_length })
    }

    /// Compresses the content of a file; whether it became smaller. If it did not, it is stored as
    /// it is, which spares readers the work.
    fn compress_data(&mut self, plaintext: &[u8]) -> Result<bool, Halt> {
        if self.compressor.is_none() {
            return Ok(false);
        }
        let verdict = self.noise.judge(plaintext);
        if verdict == Verdict::Noise {
            return Ok(false);
        }
        let length = match self.context.effort.plan() {
            Plan::Compress(level) => self.compress(level, plaintext)?,
            Plan::Compare(fast, usual) => {
                let fast = self.compress(fast, plaintext)?;
                let usual = self.compress(usual, plaintext)?;
                self.context.effort.compared(fast, usual);
                usual
            }
        };
        if verdict == Verdict::Doubtful {
            self.noise.tried(length < plaintext.len() - plaintext.len() / 50);
        }
        Ok(length < plaintext.len())
    }

    /// Puts the compressed content where it will be sealed; how many bytes it has.
    fn compress(&mut self, level: i32, plaintext: &[u8]) -> Result<usize, Halt> {
        let Some(compressor) = &mut self.compressor else { return Ok(plaintext.len()) };
        self.sealed.clear();
        self.sealed.resize(NONCE_LENGTH, 0);
        Ok(compressor
            .set_level(level)
            .and_then(|()| compressor.compress_onto(plaintext, &mut self.sealed))
            .map_err(|source| RepoError::Encode { what: "compressed blob", source })?)
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
    pub(super) packing: &'a Packing,
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
        let surveys = block.segments.iter().map(|segment| {
            let whole = segment.position == 0 && segment.last;
            // A file that is no longer than the shortest chunk is one chunk.
            if whole && segment.range.len() <= self.context.chunking.min as usize {
                return Survey::default();
            }
            let before = if segment.position == 0 { &[][..] } else { &block.before };
            let bytes = block.bytes(&segment.range);
            survey(self.gear, &self.context.trail, before, bytes, segment.position)
        });
        let surveys = surveys.collect();
        self.context.stop.send(&self.scanned, ScannedBlock { block, surveys })
    }

    fn store(&self, sealer: &mut Sealer<'_>, batch: &ChunkBatch) -> Result<(), Halt> {
        let mut known = Vec::with_capacity(batch.chunks.len());
        let mut steps = Vec::with_capacity(batch.chunks.len());
        for chunk in &batch.chunks {
            let bytes = match &chunk.bytes {
                ChunkBytes::InBlock(range) => batch.block.bytes(range),
                ChunkBytes::Joined(bytes) => bytes,
            };
            let Identified { content, id, is_new } = self.identify(chunk, bytes)?;
            if is_new {
                let blob = sealer.seal(BlobType::Data, id, bytes)?;
                self.packing.add(self.context, &blob)?;
            }
            // No chunk is longer than 4 MiB.
            let (mark, length) = (chunk.mark, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            steps.extend(mark.map(|mark| Step { mark, length, content, id }));
            let (file, number, times, length) =
                (chunk.file, chunk.number, chunk.times, bytes.len());
            known.push(KnownChunk { file, number, times, length, id });
        }
        self.context.trail.record(batch.block.number, steps);
        if known.is_empty() {
            return Ok(());
        }
        self.context.stop.send(&self.events, Event::Chunks(known))
    }

    /// Which blob a chunk is, and whether it is new and ours to store. Known content is recognised
    /// by its BLAKE3, which costs less than half of a SHA-256 with the processor's instructions
    /// for that, and a tenth without; a step of the trail was proven by it already.
    fn identify(&self, chunk: &Chunk, bytes: &[u8]) -> Result<Identified, RepoError> {
        let has = |id: &BlobId| self.context.recognizer.knows(BlobType::Data, id);
        if let Some(Step { content, id, .. }) = chunk.step
            && has(&id)?
        {
            return Ok(Identified { content, id, is_new: false });
        }
        let hash = blake3::hash(bytes);
        let content = *hash.as_bytes();
        if let Some(id) = self.context.recognition.get(&hash)
            && has(&id)?
        {
            return Ok(Identified { content, id, is_new: false });
        }
        let id = BlobId::of(bytes);
        self.context.recognition.note(&hash, id);
        let is_new = self.context.recognizer.claim(BlobType::Data, id)?;
        Ok(Identified { content, id, is_new })
    }
}

/// What a chunk turned out to be.
struct Identified {
    /// The BLAKE3 of its bytes.
    content: [u8; 32],
    id: BlobId,
    is_new: bool,
}
