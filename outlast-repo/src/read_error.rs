//! Why something in a repository cannot be read.

use std::io;
use std::sync::Arc;

use outlast_format::{BlobId, FormatError, PackId, SnapshotId};
use outlast_fs::EntryPath;
use outlast_store::StoreError;
use outlast_types::Timestamp;

use crate::cache_error::CacheError;

/// Why a blob cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BlobError {
    /// No index lists it.
    #[error("no index of the repository knows blob {blob}")]
    NotIndexed { blob: BlobId },
    /// The store does not give the bytes: the pack is missing, too short, or out of reach.
    #[error("blob {blob} cannot be read: {source}")]
    Unreadable { blob: BlobId, pack: PackId, source: Arc<StoreError> },
    /// The bytes are there but are not the blob's.
    #[error("blob {blob} in data/{pack} is damaged: {source}")]
    Damaged { blob: BlobId, pack: PackId, source: FormatError },
    /// The bytes are authentic but hash to something else.
    #[error("blob {blob} in data/{pack} is not what its name says: its content was changed")]
    OtherContent { blob: BlobId, pack: PackId },
    /// The index gives it a size that no sane writer makes.
    #[error("blob {blob} in data/{pack} would have {length} bytes, more than the limit of {limit}")]
    TooLarge { blob: BlobId, pack: PackId, length: u32, limit: u32 },
    /// Where it lies cannot be looked up.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl BlobError {
    /// The pack that the failure is about, if any.
    pub fn pack(&self) -> Option<PackId> {
        match self {
            Self::NotIndexed { .. } | Self::Cache(_) => None,
            Self::Unreadable { pack, .. }
            | Self::Damaged { pack, .. }
            | Self::OtherContent { pack, .. }
            | Self::TooLarge { pack, .. } => Some(*pack),
        }
    }
}

/// Why a tree cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TreeError {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("tree {tree}: {source}")]
    Format { tree: BlobId, source: FormatError },
    #[error("tree {tree} lists more entries than the limit of {limit} for one directory")]
    TooManyNodes { tree: BlobId, limit: usize },
}

/// Why something that was asked for cannot be given, beyond what any work on a repository may meet.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{location} holds no snapshots")]
    NoSnapshots { location: String },
    #[error("{location} holds no snapshot from {at} or before; the first one is from {first}")]
    NothingSoEarly { location: String, at: Timestamp, first: Timestamp },
    #[error(
        "no snapshot in {location} is called {text}; give 'latest', or an id, or its first digits"
    )]
    NoSuchSnapshot { location: String, text: String },
    #[error("{text} is not a snapshot: give 'latest', or an id, or its first digits (0-9, a-f)")]
    NotASnapshotName { text: String },
    #[error("{text} could be any of {} snapshots ({} …); give more digits", ids.len(), ids.iter()
        .take(2).map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Ambiguous { text: String, ids: Vec<SnapshotId> },
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("{source}")]
    Tree { source: TreeError },
    #[error("the snapshot has no /{path}: nothing there is called {missing}")]
    NoSuchPath { path: EntryPath, missing: String },
    #[error("the snapshot has no /{path}: {name} is not a directory")]
    NotADirectory { path: EntryPath, name: String },
    #[error("/{path} is a {kind}, which has no content to show; only files have")]
    NotAFile { path: EntryPath, kind: String },
    #[error("/{path} cannot be read beyond byte {offset}: {source}")]
    Content { path: EntryPath, offset: u64, source: Box<BlobError> },
    #[error("cannot begin to decompress: {source}")]
    Decompressor { source: FormatError },
    #[error("the repository's storage does not answer any more: {source}")]
    Unanswered { source: BlobError },
    /// Not the repository's fault: whoever receives the content does not take it.
    #[error("cannot write the content of /{path}: {source}")]
    Write { path: EntryPath, source: io::Error },
}
