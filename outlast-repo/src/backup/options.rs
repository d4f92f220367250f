//! The input of a backup, and what is recorded of it.

use std::collections::HashSet;
use std::io::Read;
use std::path::PathBuf;

use outlast_format::pack::BlobType;
use outlast_format::{BlobId, SnapshotId};
use outlast_fs::{EntrySource, FileTime};
use outlast_types::Timestamp;

use super::engine::Engine;
use super::tuning::Tuning;

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
    /// Whether somebody looks over the tree before the snapshot is published, as a vault does: then what
    /// this backup stored or relies on is not asked for once more at its end. Who is asked may not be
    /// whoever has it: it may be on its way.
    pub is_looked_over: bool,
    pub tuning: Tuning,
    /// Memory and processors that it shares with other backups; those of `tuning` for itself, if none.
    pub engine: Option<Engine>,
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
            is_looked_over: false,
            tuning: Tuning::default(),
            engine: None,
        }
    }
}
