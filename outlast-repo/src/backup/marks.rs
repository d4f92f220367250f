//! What a backup relies on, and whether it may: packs that a prune has condemned are not to be
//! relied on, and those that it condemns while the backup works are listed again.
//!
//! [`prune`](crate::prune) says why that is enough.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use outlast_format::PackId;
use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_store::{Kind, Object, StoreError};
use outlast_types::Random;

use crate::index_file::{self, Writer};
use crate::{Index, RepoError, Repository};

/// How often a backup lists packs again before it gives up. Once is enough unless somebody prunes
/// without pause.
const LOOKS_MAX: u32 = 8;
/// So many packs are asked for one by one; for more, all are listed at once.
const ASKED_MAX: usize = 16;

/// The packs that a running backup relies on. A pack is not there because an index names it: the
/// store says which there are and how long each is.
#[derive(Debug)]
pub(super) struct Reliance<'r> {
    repository: &'r Repository,
    /// Those that were condemned when it began.
    condemned: HashSet<PackId>,
    /// Those in which it found blobs, with their bytes.
    packs: RwLock<HashMap<PackId, u64>>,
    /// What the store had when that was first asked: the first backup of all never asks.
    stored: OnceLock<Vec<(PackId, u64)>>,
    listing: Mutex<()>,
    /// Those that were not there then, with what came out when they were asked for by name.
    asked: Mutex<HashMap<PackId, Option<u64>>>,
    /// Those that did not reach as far as the index says.
    unsound: Mutex<BTreeSet<PackId>>,
    marks: Marks,
}

impl<'r> Reliance<'r> {
    /// Reads the marks that are there. Fails if packs are gone that an earlier backup on this open
    /// repository uploaded and could not list.
    pub(super) fn begin(repository: &'r Repository, index: &Index) -> Result<Self, RepoError> {
        let mut marks = Marks { known: index.files(), marks: BTreeMap::new() };
        for (id, mark) in index.condemned() {
            marks.marks.insert(Object::Index(id), mark);
        }
        marks.look(repository)?;
        let condemned: HashSet<PackId> =
            marks.marks.values().flat_map(|mark| mark.packs.iter().copied()).collect();
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
        let stored = self.stored()?;
        if let Ok(place) = stored.binary_search_by_key(&pack, |(pack, _)| *pack) {
            return Ok(Some(stored[place].1));
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

    fn stored(&self) -> Result<&[(PackId, u64)], RepoError> {
        if let Some(stored) = self.stored.get() {
            return Ok(stored);
        }
        let _one_lister = lock(&self.listing);
        if let Some(stored) = self.stored.get() {
            return Ok(stored);
        }
        let listed = self.repository.store().list(Kind::Data)?.into_iter();
        let mut stored: Vec<_> =
            listed.filter_map(|(object, size)| Some((object.pack()?, size))).collect();
        stored.sort_unstable();
        Ok(self.stored.get_or_init(|| stored))
    }

    /// Makes sure that all that is relied on stays, `own` packs included; called when they are in an
    /// index file.
    pub(super) fn secure(
        &self,
        index: &Index,
        own: impl Iterator<Item = (PackId, u64)>,
        random: &dyn Random,
    ) -> Result<Footing, RepoError> {
        let repository = self.repository;
        let mut packs = self.packs.read().unwrap_or_else(PoisonError::into_inner).clone();
        packs.extend(own);
        let mut marks = self.marks.clone();
        marks.known.extend(index.files());
        let own = index.files();
        let own = own.difference(&self.marks.known).map(|(object, _)| *object).collect();
        let mut footing = Footing { packs: Arc::new(packs), marks, own, relisted: Vec::new() };
        for _ in 0..LOOKS_MAX {
            let mut condemned = footing.look(repository)?;
            if condemned.is_empty() {
                // After a look, because a sweep that it came too late for has removed its packs. And
                // before another one, so that whoever publishes has all of the grace time.
                footing.assert_stored(repository)?;
                condemned = footing.look(repository)?;
                if condemned.is_empty() {
                    return Ok(footing);
                }
            }
            footing.list_again(repository, index, &condemned, random)?;
        }
        let pack = footing.look(repository)?.into_iter().next();
        match pack {
            None => footing.assert_stored(repository).map(|()| footing),
            Some(pack) => Err(outdated(repository, Object::Data(pack))),
        }
    }
}

/// The index files that were looked at, and the marks among them.
#[derive(Debug, Clone)]
struct Marks {
    /// With their bytes: one that was cut off is another one.
    known: BTreeSet<(Object, u64)>,
    marks: BTreeMap<Object, Condemned>,
}

impl Marks {
    /// Looks at what is new; the index files that are gone.
    fn look(&mut self, repository: &Repository) -> Result<BTreeSet<Object>, RepoError> {
        let listed = repository.store().list(Kind::Index)?;
        let listed: BTreeSet<(Object, u64)> = listed.into_iter().collect();
        for &(object, _) in listed.difference(&self.known) {
            if let Some(mark) = read(repository, object)?.notes.condemned {
                self.marks.insert(object, mark);
            }
        }
        let gone = self.known.difference(&listed).map(|(object, _)| *object).collect();
        let is_listed = |object: &Object| listed.range((*object, 0)..=(*object, u64::MAX)).next();
        self.marks.retain(|object, _| is_listed(object).is_some());
        self.known = listed;
        Ok(gone)
    }
}

/// What a finished backup stands on, until its snapshot is there.
#[derive(Debug, Clone)]
pub(super) struct Footing {
    /// With their bytes.
    packs: Arc<HashMap<PackId, u64>>,
    marks: Marks,
    /// The index files that list what this backup uploaded.
    own: Vec<Object>,
    relisted: Vec<Relisted>,
}

/// Packs that are listed again, and the index files of this backup that do it.
#[derive(Debug, Clone)]
struct Relisted {
    files: Vec<Object>,
    packs: BTreeSet<PackId>,
}

impl Relisted {
    /// Whether the pack is revived: the files are younger than the mark.
    fn revives(&self, pack: &PackId, mark: &Condemned) -> bool {
        let is_younger = |file: &Object| file.index().is_some_and(|id| !mark.indexes.contains(&id));
        self.packs.contains(pack) && self.files.iter().all(is_younger)
    }
}

impl Footing {
    /// Looks whether all packs stay; those that a mark condemns and nothing of ours revives. Fails if
    /// packs are gone or about to go.
    fn look(&mut self, repository: &Repository) -> Result<BTreeSet<PackId>, RepoError> {
        let gone = self.marks.look(repository)?;
        let mut condemned = BTreeSet::new();
        for mark in self.marks.marks.values() {
            let mut packs =
                mark.packs.iter().filter(|pack| self.packs.contains_key(pack)).peekable();
            if let (true, Some(pack)) = (mark.sweeping, packs.peek()) {
                self.withdraw(repository);
                return Err(outdated(repository, Object::Data(**pack)));
            }
            let is_revived = |pack: &&PackId| self.relisted.iter().any(|r| r.revives(pack, mark));
            condemned.extend(packs.filter(|pack| !is_revived(pack)));
        }
        if !gone.is_empty() {
            self.find_all(repository)?;
        }
        Ok(condemned)
    }

    /// Checks that every pack is there, and as long as it was. Marks and announcements may have come
    /// and gone while this backup slept, before its index file listed what it had uploaded.
    fn assert_stored(&self, repository: &Repository) -> Result<(), RepoError> {
        let mut missing: HashSet<PackId> = self.packs.keys().copied().collect();
        if missing.len() > ASKED_MAX {
            for (object, size) in repository.store().list(Kind::Data)? {
                let Some(pack) = object.pack() else { continue };
                if self.packs.get(&pack) == Some(&size) {
                    missing.remove(&pack);
                }
            }
        } else {
            for (pack, size) in self.packs.iter() {
                if size_of(repository, *pack)? == Some(*size) {
                    missing.remove(pack);
                }
            }
        }
        if !missing.is_empty() {
            self.unlist(repository, &missing);
        }
        self.assert_none(repository, missing)
    }

    /// Takes back the index files of this backup that list packs which are gone, where that is
    /// allowed, so that nobody relies on them. What else they list is uploaded again, or known from
    /// the journal. Where it is not allowed, the next prune takes those packs out of the index.
    fn unlist(&self, repository: &Repository, missing: &HashSet<PackId>) {
        for &object in &self.own {
            let file = read(repository, object).unwrap_or_default();
            if file.packs.iter().any(|(pack, _)| missing.contains(pack)) {
                let _gone = repository.store().remove(&object);
            }
        }
    }

    /// Fails if a pack is missing.
    fn assert_none(
        &self,
        repository: &Repository,
        missing: impl IntoIterator<Item = PackId>,
    ) -> Result<(), RepoError> {
        match missing.into_iter().next() {
            None => Ok(()),
            Some(pack) => {
                self.withdraw(repository);
                Err(outdated(repository, Object::Data(pack)))
            }
        }
    }

    /// Checks that every pack is there, and that index files of others list it.
    fn find_all(&self, repository: &Repository) -> Result<(), RepoError> {
        self.assert_stored(repository)?;
        let mut missing: HashSet<PackId> = self.packs.keys().copied().collect();
        for object in self.files_of_others() {
            for (pack, _) in read(repository, object)?.packs {
                missing.remove(&pack);
            }
        }
        self.assert_none(repository, missing)
    }

    fn files_of_others(&self) -> Vec<Object> {
        let own: HashSet<&Object> = self.relisted.iter().flat_map(|r| &r.files).collect();
        let known = self.marks.known.iter().map(|(object, _)| *object);
        known.filter(|object| !own.contains(object)).collect()
    }

    /// Writes index files that list `condemned` packs, so that they are spared.
    fn list_again(
        &mut self,
        repository: &Repository,
        index: &Index,
        condemned: &BTreeSet<PackId>,
        random: &dyn Random,
    ) -> Result<(), RepoError> {
        let notes = Notes { chunk_average: index.chunk_average(), condemned: None };
        let mut writer = Writer::new(repository, notes, random);
        let mut missing: BTreeSet<PackId> = condemned.clone();
        for object in self.files_of_others() {
            for (pack, entries) in read(repository, object)?.packs {
                if missing.remove(&pack) {
                    writer.add(pack, entries)?;
                }
            }
        }
        // Also if something is missing: what was written must be known to be withdrawn.
        let files = writer.finish()?;
        self.marks.known.extend(files.iter().copied());
        let files = files.into_iter().map(|(object, _)| object).collect();
        self.relisted.push(Relisted { files, packs: condemned.clone() });
        self.assert_none(repository, missing)
    }

    /// Takes back index files that list packs which may be gone, where that is allowed. Where it is
    /// not, the mark under which the packs went keeps others from relying on them.
    fn withdraw(&self, repository: &Repository) {
        for object in self.relisted.iter().flat_map(|relisted| &relisted.files) {
            let _gone = repository.store().remove(object);
        }
    }

    /// Makes sure once more that all packs stay, after the snapshot of the backup was published.
    pub(super) fn confirm(&self, repository: &Repository) -> Result<(), RepoError> {
        // Marks that wait do no harm any more: their sweep sees the snapshot.
        self.clone().look(repository).map(drop)
    }
}

/// What an index file says. One that is gone between list and look says nothing; whatever took its
/// place is seen by the next look. Nor does a damaged one, which a backup does without.
fn read(repository: &Repository, object: Object) -> Result<IndexFile, RepoError> {
    match index_file::read(repository, object) {
        Err(
            RepoError::Store(StoreError::NotFound { .. })
            | RepoError::Damaged { .. }
            | RepoError::HashMismatch { .. },
        ) => Ok(IndexFile::default()),
        other => other,
    }
}

/// The bytes of a pack in the store; `None` if it is not there.
fn size_of(repository: &Repository, pack: PackId) -> Result<Option<u64>, RepoError> {
    match repository.store().size(&Object::Data(pack)) {
        Ok(size) => Ok(Some(size)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outdated(repository: &Repository, object: Object) -> RepoError {
    RepoError::Outdated { object, location: repository.location() }
}
