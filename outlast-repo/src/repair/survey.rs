//! What there is: packs, and index files with what is wrong with them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use outlast_format::PackId;
use outlast_format::crypto;
use outlast_format::index::IndexFile;
use outlast_format::pack::{PackEntry, TRAILER_LENGTH};
use outlast_store::{Kind, Object};

use super::writer::Writer;
use super::{Outcome, Remains};
use crate::proof::{Finding, Prover};
use crate::{RepoError, Repository, pack_header};

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

pub(super) struct Survey<'r> {
    repository: &'r Repository,
    prover: Prover<'r>,
    pub(super) files: Vec<(Object, Verdict)>,
    /// By id.
    pub(super) packs: Vec<Stored>,
    /// The largest that any readable index file notes, and that any of those notes which are kept.
    pub(super) chunk_average: Option<u32>,
    pub(super) kept_average: Option<u32>,
    /// Files to replace that can be read.
    readable: Vec<Object>,
}

impl<'r> Survey<'r> {
    /// Looks at all index files; those that can be read are replaced only if they are wrong, or if
    /// it is to be `all` of them.
    pub(super) fn make(
        repository: &'r Repository,
        all: bool,
        outcome: &mut Outcome,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<Self, RepoError> {
        // In this order: a pack is there before an index file lists it.
        let objects = repository.store().list(Kind::Index)?;
        let packs = stored_packs(repository)?;
        let (files, readable) = (Vec::with_capacity(objects.len()), Vec::new());
        let prover = Prover::new(repository)?;
        let (chunk_average, kept_average) = (None, None);
        let mut survey =
            Self { repository, prover, files, packs, chunk_average, kept_average, readable };
        let mut missing = BTreeSet::new();
        for (object, _) in objects {
            keep_going()?;
            let verdict = match read(repository, object) {
                Ok(file) => survey.judge(object, &file, all, &mut missing, outcome),
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
        outcome: &mut Outcome,
    ) -> Verdict {
        self.chunk_average = self.chunk_average.max(file.notes.chunk_average);
        missing
            .extend(file.packs.iter().map(|(pack, _)| *pack).filter(|p| self.find(*p).is_none()));
        let mut right = !all || file.packs.is_empty();
        // A file of notes alone says nothing about packs that could be read from them.
        for (pack, entries) in file.packs.iter().take_while(|_| !all) {
            right &= self.fits(*pack, entries) || self.is_all_there_is(*pack, entries, outcome);
        }
        if right {
            file.packs.iter().for_each(|(pack, _)| self.set_listed(*pack));
            self.kept_average = self.kept_average.max(file.notes.chunk_average);
            return Verdict::Kept;
        }
        self.readable.push(object);
        Verdict::Replaced
    }

    /// Lists what replaced files say of packs that are not listed otherwise, where it fits them.
    pub(super) fn list_fitting(
        &mut self,
        writer: &mut Writer<'_>,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        self.each_replaced(keep_going, |survey, file| {
            for (pack, entries) in file.packs {
                if survey.fits(pack, &entries) && !survey.is_listed(pack) {
                    survey.set_listed(pack);
                    writer.add(pack, entries)?;
                }
            }
            Ok(())
        })
    }

    /// Lists what of all that replaced files say is true of packs that nothing else could list: every
    /// blob that lies in its pack and is authentic. No size, no header and no neighbour of it needs
    /// to be right for that.
    pub(super) fn list_authentic(
        &mut self,
        writer: &mut Writer<'_>,
        outcome: &mut Outcome,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        if self.packs.iter().all(|stored| stored.listed) {
            return Ok(());
        }
        let mut said: BTreeMap<PackId, HashSet<PackEntry>> = BTreeMap::new();
        self.each_replaced(keep_going, |survey, file| {
            for (pack, entries) in file.packs {
                if survey.find(pack).is_some() && !survey.is_listed(pack) {
                    said.entry(pack).or_default().extend(entries);
                }
            }
            Ok(())
        })?;
        for (pack, entries) in said {
            keep_going()?;
            let entries: Vec<PackEntry> = entries.into_iter().collect();
            let (kept, lost) = self.authentic(pack, &entries);
            outcome.remains.push(Remains { pack, kept: kept.len(), lost });
            if !kept.is_empty() {
                self.set_listed(pack);
                writer.add(pack, kept)?;
            }
        }
        Ok(())
    }

    /// Keeps the marks of prune in the files that are replaced.
    pub(super) fn keep_marks(
        &mut self,
        writer: &mut Writer<'_>,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        self.each_replaced(keep_going, |_, file| match file.notes.condemned {
            Some(condemned) => writer.mark(condemned),
            None => Ok(()),
        })
    }

    fn each_replaced(
        &mut self,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
        mut each: impl FnMut(&mut Self, IndexFile) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        for object in self.readable.clone() {
            keep_going()?;
            let file = read(self.repository, object)?;
            each(self, file)?;
        }
        Ok(())
    }

    /// Which of these blobs stay listed, and how many do not. What the store does not give now may
    /// be there.
    fn authentic(&mut self, pack: PackId, entries: &[PackEntry]) -> (Vec<PackEntry>, usize) {
        let size = self.find(pack).map_or(0, |place| self.packs[place].size);
        let findings = self.prover.look(pack, size, entries);
        let kept = findings.into_iter().filter(|(_, finding)| *finding != Finding::Unsound);
        let kept: Vec<_> = kept.map(|(entry, _)| entry).collect();
        let lost = entries.len() - kept.len();
        (kept, lost)
    }

    /// Whether these blobs are all that can be had from a pack, though they do not fill it as they
    /// should: something was added to it, say.
    fn is_all_there_is(
        &mut self,
        pack: PackId,
        entries: &[PackEntry],
        outcome: &mut Outcome,
    ) -> bool {
        let Some(place) = self.find(pack) else { return false };
        if pack_header::read(self.repository, pack, self.packs[place].size).is_ok() {
            // That is listed instead.
            return false;
        }
        let (kept, lost) = self.authentic(pack, entries);
        let all = lost == 0 && !kept.is_empty();
        if all {
            outcome.remains.push(Remains { pack, kept: kept.len(), lost });
        }
        all
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
        .filter_map(|(object, size)| Some(Stored { pack: object.pack()?, size, listed: false }))
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
