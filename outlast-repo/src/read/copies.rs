//! Further copies of blobs: the last resort when the one that the index gives is damaged.
//!
//! Two backups that ran at the same time may both have stored a blob, which stock restic keeps. And a
//! prune may have copied it into another pack, and removed this one, since the index was loaded.

use std::sync::{Arc, OnceLock};

use outlast_format::BlobId;
use outlast_format::pack::BlobType;

use super::blob::Located;
use crate::{Index, Location, RepoError, Repository};

pub(crate) struct Copies<'r> {
    repository: &'r Repository,
    index: &'r Index,
    /// With the index as it was when a pack was first found to be gone.
    fresh: OnceLock<Repository>,
}

impl<'r> Copies<'r> {
    pub(crate) fn new(repository: &'r Repository) -> Result<Arc<Self>, RepoError> {
        let index = repository.index()?;
        Ok(Arc::new(Self { repository, index, fresh: OnceLock::new() }))
    }

    pub(crate) fn repository(&self) -> &'r Repository {
        self.repository
    }

    pub(crate) fn index(&self) -> &'r Index {
        self.index
    }

    /// Where the blob lies besides the place that the index gives. An index that cannot be read has
    /// no copies for us: whoever asks has a failure to tell already.
    pub(crate) fn of(&self, kind: BlobType, blob: BlobId) -> Vec<Located> {
        let given = self.index.locate(kind, &blob).ok().flatten();
        let mut places = self.index.locations(kind, &blob).unwrap_or_default();
        places.retain(|place| Some(*place) != given);
        let located = |place: Location| Located { pack: place.pack, entry: place.entry(blob) };
        places.into_iter().map(located).collect()
    }

    /// Where the blob lies by the index files of today, for one whose pack is gone.
    pub(crate) fn moved(&self, kind: BlobType, blob: BlobId) -> Vec<Located> {
        let fresh = self.fresh.get_or_init(|| self.repository.afresh());
        let places = fresh.index().and_then(|index| Ok(index.locations(kind, &blob)?));
        let located = |place: Location| Located { pack: place.pack, entry: place.entry(blob) };
        places.unwrap_or_default().into_iter().map(located).collect()
    }
}
