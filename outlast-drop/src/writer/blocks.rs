//! Content on its way to the segments, in blocks that are used again and again.

use std::io;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Content of a plain block.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// A piece of content as it is stored.
#[derive(Debug)]
pub(super) struct Block {
    buffer: Vec<u8>,
    length: usize,
    raw_bytes: u64,
    ends_segment: bool,
}

impl Block {
    /// The first `length` bytes of a buffer, which stand for so many of content.
    pub(super) fn of(buffer: Vec<u8>, length: usize, raw_bytes: u64) -> Self {
        Self { buffer, length, raw_bytes, ends_segment: false }
    }

    /// The same, as the last one of its segment.
    pub(super) fn ending_segment(self, ends_segment: bool) -> Self {
        Self { ends_segment, ..self }
    }

    /// Whether its segment ends with it, however long that is.
    pub(super) fn ends_segment(&self) -> bool {
        self.ends_segment
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Bytes of content that it stands for.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }
}

/// What the segments are made of, in order.
pub(super) enum Item {
    Block(Block),
    /// A block that is still being made.
    Coming(Receiver<io::Result<Block>>),
    /// Answered when all before it is written.
    Flush(Sender<()>),
    /// The content is whole.
    End,
}

/// Buffers that nobody uses at present.
#[derive(Debug, Clone)]
pub(super) struct Spares {
    give: Sender<Vec<u8>>,
    take: Receiver<Vec<u8>>,
}

impl Spares {
    /// Keeps as many as `max`.
    pub(super) fn new(max: usize) -> Self {
        let (give, take) = bounded(max);
        Self { give, take }
    }

    pub(super) fn give(&self, block: Block) {
        self.give_buffer(block.buffer);
    }

    pub(super) fn give_buffer(&self, buffer: Vec<u8>) {
        // There are enough then.
        let _ = self.give.try_send(buffer);
    }

    /// A buffer of at least this length, with anything in it.
    pub(super) fn take(&self, length: usize) -> Vec<u8> {
        let mut buffer = self.take.try_recv().unwrap_or_default();
        if buffer.len() < length {
            // A new one costs nothing before it is written to; a longer copy of the old one would.
            buffer = vec![0; length];
        }
        buffer
    }
}
