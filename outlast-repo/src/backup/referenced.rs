//! The packs that a backup refers to, and whether it may: packs that a prune has condemned are not to
//! be relied on, and those that it condemns while the backup works are listed again.
//!
//! [`prune`](crate::prune) says why that is enough.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use outlast_format::PackId;
use outlast_store::Object;
use outlast_types::Random;

use super::publish_guard::{Marks, PublishGuard, outdated, size_of};
use crate::inventory::StoredPacks;
use crate::{Index, RepoError, Repository};

/// The packs that a running backup relies on. A pack is not there because an index names it: the
/// store says which there are and how long each is.
#[derive(Debug)]
pub(super) struct ReferencedPacks<'r> {
    repository: &'r Repository,
    /// Those that were condemned when it began.
    condemned: HashSet<PackId>,
    /// Those in which it found blobs, with their bytes.
    packs: RwLock<HashMap<PackId, u64>>,
    /// The packs in the store when that was first asked: the first backup of all never asks.
    stored: OnceLock<StoredPacks>,
    listing: Mutex<()>,
    /// Those that were not there then, with what came out when they were asked for by name.
    asked: Mutex<HashMap<PackId, Option<u64>>>,
    /// Those that did not reach as far as the index says.
    unsound: Mutex<BTreeSet<PackId>>,
    marks: Marks,
}

impl<'r> ReferencedPacks<'r> {
    /// Reads the marks that are there. Fails if packs are gone that an earlier backup on this open
    /// repository uploaded and could not list.
    pub(super) fn begin(repository: &'r Repository, index: &Index) -> Result<Self, RepoError> {
        let mut marks = Marks::of(index);
        marks.look(repository)?;
        let condemned = marks.condemned();
        for (pack, expected) in index.unsaved_packs() {
            if size_of(repository, pack)? != Some(expected) || condemned.contains(&pack) {
                return Err(outdated(repository, Object::Data(pack)));
            }
        }
        Ok(Self {
            repository,
            condemned,
            packs: RwLock::default(),
            stored: OnceLock::new(),
            listing: Mutex::default(),
            asked: Mutex::default(),
            unsound: Mutex::default(),
            marks,
        })
    }

    /// Relies on a pack of so many bytes that is surely there; whether that is allowed.
    pub(super) fn rely(&self, pack: PackId, size: u64) -> bool {
        let allowed = !self.condemned.contains(&pack);
        if allowed {
            self.packs.write().unwrap_or_else(PoisonError::into_inner).insert(pack, size);
        }
        allowed
    }

    /// Whether a blob that ends at byte `end` of `pack` may be referred to. If so, the pack is relied
    /// on.
    pub(super) fn allows(&self, pack: PackId, end: u64) -> Result<bool, RepoError> {
        if self.condemned.contains(&pack) {
            return Ok(false);
        }
        // Mostly it is known, and readers do not wait for each other.
        let known = self.packs.read().unwrap_or_else(PoisonError::into_inner).get(&pack).copied();
        if let Some(size) = known {
            return Ok(self.reaches(pack, size, end));
        }
        let size = self.stored_size(pack)?.unwrap_or(0);
        Ok(self.reaches(pack, size, end) && self.rely(pack, size))
    }

    fn reaches(&self, pack: PackId, size: u64, end: u64) -> bool {
        if end > size {
            lock(&self.unsound).insert(pack);
        }
        end <= size
    }

    /// The packs of which the store has less than the index says, as far as that was noticed.
    pub(super) fn unsound(&self) -> BTreeSet<PackId> {
        lock(&self.unsound).clone()
    }

    fn stored_size(&self, pack: PackId) -> Result<Option<u64>, RepoError> {
        if let Some(size) = self.stored()?.size_of(&pack) {
            return Ok(Some(size));
        }
        // Gone, or younger than the list: another backup on this open repository stored it.
        let mut asked = lock(&self.asked);
        if let Some(size) = asked.get(&pack) {
            return Ok(*size);
        }
        let size = size_of(self.repository, pack)?;
        asked.insert(pack, size);
        Ok(size)
    }

    fn stored(&self) -> Result<&StoredPacks, RepoError> {
        if let Some(stored) = self.stored.get() {
            return Ok(stored);
        }
        let _one_lister = lock(&self.listing);
        if let Some(stored) = self.stored.get() {
            return Ok(stored);
        }
        let stored = StoredPacks::list(self.repository.opened())?;
        Ok(self.stored.get_or_init(|| stored))
    }

    /// Leaves it to whoever publishes to look whether all that is relied on is there.
    pub(super) fn leave(&self) -> PublishGuard {
        PublishGuard::of_others(&self.marks)
    }

    /// Makes sure that all that is relied on stays, `own` packs included; called when they are in an
    /// index file.
    pub(super) fn secure(
        &self,
        index: &Index,
        own: impl Iterator<Item = (PackId, u64)>,
        random: &dyn Random,
    ) -> Result<PublishGuard, RepoError> {
        let mut packs = self.packs.read().unwrap_or_else(PoisonError::into_inner).clone();
        packs.extend(own);
        PublishGuard::secure(self.repository, index, packs, &self.marks, random)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
