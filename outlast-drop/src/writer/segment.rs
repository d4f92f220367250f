//! One segment: written, hashed on the way, synced beside the writing of the next one.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use outlast_fs::fault;
use zstd::stream::write::Encoder;

use super::error::WriteError;
use crate::files::{Access, Directory};
use crate::hash::{Algorithm, Hasher};
use crate::layout::segment_name;
use crate::seal::Segment;

/// Content of a compressed segment after which a new one begins, whatever it compresses to; far
/// below what readers refuse.
const RAW_BYTES_MAX: u64 = 4 << 30;

/// How many finished segments may wait for their fsync before the writing waits too.
const UNSYNCED_MAX: usize = 2;

/// A file that hashes and counts what is written to it.
#[derive(Debug)]
struct HashingFile {
    file: File,
    hasher: DebugHasher,
    bytes: u64,
}

/// Keeps the state of a hash out of debug output.
struct DebugHasher(Hasher);

impl std::fmt::Debug for DebugHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Write for HashingFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.file.write(buffer)?;
        self.hasher.0.update(&buffer[..length]);
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

enum Sink {
    Plain(HashingFile),
    Zstd(Box<Encoder<'static, HashingFile>>),
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Zstd(_) => "Zstd",
        })
    }
}

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    name: String,
    path: PathBuf,
    sink: Sink,
    raw_bytes: u64,
}

/// A segment that is written, but not yet synced.
#[derive(Debug)]
pub(super) struct WrittenSegment {
    file: File,
    path: PathBuf,
    segment: Segment,
}

impl WrittenSegment {
    pub(super) fn stored_bytes(&self) -> u64 {
        self.segment.size
    }
}

impl SegmentWriter {
    pub(super) fn create(
        directory: &Directory,
        access: Access,
        index: usize,
        compression: Option<i32>,
    ) -> Result<Self, WriteError> {
        let name = segment_name(index);
        let path = directory.path_of(name.as_bytes());
        let file = directory.create_file(&name, access).map_err(WriteError::io("create", &path))?;
        let hasher = DebugHasher(Hasher::new(Algorithm::Blake3));
        let file = HashingFile { file, hasher, bytes: 0 };
        let sink = match compression {
            None => Sink::Plain(file),
            Some(level) => {
                let encoder =
                    Encoder::new(file, level).map_err(WriteError::io("compress", &path))?;
                Sink::Zstd(Box::new(encoder))
            }
        };
        Ok(Self { name, path, sink, raw_bytes: 0 })
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        match &self.sink {
            Sink::Plain(file) => file.bytes,
            Sink::Zstd(encoder) => encoder.get_ref().bytes,
        }
    }

    pub(super) fn is_full(&self, limit: u64) -> bool {
        self.stored_bytes() >= limit || self.raw_bytes >= RAW_BYTES_MAX
    }

    /// Writes as much of `buffer` as fits below `limit`, at least one byte.
    pub(super) fn write(&mut self, buffer: &[u8], limit: u64) -> Result<usize, WriteError> {
        let room = match &self.sink {
            Sink::Plain(file) => limit.saturating_sub(file.bytes).max(1),
            // What compressed bytes will take is known only afterwards; small steps keep the
            // overshoot small.
            Sink::Zstd(_) => 1 << 20,
        };
        let buffer = &buffer[..buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let result = match &mut self.sink {
            Sink::Plain(file) => file.write_all(buffer),
            Sink::Zstd(encoder) => encoder.write_all(buffer),
        };
        result.map_err(WriteError::io("write", &self.path))?;
        self.raw_bytes += buffer.len() as u64;
        Ok(buffer.len())
    }

    pub(super) fn finish(self) -> Result<WrittenSegment, WriteError> {
        let Self { name, path, sink, raw_bytes } = self;
        let file = match sink {
            Sink::Plain(file) => file,
            Sink::Zstd(encoder) => encoder.finish().map_err(WriteError::io("write", &path))?,
        };
        let (digest, size) = (file.hasher.0.finish(), file.bytes);
        let segment = Segment { name, size, raw_size: raw_bytes, digest };
        Ok(WrittenSegment { file: file.file, path, segment })
    }
}

/// Makes segments durable in order, while the next one is being written.
#[derive(Debug)]
pub(super) struct Syncer {
    sender: Option<Sender<WrittenSegment>>,
    thread: Option<JoinHandle<Result<Vec<Segment>, WriteError>>>,
}

impl Syncer {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, receiver) = bounded::<WrittenSegment>(UNSYNCED_MAX);
        let thread = std::thread::Builder::new().name("drop-sync".to_owned()).spawn(move || {
            let mut segments = Vec::new();
            for WrittenSegment { file, path, segment } in receiver {
                fault::point(|| path.clone());
                // After a good fsync nothing is left that the close could fail to write.
                file.sync_all().map_err(WriteError::io("sync", &path))?;
                segments.push(segment);
            }
            Ok(segments)
        })?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Takes a segment to sync; fails if an earlier one could not be.
    pub(super) fn take(&mut self, written: WrittenSegment) -> Result<(), WriteError> {
        let sent = self.sender.as_ref().is_some_and(|sender| sender.send(written).is_ok());
        if sent {
            return Ok(());
        }
        // The thread ends early only with an error.
        self.finish().and(Err(WriteError::Broken))
    }

    /// Waits until all is durable; the segments in order.
    pub(super) fn finish(&mut self) -> Result<Vec<Segment>, WriteError> {
        drop(self.sender.take());
        let thread = self.thread.take().ok_or(WriteError::Broken)?;
        thread.join().unwrap_or(Err(WriteError::Broken))
    }
}
