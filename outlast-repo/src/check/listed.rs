//! One pack as an index file lists it.

use outlast_format::PackId;
use outlast_format::pack::PackEntry;

/// A pack that is stored and listed, blobs by offset.
pub(super) struct Listed {
    pub(super) pack: PackId,
    pub(super) size: u64,
    pub(super) entries: Vec<PackEntry>,
}
