//! What a backup relies on, and whether it may: packs that a prune has condemned are not to be
//! relied on, and those that it condemns while the backup works are listed again.
//!
//! [`prune`](crate::prune) says why that is enough.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::{IndexId, PackId};
use outlast_store::{Kind, Object, ObjectName, StoreError};
use outlast_types::Random;

use crate::index_file::{self, Writer};
use crate::{Index, RepoError, Repository};

/// How often a backup lists packs again before it gives up. Once is enough unless somebody prunes
/// without pause.
const LOOKS_MAX: u32 = 8;
/// So many packs are asked for one by one; for more, all are listed at once.
const ASKED_MAX: usize = 16;

/// The packs that a running backup relies on.
#[derive(Debug)]
pub(super) struct Reliance {
    /// Those that were condemned when it began.
    condemned: HashSet<PackId>,
    /// Those in which it found blobs.
    packs: RwLock<HashSet<PackId>>,
    marks: Marks,
}

impl Reliance {
    /// Reads the marks that are there. Fails if packs are gone that an earlier backup on this open
    /// repository uploaded and could not list.
    pub(super) fn begin(repository: &Repository, index: &Index) -> Result<Self, RepoError> {
        let mut marks = Marks { known: index.files(), marks: BTreeMap::new() };
        for (id, mark) in index.condemned() {
            marks.marks.insert(Object::Index(ObjectName(id.0)), mark);
        }
        marks.look(repository)?;
        let condemned: HashSet<PackId> =
            marks.marks.values().flat_map(|mark| mark.packs.iter().copied()).collect();
        for pack in index.unsaved_packs() {
            let object = Object::Data(ObjectName(pack.0));
            match repository.store().size(&object) {
                Ok(_) if !condemned.contains(&pack) => {}
                Ok(_) | Err(StoreError::NotFound { .. }) => {
                    return Err(outdated(repository, object));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { condemned, packs: RwLock::default(), marks })
    }

    /// Whether a blob that lies in `pack` may be referred to. If so, the pack is relied on.
    pub(super) fn allows(&self, pack: PackId) -> bool {
        if self.condemned.contains(&pack) {
            return false;
        }
        // Mostly it is known, and readers do not wait for each other.
        if !self.packs.read().unwrap_or_else(PoisonError::into_inner).contains(&pack) {
            self.packs.write().unwrap_or_else(PoisonError::into_inner).insert(pack);
        }
        true
    }

    /// Makes sure that all that is relied on stays, `own` packs included; called when they are in an
    /// index file.
    pub(super) fn secure(
        &self,
        repository: &Repository,
        index: &Index,
        own: impl Iterator<Item = PackId>,
        random: &dyn Random,
    ) -> Result<Footing, RepoError> {
        let mut packs = self.packs.read().unwrap_or_else(PoisonError::into_inner).clone();
        packs.extend(own);
        let mut marks = self.marks.clone();
        marks.known.extend(index.files());
        let own = index.files().difference(&self.marks.known).copied().collect();
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
            Some(pack) => Err(outdated(repository, Object::Data(ObjectName(pack.0)))),
        }
    }
}

/// The index files that were looked at, and the marks among them.
#[derive(Debug, Clone)]
struct Marks {
    known: BTreeSet<Object>,
    marks: BTreeMap<Object, Condemned>,
}

impl Marks {
    /// Looks at what is new; the index files that are gone.
    fn look(&mut self, repository: &Repository) -> Result<BTreeSet<Object>, RepoError> {
        let listed = repository.store().list(Kind::Index)?;
        let listed: BTreeSet<Object> = listed.into_iter().map(|(object, _)| object).collect();
        for &object in listed.difference(&self.known) {
            if let Some(mark) = read(repository, object)?.notes.condemned {
                self.marks.insert(object, mark);
            }
        }
        let gone = self.known.difference(&listed).copied().collect();
        self.marks.retain(|object, _| listed.contains(object));
        self.known = listed;
        Ok(gone)
    }
}

/// What a finished backup stands on, until its snapshot is there.
#[derive(Debug, Clone)]
pub(super) struct Footing {
    packs: Arc<HashSet<PackId>>,
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
        let is_younger =
            |file: &Object| file.name().is_some_and(|f| !mark.indexes.contains(&IndexId(f.0)));
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
            let mut packs = mark.packs.iter().filter(|pack| self.packs.contains(pack)).peekable();
            if let (true, Some(pack)) = (mark.sweeping, packs.peek()) {
                self.withdraw(repository);
                return Err(outdated(repository, Object::Data(ObjectName(pack.0))));
            }
            let is_revived = |pack: &&PackId| self.relisted.iter().any(|r| r.revives(pack, mark));
            condemned.extend(packs.filter(|pack| !is_revived(pack)));
        }
        if !gone.is_empty() {
            self.find_all(repository)?;
        }
        Ok(condemned)
    }

    /// Checks that every pack is there. Marks and announcements may have come and gone while this
    /// backup slept, before its index file listed what it had uploaded.
    fn assert_stored(&self, repository: &Repository) -> Result<(), RepoError> {
        let mut missing: HashSet<PackId> = self.packs.iter().copied().collect();
        if missing.len() > ASKED_MAX {
            for (object, _) in repository.store().list(Kind::Data)? {
                object.name().map(|name| missing.remove(&PackId(name.0)));
            }
        } else {
            for pack in self.packs.iter() {
                match repository.store().size(&Object::Data(ObjectName(pack.0))) {
                    Ok(_) => _ = missing.remove(pack),
                    Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
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
                Err(outdated(repository, Object::Data(ObjectName(pack.0))))
            }
        }
    }

    /// Checks that every pack is there, and that index files of others list it.
    fn find_all(&self, repository: &Repository) -> Result<(), RepoError> {
        self.assert_stored(repository)?;
        let mut missing: HashSet<PackId> = self.packs.iter().copied().collect();
        for object in self.files_of_others() {
            for (pack, _) in read(repository, object)?.packs {
                missing.remove(&pack);
            }
        }
        self.assert_none(repository, missing)
    }

    fn files_of_others(&self) -> Vec<Object> {
        let own: HashSet<&Object> = self.relisted.iter().flat_map(|r| &r.files).collect();
        self.marks.known.iter().filter(|object| !own.contains(object)).copied().collect()
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

fn outdated(repository: &Repository, object: Object) -> RepoError {
    RepoError::Outdated { object, location: repository.location() }
}
