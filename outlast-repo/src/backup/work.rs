//! The stage with many threads: scans blocks for candidates, and turns chunks into sealed blobs.

use crossbeam_channel::{Receiver, Sender, never, select_biased};
use outlast_format::BlobId;
use outlast_format::Sha256Id;
use outlast_format::chunker::Gear;
use outlast_format::pack::BlobType;

use super::block::{Block, Chunk, ChunkBatch, ChunkBytes, Event, IdentifiedChunk, ScannedBlock};
use super::chunk_history::KnownChunk;
use super::context::Context;
use super::packing::Packing;
use super::sealer::Sealer;
use super::segment_scan::{SegmentScan, scan};
use super::stop::Halt;
use crate::RepoError;

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
        let mut sealer = Sealer::new(self.context);
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
        let bench = self.context.seat.bench(&self.context.stop)?;
        let scans = block.segments.iter().map(|segment| {
            let whole = segment.position == 0 && segment.last;
            // A file that is no longer than the shortest chunk is one chunk.
            if whole && segment.range.len() <= self.context.chunking.min as usize {
                return SegmentScan::default();
            }
            let before = if segment.position == 0 { &[][..] } else { &block.before };
            let bytes = block.bytes(&segment.range);
            scan(self.gear, &self.context.history, before, bytes, segment.position)
        });
        let scans = scans.collect();
        drop(bench);
        self.context.stop.send(&self.scanned, ScannedBlock { block, scans })
    }

    fn store(&self, sealer: &mut Sealer<'_>, batch: &ChunkBatch) -> Result<(), Halt> {
        let mut known = Vec::with_capacity(batch.chunks.len());
        let mut recorded = Vec::with_capacity(batch.chunks.len());
        let mut bench = self.context.seat.bench(&self.context.stop)?;
        for chunk in &batch.chunks {
            let bytes = match &chunk.bytes {
                ChunkBytes::InBlock(range) => batch.block.bytes(range),
                ChunkBytes::Joined(bytes) => bytes,
            };
            let Identified { content, id, is_new } = self.identify(chunk, bytes)?;
            if is_new {
                let room = match self.packing.try_room(self.context, bytes.len()) {
                    Some(room) => room,
                    None => {
                        drop(bench);
                        let room = self.packing.room(self.context, bytes.len())?;
                        bench = self.context.seat.bench(&self.context.stop)?;
                        room
                    }
                };
                let blob = sealer.seal(&mut bench, BlobType::Data, id, bytes)?;
                self.packing.add(self.context, &blob, room)?;
            }
            // No chunk is longer than 4 MiB.
            let (cut_hash, length) =
                (chunk.cut_hash, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            recorded.extend(cut_hash.map(|cut_hash| KnownChunk { cut_hash, length, content, id }));
            let (file, number, times, length) =
                (chunk.file, chunk.number, chunk.times, bytes.len());
            known.push(IdentifiedChunk { file, number, times, length, id });
        }
        // Whoever is told may have a wait before it.
        drop(bench);
        self.context.history.record(batch.block.number, recorded);
        if known.is_empty() {
            return Ok(());
        }
        self.context.stop.send(&self.events, Event::Chunks(known))
    }

    /// Which blob a chunk is, and whether it is new and ours to store. Known content is recognised
    /// by its BLAKE3, which costs less than half of a SHA-256 with the processor's instructions
    /// for that, and a tenth without; a chunk of the history was proven by it already.
    fn identify(&self, chunk: &Chunk, bytes: &[u8]) -> Result<Identified, RepoError> {
        let has = |id: &BlobId| self.context.known_blobs.knows(BlobType::Data, id);
        if let Some(KnownChunk { content, id, .. }) = chunk.known
            && has(&id)?
        {
            return Ok(Identified { content, id, is_new: false });
        }
        let hash = blake3::hash(bytes);
        let content = *hash.as_bytes();
        if let Some(id) = self.context.chunk_ids.get(&hash)
            && has(&id)?
        {
            return Ok(Identified { content, id, is_new: false });
        }
        let id = BlobId::of(bytes);
        self.context.chunk_ids.note(&hash, id);
        let is_new = self.context.known_blobs.claim(BlobType::Data, id)?;
        Ok(Identified { content, id, is_new })
    }
}

/// The blob that a chunk turned out to be.
struct Identified {
    /// The BLAKE3 of its bytes.
    content: [u8; 32],
    id: BlobId,
    is_new: bool,
}
