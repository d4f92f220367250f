//! Packs that are durable but not listed by any index file yet.

use outlast_format::PackId;
use outlast_format::pack::PackEntry;

use super::runs::IndexRuns;

/// A durable pack that no index file lists.
#[derive(Debug, Clone)]
pub(crate) struct UnsavedPack {
    pub(crate) id: PackId,
    /// Bytes of the whole pack.
    pub(crate) size: u64,
    pub(crate) entries: Vec<PackEntry>,
}

/// State that only one thread at a time may change: packs that are in no index file, and the runs
/// on disk.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) unsaved: Vec<UnsavedPack>,
    pub(super) runs: IndexRuns,
}
