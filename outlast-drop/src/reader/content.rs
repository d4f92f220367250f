//! The content of a drop as one stream, read ahead on several threads.
//!
//! Each of a few workers takes the next segment, reads it in blocks, hashes them, decompresses
//! them, and passes them on through a queue of that segment alone; the reader empties the queues
//! in order. So memory is bounded by `parallel` × [`QUEUE_BLOCKS`] blocks, however large the drop.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{DropReadError, ReadOptions, ReadWatch, segment_error};
use crate::files::Directory;
use crate::hash::Hasher;
use crate::rejection::Rejection;
use crate::seal::{Compression, Seal, Segment};

const BLOCK_BYTES: usize = 1 << 20;
const QUEUE_BLOCKS: usize = 8;
/// Threads are cheap, but not free; more do not help any share that we know.
const PARALLEL_MAX: usize = 64;
/// The largest window of a zstd frame, 128 MiB, as the zstd program itself has it by default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A block of content; `None` after the last one, once the whole segment is proven. A worker that
/// ended in any other way leaves a queue without that.
type Block = Result<Option<Vec<u8>>, DropReadError>;

/// Reads the content of a drop from its first byte to its last. Fails, instead of ending, if
/// anything is not as it was sealed; [`DropReadError::of`] tells why.
#[derive(Debug)]
pub struct ContentReader {
    /// The queues of segments in order; `None` once all has been read or something failed.
    queues: Option<Receiver<Receiver<Block>>>,
    queue: Option<Receiver<Block>>,
    block: Vec<u8>,
    at: usize,
    remaining_segments: usize,
    watch: ReadWatch,
    workers: Vec<JoinHandle<()>>,
}

struct Task {
    segment: Segment,
    queue: Sender<Block>,
}

impl ContentReader {
    pub(super) fn start(directory: &Arc<Directory>, seal: &Seal, options: ReadOptions) -> Self {
        let parallel = options.parallel.clamp(1, PARALLEL_MAX).min(seal.segments.len().max(1));
        // Not more queues are open than there are workers, so every open queue is being filled.
        let (queues_sender, queues) = bounded(parallel);
        let (tasks_sender, tasks) = bounded::<Task>(0);
        let compression = seal.compression;
        let mut workers = Vec::with_capacity(parallel + 1);
        for _ in 0..parallel {
            let (tasks, directory) = (tasks.clone(), Arc::clone(directory));
            workers.push(std::thread::spawn(move || {
                for Task { segment, queue } in tasks {
                    let end = read_segment(&directory, &segment, compression, &queue);
                    // Nobody listens any more when the reader was dropped.
                    let _ = queue.send(end.map(|()| None));
                }
            }));
        }
        let segments = seal.segments.clone();
        workers.push(std::thread::spawn(move || {
            for segment in segments {
                let (queue, receiver) = bounded(QUEUE_BLOCKS);
                let handed_out = tasks_sender.send(Task { segment, queue }).is_ok()
                    && queues_sender.send(receiver).is_ok();
                if !handed_out {
                    return;
                }
            }
        }));
        Self {
            queues: Some(queues),
            queue: None,
            block: Vec::new(),
            at: 0,
            remaining_segments: seal.segments.len(),
            watch: ReadWatch::default(),
            workers,
        }
    }

    /// A handle that tells why the reading failed, after this reader has been given away.
    pub fn watch(&self) -> ReadWatch {
        self.watch.clone()
    }

    /// The next block that is not empty; `None` at the proven end of the content.
    fn next_block(&mut self) -> Result<Option<Vec<u8>>, DropReadError> {
        let lost = || DropReadError::Later {
            path: Default::default(),
            reason: "a reading thread ended too early".to_owned(),
        };
        loop {
            if let Some(queue) = &self.queue {
                if let Some(block) = queue.recv().map_err(|_| lost())?? {
                    return Ok(Some(block));
                }
                self.queue = None;
                self.remaining_segments -= 1;
            }
            if self.remaining_segments == 0 {
                return Ok(None);
            }
            let queues = self.queues.as_ref().ok_or_else(lost)?;
            self.queue = Some(queues.recv().map_err(|_| lost())?);
        }
    }

    /// Lets go of all threads; they end at their next block.
    fn stop(&mut self) {
        self.queue = None;
        self.queues = None;
        for worker in self.workers.drain(..) {
            // A panic of a worker shows as a queue without its end.
            let _ = worker.join();
        }
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.watch.failure() {
            return Err(io::Error::other(error));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.at == self.block.len() {
            match self.next_block() {
                Ok(None) => return Ok(0),
                Ok(Some(block)) => (self.block, self.at) = (block, 0),
                Err(error) => {
                    self.watch.note(&error);
                    self.stop();
                    return Err(io::Error::other(error));
                }
            }
        }
        let length = buffer.len().min(self.block.len() - self.at);
        buffer[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

impl Drop for ContentReader {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A file that hashes what is read from it, and never gives more than the sealed size.
struct HashingFile {
    file: io::Take<File>,
    hasher: Hasher,
    error: Option<io::Error>,
}

impl Read for HashingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Ok(length) => {
                self.hasher.update(&buffer[..length]);
                Ok(length)
            }
            Err(error) => {
                // Kept apart, since a decompressor wraps it beyond recognition.
                let copy = error.raw_os_error().map_or_else(
                    || io::Error::new(error.kind(), error.to_string()),
                    io::Error::from_raw_os_error,
                );
                if error.kind() != io::ErrorKind::Interrupted {
                    self.error = Some(copy);
                }
                Err(error)
            }
        }
    }
}

/// Reads one segment into its queue. Returns early without an error when nobody listens.
fn read_segment(
    directory: &Directory,
    segment: &Segment,
    compression: Option<Compression>,
    queue: &Sender<Block>,
) -> Result<(), DropReadError> {
    let name = || segment.name.clone();
    let (file, before) = directory
        .file(segment.name.as_bytes())
        .map_err(|error| segment_error(directory, &segment.name, &error))?;
    if before.size != segment.size {
        let (sealed, found) = (segment.size, before.size);
        return Err(Rejection::WrongSize { name: name(), sealed, found }.into());
    }
    let descriptor =
        file.try_clone().map_err(|error| segment_error(directory, &segment.name, &error))?;
    let hasher = Hasher::new(segment.digest.algorithm());
    let mut source = HashingFile { file: file.take(segment.size), hasher, error: None };
    let listening = match compression {
        None => pass_on(&mut source, segment.raw_size, queue),
        Some(Compression::Zstd) => decompress(&mut source, segment.raw_size, queue),
    };
    if let Some(error) = source.error {
        return Err(segment_error(directory, &segment.name, &error));
    }
    let outcome = match listening {
        Ok(false) => return Ok(()),
        Ok(true) => Ok(()),
        Err(mismatch) => Err(mismatch),
    };
    // The rest, if decompression stopped early, so that a wrong hash is called by its name.
    io::copy(&mut source, &mut io::sink())
        .map_err(|error| segment_error(directory, &segment.name, &error))?;
    let unread = source.file.limit();
    let found = source.hasher.finish();
    if unread > 0 {
        return Err(Rejection::ChangedSegment { name: name() }.into());
    }
    if found != segment.digest {
        return Err(Rejection::WrongHash {
            name: name(),
            algorithm: found.algorithm(),
            sealed: segment.digest.hash(),
            found: found.hash(),
        }
        .into());
    }
    let length = descriptor
        .metadata()
        .map_err(|error| segment_error(directory, &segment.name, &error))?
        .len();
    if length != segment.size {
        return Err(Rejection::ChangedSegment { name: name() }.into());
    }
    outcome.map_err(|mismatch| mismatch.into_rejection(segment).into())
}

/// How a segment's content differs from what the seal declares.
enum Mismatch {
    Longer,
    Shorter,
    Undecodable(String),
}

impl Mismatch {
    fn into_rejection(self, segment: &Segment) -> Rejection {
        let name = segment.name.clone();
        let declared = segment.raw_size;
        match self {
            Self::Longer => Rejection::WrongRawSize { name, declared, found: "more" },
            Self::Shorter => Rejection::WrongRawSize { name, declared, found: "less" },
            Self::Undecodable(reason) => Rejection::BadCompression { name, reason },
        }
    }
}

fn decompress(
    source: &mut HashingFile,
    raw_size: u64,
    queue: &Sender<Block>,
) -> Result<bool, Mismatch> {
    if raw_size == 0 && source.file.limit() == 0 {
        return Ok(true);
    }
    let undecodable = |error: io::Error| Mismatch::Undecodable(error.to_string());
    let mut decoder = zstd::stream::read::Decoder::new(source).map_err(undecodable)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(undecodable)?;
    pass_on(&mut decoder, raw_size, queue)
}

/// Passes content on in blocks, never more than `declared` bytes. `Ok(false)` if nobody listens.
fn pass_on(source: &mut impl Read, declared: u64, queue: &Sender<Block>) -> Result<bool, Mismatch> {
    let mut passed = 0;
    loop {
        let mut block = Vec::with_capacity(BLOCK_BYTES.min(
            // One more than declared, so that a longer content shows.
            usize::try_from(declared - passed).unwrap_or(usize::MAX).saturating_add(1),
        ));
        let wanted = block.capacity().min(BLOCK_BYTES) as u64;
        source
            .by_ref()
            .take(wanted)
            .read_to_end(&mut block)
            .map_err(|error| Mismatch::Undecodable(error.to_string()))?;
        if block.is_empty() {
            return if passed == declared { Ok(true) } else { Err(Mismatch::Shorter) };
        }
        passed += block.len() as u64;
        if passed > declared {
            return Err(Mismatch::Longer);
        }
        if queue.send(Ok(Some(block))).is_err() {
            return Ok(false);
        }
    }
}
