//! The serial heart of chunking: puts scanned blocks in order and decides where content is cut.
//!
//! It looks at scans only. Content is touched for the one chunk per block that begins in an
//! earlier block: its first part is carried over, so that no block has to wait for the next one.
//! And for what was not scanned because it was known, where no chunk begins as it did last time:
//! after an edit, until old and new cuts meet again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use outlast_format::chunker::{Cut, Gear, Selector, WINDOW};

use super::block::{Block, Chunk, ChunkBatch, ChunkBytes, FileNumber, ScannedBlock, Segment};
use super::chunk_history::KnownChunk;
use super::context::Context;
use super::segment_scan::{Proven, SegmentScan};
use super::stop::Halt;

/// Takes blocks in any order until the last one is through.
pub(super) fn select(
    context: &Context<'_>,
    gear: &Gear,
    scanned: &Receiver<ScannedBlock>,
    batches: &Sender<ChunkBatch>,
) -> Result<(), Halt> {
    let mut cutter = Cutter { context, gear, file: None };
    // As many as there are buffers, at most.
    let mut early = BTreeMap::new();
    let mut next = 0;
    while let Some(block) = context.stop.receive(scanned)? {
        early.insert(block.block.number, block);
        while let Some(block) = early.remove(&next) {
            next += 1;
            let end = block.block.end;
            let chunks = cutter.cut(&block);
            let batch = ChunkBatch { block: Arc::new(block.block), chunks };
            context.stop.send(batches, batch)?;
            if end {
                return Ok(());
            }
        }
    }
    // The readers are gone and the last block never came.
    Err(Halt::Stopped)
}

/// Cuts files that come block by block.
struct Cutter<'a> {
    context: &'a Context<'a>,
    gear: &'a Gear,
    file: Option<OpenFile>,
}

struct OpenFile {
    number: FileNumber,
    selector: Selector,
    chunks: usize,
    /// The content since the last cut.
    carried: Vec<u8>,
}

impl Cutter<'_> {
    /// The chunks that end in this block.
    fn cut(&mut self, scanned: &ScannedBlock) -> Vec<Chunk> {
        let block = &scanned.block;
        let mut chunks = Vec::with_capacity(block.segments.len());
        for (segment, scan) in block.segments.iter().zip(&scanned.scans) {
            if segment.position == 0 {
                // What is left of a file that failed in the middle is dropped here.
                self.file = Some(OpenFile {
                    number: segment.file,
                    selector: Selector::new(self.context.chunking),
                    chunks: 0,
                    carried: Vec::new(),
                });
            }
            let Some(mut file) = self.file.take() else { continue };
            let cuts = self.feed(&mut file, scan, block.bytes(&segment.range), segment);
            let mut from = segment.range.start;
            for (cut, known_chunk) in cuts {
                // A cut never lies before the segment: it would have been made earlier.
                let ahead = usize::try_from(cut.end - segment.position).unwrap_or(usize::MAX);
                let to = segment.range.start.saturating_add(ahead).min(segment.range.end);
                chunks.push(file.chunk(from..to, block, cut.hash, known_chunk));
                from = to;
            }
            if segment.omitted > 0 {
                chunks.push(file.zeroes(segment.omitted, self.context.chunking.max as usize));
            }
            if !segment.last {
                file.carried.extend_from_slice(block.bytes(&(from..segment.range.end)));
                self.file = Some(file);
            }
        }
        chunks
    }

    /// The cuts that are certain with this piece of the file, each with the known_chunk that the
    /// chunk before it is, if it is one.
    fn feed(
        &self,
        file: &mut OpenFile,
        scan: &SegmentScan,
        bytes: &[u8],
        segment: &Segment,
    ) -> Vec<(Cut, Option<KnownChunk>)> {
        let selector = &mut file.selector;
        let mut cuts = Vec::new();
        let mut known = Vec::new();
        let mut candidates = &scan.candidates[..];
        for Proven { range, known: known_chunk, number } in &scan.proven {
            let (before, after) =
                candidates.split_at(candidates.partition_point(|place| place.end <= range.start));
            candidates = after;
            selector.feed(before, range.start, &mut cuts);
            known.resize(cuts.len(), None);
            if selector.feed_known(range.end, known_chunk.cut_hash, &mut cuts) {
                known.push(Some(*known_chunk));
                self.context.history.reached(*number);
            } else {
                let offset = |at: u64| usize::try_from(at - segment.position).unwrap_or(usize::MAX);
                let (start, end) = (offset(range.start), offset(range.end));
                let mut found = Vec::new();
                let context = &bytes[start.saturating_sub(WINDOW)..start];
                self.gear.scan(context, &bytes[start..end], range.start, &mut found);
                selector.feed(&found, range.end, &mut cuts);
            }
        }
        selector.feed(candidates, segment.position + bytes.len() as u64, &mut cuts);
        if segment.last {
            let ended = std::mem::replace(selector, Selector::new(self.context.chunking));
            ended.finish(&mut cuts);
        }
        known.resize(cuts.len(), None);
        cuts.into_iter().zip(known).collect()
    }
}

impl OpenFile {
    fn chunk(
        &mut self,
        range: Range<usize>,
        block: &Block,
        cut_hash: Option<u64>,
        known_chunk: Option<KnownChunk>,
    ) -> Chunk {
        let bytes = if self.carried.is_empty() {
            ChunkBytes::InBlock(range)
        } else {
            self.carried.extend_from_slice(block.bytes(&range));
            ChunkBytes::Joined(std::mem::take(&mut self.carried))
        };
        let number = self.chunks;
        self.chunks += 1;
        Chunk { file: self.number, number, times: 1, bytes, cut_hash, known: known_chunk }
    }

    /// Chunks inside a hole. What follows is cut as if they were not there: the chunk that is open
    /// now has begun inside the hole, at a distance from them that is a multiple of their length.
    /// They are no chunks of the history, which knows nothing of what is omitted.
    fn zeroes(&mut self, times: usize, length: usize) -> Chunk {
        let number = self.chunks;
        self.chunks += times;
        let bytes = ChunkBytes::Joined(vec![0; length]);
        Chunk { file: self.number, number, times, bytes, cut_hash: None, known: None }
    }
}
