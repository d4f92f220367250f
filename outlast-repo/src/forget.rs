//! Forgetting: snapshots are removed by id. What only they needed stays until a prune.
//!
//! Which snapshots may go is a matter of policy, and policy comes from outside.

use std::collections::BTreeSet;

use outlast_format::SnapshotId;
use outlast_store::{Object, StoreError};

use crate::read::{named, resolve};
use crate::{RepoError, Repository};

/// The snapshots that `texts` mean, each an id, the beginning of one, or `latest`. One that is
/// damaged can be named by its id: it is not read. Which one is the newest is only known where all
/// can be read.
pub fn choose(repository: &Repository, texts: &[String]) -> Result<Vec<SnapshotId>, RepoError> {
    let ids = texts.iter().map(|text| {
        if text != "latest" {
            return named(repository, text);
        }
        let mut newest = resolve(repository, text)?;
        if newest.unreadable.is_empty() {
            Ok(newest.id)
        } else {
            Err(newest.unreadable.swap_remove(0))
        }
    });
    let ids: BTreeSet<SnapshotId> = ids.collect::<Result<_, RepoError>>()?;
    Ok(ids.into_iter().collect())
}

/// Removes snapshots. Those that are gone already count as removed.
pub fn forget(repository: &Repository, snapshots: &[SnapshotId]) -> Result<(), RepoError> {
    for snapshot in snapshots {
        match repository.store().remove(&Object::Snapshot(*snapshot)) {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(no_removal(error)),
        }
    }
    Ok(())
}

/// Tells a store that removes nothing for anybody from other failures.
pub(crate) fn no_removal(error: StoreError) -> RepoError {
    match error {
        StoreError::Refused { location, reason, .. } => RepoError::NoRemoval { location, reason },
        other => other.into(),
    }
}
