//! Files whose further names may still come.

use outlast_format::tree::Node;

/// A file with several names.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) node: Node,
    /// Names that are still to come, if the source counts them.
    pub(super) missing: u64,
}
