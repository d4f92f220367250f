//! How much a scan looks at, whatever lies on the share.

use crate::files::NAMES_MAX;
use crate::layout::FILES_MAX;

/// How much one scan looks at. What lies beyond is told, and waits for a later scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// Names that are read of the directory of workloads, and of all days and drops of one workload
    /// together.
    pub names: usize,
    /// Directories beside the workloads that are known to drop; they come by turns.
    pub workloads: usize,
    /// Drops of one workload that are looked at, the oldest first.
    pub drops: usize,
    /// Names in a drop's directory beside two for each of its segments. A drop with more is refused.
    pub files: usize,
}

impl ScanLimits {
    /// For one who looks once and must see all there is.
    pub const WIDE: Self =
        Self { names: NAMES_MAX, workloads: NAMES_MAX, drops: NAMES_MAX, files: FILES_MAX };
    /// For one who looks again and again.
    pub const PASS: Self =
        Self { names: NAMES_MAX, workloads: 10_000, drops: 1000, files: FILES_MAX };
}
