//! The serial heart of chunking: puts scanned blocks in order and decides where content is cut.
//!
//! It looks at candidates only. Content is touched for the one chunk per block that begins in an
//! earlier block: its first part is carried over, so that no block has to wait for the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use outlast_format::chunker::{Params, Selector};

use super::Context;
use super::block::{Chunk, ChunkBatch, ChunkBytes, FileNumber, ScannedBlock};
use super::stop::Halt;

/// Takes blocks in any order until the last one is through.
pub(super) fn select(
    context: &Context<'_>,
    scanned: &Receiver<ScannedBlock>,
    batches: &Sender<ChunkBatch>,
) -> Result<(), Halt> {
    let mut cutter = Cutter::new(context.chunking);
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
struct Cutter {
    params: Params,
    file: Option<OpenFile>,
}

struct OpenFile {
    number: FileNumber,
    selector: Selector,
    chunks: usize,
    /// What was read since the last cut.
    carried: Vec<u8>,
}

impl Cutter {
    fn new(params: Params) -> Self {
        Self { params, file: None }
    }

    /// The chunks that end in this block.
    fn cut(&mut self, scanned: &ScannedBlock) -> Vec<Chunk> {
        let block = &scanned.block;
        let mut chunks = Vec::with_capacity(block.segments.len());
        let mut cuts = Vec::new();
        for (segment, candidates) in block.segments.iter().zip(&scanned.candidates) {
            if segment.position == 0 {
                // What is left of a file that failed in the middle is dropped here.
                self.file = Some(OpenFile {
                    number: segment.file,
                    selector: Selector::new(self.params),
                    chunks: 0,
                    carried: Vec::new(),
                });
            }
            let Some(file) = &mut self.file else { continue };
            let end = segment.position + segment.range.len() as u64;
            cuts.clear();
            file.selector.feed(candidates, end, &mut cuts);
            if segment.last {
                let selector = std::mem::replace(&mut file.selector, Selector::new(self.params));
                selector.finish(&mut cuts);
            }
            let mut from = segment.range.start;
            for cut in &cuts {
                // A cut never lies before the segment: it would have been made earlier.
                let ahead = usize::try_from(cut - segment.position).unwrap_or(usize::MAX);
                let to = segment.range.start.saturating_add(ahead).min(segment.range.end);
                chunks.push(file.chunk(from..to, block));
                from = to;
            }
            if segment.last {
                self.file = None;
            } else {
                file.carried.extend_from_slice(block.bytes(&(from..segment.range.end)));
            }
        }
        chunks
    }
}

impl OpenFile {
    fn chunk(&mut self, range: std::ops::Range<usize>, block: &super::block::Block) -> Chunk {
        let bytes = if self.carried.is_empty() {
            ChunkBytes::InBlock(range)
        } else {
            self.carried.extend_from_slice(block.bytes(&range));
            ChunkBytes::Joined(std::mem::take(&mut self.carried))
        };
        let number = self.chunks;
        self.chunks += 1;
        Chunk { file: self.number, number, bytes }
    }
}
