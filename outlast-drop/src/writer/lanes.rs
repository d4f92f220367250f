//! Compression on several cores: each block becomes a zstd frame of its own.

use std::io;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use zstd::bulk::Compressor;

use super::blocks::{Block, Item, Spares};

/// Content of a frame: twice the window of the middle levels, and small enough for many at a time.
pub(super) const FRAME_BYTES: usize = 2 << 20;

/// More lanes would be faster than any share.
const LANES_MAX: usize = 4;
/// Above these levels, a lane's tables are so large that there are fewer of them.
const LEVEL_OF_ALL_LANES: i32 = 8;
const LEVEL_OF_TWO_LANES: i32 = 14;

/// A block of content, and who is to get its frame.
type Task = (Vec<u8>, usize, Sender<io::Result<Block>>);

/// Threads that compress.
#[derive(Debug)]
pub(super) struct Lanes {
    tasks: Option<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl Lanes {
    /// How many lanes there are for a level.
    pub(super) fn count(level: i32) -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let most = match level {
            ..=LEVEL_OF_ALL_LANES => LANES_MAX,
            ..=LEVEL_OF_TWO_LANES => 2,
            _ => 1,
        };
        cores.min(most)
    }

    pub(super) fn start(level: i32, spares: &Spares) -> io::Result<Self> {
        let (tasks, queue) = bounded::<Task>(1);
        let mut threads = Vec::new();
        for _ in 0..Self::count(level) {
            let (queue, spares) = (queue.clone(), spares.clone());
            let mut compressor = Compressor::new(level)?;
            let thread = thread::Builder::new()
                .name("drop-zstd".to_owned())
                .spawn(move || work(&queue, &mut compressor, &spares))?;
            threads.push(thread);
        }
        Ok(Self { tasks: Some(tasks), threads })
    }

    /// Begins to compress the first `length` bytes of `buffer`; `None` if all threads broke.
    pub(super) fn compress(&self, buffer: Vec<u8>, length: usize) -> Option<Item> {
        let (done, coming) = bounded(1);
        self.tasks.as_ref()?.send((buffer, length, done)).ok()?;
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

fn work(queue: &Receiver<Task>, compressor: &mut Compressor<'_>, spares: &Spares) {
    for (content, length, done) in queue {
        let mut frame = spares.take(zstd::zstd_safe::compress_bound(length));
        let compressed = compressor.compress_to_buffer(&content[..length], frame.as_mut_slice());
        spares.give_buffer(content);
        // Nobody waits for it when the writing has failed.
        let _ = done.send(compressed.map(|size| Block::of(frame, size, length as u64)));
    }
}
