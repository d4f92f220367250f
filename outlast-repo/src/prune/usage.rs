//! Which of the blobs in a repository snapshots need.
//!
//! The order matters, because backups go on meanwhile: snapshots are listed first, then what the
//! [`Inventory`] lists. What a listed snapshot refers to is then in a listed index file, and what
//! that refers to is a listed pack.

use std::collections::HashMap;

use outlast_format::pack::{BlobType, PackEntry};
use outlast_format::tree::{NodeKind, Tree};
use outlast_format::{BlobId, PackId, SnapshotId};
use outlast_types::Monitor;

use super::work::whole_index;
use crate::error::Flaw;
use crate::inventory::{BitSet, Inventory};
use crate::read::tree::TreeReader;
use crate::read::{self, BlobError, TreeError};
use crate::{Index, Location, RepoError, Repository};

/// A repository as it was listed at one time, and what of it is needed.
pub(super) struct Usage<'r> {
    repository: &'r Repository,
    index: &'r Index,
    inventory: Inventory<'r>,
    /// The blobs that snapshots need, by their numbers in the index.
    needed: BitSet,
}

impl<'r> Usage<'r> {
    /// Looks at `repository`, which was opened for that, and walks all trees. Refuses a repository
    /// in which anything is missing that is needed to tell what is needed.
    pub(super) fn take(
        repository: &'r Repository,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
        monitor: &dyn Monitor,
    ) -> Result<Self, RepoError> {
        let snapshots = read::snapshots(repository)?;
        if let Some(error) = snapshots.unreadable.into_iter().next() {
            return Err(RepoError::not_whole(repository.location(), Flaw::Object(error)));
        }
        let inventory = Inventory::take(repository.opened())?;
        let index = whole_index(repository)?;
        let needed = BitSet::new(index.ordinals());
        let mut usage = Self { repository, index, inventory, needed };
        monitor.begin("find what is needed", None);
        let mut reader = TreeReader::new(repository)?;
        for (id, snapshot) in snapshots.list {
            monitor.item(&format!("snapshot {id:.8}"));
            usage.walk(&mut reader, id, snapshot.tree, keep_going)?;
        }
        Ok(usage)
    }

    /// Notes what is below `tree` as needed; what is noted already was walked.
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
            self.need_all(snapshot, &loaded, &mut waiting)?;
        }
        Ok(())
    }

    fn need_all(
        &mut self,
        snapshot: SnapshotId,
        tree: &Tree,
        waiting: &mut Vec<BlobId>,
    ) -> Result<(), RepoError> {
        for node in &tree.nodes {
            for &blob in node.content.iter().flatten() {
                self.need(snapshot, BlobType::Data, blob)?;
            }
            match node.subtree {
                Some(subtree) => self.enter(snapshot, subtree, waiting)?,
                None if node.kind == NodeKind::Directory => {
                    return Err(RepoError::not_whole(
                        self.repository.location(),
                        Flaw::NoTree { snapshot },
                    ));
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
        if self.need(snapshot, BlobType::Tree, tree)? {
            waiting.push(tree);
        }
        Ok(())
    }

    /// Notes a blob as needed; whether it was not yet.
    fn need(
        &mut self,
        snapshot: SnapshotId,
        kind: BlobType,
        blob: BlobId,
    ) -> Result<bool, RepoError> {
        match self.index.ordinal(kind, &blob)? {
            Some(number) => Ok(self.needed.insert(number)),
            None => Err(self.unreadable(snapshot, BlobError::NotIndexed { blob }.into())),
        }
    }

    fn unreadable(&self, snapshot: SnapshotId, source: TreeError) -> RepoError {
        match source {
            // Our own disk says nothing about the repository.
            TreeError::Blob(BlobError::Cache(error)) => error.into(),
            source => {
                RepoError::not_whole(self.repository.location(), Flaw::Tree { snapshot, source })
            }
        }
    }

    /// The number of a blob, if a snapshot needs it.
    pub(super) fn needed(&self, entry: &PackEntry) -> Result<Option<u64>, RepoError> {
        let number = self.index.ordinal(entry.kind, &entry.id)?;
        Ok(number.filter(|&number| self.needed.contains(number)))
    }

    /// The largest average length of chunks that any index file notes.
    pub(super) fn chunk_average(&self) -> Option<u32> {
        self.index.chunk_average()
    }

    /// How many numbers blobs have.
    pub(super) fn ordinals(&self) -> u64 {
        self.index.ordinals()
    }

    /// The index files and packs.
    pub(super) fn inventory(&self) -> &Inventory<'r> {
        &self.inventory
    }

    /// The bytes of a pack, if it is there.
    pub(super) fn size_of(&self, pack: &PackId) -> Option<u64> {
        self.inventory.packs().size_of(pack)
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
        self.inventory.each_file(|_, file| {
            for (pack, entries) in file.packs {
                let tally = self.tally_of(pack, &entries)?;
                match self.size_of(&pack) {
                    None if is_gone(&pack) => continue,
                    None if tally.used_blobs > 0 => {
                        return Err(RepoError::not_whole(
                            self.repository.location(),
                            Flaw::MissingPack { pack },
                        ));
                    }
                    Some(size) if size < tally.needs => {
                        let flaw = Flaw::PackSize { pack, size, expected: tally.needs };
                        return Err(RepoError::not_whole(self.repository.location(), flaw));
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
        let is_odd = size.is_some() && !self.inventory.fit(&pack, entries).is_whole();
        let mut tally = Tally { size: size.unwrap_or(0), is_odd, ..Tally::default() };
        for entry in entries {
            if self.is_needed_here(pack, entry)? {
                tally.used += u64::from(entry.length) + entry.header_length() as u64;
                tally.used_blobs += 1;
                tally.needs = tally.needs.max(entry.end());
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
        if self.needed(entry)?.is_none() {
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
}

/// The used part of a pack, in bytes and blobs.
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
