//! Further copies of blobs: the last resort when the one that the index gives is damaged.
//!
//! Two backups that ran at the same time may both have stored a blob, which stock restic keeps.

use std::sync::Arc;

use outlast_format::BlobId;
use outlast_format::pack::BlobType;

use super::blob::Located;
use crate::{Index, Location, RepoError, Repository};

pub(crate) struct Copies<'r> {
    repository: &'r Repository,
    index: &'r Index,
}

impl<'r> Copies<'r> {
    pub(crate) fn new(repository: &'r Repository) -> Result<Arc<Self>, RepoError> {
        let index = repository.index()?;
        Ok(Arc::new(Self { repository, index }))
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
}
