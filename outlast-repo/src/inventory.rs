//! The content of a repository: the packs in its store, and what index files say of them.
//!
//! A check, a prune and a repair look at the same things and ask different questions about them.
//! The things are here: index files and packs as they were listed at one time, how what an index
//! file says of a pack fits to what is stored, and which packs are listed at all.
//!
//! The order matters, because backups go on meanwhile: a pack is durable before an index file lists
//! it, so index files are listed first and packs then. What a listed index file refers to is then a
//! listed pack.
//!
//! Memory: 40 bytes and one bit for each pack, and one index file while it is read.

mod bits;
mod packs;

use std::collections::HashSet;

use outlast_format::index::IndexFile;
use outlast_format::pack::{self, PackEntry};
use outlast_format::{IndexId, PackId};
use outlast_store::Kind;

use crate::open_store::OpenStore;
use crate::{RepoError, index_file};

pub(crate) use self::bits::BitSet;
pub(crate) use self::packs::StoredPacks;

/// Index files and packs, as they were listed at one time.
pub(crate) struct Inventory<'r> {
    opened: &'r OpenStore,
    files: Vec<IndexId>,
    packs: StoredPacks,
    /// The stored packs that index files list, by their numbers in `packs`.
    listed: BitSet,
    /// The packs that index files list and that are not stored.
    missing: HashSet<PackId>,
}

/// How what an index file says of a pack fits to what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// No such pack is stored.
    Missing,
    /// The blobs and a header that lists them fill the pack.
    Whole { size: u64 },
    /// The blobs overlap or leave gaps.
    Gaps { size: u64 },
    /// The pack has `size` bytes; blobs and header need `expected`.
    OtherSize { size: u64, expected: u64 },
}

impl Fit {
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Self::Whole { .. })
    }
}

impl<'r> Inventory<'r> {
    /// Lists index files, and packs then.
    pub(crate) fn take(opened: &'r OpenStore) -> Result<Self, RepoError> {
        let files = opened.store().list(Kind::Index)?.into_iter();
        let files = files.filter_map(|(object, _)| object.index()).collect();
        let packs = StoredPacks::list(opened)?;
        let listed = BitSet::new(packs.len() as u64);
        Ok(Self { opened, files, packs, listed, missing: HashSet::new() })
    }

    /// The index files.
    pub(crate) fn files(&self) -> &[IndexId] {
        &self.files
    }

    /// The packs that are stored.
    pub(crate) fn packs(&self) -> &StoredPacks {
        &self.packs
    }

    /// Shows every index file to `each`; one that cannot be read is an error.
    pub(crate) fn each_file(
        &self,
        mut each: impl FnMut(IndexId, IndexFile) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        for &index in &self.files {
            each(index, index_file::read(self.opened, index)?)?;
        }
        Ok(())
    }

    /// How these blobs fit to the pack, in whatever order they come.
    pub(crate) fn fit(&self, pack: &PackId, entries: &[PackEntry]) -> Fit {
        let Some(size) = self.packs.size_of(pack) else { return Fit::Missing };
        match pack::length_of(entries) {
            None => Fit::Gaps { size },
            Some(expected) if expected != size => Fit::OtherSize { size, expected },
            Some(_) => Fit::Whole { size },
        }
    }

    /// Notes that an index file lists a pack; whether that was new.
    pub(crate) fn list(&mut self, pack: PackId) -> bool {
        match self.packs.number_of(&pack) {
            Some(number) => self.listed.insert(number as u64),
            None => self.missing.insert(pack),
        }
    }

    /// Whether a pack that is stored was noted as listed.
    pub(crate) fn is_listed(&self, pack: &PackId) -> bool {
        self.packs.number_of(pack).is_some_and(|number| self.listed.contains(number as u64))
    }

    /// The stored packs that were not noted as listed, with their bytes, by id.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = (PackId, u64)> + '_ {
        let packs = self.packs.iter().enumerate();
        packs.filter(|(number, _)| !self.listed.contains(*number as u64)).map(|(_, pack)| pack)
    }

    /// The packs that were noted as listed and are not stored, by id.
    pub(crate) fn missing(&self) -> Vec<PackId> {
        let mut missing: Vec<PackId> = self.missing.iter().copied().collect();
        missing.sort_unstable();
        missing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use outlast_format::pack::BlobType;
    use outlast_format::{BlobId, Sha256Id};
    use outlast_store::{MemoryStore, Object, Store};

    use super::*;
    use crate::repository::tests::init;

    fn entry(offset: u32, length: u32) -> PackEntry {
        let id = BlobId::of(&offset.to_le_bytes());
        PackEntry { kind: BlobType::Data, id, offset, length, uncompressed_length: None }
    }

    #[test]
    fn what_an_index_file_says_is_compared_with_what_is_stored() {
        let store = Arc::new(MemoryStore::new());
        let repository = init(&store).unwrap();
        let blobs = [entry(0, 40), entry(40, 60)];
        let size = pack::length_of(&blobs).unwrap();
        let (stored, gone) = (PackId([1; 32]), PackId([2; 32]));
        let content = Bytes::from(vec![0; usize::try_from(size).unwrap()]);
        store.create(&Object::Data(stored), content).unwrap();
        let inventory = Inventory::take(repository.opened()).unwrap();
        let fit = |blobs: &[PackEntry]| inventory.fit(&stored, blobs);
        assert_eq!(fit(&blobs), Fit::Whole { size });
        assert_eq!(fit(&[blobs[1], blobs[0]]), Fit::Whole { size });
        assert_eq!(fit(&[entry(0, 40), entry(41, 59)]), Fit::Gaps { size });
        assert_eq!(fit(&[entry(0, 41), entry(40, 60)]), Fit::Gaps { size });
        let longer = Fit::OtherSize { size, expected: size + 1 };
        assert_eq!(fit(&[entry(0, 40), entry(40, 61)]), longer);
        assert_eq!(inventory.fit(&gone, &blobs), Fit::Missing);
    }

    #[test]
    fn a_pack_is_listed_once_and_counts_as_missing_if_it_is_not_stored() {
        let store = Arc::new(MemoryStore::new());
        let repository = init(&store).unwrap();
        let packs = [3, 1, 2].map(|n| PackId([n; 32]));
        for pack in packs {
            store.create(&Object::Data(pack), Bytes::from_static(b"pack")).unwrap();
        }
        let mut inventory = Inventory::take(repository.opened()).unwrap();
        let unlisted = |inventory: &Inventory<'_>| -> Vec<u8> {
            inventory.unlisted().map(|(pack, _)| pack.0[0]).collect()
        };
        assert_eq!(unlisted(&inventory), [1, 2, 3]);
        assert!(inventory.list(packs[0]) && !inventory.list(packs[0]));
        assert!(inventory.is_listed(&packs[0]) && !inventory.is_listed(&packs[1]));
        assert_eq!(unlisted(&inventory), [1, 2]);
        for gone in [9, 8, 9] {
            inventory.list(PackId([gone; 32]));
        }
        assert_eq!(inventory.missing(), [PackId([8; 32]), PackId([9; 32])]);
        assert!(!inventory.is_listed(&PackId([9; 32])));
    }
}
