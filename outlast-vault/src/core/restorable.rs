//! Which packs may be read for the sake of one snapshot, as far as that was found out.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_format::{BlobId, PackId};
use outlast_types::WorkloadName;

/// Snapshots whose packs are kept.
const KEPT_MAX: usize = 8;

/// The packs of the snapshots that are being read.
#[derive(Default)]
pub(crate) struct Restorable {
    kept: Mutex<Vec<Kept>>,
    /// Held by who finds them out.
    finding: Mutex<()>,
}

/// The packs of one snapshot.
pub(crate) struct Kept {
    pub(crate) workload: WorkloadName,
    pub(crate) tree: BlobId,
    pub(crate) packs: Arc<HashSet<PackId>>,
    /// By the vault's timer.
    pub(crate) at: Duration,
}

impl Restorable {
    /// The packs, and when they were found out.
    pub(crate) fn find(
        &self,
        workload: &WorkloadName,
        tree: BlobId,
    ) -> Option<(Arc<HashSet<PackId>>, Duration)> {
        let kept = self.kept();
        let found = kept.iter().find(|kept| kept.tree == tree && kept.workload == *workload);
        found.map(|kept| (Arc::clone(&kept.packs), kept.at))
    }

    /// One finds out at a time.
    pub(crate) fn finding(&self) -> MutexGuard<'_, ()> {
        self.finding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, new: Kept) {
        let mut kept = self.kept();
        kept.retain(|kept| (kept.tree, &kept.workload) != (new.tree, &new.workload));
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push(new);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_is_kept_and_the_newest_of_each() {
        let restorable = Restorable::default();
        let workload = WorkloadName::new("shop").unwrap();
        let keep = |tree: u8, seconds| {
            restorable.keep(Kept {
                workload: workload.clone(),
                tree: BlobId([tree; 32]),
                packs: Arc::default(),
                at: Duration::from_secs(seconds),
            });
        };
        let at =
            |tree: u8| restorable.find(&workload, BlobId([tree; 32])).map(|(_, at)| at.as_secs());
        (0..9).for_each(|tree| keep(tree, 1));
        assert_eq!((at(0), at(1), at(8)), (None, Some(1), Some(1)));
        keep(1, 2);
        assert_eq!((at(1), at(2)), (Some(2), Some(1)));
        let other = WorkloadName::new("crm").unwrap();
        assert!(restorable.find(&other, BlobId([1; 32])).is_none());
    }
}
