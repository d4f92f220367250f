//! How much of everything a backup takes.

use std::num::NonZero;
use std::thread;
use std::time::Duration;

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
