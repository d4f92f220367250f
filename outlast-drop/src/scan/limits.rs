//! How much a scan looks at, whatever lies on the share.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::files::NAMES_MAX;
use crate::layout::FILES_MAX;

/// How much one scan looks at. What lies beyond is told, and waits for a later scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// Names that are read of the directory of workloads, and of all days and drops of one workload
    /// together.
    pub names: usize,
    /// Directories beside the workloads that are known to drop, and that were never looked at; they come
    /// by turns.
    pub workloads: usize,
    /// Workloads of which all is settled; they come by turns. On a network share each call costs
    /// money, so those in which nothing happens are not looked at in every scan.
    pub idle: usize,
    /// Days of one workload of which nothing is known, the nearest to now first.
    pub days: usize,
    /// Drops of one workload that are looked at, the oldest first.
    pub drops: usize,
    /// Names in a drop's directory beside two for each of its segments. A drop with more is refused.
    pub files: usize,
    /// Names of all workloads together.
    pub all_names: usize,
    /// Drops of all workloads together.
    pub all_drops: usize,
}

impl ScanLimits {
    /// For one who looks once and must see all there is.
    pub const WIDE: Self = Self {
        names: NAMES_MAX,
        workloads: NAMES_MAX,
        idle: NAMES_MAX,
        days: NAMES_MAX,
        drops: NAMES_MAX,
        files: FILES_MAX,
        all_names: usize::MAX,
        all_drops: usize::MAX,
    };
    /// For one who looks again and again. `idle` is so that at a scan every 30 seconds a share on which
    /// nothing happens costs less than 20 GiB of metered calls a day, however many workloads it has.
    pub const PASS: Self = Self {
        names: NAMES_MAX,
        workloads: 10_000,
        idle: 150,
        days: 16,
        drops: 1000,
        files: FILES_MAX,
        all_names: 4_000_000,
        all_drops: 50_000,
    };
}

/// The rest of what one scan may look at, of all workloads together. Many take from it at once, so that it may be
/// overdrawn by what those look at who are at it.
#[derive(Debug)]
pub(super) struct Allowance {
    names: AtomicUsize,
    drops: AtomicUsize,
}

impl Allowance {
    pub(super) fn of(limits: &ScanLimits) -> Self {
        Self { names: limits.all_names.into(), drops: limits.all_drops.into() }
    }

    pub(super) fn names(&self) -> usize {
        self.names.load(Ordering::Relaxed)
    }

    pub(super) fn drops(&self) -> usize {
        self.drops.load(Ordering::Relaxed)
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.names() == 0 || self.drops() == 0
    }

    pub(super) fn spend(&self, names: usize, drops: usize) {
        for (left, spent) in [(&self.names, names), (&self.drops, drops)] {
            // It always gives a value, so it never fails.
            let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(spent))
            });
        }
    }
}
