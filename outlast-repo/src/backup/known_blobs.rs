//! Which blobs are known already, so that each is stored once.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_format::BlobId;
use outlast_format::pack::{BlobType, PackEntry};

use super::referenced::ReferencedPacks;
use crate::{Index, RepoError};

/// Tells new blobs from known ones, those on their way to the store included.
#[derive(Debug)]
pub(super) struct KnownBlobs<'a> {
    index: &'a Index,
    referenced: ReferencedPacks<'a>,
    /// Whether there ever were any: mostly there are none, and nobody waits for the lock.
    has_doubts: bool,
    /// Blobs that are stored anew, whatever the index says, until that is done.
    doubted: Mutex<HashSet<(BlobType, BlobId)>>,
    /// Blobs that somebody seals now or that lie in a pack which is not durable yet.
    under_way: Mutex<HashSet<(BlobType, BlobId)>>,
}

impl<'a> KnownBlobs<'a> {
    /// Of what `doubted` holds, only what this backup stores is believed.
    pub(super) fn new(
        index: &'a Index,
        referenced: ReferencedPacks<'a>,
        doubted: HashSet<(BlobType, BlobId)>,
    ) -> Self {
        let has_doubts = !doubted.is_empty();
        Self { index, referenced, has_doubts, doubted: doubted.into(), under_way: Mutex::default() }
    }

    /// The packs that the backup relies on.
    pub(super) fn referenced(&self) -> &ReferencedPacks<'a> {
        &self.referenced
    }

    /// Whether the blob lies in a pack that stays and that reaches so far.
    pub(super) fn knows(&self, kind: BlobType, id: &BlobId) -> Result<bool, RepoError> {
        if self.has_doubts && lock(&self.doubted).contains(&(kind, *id)) {
            return Ok(false);
        }
        let Some(found) = self.index.locate(kind, id)? else { return Ok(false) };
        if self.referenced.allows(found.pack, found.end())? {
            return Ok(true);
        }
        // There may be another copy: one that was stored anew because this one cannot be had.
        for other in self.index.locations(kind, id)? {
            if other.pack != found.pack && self.referenced.allows(other.pack, other.end())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the blob is new. It is the caller's to store, then, and nobody else's.
    pub(super) fn claim(&self, kind: BlobType, id: BlobId) -> Result<bool, RepoError> {
        // Most blobs are known, and need no lock.
        if self.knows(kind, &id)? {
            return Ok(false);
        }
        // The index is asked again under the lock: a blob goes from here to there, and must not
        // slip through between two looks.
        let mut under_way = lock(&self.under_way);
        Ok(!self.knows(kind, &id)? && under_way.insert((kind, id)))
    }

    /// The blobs of a pack are in the index now.
    pub(super) fn settle(&self, entries: &[PackEntry]) {
        let mut under_way = lock(&self.under_way);
        for entry in entries {
            under_way.remove(&(entry.kind, entry.id));
            if self.has_doubts {
                lock(&self.doubted).remove(&(entry.kind, entry.id));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
