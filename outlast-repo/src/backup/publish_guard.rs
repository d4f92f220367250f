//! The packs that a finished backup stands on, watched until its snapshot is there.
//!
//! [`prune`](crate::prune) says why that is enough.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use outlast_format::index::{Condemned, IndexFile};
use outlast_format::{IndexId, PackId};
use outlast_store::{Kind, Object, StoreError};
use outlast_types::Random;

use crate::index_file::{self, IndexWriter};
use crate::inventory::StoredPacks;
use crate::{Index, RepoError, Repository};

/// How often a backup lists packs again before it gives up. Once is enough unless somebody prunes
/// without pause.
const LOOKS_MAX: u32 = 8;
/// So many packs are asked for one by one; for more, all are listed at once.
const ASKED_MAX: usize = 16;

/// The index files that were looked at, and the marks among them.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    /// With their bytes: one that was cut off is another one.
    known: BTreeSet<(IndexId, u64)>,
    marks: BTreeMap<IndexId, Condemned>,
}

impl Marks {
    /// Those that were there when `index` was loaded.
    pub(super) fn of(index: &Index) -> Self {
        Self { known: index.files(), marks: index.condemned().into_iter().collect() }
    }

    /// All packs in them.
    pub(super) fn condemned(&self) -> HashSet<PackId> {
        self.marks.values().flat_map(|mark| mark.packs.iter().copied()).collect()
    }

    /// Looks at what is new; the index files that are gone.
    pub(super) fn look(&mut self, repository: &Repository) -> Result<BTreeSet<IndexId>, RepoError> {
        let listed = repository.store().list(Kind::Index)?.into_iter();
        let listed: BTreeSet<(IndexId, u64)> =
            listed.filter_map(|(object, size)| Some((object.index()?, size))).collect();
        for &(index, _) in listed.difference(&self.known) {
            if let Some(mark) = read(repository, index)?.notes.condemned {
                self.marks.insert(index, mark);
            }
        }
        let gone = self.known.difference(&listed).map(|(index, _)| *index).collect();
        let is_listed = |index: &IndexId| listed.range((*index, 0)..=(*index, u64::MAX)).next();
        self.marks.retain(|index, _| is_listed(index).is_some());
        self.known = listed;
        Ok(gone)
    }
}

/// A guard over the packs that a finished backup stands on, until its snapshot is there.
#[derive(Debug, Clone)]
pub(super) struct PublishGuard {
    /// With their bytes.
    packs: Arc<HashMap<PackId, u64>>,
    marks: Marks,
    /// The index files that list what this backup uploaded.
    own: Vec<IndexId>,
    relisted: Vec<Relisted>,
}

/// Packs that are listed again, and the index files of this backup that do it.
#[derive(Debug, Clone)]
struct Relisted {
    files: Vec<IndexId>,
    packs: BTreeSet<PackId>,
}

impl Relisted {
    /// Whether the pack is revived: the files are younger than the mark.
    fn revives(&self, pack: &PackId, mark: &Condemned) -> bool {
        self.packs.contains(pack) && !self.files.iter().any(|file| mark.indexes.contains(file))
    }
}

impl PublishGuard {
    /// Makes sure that all `packs` that a backup refers to stay. Its index files are in `index`;
    /// those that `marks` know were there before.
    pub(super) fn secure(
        repository: &Repository,
        index: &Index,
        packs: HashMap<PackId, u64>,
        marks: &Marks,
        random: &dyn Random,
    ) -> Result<Self, RepoError> {
        let (files, mut marks) = (index.files(), marks.clone());
        let own = files.difference(&marks.known).map(|(index, _)| *index).collect();
        marks.known.extend(files);
        let mut guard = Self { packs: Arc::new(packs), marks, own, relisted: Vec::new() };
        for _ in 0..LOOKS_MAX {
            let mut condemned = guard.look(repository)?;
            if condemned.is_empty() {
                // After a look, because a sweep that it came too late for has removed its packs. And
                // before another one, so that whoever publishes has all of the grace time.
                guard.assert_stored(repository)?;
                condemned = guard.look(repository)?;
                if condemned.is_empty() {
                    return Ok(guard);
                }
            }
            guard.list_again(repository, index, &condemned, random)?;
        }
        let pack = guard.look(repository)?.into_iter().next();
        match pack {
            None => guard.assert_stored(repository).map(|()| guard),
            Some(pack) => Err(outdated(repository, Object::Data(pack))),
        }
    }

    /// For a snapshot that is published by somebody who looks himself.
    pub(super) fn of_others(marks: &Marks) -> Self {
        let (packs, own, relisted) = (Arc::default(), Vec::new(), Vec::new());
        Self { packs, marks: marks.clone(), own, relisted }
    }

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
            let stored = StoredPacks::list(repository.opened())?;
            missing.retain(|pack| stored.size_of(pack).as_ref() != self.packs.get(pack));
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
        for &index in &self.own {
            let file = read(repository, index).unwrap_or_default();
            if file.packs.iter().any(|(pack, _)| missing.contains(pack)) {
                let _gone = repository.store().remove(&Object::Index(index));
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
        for index in self.files_of_others() {
            for (pack, _) in read(repository, index)?.packs {
                missing.remove(&pack);
            }
        }
        self.assert_none(repository, missing)
    }

    fn files_of_others(&self) -> Vec<IndexId> {
        let own: HashSet<&IndexId> = self.relisted.iter().flat_map(|r| &r.files).collect();
        let known = self.marks.known.iter().map(|(index, _)| *index);
        known.filter(|index| !own.contains(index)).collect()
    }

    /// Writes index files that list `condemned` packs, so that they are spared.
    fn list_again(
        &mut self,
        repository: &Repository,
        index: &Index,
        condemned: &BTreeSet<PackId>,
        random: &dyn Random,
    ) -> Result<(), RepoError> {
        let mut writer = IndexWriter::new(repository.opened(), index.chunk_average(), random);
        let mut missing: BTreeSet<PackId> = condemned.clone();
        for index in self.files_of_others() {
            for (pack, entries) in read(repository, index)?.packs {
                if missing.remove(&pack) {
                    writer.add(pack, entries)?;
                }
            }
        }
        // Also if something is missing: what was written must be known to be withdrawn.
        let files = writer.finish()?.files;
        self.marks.known.extend(files.iter().copied());
        let files = files.into_iter().map(|(index, _)| index).collect();
        self.relisted.push(Relisted { files, packs: condemned.clone() });
        self.assert_none(repository, missing)
    }

    /// Takes back index files that list packs which may be gone, where that is allowed. Where it is
    /// not, the mark under which the packs went keeps others from relying on them.
    fn withdraw(&self, repository: &Repository) {
        for index in self.relisted.iter().flat_map(|relisted| &relisted.files) {
            let _gone = repository.store().remove(&Object::Index(*index));
        }
    }

    /// Makes sure once more that all packs stay, after the snapshot of the backup was published.
    pub(super) fn confirm(&self, repository: &Repository) -> Result<(), RepoError> {
        // Marks that wait do no harm any more: their sweep sees the snapshot.
        self.clone().look(repository).map(drop)
    }
}

/// The content of an index file. One that is gone between list and look says nothing; whatever took
/// its place is seen by the next look. Nor does a damaged one, which a backup does without.
fn read(repository: &Repository, index: IndexId) -> Result<IndexFile, RepoError> {
    match index_file::read(repository.opened(), index) {
        Err(
            RepoError::Store(StoreError::NotFound { .. })
            | RepoError::Damaged { .. }
            | RepoError::HashMismatch { .. },
        ) => Ok(IndexFile::default()),
        other => other,
    }
}

/// The bytes of a pack in the store; `None` if it is not there.
pub(super) fn size_of(repository: &Repository, pack: PackId) -> Result<Option<u64>, RepoError> {
    match repository.store().size(&Object::Data(pack)) {
        Ok(size) => Ok(Some(size)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn outdated(repository: &Repository, object: Object) -> RepoError {
    RepoError::Outdated { object, location: repository.location() }
}
