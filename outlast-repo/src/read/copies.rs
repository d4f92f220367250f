//! Further copies of blobs: the last resort when the one that the index gives is damaged.
//!
//! Two backups that ran at the same time may both have stored a blob, which stock restic keeps.
//! The index needs only one of them; the others are looked up in the index files when the first
//! blob cannot be had, and only those that the index does not give are kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use outlast_format::BlobId;
use outlast_format::index::IndexFile;
use outlast_format::pack::{BlobType, PackEntry};
use outlast_store::Kind;

use super::blob::Located;
use crate::{Index, RepoError, Repository};

pub(crate) struct Copies<'r> {
    repository: &'r Repository,
    index: &'r Index,
    further: OnceLock<HashMap<(BlobType, BlobId), Vec<Located>>>,
}

impl<'r> Copies<'r> {
    pub(crate) fn new(repository: &'r Repository) -> Result<Arc<Self>, RepoError> {
        let index = repository.index()?;
        Ok(Arc::new(Self { repository, index, further: OnceLock::new() }))
    }

    pub(crate) fn repository(&self) -> &'r Repository {
        self.repository
    }

    pub(crate) fn index(&self) -> &'r Index {
        self.index
    }

    /// Where the blob lies besides the place that the index gives.
    pub(crate) fn of(&self, kind: BlobType, blob: BlobId) -> &[Located] {
        let further = self.further.get_or_init(|| self.find());
        further.get(&(kind, blob)).map_or(&[], Vec::as_slice)
    }

    /// Index files that cannot be read have no copies for us; their damage is reported elsewhere.
    fn find(&self) -> HashMap<(BlobType, BlobId), Vec<Located>> {
        let mut further: HashMap<_, Vec<_>> = HashMap::new();
        for (object, _) in self.repository.store().list(Kind::Index).unwrap_or_default() {
            let document = self.repository.read_unpacked(&object).ok();
            let Some(file) = document.and_then(|document| IndexFile::parse(&document).ok()) else {
                continue;
            };
            for (pack, entries) in file.packs {
                let known = |entry: &PackEntry| {
                    self.index.locate(entry.kind, &entry.id).is_ok_and(|given| {
                        given
                            .is_some_and(|given| (given.pack, given.offset) == (pack, entry.offset))
                    })
                };
                for entry in entries.into_iter().filter(|entry| !known(entry)) {
                    further
                        .entry((entry.kind, entry.id))
                        .or_default()
                        .push(Located { pack, entry });
                }
            }
        }
        further
    }
}
