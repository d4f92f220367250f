//! Index files, and what is wrong with them.

use std::collections::{BTreeMap, HashSet};

use outlast_format::index::IndexFile;
use outlast_format::pack::PackEntry;
use outlast_format::{IndexId, PackId};

use super::outcome::{Outcome, Remains};
use crate::index_file::{self, IndexWriter};
use crate::inventory::Inventory;
use crate::pack_header::{self, Stored};
use crate::proof::{Finding, Prover};
use crate::{RepoError, Repository};

/// The fate of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Kept,
    /// New ones list what it lists as far as it is right; then it is removed.
    Replaced,
}

/// All index files judged, and which packs those list that are kept or new.
pub(super) struct Review<'r> {
    repository: &'r Repository,
    prover: Prover<'r>,
    pub(super) inventory: Inventory<'r>,
    pub(super) files: Vec<(IndexId, Verdict)>,
    /// The largest that any readable index file notes, and that any of those notes which are kept.
    pub(super) chunk_average: Option<u32>,
    pub(super) kept_average: Option<u32>,
    /// Files to replace that can be read.
    readable: Vec<IndexId>,
}

impl<'r> Review<'r> {
    /// Looks at all index files; those that can be read are replaced only if they are wrong, or if
    /// it is to be `all` of them.
    pub(super) fn make(
        repository: &'r Repository,
        all: bool,
        outcome: &mut Outcome,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<Self, RepoError> {
        let inventory = Inventory::take(repository.opened())?;
        let files = inventory.files().to_vec();
        let mut review = Self {
            repository,
            prover: Prover::new(repository)?,
            inventory,
            files: Vec::with_capacity(files.len()),
            chunk_average: None,
            kept_average: None,
            readable: Vec::new(),
        };
        for index in files {
            keep_going()?;
            let verdict = match index_file::read(repository.opened(), index) {
                Ok(file) => review.judge(index, &file, all, outcome),
                Err(error @ (RepoError::Damaged { .. } | RepoError::HashMismatch { .. })) => {
                    outcome.damaged.push(error);
                    Verdict::Replaced
                }
                Err(error) => return Err(error),
            };
            review.files.push((index, verdict));
        }
        outcome.missing = review.inventory.missing();
        Ok(review)
    }

    fn judge(
        &mut self,
        index: IndexId,
        file: &IndexFile,
        all: bool,
        outcome: &mut Outcome,
    ) -> Verdict {
        self.chunk_average = self.chunk_average.max(file.notes.chunk_average);
        for (pack, _) in &file.packs {
            if self.size_of(pack).is_none() {
                self.inventory.list(*pack);
            }
        }
        let mut right = !all || file.packs.is_empty();
        // A file of notes alone says nothing about packs that could be read from them.
        for (pack, entries) in file.packs.iter().take_while(|_| !all) {
            right &= self.inventory.fit(pack, entries).is_whole()
                || self.is_all_there_is(*pack, entries, outcome);
        }
        if right {
            for (pack, _) in &file.packs {
                self.inventory.list(*pack);
            }
            self.kept_average = self.kept_average.max(file.notes.chunk_average);
            return Verdict::Kept;
        }
        self.readable.push(index);
        Verdict::Replaced
    }

    /// Lists what replaced files say of packs that are not listed otherwise, where it fits them.
    pub(super) fn list_fitting(
        &mut self,
        writer: &mut IndexWriter<'_>,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        self.each_replaced(keep_going, |review, file| {
            for (pack, entries) in file.packs {
                if review.inventory.fit(&pack, &entries).is_whole() && review.inventory.list(pack) {
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
        writer: &mut IndexWriter<'_>,
        outcome: &mut Outcome,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        if self.inventory.unlisted().next().is_none() {
            return Ok(());
        }
        let mut said: BTreeMap<PackId, HashSet<PackEntry>> = BTreeMap::new();
        self.each_replaced(keep_going, |review, file| {
            for (pack, entries) in file.packs {
                if review.size_of(&pack).is_some() && !review.inventory.is_listed(&pack) {
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
                self.inventory.list(pack);
                writer.add(pack, kept)?;
            }
        }
        Ok(())
    }

    /// Keeps the marks of prune in the files that are replaced.
    pub(super) fn keep_marks(
        &mut self,
        writer: &mut IndexWriter<'_>,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        self.each_replaced(keep_going, |_, file| match file.notes.condemned {
            Some(mark) => writer.add_mark(mark),
            None => Ok(()),
        })
    }

    fn each_replaced(
        &mut self,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
        mut each: impl FnMut(&mut Self, IndexFile) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        for index in self.readable.clone() {
            keep_going()?;
            let file = index_file::read(self.repository.opened(), index)?;
            each(self, file)?;
        }
        Ok(())
    }

    /// Which of these blobs stay listed, and how many do not. What the store does not give now may
    /// be there.
    fn authentic(&mut self, pack: PackId, entries: &[PackEntry]) -> (Vec<PackEntry>, usize) {
        let size = self.size_of(&pack).unwrap_or(0);
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
        let Some(size) = self.size_of(&pack) else { return false };
        let stored = Stored::of_size(self.repository.store(), pack, size);
        if pack_header::read(&stored, self.repository.key()).is_ok() {
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

    fn size_of(&self, pack: &PackId) -> Option<u64> {
        self.inventory.packs().size_of(pack)
    }
}
