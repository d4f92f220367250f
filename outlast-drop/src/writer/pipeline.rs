//! The way of the content from whoever writes it into durable segments.
//!
//! ```text
//!  room ──► [compress and encrypt, on several cores] ──► store ──► hash ──► sync
//! ```
//!
//! **Memory**, however large the drop: with compression a block of 2 MiB that is being filled, one that waits, one
//! and its frame in each of up to four lanes, as many frames that wait for their turn, and four behind
//! them; without, a dozen blocks of 1 MiB. On top come the lanes' tables, which the level decides.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::blocks::{BLOCK_BYTES, Block, Item, Spares};
use super::error::WriteError;
use super::lanes::{FRAME_BYTES, Lanes};
use super::segment::{self, Counts, RAW_BYTES_MAX, Store, ToSync};
use crate::files::{Access, Directory};
use crate::seal::Segment;
use crate::sealing::{Chunks, End, Position};

/// Plain blocks that wait to be written.
const WAITING_MAX: usize = 4;
/// How often whoever waits for the threads looks whether they are there.
const LOOK: Duration = Duration::from_millis(50);
/// Blocks that wait to be hashed.
const UNHASHED_MAX: usize = 3;
/// How many finished segments may wait for their fsync before the writing waits too.
const UNSYNCED_MAX: usize = 2;

/// How the content is stored.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// Bytes on the share after which a new segment begins; at least 1.
    pub(super) segment_bytes: u64,
    /// The zstd level.
    pub(super) compression: Option<i32>,
    /// The key by which the content is encrypted.
    pub(super) chunks: Option<Arc<Chunks>>,
}

impl Form {
    /// Whether blocks are changed on their way, each for itself.
    fn has_lanes(&self) -> bool {
        self.compression.is_some() || self.chunks.is_some()
    }

    /// Content of a block at most.
    fn block_bytes(&self) -> usize {
        let most = if self.has_lanes() { FRAME_BYTES } else { BLOCK_BYTES };
        usize::try_from(self.segment_bytes).map_or(most, |limit| limit.min(most))
    }

    /// Chunks of a segment: where it ends is in each of them, so that is not for their size to say.
    fn chunks_of_segment(&self) -> u64 {
        self.segment_bytes.min(RAW_BYTES_MAX) / self.block_bytes() as u64
    }
}

/// The threads that write one drop.
#[derive(Debug)]
pub(super) struct Pipeline {
    form: Form,
    items: Option<Sender<Item>>,
    lanes: Option<Lanes>,
    spares: Spares,
    /// The block that is being filled, as far as it is.
    block: Option<(Vec<u8>, usize)>,
    /// The place of the next chunk.
    next: (u32, u64),
    /// Bytes of content in blocks that were passed on.
    passed_on: u64,
    counts: Arc<Counts>,
    failure: Arc<Mutex<Option<WriteError>>>,
    store: Option<JoinHandle<()>>,
    hash: Option<JoinHandle<()>>,
    sync: Option<JoinHandle<Vec<Segment>>>,
}

impl Pipeline {
    pub(super) fn start(
        directory: &Arc<Directory>,
        access: Access,
        form: Form,
    ) -> io::Result<Self> {
        let lanes = if form.has_lanes() { Lanes::count(form.compression) } else { 0 };
        let waiting = if lanes == 0 { WAITING_MAX } else { lanes };
        let spares = Spares::new(2 * lanes + WAITING_MAX + UNHASHED_MAX);
        let (items, taken) = bounded(waiting);
        let (to_hash, hashed) = bounded(UNHASHED_MAX);
        let (to_sync, synced) = bounded::<ToSync>(UNSYNCED_MAX);
        let (counts, failure) = (Arc::default(), Arc::new(Mutex::new(None)));
        let store = Store {
            directory: Arc::clone(directory),
            access,
            limit: if form.chunks.is_some() { u64::MAX } else { form.segment_bytes },
            counts: Arc::clone(&counts),
            hash: to_hash,
            sync: to_sync.clone(),
        };
        let failed = Arc::clone(&failure);
        let store = spawn("drop-store", move || {
            store.run(&taken).unwrap_or_else(|error| note(&failed, error));
        })?;
        let used = spares.clone();
        let hash = spawn("drop-hash", move || segment::hash(&hashed, &to_sync, &used))?;
        let failed = Arc::clone(&failure);
        let sync = spawn("drop-sync", move || {
            segment::sync(&synced).unwrap_or_else(|error| {
                note(&failed, error);
                Vec::new()
            })
        })?;
        let lanes = match form.has_lanes() {
            true => Some(Lanes::start(form.compression, form.chunks.as_ref(), &spares)?),
            false => None,
        };
        Ok(Self {
            form,
            items: Some(items),
            lanes,
            spares,
            block: None,
            next: (0, 0),
            passed_on: 0,
            counts,
            failure,
            store: Some(store),
            hash: Some(hash),
            sync: Some(sync),
        })
    }

    /// Bytes of content taken.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.passed_on + self.block.as_ref().map_or(0, |(_, filled)| *filled as u64)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Room for more content, at least for one byte; with anything in it.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let bytes = self.block_bytes();
        // Content and frames take turns in the same buffers.
        let size = if self.form.has_lanes() { Lanes::buffer_bytes(bytes) } else { bytes };
        let (buffer, filled) = self.block.get_or_insert_with(|| (self.spares.take(size), 0));
        &mut buffer[*filled..bytes]
    }

    /// Takes the first `length` bytes of the room as content.
    pub(super) fn fill(&mut self, length: usize) -> Result<(), WriteError> {
        let bytes = self.block_bytes();
        let Some((_, filled)) = &mut self.block else { return Ok(()) };
        *filled = filled.saturating_add(length).min(bytes);
        if *filled == bytes {
            self.pass_on()?;
        }
        Ok(())
    }

    /// Waits until all that was taken is written, though not synced.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        self.pass_on()?;
        let (done, waiting) = bounded(1);
        self.send(Item::Flush(done))?;
        loop {
            match waiting.recv_timeout(LOOK) {
                Ok(()) => return Ok(()),
                // What was sent in the moment in which the thread ended is answered by nobody.
                Err(RecvTimeoutError::Timeout) if self.is_storing() => {}
                Err(_) => return Err(self.why()),
            }
        }
    }

    fn is_storing(&self) -> bool {
        self.store.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Waits until all is durable; the segments in order.
    pub(super) fn finish(&mut self) -> Result<Vec<Segment>, WriteError> {
        self.pass_on()?;
        if self.form.chunks.is_some() {
            // The last chunk says that it is the last; whether another one follows is not known before.
            let buffer = self.spares.take(0);
            self.begin(buffer, 0, End::Drop)?;
        }
        self.send(Item::End)?;
        let segments = self.stop();
        match self.taken_failure() {
            Some(error) => Err(error),
            None => Ok(segments),
        }
    }

    /// Ends all threads; the segments that are durable.
    pub(super) fn stop(&mut self) -> Vec<Segment> {
        drop(self.items.take());
        drop(self.lanes.take());
        for thread in [self.store.take(), self.hash.take()].into_iter().flatten() {
            if thread.join().is_err() {
                note(&self.failure, WriteError::Broken);
            }
        }
        let synced = self.sync.take().map(JoinHandle::join);
        match synced {
            Some(Ok(segments)) => segments,
            Some(Err(_)) => {
                note(&self.failure, WriteError::Broken);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Bytes of the block that is being filled. A plain one ends with its segment.
    fn block_bytes(&self) -> usize {
        let (most, limit) = (self.form.block_bytes(), self.form.segment_bytes);
        if self.form.has_lanes() {
            return most;
        }
        usize::try_from(limit - self.passed_on % limit).map_or(most, |left| left.min(most))
    }

    fn pass_on(&mut self) -> Result<(), WriteError> {
        let Some((buffer, length)) = self.block.take() else { return Ok(()) };
        if length == 0 {
            self.spares.give_buffer(buffer);
            return Ok(());
        }
        self.passed_on += length as u64;
        let is_last = self.next.1 + 1 == self.form.chunks_of_segment();
        self.begin(buffer, length, if is_last { End::Segment } else { End::Nothing })
    }

    /// Lets the first `length` bytes of a buffer go their way.
    fn begin(&mut self, buffer: Vec<u8>, length: usize, end: End) -> Result<(), WriteError> {
        let (segment, chunk) = self.next;
        let position = self.form.chunks.as_ref().map(|_| Position { segment, chunk, end });
        if position.is_some() {
            self.next = match end {
                End::Nothing => (segment, chunk + 1),
                End::Segment | End::Drop => (segment + 1, 0),
            };
        }
        let item = match &self.lanes {
            None => Some(Item::Block(Block::of(buffer, length, length as u64))),
            Some(lanes) => lanes.begin(buffer, length, position),
        };
        match item {
            Some(item) => self.send(item),
            None => Err(self.why()),
        }
    }

    fn send(&mut self, item: Item) -> Result<(), WriteError> {
        let sent = self.items.as_ref().is_some_and(|items| items.send(item).is_ok());
        if sent { Ok(()) } else { Err(self.why()) }
    }

    /// Why a thread has ended that should be at work.
    fn why(&mut self) -> WriteError {
        // What ended first has noted it before it ended.
        self.stop();
        self.taken_failure().unwrap_or(WriteError::Broken)
    }

    fn taken_failure(&self) -> Option<WriteError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Notes why the writing failed. The first reason counts; but that somebody else broke is none where there is
/// a better one.
fn note(failure: &Mutex<Option<WriteError>>, error: WriteError) {
    let mut noted = failure.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*noted, None | Some(WriteError::Broken)) {
        *noted = Some(error);
    }
}
