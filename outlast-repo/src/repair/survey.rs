//! What there is: packs, and index files with what is wrong with them.

use std::collections::BTreeSet;

use outlast_format::PackId;
use outlast_format::crypto;
use outlast_format::index::IndexFile;
use outlast_format::pack::{PackEntry, TRAILER_LENGTH};
use outlast_store::{Kind, Object};

use super::Outcome;
use super::writer::Writer;
use crate::{RepoError, Repository};

/// What becomes of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Kept,
    /// New ones list what it lists as far as it is right; then it is removed.
    Replaced,
}

/// A pack that is there.
pub(super) struct Stored {
    pub(super) pack: PackId,
    pub(super) size: u64,
    /// Whether an index file lists it that is kept or new.
    pub(super) listed: bool,
}

pub(super) struct Survey {
    pub(super) files: Vec<(Object, Verdict)>,
    /// By id.
    pub(super) packs: Vec<Stored>,
    /// The largest that any readable index file notes, and that any of those notes which are kept.
    pub(super) chunk_average: Option<u32>,
    pub(super) kept_average: Option<u32>,
    /// Files to replace that can be read.
    readable: Vec<Object>,
}

impl Survey {
    /// Looks at all index files; those that can be read are replaced only if they are wrong, or if
    /// it is to be `all` of them.
    pub(super) fn make(
        repository: &Repository,
        all: bool,
        outcome: &mut Outcome,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<Self, RepoError> {
        // In this order: a pack is there before an index file lists it.
        let objects = repository.store().list(Kind::Index)?;
        let packs = stored_packs(repository)?;
        let (files, readable) = (Vec::with_capacity(objects.len()), Vec::new());
        let (chunk_average, kept_average) = (None, None);
        let mut survey = Self { files, packs, chunk_average, kept_average, readable };
        let mut missing = BTreeSet::new();
        for (object, _) in objects {
            keep_going()?;
            let verdict = match read(repository, object) {
                Ok(file) => survey.judge(object, &file, all, &mut missing),
                Err(error @ (RepoError::Damaged { .. } | RepoError::HashMismatch { .. })) => {
                    outcome.damaged.push(error);
                    Verdict::Replaced
                }
                Err(error) => return Err(error),
            };
            survey.files.push((object, verdict));
        }
        outcome.missing = missing.into_iter().collect();
        Ok(survey)
    }

    fn judge(
        &mut self,
        object: Object,
        file: &IndexFile,
        all: bool,
        missing: &mut BTreeSet<PackId>,
    ) -> Verdict {
        self.chunk_average = self.chunk_average.max(file.notes.chunk_average);
        missing
            .extend(file.packs.iter().map(|(pack, _)| *pack).filter(|p| self.find(*p).is_none()));
        let right = file.packs.iter().all(|(pack, entries)| self.fits(*pack, entries));
        // A file of notes alone says nothing about packs that could be read from them.
        if right && (!all || file.packs.is_empty()) {
            file.packs.iter().for_each(|(pack, _)| self.set_listed(*pack));
            self.kept_average = self.kept_average.max(file.notes.chunk_average);
            return Verdict::Kept;
        }
        self.readable.push(object);
        Verdict::Replaced
    }

    /// Lists what replaced files say of packs that are not listed otherwise, and keeps their marks.
    pub(super) fn salvage(
        &mut self,
        repository: &Repository,
        writer: &mut Writer<'_>,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        for object in std::mem::take(&mut self.readable) {
            keep_going()?;
            let file = read(repository, object)?;
            for (pack, entries) in file.packs {
                if self.fits(pack, &entries) && !self.is_listed(pack) {
                    self.set_listed(pack);
                    writer.add(pack, entries)?;
                }
            }
            if let Some(condemned) = file.notes.condemned {
                writer.mark(condemned)?;
            }
        }
        Ok(())
    }

    fn find(&self, pack: PackId) -> Option<usize> {
        self.packs.binary_search_by_key(&pack, |stored| stored.pack).ok()
    }

    pub(super) fn is_listed(&self, pack: PackId) -> bool {
        self.find(pack).is_some_and(|place| self.packs[place].listed)
    }

    pub(super) fn set_listed(&mut self, pack: PackId) {
        if let Some(place) = self.find(pack) {
            self.packs[place].listed = true;
        }
    }

    /// Whether the pack is there, and these blobs fill it up to a header that lists them.
    fn fits(&self, pack: PackId, entries: &[PackEntry]) -> bool {
        let Some(place) = self.find(pack) else { return false };
        let mut extents: Vec<_> = entries
            .iter()
            .map(|entry| (u64::from(entry.offset), u64::from(entry.length)))
            .collect();
        extents.sort_unstable();
        let mut end = 0;
        let contiguous = extents.iter().all(|&(offset, length)| {
            let follows = offset == end;
            end = offset + length;
            follows
        });
        let header: usize = entries.iter().map(PackEntry::header_length).sum();
        let tail = (crypto::OVERHEAD + header + TRAILER_LENGTH) as u64;
        contiguous && end + tail == self.packs[place].size
    }
}

fn stored_packs(repository: &Repository) -> Result<Vec<Stored>, RepoError> {
    let objects = repository.store().list(Kind::Data)?.into_iter();
    let mut packs: Vec<_> = objects
        .filter_map(|(object, size)| {
            Some(Stored { pack: PackId(object.name()?.0), size, listed: false })
        })
        .collect();
    packs.sort_unstable_by_key(|stored| stored.pack);
    Ok(packs)
}

fn read(repository: &Repository, object: Object) -> Result<IndexFile, RepoError> {
    let document = repository.read_unpacked(&object)?;
    IndexFile::parse(&document).map_err(|source| RepoError::Damaged {
        object,
        location: repository.location(),
        source,
    })
}
