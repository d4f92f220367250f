//! The content of a drop as one stream, read ahead on several threads.
//!
//! ```text
//!  readers ──pieces──► lanes ───────────────────────────────────blocks──► reader
//!  (by position,       (hash, and pass on; or, compressed:)                (in order)
//!   in order)              └──pieces──► decompressor ──blocks──┘
//! ```
//!
//! A few threads read pieces of the segments by position ([`pieces`]), so that a share which takes
//! milliseconds for every read has several on their way, also inside one segment. A lane takes over
//! one segment after the other: it hashes the pieces in order and passes them on, or has them
//! decompressed beside it. The reader empties the lanes' queues in order.
//!
//! **Memory**, however large the drop: `2 × parallel + 2` pieces of 1 MiB, in each of [`LANES`]
//! lanes three pieces and [`QUEUE_BLOCKS`](pieces::QUEUE_BLOCKS) + 1 blocks, and four spares; 32 MiB by default, and 8
//! MiB where several drops are read [side by side](ReadOptions::SIDE_BY_SIDE). On top
//! come the decompressors' windows: what the writer chose, usually 2 to 8 MiB.

mod pieces;

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use self::pieces::{Block, Outlets, Schedule, Spares, Task};
use super::error::DropReadError;
use crate::files::Directory;
use crate::hash::Hasher;
use crate::rejection::Rejection;
use crate::seal::{Compression, Seal, Segment};
use crate::sealing::{BrokenChunk, Chunks, ContentKey, Opened};

/// Segments that are hashed and decompressed at the same time.
const LANES: usize = 3;
/// Threads are cheap, but not free; more do not help any share that we know.
const PARALLEL_MAX: usize = 64;
/// The largest window of a zstd frame, 128 MiB, as the zstd program itself has it by default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How a drop is read.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// Reads that are under way at the same time; at least 1. Each takes twice a piece of memory.
    pub parallel: usize,
    /// Bytes that are read at once.
    pub piece_bytes: usize,
}

impl ReadOptions {
    /// For several drops side by side: as fast together as one alone, and much smaller each.
    pub const SIDE_BY_SIDE: Self = Self { parallel: 4, piece_bytes: 256 << 10 };
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { parallel: 4, piece_bytes: 1 << 20 }
    }
}

/// Remembers why the reading failed, for whoever sees only that some reader broke.
#[derive(Debug, Clone, Default)]
pub struct ReadWatch(Arc<Mutex<Option<DropReadError>>>);

impl ReadWatch {
    /// The failure of the reader; `None` while it has not.
    pub fn failure(&self) -> Option<DropReadError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, error: &DropReadError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
    }
}

/// Reads the content of a drop from its first byte to its last. Fails, instead of ending, if
/// anything is not as it was sealed; [`DropReadError::of`] tells why.
pub struct ContentReader {
    schedule: Arc<Schedule>,
    /// The queues of segments in order; `None` once all has been read or something failed.
    queues: Option<Receiver<Receiver<Block>>>,
    queue: Option<Receiver<Block>>,
    block: Vec<u8>,
    at: usize,
    remaining_segments: usize,
    watch: ReadWatch,
    workers: Vec<JoinHandle<()>>,
}

impl ContentReader {
    pub(super) fn start(
        directory: &Arc<Directory>,
        seal: &Seal,
        key: Option<&ContentKey>,
        options: ReadOptions,
    ) -> Self {
        Self::over(Arc::new(Arc::clone(directory)), seal, key, options)
    }

    fn over(
        store: Arc<dyn pieces::Store>,
        seal: &Seal,
        key: Option<&ContentKey>,
        options: ReadOptions,
    ) -> Self {
        let piece_bytes = options.piece_bytes.max(1);
        let pieces = |segment: &Segment| segment.size.div_ceil(piece_bytes as u64).max(1);
        let pieces = seal.segments.iter().map(pieces).fold(0, u64::saturating_add);
        // Little content needs few threads.
        let parallel = options.parallel.min(usize::try_from(pieces).unwrap_or(usize::MAX));
        let parallel = parallel.clamp(1, PARALLEL_MAX);
        let packing = Arc::new(Packing::of(seal, key));
        // Both are as long as segments are begun, which the pieces bound.
        let ((tasks_sender, tasks), (queues_sender, queues)) = (unbounded::<Task>(), unbounded());
        let outlets = Outlets { tasks: tasks_sender, queues: queues_sender };
        let schedule = Arc::new(Schedule::new(store, seal, piece_bytes, 2 * parallel + 2, outlets));
        let mut workers = Vec::with_capacity(parallel + LANES);
        for _ in 0..parallel {
            let schedule = Arc::clone(&schedule);
            workers.push(thread::spawn(move || schedule.read()));
        }
        for _ in 0..LANES.min(seal.segments.len()) {
            let (tasks, schedule) = (tasks.clone(), Arc::clone(&schedule));
            let packing = Arc::clone(&packing);
            workers.push(thread::spawn(move || {
                for task in tasks {
                    let end = prove(&schedule, &task, &packing);
                    // Nobody listens any more when the reader was dropped.
                    let _ = task.queue.send(end.map(|()| None));
                }
            }));
        }
        Self {
            schedule,
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
        self.schedule.stop();
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
                Ok(Some(block)) => {
                    self.schedule.spares.give(std::mem::replace(&mut self.block, block));
                    self.at = 0;
                }
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

impl fmt::Debug for ContentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remaining = self.remaining_segments;
        f.debug_struct("ContentReader").field("remaining_segments", &remaining).finish()
    }
}

fn lost() -> DropReadError {
    DropReadError::Later {
        path: Default::default(),
        reason: "a reading thread ended too early".to_owned(),
    }
}

/// How the content lies in the segments.
struct Packing {
    compression: Option<Compression>,
    segments: u32,
    /// The key that opens it, if it is encrypted, or why there is none.
    chunks: Option<Result<Arc<Chunks>, DropReadError>>,
}

impl Packing {
    fn of(seal: &Seal, key: Option<&ContentKey>) -> Self {
        let chunks = seal.sealed_to.as_ref().map(|sealed_to| match key.map(Chunks::new) {
            Some(Ok(chunks)) => Ok(Arc::new(chunks)),
            Some(Err(error)) => Err(DropReadError::later(seal.drop.to_string().into(), &error)),
            None => Err(DropReadError::Later {
                path: seal.drop.to_string().into(),
                reason: format!(
                    "its content is encrypted, and only the holder of the key {} can open it",
                    sealed_to.key
                ),
            }),
        });
        let segments = u32::try_from(seal.segments.len()).unwrap_or(u32::MAX);
        Self { compression: seal.compression, segments, chunks }
    }
}

/// The number of a segment, counted from 0.
fn index_of(name: &str) -> u32 {
    let number = name.strip_suffix(".seg").and_then(|number| number.parse::<u32>().ok());
    number.map_or(u32::MAX, |number| number.saturating_sub(1))
}

/// Passes on the content of one segment and proves it. Returns early without an error when nobody
/// listens.
fn prove(schedule: &Schedule, task: &Task, packing: &Packing) -> Result<(), DropReadError> {
    let segment = &task.segment.segment;
    let outcome = match &packing.chunks {
        Some(Err(error)) => return Err(error.clone()),
        None if packing.compression.is_none() => {
            let mut passed = 0;
            let mut outcome = Ok(());
            let listening = hash(schedule, task, |piece| {
                passed += piece.len() as u64;
                if passed > segment.raw_size {
                    outcome = Err(Mismatch::Longer);
                }
                // What is beyond is only hashed, so that a wrong hash is called by its name.
                outcome.is_err() || task.queue.send(Ok(Some(piece))).is_ok()
            })?;
            if !listening {
                return Ok(());
            }
            if passed < segment.raw_size { Err(Mismatch::Shorter) } else { outcome }
        }
        chunks => {
            let chunks = chunks.as_ref().and_then(|chunks| chunks.as_ref().ok());
            let (sender, pieces) = bounded(1);
            thread::scope(|scope| {
                let decompressor = scope.spawn(|| {
                    let spares = &schedule.spares;
                    let joined = Joined { spares, pieces, piece: Vec::new(), at: 0 };
                    let Some(chunks) = chunks else {
                        return unpack(joined, packing.compression, segment, spares, &task.queue);
                    };
                    let number = index_of(&segment.name);
                    let is_last = number + 1 == packing.segments;
                    let opened = Opened::new(Arc::clone(chunks), joined, number, is_last);
                    // Nothing has no frame.
                    let compression = packing.compression.filter(|_| segment.raw_size > 0);
                    unpack(opened, compression, segment, spares, &task.queue)
                });
                let mut sender = Some(sender);
                let hashed = hash(schedule, task, |piece| {
                    let wanted = sender.as_ref().is_some_and(|to| to.send(piece).is_ok());
                    if !wanted {
                        sender = None;
                    }
                    true
                });
                drop(sender);
                let decompressed = decompressor.join().map_err(|_| lost())?;
                hashed.map(|_| decompressed)
            })?
        }
    };
    outcome.map_err(|mismatch| mismatch.into_rejection(segment).into())
}

/// Hashes the pieces of a segment and gives them to `pass_on`; fails if they are not what was
/// sealed. `Ok(false)` if `pass_on` said that nobody listens.
fn hash(
    schedule: &Schedule,
    task: &Task,
    mut pass_on: impl FnMut(Vec<u8>) -> bool,
) -> Result<bool, DropReadError> {
    let segment = &task.segment.segment;
    let mut hasher = Hasher::new(segment.digest.algorithm());
    let mut length = 0;
    for piece in &task.pieces {
        let piece = piece.recv().map_err(|_| lost());
        schedule.free();
        let piece = piece??;
        hasher.update(&piece);
        length += piece.len() as u64;
        if !piece.is_empty() && !pass_on(piece) {
            return Ok(false);
        }
    }
    let name = || segment.name.clone();
    let found = hasher.finish();
    if length < segment.size {
        return Err(Rejection::ChangedSegment { name: name() }.into());
    }
    if found != segment.digest {
        return Err(Rejection::WrongHash { name: name(), sealed: segment.digest, found }.into());
    }
    task.segment.check_length()?;
    Ok(true)
}

/// How a segment's content differs from what the seal declares.
enum Mismatch {
    Longer,
    Shorter,
    Undecodable(String),
    Unopenable(String),
}

impl Mismatch {
    /// Why reading the content of a segment failed.
    fn of(error: &io::Error) -> Self {
        if error.get_ref().is_some_and(|source| source.is::<BrokenChunk>()) {
            Self::Unopenable(error.to_string())
        } else {
            Self::Undecodable(error.to_string())
        }
    }

    fn into_rejection(self, segment: &Segment) -> Rejection {
        let name = segment.name.clone();
        let declared = segment.raw_size;
        match self {
            Self::Longer => Rejection::WrongRawSize { name, declared, found: "more" },
            Self::Shorter => Rejection::WrongRawSize { name, declared, found: "less" },
            Self::Undecodable(reason) => Rejection::BadCompression { name, reason },
            Self::Unopenable(reason) => Rejection::BadSealing { name, reason },
        }
    }
}

/// The pieces of a segment as one stream.
struct Joined<'a> {
    spares: &'a Spares,
    pieces: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Joined<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            // Closed at the end, and when the reading failed, which the lane knows.
            let Ok(piece) = self.pieces.recv() else { return Ok(0) };
            self.spares.give(std::mem::replace(&mut self.piece, piece));
            self.at = 0;
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Decompresses a segment into its queue, until its end or the first mismatch; also `Ok` if nobody
/// listens.
fn unpack<'a>(
    source: impl Read + 'a,
    compression: Option<Compression>,
    segment: &Segment,
    spares: &Spares,
    queue: &Sender<Block>,
) -> Result<(), Mismatch> {
    if segment.raw_size == 0 && segment.size == 0 {
        return Ok(());
    }
    let undecodable = |error: io::Error| Mismatch::of(&error);
    let mut decoder: Box<dyn Read + 'a> = match compression {
        None => Box::new(source),
        Some(Compression::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::new(source).map_err(undecodable)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(undecodable)?;
            Box::new(decoder)
        }
    };
    let mut passed = 0;
    loop {
        // One more than declared, so that a longer content shows.
        let wanted = usize::try_from(segment.raw_size - passed).unwrap_or(usize::MAX);
        let wanted = wanted.saturating_add(1).min(spares.piece_bytes);
        let mut block = spares.take(wanted);
        block.resize(wanted, 0);
        let length = fill(&mut decoder, &mut block).map_err(undecodable)?;
        if length == 0 {
            return if passed == segment.raw_size { Ok(()) } else { Err(Mismatch::Shorter) };
        }
        block.truncate(length);
        passed += length as u64;
        if passed > segment.raw_size {
            return Err(Mismatch::Longer);
        }
        if queue.send(Ok(Some(block))).is_err() {
            return Ok(());
        }
    }
}

/// Reads until `buffer` is full or the source ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
