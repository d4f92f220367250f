//! Directories that are open, and files whose content is under way.

use std::collections::BTreeMap;

use outlast_format::BlobId;
use outlast_format::tree::Node;
use outlast_fs::EntryPath;

use super::written::Written;
use crate::backup::block::FileNumber;

pub(super) type DirectoryNumber = u64;
pub(super) const ROOT: DirectoryNumber = 0;

/// A directory that is open.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) parent: DirectoryNumber,
    pub(super) name: Vec<u8>,
    /// `None` if no entry described it (yet).
    pub(super) node: Option<Node>,
    pub(super) members: BTreeMap<Vec<u8>, Member>,
    /// Members that come before all of those.
    pub(super) written: Option<Box<Written>>,
    /// Whether the source came back to what was written.
    pub(super) comes_back: bool,
    /// Members that are not ready.
    pub(super) waiting: usize,
    /// Whether the source has gone elsewhere.
    pub(super) left: bool,
}

#[derive(Debug)]
pub(super) enum Member {
    Ready(Box<Node>),
    /// A file whose content is still being stored.
    Pending(FileNumber),
    Open(DirectoryNumber),
}

/// A file whose content is still being stored.
#[derive(Debug)]
pub(super) struct PendingFile {
    pub(super) node: Node,
    pub(super) path: EntryPath,
    /// Every place in a tree that waits for it: its own, and those of hard links.
    pub(super) places: Vec<(DirectoryNumber, Vec<u8>)>,
    /// Names that are still to come, if the source counts them.
    pub(super) missing: u64,
    pub(super) chunks: Vec<BlobId>,
    pub(super) stored: u64,
    /// Known when it was read to its end.
    pub(super) size: Option<u64>,
}
