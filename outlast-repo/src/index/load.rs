//! Loading an index: what the runs on disk do not cover is fetched, file by file.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, RwLock};

use outlast_format::IndexId;
use outlast_format::index::{Condemned, IndexFile};
use outlast_store::Kind;

use super::record::{Packs, Record, encode};
use super::runs::{File, IndexRuns};
use super::unsaved::Writing;
use super::{Index, State};
use crate::RepoError;
use crate::cache::{Cache, Table};
use crate::index_file;
use crate::open_store::OpenStore;
use crate::sorted::Place;

/// Records in memory before they become a run: 6 MiB.
const BUFFER_RECORDS: usize = 128 << 10;
/// Runs that are left when the index is loaded: each costs a lookup of an unknown blob one page.
const RUNS_MAX: usize = 3;
/// Runs that there may be while it is being loaded: the more, the less often a record is written.
const RUNS_MAX_LOADING: usize = 24;

/// When an index file that the cache covers is taken for the one that is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matching {
    /// If it has its name: a reader may know what was in a file before it was cut off.
    Name,
    /// If it is as long as well: what only the cache knows any more must not be relied on.
    NameAndLength,
}

impl Index {
    /// Reads all index files that the cache does not cover.
    pub(crate) fn load(
        opened: &OpenStore,
        cache: &Cache,
        matching: Matching,
    ) -> Result<Self, RepoError> {
        let listed = opened.store().list(Kind::Index)?.into_iter();
        let listed: BTreeSet<(IndexId, u64)> =
            listed.filter_map(|(object, bytes)| Some((object.index()?, bytes))).collect();
        let mut loader = Loader::open(cache.table(opened, Table::Index), matching, &listed)?;
        let covered = loader.runs.files().map(|file| (file.id, file.bytes));
        let covered: BTreeSet<(IndexId, u64)> = covered.collect();
        let mut files = covered.clone();
        let mut problems = Vec::new();
        let covered: BTreeSet<IndexId> = covered.into_iter().map(|(index, _)| index).collect();
        for &(index, bytes) in listed.iter().filter(|(index, _)| !covered.contains(index)) {
            match index_file::read(opened, index) {
                Ok(file) => {
                    loader.take(index, bytes, file)?;
                    files.insert((index, bytes));
                }
                Err(error @ (RepoError::Damaged { .. } | RepoError::HashMismatch { .. })) => {
                    problems.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        let index = loader.finish(files, problems)?;
        cache.remove_unused(opened);
        Ok(index)
    }
}

struct Loader {
    packs: Packs,
    runs: IndexRuns,
    /// Records that are in no run yet.
    buffer: Vec<Record>,
    /// Index files that the next run will cover.
    pending: Vec<File>,
}

impl Loader {
    fn open(
        table: (Place, [u8; 32]),
        matching: Matching,
        listed: &BTreeSet<(IndexId, u64)>,
    ) -> Result<Self, RepoError> {
        let mut packs = Packs::default();
        let names: BTreeSet<IndexId> = listed.iter().map(|(index, _)| *index).collect();
        let is_listed = |file: &File| match matching {
            Matching::Name => names.contains(&file.id),
            Matching::NameAndLength => listed.contains(&(file.id, file.bytes)),
        };
        let runs = IndexRuns::open(table, &mut packs, is_listed)?;
        Ok(Self { packs, runs, buffer: Vec::new(), pending: Vec::new() })
    }

    fn take(&mut self, id: IndexId, bytes: u64, file: IndexFile) -> Result<(), RepoError> {
        for (pack, entries) in file.packs {
            let number = self.packs.number_of(pack);
            for entry in &entries {
                self.buffer.push(encode(number, entry));
                if self.buffer.len() == BUFFER_RECORDS {
                    self.spill()?;
                }
            }
        }
        self.pending.push(File { id, bytes, notes: file.notes });
        Ok(())
    }

    fn spill(&mut self) -> Result<(), RepoError> {
        self.buffer.sort_unstable();
        self.buffer.dedup();
        self.runs.add(&self.buffer, std::mem::take(&mut self.pending), &self.packs)?;
        self.buffer.clear();
        self.runs.compact(0, RUNS_MAX_LOADING, &self.packs)?;
        Ok(())
    }

    fn finish(
        mut self,
        files: BTreeSet<(IndexId, u64)>,
        problems: Vec<RepoError>,
    ) -> Result<Index, RepoError> {
        if !self.pending.is_empty() {
            self.spill()?;
        }
        self.runs.compact(0, RUNS_MAX, &self.packs)?;
        let notes = || self.runs.files().map(|file| &file.notes);
        let average = notes().filter_map(|notes| notes.chunk_average).max().unwrap_or(0);
        let condemned: Vec<(IndexId, Condemned)> = self
            .runs
            .files()
            .filter_map(|file| Some((file.id, file.notes.condemned.clone()?)))
            .collect();
        let condemned_packs: HashSet<u32> = condemned
            .iter()
            .flat_map(|(_, condemned)| &condemned.packs)
            .filter_map(|pack| self.packs.number(pack))
            .collect();
        let base = self.runs.runs().to_vec();
        let state = State { packs: self.packs, fresh: BTreeSet::new(), runs: base.clone().into() };
        Ok(Index {
            state: RwLock::new(state),
            writing: Mutex::new(Writing { unsaved: Vec::new(), runs: self.runs }),
            base,
            files: Mutex::new(files),
            problems,
            chunk_average: AtomicU32::new(average),
            condemned,
            condemned_packs,
        })
    }
}
