//! Snapshots: listing them, and finding the one that somebody means.

use outlast_format::SnapshotId;
use outlast_format::snapshot::Snapshot;
use outlast_store::{Kind, Object, StoreError};
use outlast_types::Timestamp;

use super::pool;
use crate::read_error::ReadError;
use crate::{RepoError, Repository};

/// The snapshots of a repository.
#[derive(Debug)]
pub struct Snapshots {
    /// Oldest first; of one moment, by id.
    pub list: Vec<(SnapshotId, Snapshot)>,
    /// Those that are there and cannot be read, each with its name in the error.
    pub unreadable: Vec<RepoError>,
}

/// The snapshot that was meant.
#[derive(Debug)]
pub struct Resolved {
    pub id: SnapshotId,
    pub snapshot: Snapshot,
    /// Snapshots that could not be read while looking for the newest: one of them might be newer
    /// than this, so whoever restores must be told.
    pub unreadable: Vec<RepoError>,
}

/// All snapshots.
pub fn snapshots(repository: &Repository) -> Result<Snapshots, RepoError> {
    let listed = repository.store().list(Kind::Snapshot)?;
    let ids = listed.into_iter().filter_map(|(object, _)| object.snapshot()).collect();
    let mut list = Vec::new();
    let mut unreadable = Vec::new();
    for result in pool::map(ids, |id| load(repository, id)) {
        match result {
            Ok(found) => list.push(found),
            Err(error) => unreadable.push(error),
        }
    }
    list.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
    Ok(Snapshots { list, unreadable })
}

fn load(repository: &Repository, id: SnapshotId) -> Result<(SnapshotId, Snapshot), RepoError> {
    let object = Object::Snapshot(id);
    let document = repository.read_unpacked(&object)?;
    let snapshot = Snapshot::parse(&document).map_err(|source| RepoError::Damaged {
        object,
        location: repository.location(),
        source,
    })?;
    Ok((id, snapshot))
}

/// The snapshot called `text`: `latest` is the one with the newest time, anything else an id or
/// the beginning of one.
pub fn resolve(repository: &Repository, text: &str) -> Result<Resolved, RepoError> {
    if text == "latest" {
        return newest(repository, |_| true, |location, _| ReadError::NoSnapshots { location });
    }
    let name = named(repository, text)?;
    let (id, snapshot) = load(repository, name)?;
    Ok(Resolved { id, snapshot, unreadable: Vec::new() })
}

/// The first of these snapshots that is there and can be read. For whoever knows better than the
/// snapshots themselves which one is the newest: their times are what their writers say.
pub fn resolve_first(
    repository: &Repository,
    ids: impl IntoIterator<Item = SnapshotId>,
) -> Result<Resolved, RepoError> {
    let mut unreadable = Vec::new();
    for id in ids {
        match load(repository, id) {
            Ok((id, snapshot)) => return Ok(Resolved { id, snapshot, unreadable }),
            // Forgotten meanwhile.
            Err(RepoError::Store(StoreError::NotFound { .. })) => {}
            Err(error @ (RepoError::Damaged { .. } | RepoError::HashMismatch { .. })) => {
                unreadable.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    // Better to say that the only snapshot is damaged than that there is none.
    Err(if unreadable.is_empty() {
        ReadError::NoSnapshots { location: repository.location() }.into()
    } else {
        unreadable.swap_remove(0)
    })
}

/// The one snapshot whose id begins with `text`, whatever it holds.
pub(crate) fn named(repository: &Repository, text: &str) -> Result<SnapshotId, RepoError> {
    let digits = text.to_ascii_lowercase();
    if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(ReadError::NotASnapshotName { text: text.chars().take(80).collect() }.into());
    }
    let listed = repository.store().list(Kind::Snapshot)?;
    let mut fitting: Vec<SnapshotId> = listed
        .into_iter()
        .filter_map(|(object, _)| object.snapshot())
        .filter(|id| id.to_string().starts_with(&digits))
        .collect();
    fitting.sort();
    match fitting[..] {
        [] => {
            let location = repository.location();
            Err(ReadError::NoSuchSnapshot { location, text: digits }.into())
        }
        [id] => Ok(id),
        _ => Err(ReadError::Ambiguous { text: digits, ids: fitting }.into()),
    }
}

/// The newest snapshot that is not younger than `at`.
pub fn resolve_at(repository: &Repository, at: Timestamp) -> Result<Resolved, RepoError> {
    newest(
        repository,
        |time| time <= at,
        |location, first| match first {
            None => ReadError::NoSnapshots { location },
            Some(first) => ReadError::NothingSoEarly { location, at, first },
        },
    )
}

fn newest(
    repository: &Repository,
    fits: impl Fn(Timestamp) -> bool,
    none: impl FnOnce(String, Option<Timestamp>) -> ReadError,
) -> Result<Resolved, RepoError> {
    let Snapshots { mut list, mut unreadable } = snapshots(repository)?;
    let first = list.first().map(|(_, snapshot)| snapshot.time);
    match list.iter().rposition(|(_, snapshot)| fits(snapshot.time)) {
        Some(position) => {
            let (id, snapshot) = list.swap_remove(position);
            Ok(Resolved { id, snapshot, unreadable })
        }
        // Better to say that the only snapshot is damaged than that there is none.
        None if first.is_none() && !unreadable.is_empty() => Err(unreadable.swap_remove(0)),
        None => Err(none(repository.location(), first).into()),
    }
}
