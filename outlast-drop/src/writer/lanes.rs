//! Compression and encryption on several cores: each block becomes a zstd frame, and a chunk that only
//! the drop's reader can open, of its own.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use zstd::bulk::Compressor;

use super::blocks::{Block, Item, Spares};
use crate::sealing::{CHUNK_EXTRA, Chunks, End, LENGTH_BYTES, Position};

/// Content of a frame: twice the window of the middle levels, and small enough for many at a time.
pub(super) const FRAME_BYTES: usize = 2 << 20;

/// More lanes would be faster than any share.
const LANES_MAX: usize = 4;
/// Above these levels, a lane's tables are so large that there are fewer of them.
const LEVEL_OF_ALL_LANES: i32 = 6;
const LEVEL_OF_TWO_LANES: i32 = 14;

/// A block of content, and who is to get what becomes of it.
struct Task {
    content: Vec<u8>,
    length: usize,
    /// Its place, if it is to be encrypted.
    position: Option<Position>,
    done: Sender<io::Result<Block>>,
}

/// What a lane does with a block.
struct Lane {
    compressor: Option<Compressor<'static>>,
    chunks: Option<Arc<Chunks>>,
    spares: Spares,
}

/// Threads that compress and encrypt.
#[derive(Debug)]
pub(super) struct Lanes {
    tasks: Option<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl Lanes {
    /// How many lanes there are for a level, or without compression.
    pub(super) fn count(level: Option<i32>) -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let most = match level.unwrap_or(0) {
            level if level <= LEVEL_OF_ALL_LANES => LANES_MAX,
            level if level <= LEVEL_OF_TWO_LANES => 2,
            _ => 1,
        };
        cores.min(most)
    }

    /// How large a buffer must be for this much content and for what becomes of it.
    pub(super) fn buffer_bytes(content_bytes: usize) -> usize {
        zstd::zstd_safe::compress_bound(content_bytes) + CHUNK_EXTRA
    }

    pub(super) fn start(
        level: Option<i32>,
        chunks: Option<&Arc<Chunks>>,
        spares: &Spares,
    ) -> io::Result<Self> {
        let (tasks, queue) = bounded::<Task>(1);
        let mut threads = Vec::new();
        for _ in 0..Self::count(level) {
            let queue = queue.clone();
            let compressor = level.map(Compressor::new).transpose()?;
            let (chunks, spares) = (chunks.cloned(), spares.clone());
            let mut lane = Lane { compressor, chunks, spares };
            let thread = thread::Builder::new()
                .name("drop-zstd".to_owned())
                .spawn(move || lane.work(&queue))?;
            threads.push(thread);
        }
        Ok(Self { tasks: Some(tasks), threads })
    }

    /// Begins with the first `length` bytes of `content`; `None` if all threads broke.
    pub(super) fn begin(
        &self,
        content: Vec<u8>,
        length: usize,
        position: Option<Position>,
    ) -> Option<Item> {
        let (done, coming) = bounded(1);
        self.tasks.as_ref()?.send(Task { content, length, position, done }).ok()?;
        Some(Item::Coming(coming))
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        drop(self.tasks.take());
        for thread in self.threads.drain(..) {
            // One that broke showed as a frame that never came.
            let _ = thread.join();
        }
    }
}

impl Lane {
    fn work(&mut self, queue: &Receiver<Task>) {
        for Task { content, length, position, done } in queue {
            let block = self.block(&content[..length], position);
            self.spares.give_buffer(content);
            // Nobody waits for it when the writing has failed.
            let _ = done.send(block);
        }
    }

    fn block(&mut self, content: &[u8], position: Option<Position>) -> io::Result<Block> {
        let raw_bytes = content.len() as u64;
        let mut buffer = self.spares.take(Lanes::buffer_bytes(content.len()));
        let from = if self.chunks.is_some() { LENGTH_BYTES } else { 0 };
        let size = match &mut self.compressor {
            // Nothing becomes no frame.
            Some(compressor) if !content.is_empty() => {
                compressor.compress_to_buffer(content, &mut buffer[from..])?
            }
            _ => {
                buffer[from..from + content.len()].copy_from_slice(content);
                content.len()
            }
        };
        let (size, ends) = match (&self.chunks, position) {
            (Some(chunks), Some(position)) => {
                (chunks.close(position, &mut buffer, size)?, position.end != End::Nothing)
            }
            _ => (size, false),
        };
        Ok(Block::of(buffer, size, raw_bytes).ending_segment(ends))
    }
}
