//! The snapshots that lie in a repository.

use outlast_catalog::{SnapshotRecord, Terms};
use outlast_format::BlobId;
use outlast_format::pack::BlobType;
use outlast_format::snapshot::Snapshot;
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_types::{Sanity, SnapshotId, Timestamp, WorkloadName};

use super::error::VaultError;
use super::repositories::WorkloadRepository;

/// All snapshot objects in a repository.
pub(crate) fn published(repository: &WorkloadRepository) -> Result<Vec<SnapshotId>, VaultError> {
    let objects = repository.store.list(Kind::Snapshot)?;
    Ok(objects.into_iter().filter_map(|(object, _)| object.snapshot()).collect())
}

pub(crate) fn is_published(store: &dyn Store, snapshot: SnapshotId) -> Result<bool, VaultError> {
    match store.size(&Object::Snapshot(snapshot)) {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The size of an object; `None` if it is not there.
pub(crate) fn size_of(
    repository: &WorkloadRepository,
    object: &Object,
) -> Result<Option<u64>, VaultError> {
    match repository.store.size(object) {
        Ok(size) => Ok(Some(size)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether any index of the repository knows the tree: for a drop that brought nothing new.
pub(crate) fn is_indexed(
    repository: &WorkloadRepository,
    tree: BlobId,
) -> Result<bool, VaultError> {
    let opened = repository.opened_afresh()?;
    Ok(opened.index()?.has(BlobType::Tree, &tree).map_err(outlast_repo::RepoError::from)?)
}

/// The root tree of a snapshot that is in the repository.
pub(crate) fn tree_of(
    repository: &WorkloadRepository,
    snapshot: SnapshotId,
) -> Result<BlobId, VaultError> {
    let document = repository.opened()?.read_unpacked(&Object::Snapshot(snapshot))?;
    let parsed = Snapshot::parse(&document).map_err(|error| VaultError::BadSnapshot {
        snapshot: snapshot.to_string(),
        reason: error.to_string(),
    })?;
    Ok(parsed.tree)
}

/// The root tree of a snapshot; `None` if the snapshot is not there, or there in name only: what
/// cannot be read holds nothing.
pub(crate) fn readable_tree(
    repository: &WorkloadRepository,
    snapshot: SnapshotId,
) -> Result<Option<BlobId>, VaultError> {
    if !is_published(&*repository.store, snapshot)? {
        return Ok(None);
    }
    match tree_of(repository, snapshot) {
        Ok(tree) => Ok(Some(tree)),
        Err(VaultError::Repository(error)) if !error.is_passing() => Ok(None),
        Err(VaultError::BadSnapshot { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What can be known of a snapshot that came without a bill.
pub(crate) fn foreign_record(
    repository: &WorkloadRepository,
    workload: &WorkloadName,
    snapshot: SnapshotId,
    received: Timestamp,
) -> SnapshotRecord {
    // One that cannot be read is in the repository all the same; `check` tells what is wrong.
    let object = Object::Snapshot(snapshot);
    let read = repository.opened().and_then(|opened| Ok(opened.read_unpacked(&object)?)).ok();
    let parsed = read.and_then(|document| Snapshot::parse(&document).ok());
    let content_bytes = parsed
        .as_ref()
        .and_then(|snapshot| snapshot.summary)
        .map_or(0, |summary| summary.total_bytes_processed);
    let claims = parsed.map_or(serde_json::Value::Null, |snapshot| {
        serde_json::json!({
            "host": snapshot.hostname,
            "user": snapshot.username,
            "paths": snapshot.paths,
            "tags": snapshot.tags,
            "time": snapshot.time,
            "program": snapshot.program_version,
        })
    });
    SnapshotRecord {
        workload: workload.clone(),
        snapshot,
        drop: None,
        received,
        content_bytes,
        stored_bytes: 0,
        claims,
        receipt: None,
        sanity: Sanity::default(),
        terms: Terms::default(),
    }
}
