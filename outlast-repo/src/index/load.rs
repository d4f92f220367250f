//! Loading an index: what the runs on disk do not cover is fetched, file by file.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, RwLock};

use outlast_format::IndexId;
use outlast_format::index::{Condemned, IndexFile};
use outlast_store::{Kind, Object};

use super::record::{Packs, Record, encode};
use super::shelved::{File, Shelved};
use super::unsaved::Writing;
use super::{Index, State};
use crate::cache::{self, Table};
use crate::{RepoError, Repository};

/// Records in memory before they become a run: 6 MiB.
const BUFFER_RECORDS: usize = 128 << 10;
/// Runs that are left when the index is loaded: each costs a lookup of an unknown blob one page.
const RUNS_MAX: usize = 3;
/// Runs that there may be while it is being loaded: the more, the less often a record is written.
const RUNS_MAX_LOADING: usize = 24;

impl Index {
    /// Reads all index files of `repository` that its cache does not cover.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let listed = repository.store().list(Kind::Index)?;
        let listed: BTreeSet<(Object, u64)> = listed.into_iter().collect();
        let mut loader = Loader::open(repository, &listed)?;
        let covered: BTreeSet<(Object, u64)> = loader.shelved.files().map(object_of).collect();
        let mut files = covered.clone();
        let mut problems = Vec::new();
        let covered: BTreeSet<Object> = covered.into_iter().map(|(object, _)| object).collect();
        for &(object, bytes) in listed.iter().filter(|(object, _)| !covered.contains(object)) {
            let file = repository.read_unpacked(&object).and_then(|document| {
                IndexFile::parse(&document).map_err(|source| RepoError::Damaged {
                    object,
                    location: repository.location(),
                    source,
                })
            });
            match file {
                Ok(file) => {
                    loader.take(object, bytes, file)?;
                    files.insert((object, bytes));
                }
                Err(error @ (RepoError::Damaged { .. } | RepoError::HashMismatch { .. })) => {
                    problems.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        let index = loader.finish(files, problems)?;
        cache::remove_unused(repository);
        Ok(index)
    }
}

fn object_of(file: &File) -> (Object, u64) {
    (Object::Index(file.id), file.bytes)
}

struct Loader {
    packs: Packs,
    shelved: Shelved,
    /// Records that are in no run yet.
    buffer: Vec<Record>,
    /// Index files that the next run will cover.
    pending: Vec<File>,
}

impl Loader {
    fn open(repository: &Repository, listed: &BTreeSet<(Object, u64)>) -> Result<Self, RepoError> {
        let mut packs = Packs::default();
        // Whoever only reads may know what was in a file before it was cut off.
        let names: BTreeSet<Object> = listed.iter().map(|(object, _)| *object).collect();
        let is_listed = |file: &File| {
            let (object, bytes) = object_of(file);
            if repository.distrusts_cache() {
                listed.contains(&(object, bytes))
            } else {
                names.contains(&object)
            }
        };
        let place = cache::table(repository, Table::Index);
        let shelved = Shelved::open(place, &mut packs, is_listed)?;
        Ok(Self { packs, shelved, buffer: Vec::new(), pending: Vec::new() })
    }

    fn take(&mut self, object: Object, bytes: u64, file: IndexFile) -> Result<(), RepoError> {
        for (pack, entries) in file.packs {
            let number = self.packs.number_of(pack);
            for entry in &entries {
                self.buffer.push(encode(number, entry));
                if self.buffer.len() == BUFFER_RECORDS {
                    self.spill()?;
                }
            }
        }
        if let Some(id) = object.index() {
            self.pending.push(File { id, bytes, notes: file.notes });
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), RepoError> {
        self.buffer.sort_unstable();
        self.buffer.dedup();
        self.shelved.add(&self.buffer, std::mem::take(&mut self.pending), &self.packs)?;
        self.buffer.clear();
        self.shelved.compact(0, RUNS_MAX_LOADING, &self.packs)?;
        Ok(())
    }

    fn finish(
        mut self,
        files: BTreeSet<(Object, u64)>,
        problems: Vec<RepoError>,
    ) -> Result<Index, RepoError> {
        if !self.pending.is_empty() {
            self.spill()?;
        }
        self.shelved.compact(0, RUNS_MAX, &self.packs)?;
        let notes = || self.shelved.files().map(|file| &file.notes);
        let average = notes().filter_map(|notes| notes.chunk_average).max().unwrap_or(0);
        let condemned: Vec<(IndexId, Condemned)> = self
            .shelved
            .files()
            .filter_map(|file| Some((file.id, file.notes.condemned.clone()?)))
            .collect();
        let condemned_packs: HashSet<u32> = condemned
            .iter()
            .flat_map(|(_, condemned)| &condemned.packs)
            .filter_map(|pack| self.packs.number(pack))
            .collect();
        let base = self.shelved.runs().to_vec();
        let state = State { packs: self.packs, fresh: BTreeSet::new(), runs: base.clone().into() };
        Ok(Index {
            state: RwLock::new(state),
            writing: Mutex::new(Writing { unsaved: Vec::new(), shelved: self.shelved }),
            base,
            files: Mutex::new(files),
            problems,
            chunk_average: AtomicU32::new(average),
            condemned,
            condemned_packs,
        })
    }
}
