//! Looking at a repository: what is there, and what of it snapshots need.
//!
//! The order matters, because backups go on meanwhile: snapshots are listed first, then the index
//! files, then packs. What a listed snapshot refers to is then in a listed index file, and what
//! that refers to is a listed pack.

use std::collections::HashMap;

use outlast_format::crypto::OVERHEAD;
use outlast_format::index::{Condemned, IndexFile};
use outlast_format::pack::{BlobType, PackEntry, TRAILER_LENGTH};
use outlast_format::tree::{NodeKind, Tree};
use outlast_format::{BlobId, IndexId, PackId, SnapshotId};
use outlast_store::{Kind, Object};
use outlast_types::Monitor;

use super::bits::Bits;
use crate::error::Flaw;
use crate::read::tree::TreeReader;
use crate::read::{self, BlobError, TreeError};
use crate::{Index, Location, RepoError, Repository, index_file};

/// What is in a repository, as listed at one time.
pub(super) struct Survey<'r> {
    repository: &'r Repository,
    index: &'r Index,
    /// The index files.
    pub(super) files: Vec<Object>,
    /// Every pack with its size in bytes, sorted.
    packs: Vec<(PackId, u64)>,
    /// Blobs that snapshots need, by their number in the index.
    used: Bits,
}

impl<'r> Survey<'r> {
    /// Looks at `repository`, which was opened for that, and walks all trees. Refuses a repository
    /// in which anything is missing that is needed to tell what is needed.
    pub(super) fn take(
        repository: &'r Repository,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
        monitor: &dyn Monitor,
    ) -> Result<Self, RepoError> {
        let snapshots = read::snapshots(repository)?;
        if let Some(error) = snapshots.unreadable.into_iter().next() {
            return Err(not_whole(repository, Flaw::Object(error)));
        }
        let files = repository.store().list(Kind::Index)?;
        let files = files.into_iter().map(|(object, _)| object).collect();
        let index = whole_index(repository)?;
        let packs = stored_packs(repository)?;
        let used = Bits::new(index.ordinals());
        let mut survey = Self { repository, index, files, packs, used };
        monitor.begin("find what is needed", None);
        let mut reader = TreeReader::new(repository)?;
        for (id, snapshot) in snapshots.list {
            monitor.item(&format!("snapshot {id:.8}"));
            survey.walk(&mut reader, id, snapshot.tree, keep_going)?;
        }
        Ok(survey)
    }

    /// Marks what is below `tree` as used; what is marked already was walked.
    fn walk(
        &mut self,
        reader: &mut TreeReader<'_>,
        snapshot: SnapshotId,
        tree: BlobId,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        let mut waiting = Vec::new();
        self.enter(snapshot, tree, &mut waiting)?;
        while let Some(tree) = waiting.pop() {
            keep_going()?;
            let loaded = reader.load(tree).map_err(|source| self.unreadable(snapshot, source))?;
            self.mark_all(snapshot, &loaded, &mut waiting)?;
        }
        Ok(())
    }

    fn mark_all(
        &mut self,
        snapshot: SnapshotId,
        tree: &Tree,
        waiting: &mut Vec<BlobId>,
    ) -> Result<(), RepoError> {
        for node in &tree.nodes {
            for &blob in node.content.iter().flatten() {
                self.mark(snapshot, BlobType::Data, blob)?;
            }
            match node.subtree {
                Some(subtree) => self.enter(snapshot, subtree, waiting)?,
                None if node.kind == NodeKind::Directory => {
                    return Err(not_whole(self.repository, Flaw::NoTree { snapshot }));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        snapshot: SnapshotId,
        tree: BlobId,
        waiting: &mut Vec<BlobId>,
    ) -> Result<(), RepoError> {
        if self.mark(snapshot, BlobType::Tree, tree)? {
            waiting.push(tree);
        }
        Ok(())
    }

    /// Marks a blob as used; whether it was not yet.
    fn mark(
        &mut self,
        snapshot: SnapshotId,
        kind: BlobType,
        blob: BlobId,
    ) -> Result<bool, RepoError> {
        match self.index.ordinal(kind, &blob)? {
            Some(number) => Ok(self.used.insert(number)),
            None => Err(self.unreadable(snapshot, BlobError::NotIndexed { blob }.into())),
        }
    }

    fn unreadable(&self, snapshot: SnapshotId, source: TreeError) -> RepoError {
        match source {
            // Our own disk says nothing about the repository.
            TreeError::Blob(BlobError::Cache(error)) => error.into(),
            source => not_whole(self.repository, Flaw::Tree { snapshot, source }),
        }
    }

    /// The number of a blob, if a snapshot needs it.
    pub(super) fn used(&self, entry: &PackEntry) -> Result<Option<u64>, RepoError> {
        let number = self.index.ordinal(entry.kind, &entry.id)?;
        Ok(number.filter(|&number| self.used.contains(number)))
    }

    /// The largest average length of chunks that any index file notes.
    pub(super) fn chunk_average(&self) -> Option<u32> {
        self.index.chunk_average()
    }

    /// How many numbers blobs have.
    pub(super) fn ordinals(&self) -> u64 {
        self.index.ordinals()
    }

    /// The size of a pack in bytes, if it is there.
    pub(super) fn size_of(&self, pack: &PackId) -> Option<u64> {
        let found = self.packs.binary_search_by_key(pack, |(pack, _)| *pack).ok()?;
        Some(self.packs[found].1)
    }

    /// Shows every index file to `each`.
    pub(super) fn each_file(
        &self,
        mut each: impl FnMut(Object, IndexFile) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        for &object in &self.files {
            each(object, index_file::read(self.repository, object)?)?;
        }
        Ok(())
    }

    /// Counts for every pack that an index file lists what of it is used. A blob that lies in
    /// several packs counts as used in the one that the index gives, and nowhere else.
    ///
    /// Packs of which `is_gone` holds may be missing, and those that nobody needs, which a backup
    /// listed after it had slept over their removal. Of all others it is an error.
    pub(super) fn tally(
        &self,
        is_gone: impl Fn(&PackId) -> bool,
    ) -> Result<HashMap<PackId, Tally>, RepoError> {
        let mut tallies: HashMap<PackId, Tally> = HashMap::new();
        self.each_file(|_, file| {
            for (pack, entries) in file.packs {
                let tally = self.tally_of(pack, &entries)?;
                match self.size_of(&pack) {
                    None if is_gone(&pack) => continue,
                    None if tally.used_blobs > 0 => {
                        return Err(not_whole(self.repository, Flaw::MissingPack { pack }));
                    }
                    Some(size) if size < tally.needs => {
                        let flaw = Flaw::PackSize { pack, size, expected: tally.needs };
                        return Err(not_whole(self.repository, flaw));
                    }
                    _ => {}
                }
                // Listed twice is not there twice; of lists that differ, the one with more use
                // protects the pack.
                let known = tallies.entry(pack).or_default();
                if tally.used >= known.used {
                    *known = tally;
                }
            }
            Ok(())
        })?;
        Ok(tallies)
    }

    fn tally_of(&self, pack: PackId, entries: &[PackEntry]) -> Result<Tally, RepoError> {
        let size = self.size_of(&pack);
        let is_odd = size.is_some() && expected_size(entries) != size;
        let mut tally = Tally { size: size.unwrap_or(0), is_odd, ..Tally::default() };
        for entry in entries {
            if self.is_needed_here(pack, entry)? {
                tally.used += u64::from(entry.length) + entry.header_length() as u64;
                tally.used_blobs += 1;
                tally.needs = tally.needs.max(u64::from(entry.offset) + u64::from(entry.length));
            }
        }
        if tally.used_blobs as usize == entries.len() {
            // What a pack costs by itself is not waste.
            tally.used = tally.size;
        }
        Ok(tally)
    }

    /// Whether a snapshot needs the blob, and this is the copy that counts: the one that the index
    /// gives, unless that cannot be there.
    pub(super) fn is_needed_here(
        &self,
        pack: PackId,
        entry: &PackEntry,
    ) -> Result<bool, RepoError> {
        if self.used(entry)?.is_none() {
            return Ok(false);
        }
        let given = self.index.locate(entry.kind, &entry.id)?;
        let Some(mut given) = given else { return Ok(false) };
        if !self.reaches(&given) {
            let places = self.index.locations(entry.kind, &entry.id)?;
            given = places.into_iter().find(|place| self.reaches(place)).unwrap_or(given);
        }
        Ok((given.pack, given.offset) == (pack, entry.offset))
    }

    /// All places where a blob lies by the index.
    pub(super) fn places(&self, entry: &PackEntry) -> Result<Vec<Location>, RepoError> {
        Ok(self.index.locations(entry.kind, &entry.id)?)
    }

    /// Whether the pack is there and as long as the blob's place needs.
    fn reaches(&self, place: &Location) -> bool {
        self.size_of(&place.pack).is_some_and(|size| place.end() <= size)
    }

    /// Packs that are there, with their sizes in bytes.
    pub(super) fn packs(&self) -> &[(PackId, u64)] {
        &self.packs
    }
}

/// What of a pack is used, in bytes and blobs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) size: u64,
    pub(super) used: u64,
    pub(super) used_blobs: u32,
    /// Where the last blob that is needed ends.
    needs: u64,
    /// Whether the pack is not as long as its blobs and its header are together: something was added
    /// to it, or its end is lost.
    pub(super) is_odd: bool,
}

/// The index, of which no file is damaged.
pub(super) fn whole_index(repository: &Repository) -> Result<&Index, RepoError> {
    let index = repository.index()?;
    if let Some(object) = index.problems().first().and_then(RepoError::object) {
        // Read once more, because an error cannot be taken out of an index.
        if let Err(error) = index_file::read(repository, object) {
            return Err(not_whole(repository, Flaw::Object(error)));
        }
    }
    Ok(index)
}

/// Packs with their sizes in bytes, sorted.
pub(super) fn stored_packs(repository: &Repository) -> Result<Vec<(PackId, u64)>, RepoError> {
    let listed = repository.store().list(Kind::Data)?.into_iter();
    let mut packs: Vec<_> =
        listed.filter_map(|(object, size)| Some((object.pack()?, size))).collect();
    packs.sort_unstable();
    Ok(packs)
}

/// The marks that lie in a repository, each with the index file that it is.
pub(super) fn marks(repository: &Repository) -> Result<Vec<(IndexId, Condemned)>, RepoError> {
    Ok(whole_index(repository)?.condemned())
}

pub(super) fn not_whole(repository: &Repository, flaw: Flaw) -> RepoError {
    RepoError::NotWhole { location: repository.location(), flaw: Box::new(flaw) }
}

/// The size of a pack with these blobs, if they follow each other without gaps.
fn expected_size(entries: &[PackEntry]) -> Option<u64> {
    let mut spans: Vec<(u64, u64)> =
        entries.iter().map(|entry| (entry.offset.into(), entry.length.into())).collect();
    spans.sort_unstable();
    let mut end = 0;
    for (offset, length) in spans {
        if offset != end {
            return None;
        }
        end += length;
    }
    let header: usize = entries.iter().map(PackEntry::header_length).sum();
    Some(end + (OVERHEAD + header + TRAILER_LENGTH) as u64)
}
