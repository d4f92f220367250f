//! A directory of runs, in their order.
//!
//! A run's name says its place: `00000003-00000007.run` was made of the third to the seventh. A run
//! whose place lies within another's was merged into that, which is how a merge ends all at once:
//! with the name of its result. Whoever holds the lock of the directory writes and removes there.
//! Whoever does not get it reads what is there, and what it has to write goes to files without
//! names, so that nobody ever waits and nothing is left behind.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_fs::{DirectoryLock, LockError, durable};

use super::merge::Merge;
use super::run::{Run, failed};
use super::write::RunWriter;
use crate::CacheError;

/// The name of the lock in a set of runs.
pub(crate) const LOCK: &str = "lock";
/// The end of a run's name.
const SUFFIX: &str = ".run";
/// How often the runs are listed again when one of them is merged away in between.
const LISTINGS_MAX: usize = 5;

/// Where runs are.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// On the heap.
    Memory,
    /// In files without names, in this directory.
    Scratch(PathBuf),
    /// In this directory, which is made if it is missing.
    Kept(PathBuf),
}

/// Takes the lock of a table's directory, which is made if it is missing; none if somebody has it.
pub(crate) fn take_lock(directory: &Path) -> io::Result<Option<DirectoryLock>> {
    // What is kept there may be lost, and the directory with it.
    if !directory.is_dir() {
        durable::create_directories(directory, 0o700)?;
    }
    match DirectoryLock::take(directory, LOCK) {
        Ok(lock) => Ok(lock),
        Err(LockError::Open { source, .. }) => Err(source),
        Err(error @ LockError::Lock { .. }) => {
            tracing::debug!(%error, "nothing is kept in {}", directory.display());
            Ok(None)
        }
    }
}

/// How much is read of runs that are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Every page: a bad one must not be met half-way.
    Nothing,
    /// The tail: each page is checked when it is read, and a bad one costs little.
    Tail,
}

/// The runs of one table, oldest first.
#[derive(Debug)]
pub(crate) struct RunSet<const N: usize> {
    place: Place,
    key: [u8; 32],
    /// Held as long as this set of runs is open; without it, nothing in the directory is changed.
    lock: Option<DirectoryLock>,
    runs: Vec<Arc<Run<N>>>,
    /// The number of the next run.
    next: u64,
}

impl<const N: usize> RunSet<N> {
    /// Opens the set of runs, with the meta data of each run in it. What is no whole run written under
    /// `key` is removed.
    pub(crate) fn open(
        place: Place,
        key: [u8; 32],
        trust: Trust,
    ) -> Result<(Self, Vec<Vec<u8>>), CacheError> {
        let mut run_set = Self { place, key, lock: None, runs: Vec::new(), next: 0 };
        let Place::Kept(directory) = run_set.place.clone() else {
            return Ok((run_set, Vec::new()));
        };
        let metas = take_lock(&directory)
            .and_then(|lock| {
                run_set.lock = lock;
                run_set.find_runs(&directory, trust)
            })
            .map_err(|source| failed(&directory, source))?;
        Ok((run_set, metas))
    }

    fn find_runs(&mut self, directory: &Path, trust: Trust) -> io::Result<Vec<Vec<u8>>> {
        for _ in 0..LISTINGS_MAX {
            match self.open_runs(directory, trust) {
                // Its owner merged it since we saw its name.
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.runs.clear(),
                result => return result,
            }
        }
        Ok(Vec::new())
    }

    fn open_runs(&mut self, directory: &Path, trust: Trust) -> io::Result<Vec<Vec<u8>>> {
        let mut metas = Vec::new();
        for (numbers, path) in self.listed(directory)? {
            let opened = Run::open(&path, self.run_key(numbers), numbers)?;
            let whole = match &opened {
                Some(found) => trust == Trust::Tail || found.run.is_whole(found.digest)?,
                None => false,
            };
            match opened {
                Some(found) if whole => {
                    self.runs.push(Arc::new(found.run));
                    metas.push(found.meta);
                }
                _ => {
                    tracing::warn!(
                        "{} is not what was written there, and is made anew",
                        path.display()
                    );
                    self.remove_file(&path);
                }
            }
            self.next = numbers.1.saturating_add(1);
        }
        Ok(metas)
    }

    /// The runs that were not merged into another one, in order. What else a killed process left is
    /// removed.
    fn listed(&self, directory: &Path) -> io::Result<Vec<((u64, u64), PathBuf)>> {
        let mut listed = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            if let Some(numbers) = numbers_of(&name) {
                listed.push((numbers, directory.join(name)));
            } else if durable::is_temporary(&name) {
                self.remove_file(&directory.join(name));
            }
        }
        // By their beginnings, and of those with one beginning the widest first.
        listed.sort_by_key(|&((first, last), _)| (first, std::cmp::Reverse(last)));
        let mut end = None;
        listed.retain(|&((_, last), ref path)| {
            let merged = end.is_some_and(|end| last <= end);
            if merged {
                self.remove_file(path);
            } else {
                end = Some(last);
            }
            !merged
        });
        Ok(listed)
    }

    /// Removes a file, if this is ours to do. One that stays is met again by the next who opens.
    fn remove_file(&self, path: &Path) {
        if self.lock.is_some() {
            drop(fs::remove_file(path));
        }
    }

    /// The runs, oldest first.
    pub(crate) fn runs(&self) -> &[Arc<Run<N>>] {
        &self.runs
    }

    /// Adds a run of these records, which are sorted.
    pub(crate) fn add<'r>(
        &mut self,
        records: impl IntoIterator<Item = &'r [u8; N]>,
        meta: &[u8],
    ) -> Result<(), CacheError> {
        let numbers = (self.next, self.next);
        let mut writer = self.writer(numbers)?;
        for record in records {
            writer.add(record)?;
        }
        self.runs.push(Arc::new(writer.finish(meta)?));
        self.next += 1;
        Ok(())
    }

    /// Makes one run of those from number `from` of the list to its end.
    pub(crate) fn merge(&mut self, from: usize, meta: &[u8]) -> Result<(), CacheError> {
        let sources = &self.runs[from..];
        let (Some(first), Some(last)) = (sources.first(), sources.last()) else { return Ok(()) };
        let mut writer = self.writer((first.numbers.0, last.numbers.1))?;
        for record in Merge::new(sources) {
            writer.add(&record?)?;
        }
        let merged = Arc::new(writer.finish(meta)?);
        for run in self.runs.split_off(from) {
            // A run of one source took its name.
            if run.path() != merged.path() {
                self.discard(&run);
            }
        }
        self.runs.push(merged);
        Ok(())
    }

    fn writer(&self, numbers: (u64, u64)) -> Result<RunWriter<N>, CacheError> {
        let key = self.run_key(numbers);
        match &self.place {
            Place::Memory => Ok(RunWriter::in_memory(numbers)),
            Place::Kept(directory) if self.lock.is_some() => {
                RunWriter::named(&directory.join(name_of(numbers)), key, numbers)
            }
            Place::Kept(directory) | Place::Scratch(directory) => {
                RunWriter::unnamed(directory, key, numbers)
            }
        }
    }

    /// From now on, what is added goes to the heap: the disk takes nothing more.
    pub(crate) fn stop_writing(&mut self) {
        (self.place, self.lock) = (Place::Memory, None);
    }

    /// Removes the oldest run.
    pub(crate) fn remove_oldest(&mut self) {
        if !self.runs.is_empty() {
            let run = self.runs.remove(0);
            self.discard(&run);
        }
    }

    /// Takes a run out that turned out to be bad.
    pub(crate) fn remove(&mut self, bad: &Arc<Run<N>>) {
        self.runs.retain(|run| !Arc::ptr_eq(run, bad));
        self.discard(bad);
    }

    /// Removes all runs.
    pub(crate) fn clear(&mut self) {
        for run in std::mem::take(&mut self.runs) {
            self.discard(&run);
        }
    }

    fn discard(&self, run: &Run<N>) {
        if let Some(path) = run.path() {
            self.remove_file(path);
        }
    }

    fn run_key(&self, (first, last): (u64, u64)) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&first.to_le_bytes()).update(&last.to_le_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// From where runs of these sizes, oldest first, should be merged so that there are at most
/// `count_max`; `None` if they should not.
///
/// The newest are merged, and each older one that is no larger than all that are newer: what is
/// large is seldom written again, and each record about as often as its run doubles.
pub(crate) fn merge_from(sizes: &[u64], count_max: usize) -> Option<usize> {
    if sizes.len() <= count_max {
        return None;
    }
    let mut from = count_max.saturating_sub(1);
    let mut newer: u64 = sizes[from..].iter().sum();
    while from > 0 && sizes[from - 1] <= newer {
        from -= 1;
        newer += sizes[from];
    }
    Some(from)
}

fn name_of((first, last): (u64, u64)) -> String {
    format!("{first:08x}-{last:08x}{SUFFIX}")
}

fn numbers_of(name: &OsStr) -> Option<(u64, u64)> {
    let (first, last) = name.to_str()?.strip_suffix(SUFFIX)?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(first)?, number(last)?))
        .filter(|&numbers| numbers.0 <= numbers.1 && name == OsStr::new(&name_of(numbers)))
}
