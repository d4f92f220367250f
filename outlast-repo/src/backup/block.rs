//! Messages from stage to stage: blocks of content and what becomes of them.

use std::ops::Range;
use std::sync::Arc;

use outlast_format::BlobId;
use outlast_fs::Entry;

use super::chunk_history::KnownChunk;
use super::engine::Buffer;
use super::segment_scan::SegmentScan;

/// Files in the order in which they were read.
pub(super) type FileNumber = u64;

/// A piece of one file inside a block.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) file: FileNumber,
    /// Where its bytes lie in the block.
    pub(super) range: Range<usize>,
    /// Where its first byte lies in the file, but for what was omitted.
    pub(super) position: u64,
    /// Whether the file ends here.
    pub(super) last: bool,
    /// So many chunks of zeroes, of the greatest length, follow and are not in any block, nor are
    /// they counted in the position of what comes after them.
    pub(super) omitted: usize,
}

/// Content of one large file, or of many small ones.
pub(super) struct Block {
    /// Blocks in the order in which they were read, from 0.
    pub(super) number: u64,
    pub(super) buffer: Buffer,
    /// The bytes of the first segment's file before this block, as far as the scan needs them.
    pub(super) before: Vec<u8>,
    pub(super) segments: Vec<Segment>,
    /// Whether no other block follows.
    pub(super) end: bool,
}

impl Block {
    pub(super) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.buffer.content[range.clone()]
    }
}

/// A block and where its content may be cut.
pub(super) struct ScannedBlock {
    pub(super) block: Block,
    /// For each segment.
    pub(super) scans: Vec<SegmentScan>,
}

/// Where the bytes of a chunk are.
pub(super) enum ChunkBytes {
    InBlock(Range<usize>),
    /// It began in an earlier block and was put together.
    Joined(Vec<u8>),
}

/// One chunk of a file.
pub(super) struct Chunk {
    pub(super) file: FileNumber,
    /// Its number in the file, from 0, and how often it is there from then on.
    pub(super) number: usize,
    pub(super) times: usize,
    pub(super) bytes: ChunkBytes,
    /// The cut_hash of the cut at its end; none if the file's end cut it.
    pub(super) cut_hash: Option<u64>,
    /// The chunk of the last backup that it was proven to be.
    pub(super) known: Option<KnownChunk>,
}

/// The chunks that end in one block.
pub(super) struct ChunkBatch {
    pub(super) block: Arc<Block>,
    pub(super) chunks: Vec<Chunk>,
}

/// A chunk that has its id, and is on its way to the store if it was new.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdentifiedChunk {
    pub(super) file: FileNumber,
    pub(super) number: usize,
    pub(super) times: usize,
    pub(super) length: usize,
    pub(super) id: BlobId,
}

/// News for the assembler of trees, in this order for one file: entry, then chunks in any order
/// and the end in between.
#[derive(Debug)]
pub(super) enum Event {
    /// The reader's finds, in order; many at once, because waking another thread costs as
    /// much as reading a small file.
    Read(Vec<ReadEvent>),
    Chunks(Vec<IdentifiedChunk>),
}

/// One thing that the reader came upon.
#[derive(Debug)]
pub(super) enum ReadEvent {
    Entry {
        entry: Box<Entry>,
        file: Option<FileNumber>,
    },
    /// The file was read to its end.
    FileEnd {
        file: FileNumber,
        size: u64,
    },
    /// The file cannot be read; nothing of it is kept.
    FileFailed {
        file: FileNumber,
        reason: String,
    },
    /// An entry could not be had at all.
    Problem(String),
}
