//! Index files, one at a time: reading what they say, and writing new ones of a sane size.

use outlast_format::PackId;
use outlast_format::index::{IndexFile, Notes};
use outlast_format::pack::PackEntry;
use outlast_store::{Object, create_or_find};
use outlast_types::Random;

use crate::{RepoError, Repository};

/// Blobs in one index file, at most, unless a single pack has more: as many as stock restic writes.
const BLOBS_MAX: usize = 50_000;

/// What an index file says.
pub(crate) fn read(repository: &Repository, object: Object) -> Result<IndexFile, RepoError> {
    let document = repository.read_unpacked(&object)?;
    IndexFile::parse(&document).map_err(|source| RepoError::Damaged {
        object,
        location: repository.location(),
        source,
    })
}

/// Stores an index file; when it returns its name and its bytes, the file is durable.
pub(crate) fn write(
    repository: &Repository,
    file: &IndexFile,
    random: &dyn Random,
) -> Result<(Object, u64), RepoError> {
    let encode = |source| RepoError::Encode { what: "index", source };
    let document = file.serialize().map_err(encode)?;
    let (name, sealed) = repository.seal_unpacked("index", &document, random)?;
    let (object, bytes) = (Object::Index(name), sealed.len() as u64);
    create_or_find(repository.store(), &object, sealed)?;
    Ok((object, bytes))
}

/// Packs on their way into new index files.
pub(crate) struct Writer<'a> {
    repository: &'a Repository,
    random: &'a dyn Random,
    notes: Notes,
    packs: Vec<(PackId, Vec<PackEntry>)>,
    blobs: usize,
    written: Vec<(Object, u64)>,
}

impl<'a> Writer<'a> {
    /// Files with these notes in each.
    pub(crate) fn new(repository: &'a Repository, notes: Notes, random: &'a dyn Random) -> Self {
        Self { repository, random, notes, packs: Vec::new(), blobs: 0, written: Vec::new() }
    }

    pub(crate) fn add(&mut self, pack: PackId, entries: Vec<PackEntry>) -> Result<(), RepoError> {
        self.blobs += entries.len();
        self.packs.push((pack, entries));
        if self.blobs >= BLOBS_MAX { self.write() } else { Ok(()) }
    }

    /// Writes what is left; returns the files that were written, all of them durable.
    pub(crate) fn finish(mut self) -> Result<Vec<(Object, u64)>, RepoError> {
        if !self.packs.is_empty() {
            self.write()?;
        }
        Ok(self.written)
    }

    fn write(&mut self) -> Result<(), RepoError> {
        let packs = std::mem::take(&mut self.packs);
        let file = IndexFile { supersedes: Vec::new(), packs, notes: self.notes.clone() };
        self.written.push(write(self.repository, &file, self.random)?);
        self.blobs = 0;
        Ok(())
    }
}
