//! Index files, one at a time: reading what they say, and writing new ones of a sane size.

use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::pack::PackEntry;
use outlast_format::{IndexId, PackId};
use outlast_store::{Object, create_or_find};
use outlast_types::Random;

use crate::RepoError;
use crate::open_store::OpenStore;

/// Blobs in one index file, at most, unless a single pack has more: as many as stock restic writes.
const BLOBS_MAX: usize = 50_000;

/// Reads an index file.
pub(crate) fn read(opened: &OpenStore, index: IndexId) -> Result<IndexFile, RepoError> {
    let object = Object::Index(index);
    let document = opened.read_unpacked(&object)?;
    IndexFile::parse(&document).map_err(|source| RepoError::Damaged {
        object,
        location: opened.location(),
        source,
    })
}

/// Stores an index file; when it returns its name and its bytes, the file is durable.
pub(crate) fn write(
    opened: &OpenStore,
    file: &IndexFile,
    random: &dyn Random,
) -> Result<(IndexId, u64), RepoError> {
    let encode = |source| RepoError::Encode { what: "index", source };
    let document = file.serialize().map_err(encode)?;
    let (index, sealed) = opened.seal_unpacked("index", &document, random)?;
    let bytes = sealed.len() as u64;
    create_or_find(opened.store(), &Object::Index(index), sealed)?;
    Ok((index, bytes))
}

/// Packs on their way into new index files. Each file notes how content is cut.
pub(crate) struct IndexWriter<'a> {
    opened: &'a OpenStore,
    random: &'a dyn Random,
    chunk_average: Option<u32>,
    dry_run: bool,
    packs: Vec<(PackId, Vec<PackEntry>)>,
    /// In `packs`.
    blobs: usize,
    written: Written,
}

/// New index files, all of them durable, and how much they list.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// With their bytes; none in a dry run.
    pub(crate) files: Vec<(IndexId, u64)>,
    pub(crate) packs: u64,
    pub(crate) blobs: u64,
}

impl<'a> IndexWriter<'a> {
    pub(crate) fn new(
        opened: &'a OpenStore,
        chunk_average: Option<u32>,
        random: &'a dyn Random,
    ) -> Self {
        let (packs, written) = (Vec::new(), Written::default());
        Self { opened, random, chunk_average, dry_run: false, packs, blobs: 0, written }
    }

    /// The same, which counts what there is to write and writes nothing.
    pub(crate) fn dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// Lists a pack in this file or the next.
    pub(crate) fn add(&mut self, pack: PackId, entries: Vec<PackEntry>) -> Result<(), RepoError> {
        self.written.packs += 1;
        self.written.blobs += entries.len() as u64;
        self.blobs += entries.len();
        self.packs.push((pack, entries));
        if self.blobs >= BLOBS_MAX { self.end_file() } else { Ok(()) }
    }

    /// Writes a mark of prune's, in a file of its own.
    pub(crate) fn add_mark(&mut self, mark: Condemned) -> Result<(), RepoError> {
        let notes = Notes { chunk_average: self.chunk_average, condemned: Some(mark) };
        self.write(&IndexFile { notes, ..IndexFile::default() })
    }

    /// Writes what is left.
    pub(crate) fn finish(self) -> Result<Written, RepoError> {
        let average = self.chunk_average;
        self.finish_beside(average)
    }

    /// Writes what is left. How content is cut is noted also if no pack is left to list, unless an
    /// index file that stays notes it (`kept_average`).
    pub(crate) fn finish_beside(mut self, kept_average: Option<u32>) -> Result<Written, RepoError> {
        let is_unnoted = self.chunk_average > kept_average && self.written.files.is_empty();
        if is_unnoted || !self.packs.is_empty() {
            self.end_file()?;
        }
        Ok(self.written)
    }

    fn end_file(&mut self) -> Result<(), RepoError> {
        let notes = Notes { chunk_average: self.chunk_average, condemned: None };
        let packs = std::mem::take(&mut self.packs);
        self.blobs = 0;
        self.write(&IndexFile { supersedes: Vec::new(), packs, notes })
    }

    fn write(&mut self, file: &IndexFile) -> Result<(), RepoError> {
        if !self.dry_run {
            self.written.files.push(write(self.opened, file, self.random)?);
        }
        Ok(())
    }
}
