//! A backup in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use outlast_format::pack::BlobType;
use outlast_format::snapshot::Summary;
use outlast_types::Timestamp;

/// How much was read, and how much of it was new to the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub files: u64,
    pub directories: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// New blobs of content.
    pub data_blobs: u64,
    /// New blobs of trees.
    pub tree_blobs: u64,
    /// Bytes of new blobs before compression and sealing.
    pub added: u64,
    /// Bytes of new blobs as they lie in packs.
    pub added_packed: u64,
}

impl Stats {
    /// As snapshots record it. All files count as new: none is compared with an earlier snapshot.
    pub(super) fn summary(&self, backup_start: Timestamp, backup_end: Timestamp) -> Summary {
        Summary {
            backup_start,
            backup_end,
            files_new: self.files,
            files_changed: 0,
            files_unmodified: 0,
            dirs_new: self.directories,
            dirs_changed: 0,
            dirs_unmodified: 0,
            data_blobs: self.data_blobs,
            tree_blobs: self.tree_blobs,
            data_added: self.added,
            data_added_packed: self.added_packed,
            total_files_processed: self.files,
            total_bytes_processed: self.bytes,
        }
    }
}

/// New blobs, counted by many threads.
#[derive(Debug, Default)]
pub(super) struct Counters {
    data_blobs: AtomicU64,
    tree_blobs: AtomicU64,
    data_added: AtomicU64,
    data_added_packed: AtomicU64,
}

impl Counters {
    /// A new blob of so many bytes before and after compression and sealing.
    pub(super) fn added(&self, kind: BlobType, plaintext: usize, sealed: usize) {
        let blobs = match kind {
            BlobType::Data => &self.data_blobs,
            BlobType::Tree => &self.tree_blobs,
        };
        blobs.fetch_add(1, Ordering::Relaxed);
        self.data_added.fetch_add(plaintext as u64, Ordering::Relaxed);
        self.data_added_packed.fetch_add(sealed as u64, Ordering::Relaxed);
    }

    /// The numbers so far.
    pub(super) fn read(&self) -> Stats {
        Stats {
            data_blobs: self.data_blobs.load(Ordering::Relaxed),
            tree_blobs: self.tree_blobs.load(Ordering::Relaxed),
            added: self.data_added.load(Ordering::Relaxed),
            added_packed: self.data_added_packed.load(Ordering::Relaxed),
            ..Stats::default()
        }
    }
}
