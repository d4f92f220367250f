//! The packs in a store, as it lists them.

use outlast_format::PackId;
use outlast_store::Kind;

use crate::RepoError;
use crate::open_store::OpenStore;

/// Packs with their bytes, by id. Each has a number, which is its place.
#[derive(Debug)]
pub(crate) struct StoredPacks(Vec<(PackId, u64)>);

impl StoredPacks {
    pub(crate) fn list(opened: &OpenStore) -> Result<Self, RepoError> {
        let listed = opened.store().list(Kind::Data)?.into_iter();
        let mut packs: Vec<(PackId, u64)> =
            listed.filter_map(|(object, size)| Some((object.pack()?, size))).collect();
        packs.sort_unstable();
        Ok(Self(packs))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (PackId, u64)> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn number_of(&self, pack: &PackId) -> Option<usize> {
        self.0.binary_search_by_key(pack, |(stored, _)| *stored).ok()
    }

    /// The bytes of a pack, if it is stored.
    pub(crate) fn size_of(&self, pack: &PackId) -> Option<u64> {
        self.number_of(pack).map(|number| self.0[number].1)
    }
}
