//! The input of a backup, what is recorded of it, and how to work.

use std::collections::HashSet;
use std::io::Read;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use outlast_format::pack::BlobType;
use outlast_format::{BlobId, SnapshotId};
use outlast_fs::{EntrySource, FileTime};
use outlast_types::Timestamp;

/// The content to back up.
pub enum Input<'a> {
    /// One stream, which becomes a single file at the root of the snapshot.
    Stream(StreamInput<'a>),
    /// A tree of entries.
    Tree(Box<dyn EntrySource + 'a>),
}

/// A stream and what its file shall be.
pub struct StreamInput<'a> {
    /// One plain file name.
    pub name: Vec<u8>,
    /// Permission bits, for example 0o644.
    pub mode: u32,
    pub modified: FileTime,
    pub reader: Box<dyn Read + Send + 'a>,
}

/// The record that goes with the snapshot, and how to work.
#[derive(Debug, Clone)]
pub struct Options {
    /// When the backup was taken, as the snapshot says it.
    pub time: Timestamp,
    pub hostname: String,
    pub username: String,
    pub uid: u32,
    pub gid: u32,
    /// The sources of the backup, as absolute paths; a stream's path is taken from its name.
    pub paths: Vec<String>,
    pub tags: Vec<String>,
    pub program_version: String,
    /// The snapshot that this one follows; recorded, nothing else.
    pub parent: Option<SnapshotId>,
    /// About how many bytes the input has, if that is known: very long inputs are cut into longer
    /// chunks.
    pub expected_bytes: Option<u64>,
    /// Where to remember uploaded packs until they are indexed. One running backup at a time may
    /// use a journal.
    pub journal: Option<PathBuf>,
    /// Blobs that whoever keeps the repository does not have, whatever its index says: they are stored
    /// anew.
    pub doubted: HashSet<(BlobType, BlobId)>,
    pub tuning: Tuning,
}

impl Options {
    /// A snapshot of this time, everything else empty or at its default.
    pub fn new(time: Timestamp) -> Self {
        Self {
            time,
            hostname: String::new(),
            username: String::new(),
            uid: 0,
            gid: 0,
            paths: Vec::new(),
            tags: Vec::new(),
            program_version: String::new(),
            parent: None,
            expected_bytes: None,
            journal: None,
            doubted: HashSet::new(),
            tuning: Tuning::default(),
        }
    }
}

/// How much of everything. None of it changes what is stored, but compression and pack sizes.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Threads that scan, hash, compress and encrypt.
    pub workers: usize,
    /// Threads that upload; each holds one pack.
    pub uploads: usize,
    /// Bytes read at once.
    pub block_bytes: usize,
    /// A data pack is full at this many bytes.
    pub data_pack_bytes: usize,
    /// A pack of trees is full at this many bytes.
    pub tree_pack_bytes: usize,
    pub compression: Compression,
    /// An index file is written after this many bytes of packs, …
    pub checkpoint_bytes: u64,
    /// … this many blobs, …
    pub checkpoint_blobs: usize,
    /// … or this long after the last one, when the next pack is durable.
    pub checkpoint_interval: Duration,
}

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As hard as it pays: by what the content gains, and by whether processors or the store are
    /// what the backup waits for.
    Adaptive,
    /// Always at this level of zstd, 1 (fast) to 19 (small).
    Level(i32),
}

impl Default for Tuning {
    /// As many workers as the host has cores, and what the module's memory budget allows.
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism().map_or(2, NonZero::get),
            uploads: 3,
            block_bytes: 1 << 20,
            data_pack_bytes: 16 << 20,
            tree_pack_bytes: 4 << 20,
            compression: Compression::Adaptive,
            checkpoint_bytes: 256 << 20,
            checkpoint_blobs: 25_000,
            checkpoint_interval: Duration::from_secs(60),
        }
    }
}
