//! Segments: written, hashed and synced by a thread each, so that the content of one block is hashed
//! while the next is written, and a segment is synced while the next is written.
//!
//! ```text
//!  blocks ──► store ──blocks──► hash ──segments──► sync
//!               └───────────now and then────────────┘
//! ```

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender};
use outlast_fs::fault;

use super::blocks::{Block, Item, Spares};
use super::error::WriteError;
use crate::files::{Access, Directory};
use crate::hash::{Algorithm, Hasher};
use crate::layout::segment_name;
use crate::seal::{SEGMENTS_MAX, Segment};

/// Content of a compressed segment after which a new one begins, whatever it compresses to; far
/// below what readers refuse.
pub(super) const RAW_BYTES_MAX: u64 = 4 << 30;

/// Bytes of a segment after which those before are synced already: so the last segment, which no
/// other follows, is nearly done when it ends.
const EARLY_SYNC_BYTES: u64 = 32 << 20;

/// What is known of the segments while they are written.
#[derive(Debug, Default)]
pub(super) struct Counts {
    begun: AtomicUsize,
    stored: AtomicU64,
}

impl Counts {
    /// How many segments were begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Acquire)
    }

    /// Bytes written to the share.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }
}

/// What the thread that hashes is given.
pub(super) enum ToHash {
    Block(Block),
    /// The segment of the blocks before it is written.
    End {
        file: File,
        path: PathBuf,
        segment: SegmentFacts,
    },
}

/// A written segment but for its hash.
pub(super) struct SegmentFacts {
    name: String,
    size: u64,
    raw_size: u64,
}

/// What the thread that syncs is given.
pub(super) enum ToSync {
    /// A segment that is still written to.
    Early {
        file: File,
        path: PathBuf,
    },
    Whole {
        file: File,
        path: PathBuf,
        segment: Segment,
    },
}

/// The segment that is being written.
struct Current {
    file: File,
    path: PathBuf,
    facts: SegmentFacts,
    synced: u64,
}

/// Writes blocks into one segment after the other.
pub(super) struct Store {
    pub(super) directory: Arc<Directory>,
    pub(super) access: Access,
    /// Bytes on the share after which a new segment begins.
    pub(super) limit: u64,
    pub(super) counts: Arc<Counts>,
    pub(super) hash: Sender<ToHash>,
    pub(super) sync: Sender<ToSync>,
}

impl Store {
    /// Writes all that comes. Without [`Item::End`] nobody wants the rest, and the last segment
    /// stays as it is.
    pub(super) fn run(self, items: &Receiver<Item>) -> Result<(), WriteError> {
        let mut current = None;
        for item in items {
            let block = match item {
                Item::Block(block) => block,
                Item::Coming(coming) => match coming.recv() {
                    Ok(block) => {
                        block.map_err(WriteError::io("compress", self.directory.path()))?
                    }
                    // Its thread broke.
                    Err(_) => return Err(WriteError::Broken),
                },
                Item::Flush(done) => {
                    // Whoever asked may not wait any more.
                    let _ = done.send(());
                    continue;
                }
                Item::End => {
                    // A drop without content has a segment without content.
                    let last = match current.take() {
                        None if self.counts.begun() == 0 => Some(self.begin()?),
                        last => last,
                    };
                    last.map_or(Ok(()), |last| self.finish(last))?;
                    continue;
                }
            };
            let mut segment = match current.take() {
                Some(segment) => segment,
                None => self.begin()?,
            };
            let ends = block.ends_segment();
            self.write(&mut segment, block)?;
            let is_full =
                ends || segment.facts.size >= self.limit || segment.facts.raw_size >= RAW_BYTES_MAX;
            if is_full {
                self.finish(segment)?;
            } else {
                current = Some(segment);
            }
        }
        Ok(())
    }

    fn begin(&self) -> Result<Current, WriteError> {
        let index = self.counts.begun();
        if index >= SEGMENTS_MAX {
            return Err(WriteError::TooManySegments);
        }
        let name = segment_name(index);
        let path = self.directory.path_of(name.as_bytes());
        let file = self
            .directory
            .create_own_file(&name, self.access)
            .map_err(WriteError::io("create", &path))?;
        // Only this thread begins segments.
        self.counts.begun.store(index + 1, Ordering::Release);
        let facts = SegmentFacts { name, size: 0, raw_size: 0 };
        Ok(Current { file, path, facts, synced: 0 })
    }

    fn write(&self, segment: &mut Current, block: Block) -> Result<(), WriteError> {
        let bytes = block.bytes();
        segment.file.write_all(bytes).map_err(WriteError::io("write", &segment.path))?;
        segment.facts.size += bytes.len() as u64;
        segment.facts.raw_size += block.raw_bytes();
        self.counts.stored.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if segment.facts.size - segment.synced >= EARLY_SYNC_BYTES
            && !self.sync.is_full()
            && let Ok(file) = segment.file.try_clone()
        {
            segment.synced = segment.facts.size;
            // Only a help; there is time for it, or there is not.
            let _ = self.sync.try_send(ToSync::Early { file, path: segment.path.clone() });
        }
        self.hash.send(ToHash::Block(block)).map_err(|_| WriteError::Broken)
    }

    fn finish(&self, segment: Current) -> Result<(), WriteError> {
        let Current { file, path, facts, .. } = segment;
        let end = ToHash::End { file, path, segment: facts };
        self.hash.send(end).map_err(|_| WriteError::Broken)
    }
}

/// Hashes what was written, and passes on each segment when it is whole.
pub(super) fn hash(blocks: &Receiver<ToHash>, sync: &Sender<ToSync>, spares: &Spares) {
    let mut hasher = Hasher::new(Algorithm::Blake3);
    for next in blocks {
        match next {
            ToHash::Block(block) => {
                hasher.update(block.bytes());
                spares.give(block);
            }
            ToHash::End { file, path, segment: SegmentFacts { name, size, raw_size } } => {
                let whole = std::mem::replace(&mut hasher, Hasher::new(Algorithm::Blake3));
                let segment = Segment { name, size, raw_size, digest: whole.finish() };
                if sync.send(ToSync::Whole { file, path, segment }).is_err() {
                    // It failed, and says why itself.
                    return;
                }
            }
        }
    }
}

/// Makes segments durable in order; they are those of the seal.
pub(super) fn sync(segments: &Receiver<ToSync>) -> Result<Vec<Segment>, WriteError> {
    let mut durable = Vec::new();
    for next in segments {
        match next {
            // An error is told once, and not again when the whole file is synced.
            ToSync::Early { file, path } => {
                file.sync_data().map_err(WriteError::io("sync", &path))?;
            }
            ToSync::Whole { file, path, segment } => {
                fault::point(|| path.clone());
                // After a good fsync nothing is left that the close could fail to write.
                file.sync_all().map_err(WriteError::io("sync", &path))?;
                durable.push(segment);
            }
        }
    }
    Ok(durable)
}
