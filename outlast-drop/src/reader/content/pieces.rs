//! Reading a drop's segments in pieces: several at a time, each by its position.
//!
//! Pieces are given out in the order of the content, to a few threads, and only as many as are
//! free: a thread that wants one waits until earlier ones were taken over. So the earliest piece
//! that anybody waits for is always being read, and memory is bounded.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::files::Directory;
use crate::reader::error::{DropReadError, segment_error};
use crate::rejection::Rejection;
use crate::seal::{Seal, Segment};

/// Blocks that a segment has ready for its reader.
pub(super) const QUEUE_BLOCKS: usize = 2;

/// A block of content; `None` after the last one, once the whole segment is proven. A worker that
/// ended in any other way leaves a queue without that.
pub(super) type Block = Result<Option<Vec<u8>>, DropReadError>;

/// A segment that is being read, for a lane to take over.
pub(super) struct Task {
    pub(super) segment: Arc<OpenSegment>,
    /// Its pieces in order; each comes when it was read.
    pub(super) pieces: Receiver<Receiver<Piece>>,
    pub(super) queue: Sender<Block>,
}

/// Buffers that are kept for the next piece or block.
const SPARES_MAX: usize = 4;

/// Where segments lie.
pub(super) trait Store: Send + Sync {
    /// Opens a segment; its length is that of the open file.
    fn open(&self, name: &str) -> io::Result<(Box<dyn SegmentFile>, u64)>;

    /// The meaning of an error that came of a segment.
    fn explain(&self, name: &str, error: &io::Error) -> DropReadError;
}

/// An open segment, read by many threads.
pub(super) trait SegmentFile: Send + Sync {
    /// Appends to `buffer` what lies at `offset`, not more than it has room for; 0 at the end.
    fn read_at(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize>;

    /// How long it is now.
    fn length(&self) -> io::Result<u64>;
}

impl Store for Arc<Directory> {
    fn open(&self, name: &str) -> io::Result<(Box<dyn SegmentFile>, u64)> {
        let (file, facts) = self.file(name.as_bytes())?;
        Ok((Box::new(file), facts.size))
    }

    fn explain(&self, name: &str, error: &io::Error) -> DropReadError {
        segment_error(self, name, error)
    }
}

impl SegmentFile for File {
    fn read_at(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        let start = buffer.len();
        buffer.resize(buffer.capacity(), 0);
        let read = FileExt::read_at(self, &mut buffer[start..], offset);
        buffer.truncate(start + *read.as_ref().unwrap_or(&0));
        read
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Buffers of pieces and blocks that were used up, for the next ones: memory that is given back to
/// the system and taken anew costs more than it does to hash what was read into it.
#[derive(Clone)]
pub(super) struct Spares {
    back: Sender<Vec<u8>>,
    free: Receiver<Vec<u8>>,
    /// Bytes of one piece, and of a block.
    pub(super) piece_bytes: usize,
}

impl Spares {
    pub(super) fn new(piece_bytes: usize) -> Self {
        let (back, free) = bounded(SPARES_MAX);
        Self { back, free, piece_bytes }
    }

    /// An empty buffer with room for `bytes`.
    pub(super) fn take(&self, bytes: usize) -> Vec<u8> {
        let mut buffer = self.free.try_recv().unwrap_or_default();
        buffer.clear();
        buffer.reserve_exact(bytes);
        buffer
    }

    pub(super) fn give(&self, buffer: Vec<u8>) {
        if buffer.capacity() >= self.piece_bytes {
            // There are enough when there is no room.
            let _ = self.back.try_send(buffer);
        }
    }
}

/// A segment that is being read: opened by the first who wants a piece of it.
pub(super) struct OpenSegment {
    pub(super) segment: Segment,
    store: Arc<dyn Store>,
    file: OnceLock<Result<Box<dyn SegmentFile>, DropReadError>>,
}

impl OpenSegment {
    fn file(&self) -> Result<&dyn SegmentFile, DropReadError> {
        let opened = self.file.get_or_init(|| {
            let name = &self.segment.name;
            let (file, found) = self.store.open(name).map_err(|error| self.explain(&error))?;
            if found != self.segment.size {
                let (name, sealed) = (name.clone(), self.segment.size);
                return Err(Rejection::WrongSize { name, sealed, found }.into());
            }
            Ok(file)
        });
        opened.as_deref().map_err(Clone::clone)
    }

    fn explain(&self, error: &io::Error) -> DropReadError {
        self.store.explain(&self.segment.name, error)
    }

    /// Reads a piece; shorter than `length` if the file ends there.
    fn read(&self, spares: &Spares, offset: u64, length: usize) -> Result<Vec<u8>, DropReadError> {
        let file = self.file()?;
        let mut piece = spares.take(length);
        while piece.len() < length {
            let at = offset + piece.len() as u64;
            match file.read_at(&mut piece, at) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(&error)),
            }
        }
        // A spare buffer may have more room than was asked for.
        piece.truncate(length);
        Ok(piece)
    }

    /// Fails if the file is not as long as it was sealed any more.
    pub(super) fn check_length(&self) -> Result<(), DropReadError> {
        let length = self.file()?.length().map_err(|error| self.explain(&error))?;
        if length != self.segment.size {
            return Err(Rejection::ChangedSegment { name: self.segment.name.clone() }.into());
        }
        Ok(())
    }
}

/// A piece of content as it lies on the share.
pub(super) type Piece = Result<Vec<u8>, DropReadError>;

/// The pieces of a drop that are still to be read, in order.
pub(super) struct Schedule {
    state: Mutex<State>,
    room: Condvar,
    pub(super) spares: Spares,
}

struct State {
    store: Arc<dyn Store>,
    segments: std::vec::IntoIter<Segment>,
    /// The segment whose pieces are given out, how far, and who gets them.
    current: Option<(Arc<OpenSegment>, u64, Sender<Receiver<Piece>>)>,
    free: usize,
    piece_bytes: usize,
    /// The lanes that take segments over, and the reader that hears of their content; `None` when all are given out.
    outlets: Option<Outlets>,
}

/// Where the segments go, in order.
pub(super) struct Outlets {
    pub(super) tasks: Sender<Task>,
    pub(super) queues: Sender<Receiver<Block>>,
}

/// A piece to be read.
struct Assignment {
    segment: Arc<OpenSegment>,
    offset: u64,
    length: usize,
    result: Sender<Piece>,
}

impl Schedule {
    /// The pieces of all segments of `seal`, of so many bytes, of which `pieces` may be in memory.
    pub(super) fn new(
        store: Arc<dyn Store>,
        seal: &Seal,
        piece_bytes: usize,
        pieces: usize,
        outlets: Outlets,
    ) -> Self {
        let segments = seal.segments.clone().into_iter();
        let outlets = Some(outlets);
        let state = State { store, segments, current: None, free: pieces, piece_bytes, outlets };
        Self { state: Mutex::new(state), room: Condvar::new(), spares: Spares::new(piece_bytes) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work of each reading thread.
    pub(super) fn read(&self) {
        while let Some(piece) = self.next() {
            let read = piece.segment.read(&self.spares, piece.offset, piece.length);
            // Nobody listens any more when the reader was dropped.
            let _ = piece.result.send(read);
        }
    }

    fn next(&self) -> Option<Assignment> {
        let mut state = self.lock();
        loop {
            state.outlets.as_ref()?;
            if state.free > 0 {
                let piece = state.next();
                if piece.is_none() {
                    state.end();
                }
                return piece;
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A piece was taken over: there is room for another.
    pub(super) fn free(&self) {
        self.lock().free += 1;
        self.room.notify_one();
    }

    /// Gives out no more pieces.
    pub(super) fn stop(&self) {
        self.lock().end();
        self.room.notify_all();
    }
}

impl State {
    fn end(&mut self) {
        (self.outlets, self.current) = (None, None);
    }

    fn next(&mut self) -> Option<Assignment> {
        if self.current.is_none() {
            self.current = Some(self.begin()?);
        }
        let (segment, offset, pieces) = self.current.as_mut()?;
        let left = segment.segment.size - *offset;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.piece_bytes);
        let (result, piece) = bounded(1);
        // Nobody listens any more when the reader was dropped.
        let _ = pieces.send(piece);
        let assignment =
            Assignment { segment: Arc::clone(segment), offset: *offset, length, result };
        *offset += length as u64;
        if *offset == segment.segment.size {
            self.current = None;
        }
        self.free -= 1;
        Some(assignment)
    }

    /// Begins with the next segment. There are as many at a time as there are pieces, at most.
    fn begin(&mut self) -> Option<(Arc<OpenSegment>, u64, Sender<Receiver<Piece>>)> {
        let segment = self.segments.next()?;
        let outlets = self.outlets.as_ref()?;
        let (store, file) = (Arc::clone(&self.store), OnceLock::new());
        let segment = Arc::new(OpenSegment { segment, store, file });
        let (sender, pieces) = unbounded();
        let (queue, content) = bounded(QUEUE_BLOCKS);
        outlets.tasks.send(Task { segment: Arc::clone(&segment), pieces, queue }).ok()?;
        outlets.queues.send(content).ok()?;
        Some((segment, 0, sender))
    }
}
