//! The state that the threads of a restore share.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_fs::place::{PlaceError, PlacedFile, Target};
use outlast_fs::{Entry, EntryPath, Kind};
use outlast_store::StoreError;
use outlast_types::Monitor;

use super::compare::{self, Piece};
use super::outcome::{Options, Problem, Summary};
use crate::read::{BlobError, ReadError};
use crate::{CacheError, RepoError};

/// Requests in a row that a store may leave without an answer before the restore gives up. A bad
/// spot on a disk takes fewer; a line that is down takes them all.
const UNANSWERED_MAX: u32 = 32;

const NAME_LENGTH_MAX: usize = 255;

/// How many files of one name may be kept as damaged, over repeated restores.
const PUT_ASIDE_MAX: u32 = 100;

pub(super) struct Run<'r> {
    target: &'r Target,
    verify: bool,
    resume: bool,
    monitor: &'r dyn Monitor,
    summary: Mutex<Summary>,
    bytes: AtomicU64,
    kept: AtomicU64,
    unanswered: AtomicU32,
    /// Why the run cannot go on.
    stop: Mutex<Option<RepoError>>,
}

impl<'r> Run<'r> {
    pub(super) fn new(target: &'r Target, options: &Options, monitor: &'r dyn Monitor) -> Self {
        Self {
            target,
            verify: options.verify,
            resume: options.resume,
            monitor,
            summary: Mutex::default(),
            bytes: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            unanswered: AtomicU32::new(0),
            stop: Mutex::new(None),
        }
    }

    pub(super) fn verifies(&self) -> bool {
        self.verify
    }

    pub(super) fn resumes(&self) -> bool {
        self.resume
    }

    /// The file that an earlier run left at the place of `entry`, if it may be touched.
    pub(super) fn left(&self, entry: &Entry) -> Option<PlacedFile> {
        self.target.resume(entry)
    }

    /// Hears how much of a file need not be written again.
    pub(super) fn kept(&self, bytes: u64) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
        self.monitor.advance(bytes);
    }

    /// The outcome; the error that stopped it, if any did.
    pub(super) fn finish(self) -> Result<Summary, RepoError> {
        if let Some(error) = lock(&self.stop).take() {
            return Err(error);
        }
        let mut summary = self.summary.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.bytes = self.bytes.into_inner();
        summary.kept = self.kept.into_inner();
        Ok(summary)
    }

    pub(super) fn problem(&self, problem: Problem) {
        self.monitor.problem(&problem.to_string());
        lock(&self.summary).problems.push(problem);
    }

    /// Reports a failure to write, and stops the run if every further write would fail, too.
    pub(super) fn place_failed(&self, error: PlaceError) {
        if is_hopeless(&error) {
            lock(&self.stop).get_or_insert(RepoError::Place(error));
        } else {
            self.problem(Problem::Place(error));
        }
    }

    /// Stops the run: what the index says cannot be had.
    pub(super) fn cache_failed(&self, error: CacheError) {
        lock(&self.stop).get_or_insert(RepoError::Cache(error));
    }

    pub(super) fn stopped(&self) -> bool {
        lock(&self.stop).is_some()
    }

    /// Hears after each request whether the store gave anything, or how it failed.
    pub(super) fn answered(&self, failure: Option<BlobError>) {
        let Some(source) = failure.filter(is_unanswered) else {
            self.unanswered.store(0, Ordering::Relaxed);
            return;
        };
        if self.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= UNANSWERED_MAX {
            lock(&self.stop).get_or_insert(ReadError::Unanswered { source }.into());
        }
    }

    pub(super) fn wrote(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.monitor.advance(bytes);
    }

    /// Makes an entry that has no content.
    pub(super) fn place(&self, entry: &Entry) {
        match self.target.place(entry) {
            Ok(_) if self.target.withholds(&entry.kind) => {}
            Ok(_) if entry.kind == Kind::Directory => lock(&self.summary).directories += 1,
            Ok(_) => lock(&self.summary).others += 1,
            Err(error) => self.place_failed(error),
        }
    }

    /// Gives directories their attributes, in this order.
    pub(super) fn close(&self, directories: &[EntryPath]) {
        for path in directories {
            if let Err(error) = self.target.close(path) {
                self.place_failed(error);
            }
        }
    }

    /// Makes the file that `entry` describes, as one hole if its `size` is given.
    pub(super) fn create(
        &self,
        entry: &Entry,
        size: Option<u64>,
    ) -> Result<Option<PlacedFile>, PlaceError> {
        self.monitor.item(&entry.path.to_string());
        let placed = self.target.place(entry)?;
        if let (Some(placed), Some(size)) = (&placed, size) {
            placed.set_length(size)?;
        }
        Ok(placed)
    }

    /// Hears that the file at `path` is complete, and reads it again if that was asked for.
    pub(super) fn restored(&self, path: &EntryPath, size: u64, pieces: &[Piece]) {
        lock(&self.summary).files += 1;
        if !self.verify {
            return;
        }
        let path = path.clone();
        match self.first_difference(&path, size, pieces) {
            Ok(None) => {}
            Ok(Some(offset)) => self.problem(Problem::Verify { path, offset }),
            Err(source) => self.problem(Problem::VerifyRead { path, source }),
        }
    }

    /// Where the file at `path` begins to differ from the pieces that it should consist of.
    fn first_difference(
        &self,
        path: &EntryPath,
        size: u64,
        pieces: &[Piece],
    ) -> io::Result<Option<u64>> {
        let file = self.target.open_file(path).map_err(io::Error::other)?;
        let matching = compare::matching(&file, pieces)?;
        if let Some(first) = matching.iter().position(|&matches| !matches) {
            return Ok(pieces.get(first).map(|piece| piece.offset));
        }
        let length = file.metadata()?.len();
        Ok((length != size).then(|| length.min(size)))
    }

    /// Renames a file that is not complete; its new path.
    pub(super) fn put_aside(&self, path: &EntryPath) -> Result<EntryPath, PlaceError> {
        let mut number = 1;
        loop {
            let kept = damaged_name(path, number);
            match self.target.rename(path, &kept) {
                Ok(()) => return Ok(kept),
                // Left by an earlier restore, or the name of another file.
                Err(error) if number < PUT_ASIDE_MAX && already_exists(&error) => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// The name of a file of which parts are lost: `<name>.damaged`, then `<name>.2.damaged`. A name
/// that would become too long is shortened.
pub(super) fn damaged_name(path: &EntryPath, number: u32) -> EntryPath {
    let suffix =
        if number < 2 { ".damaged".to_owned() } else { format!(".{number}.damaged") }.into_bytes();
    let name = path.name();
    let name = [&name[..name.len().min(NAME_LENGTH_MAX - suffix.len())], &suffix].concat();
    let named = match path.parent() {
        Some(parent) => parent.join(&name),
        None => EntryPath::from_names(vec![name]),
    };
    // Only a path that was as long as paths can be has no room for a suffix.
    named.unwrap_or_else(|_| path.clone())
}

fn io_kind(error: &PlaceError) -> Option<io::ErrorKind> {
    std::error::Error::source(error)?.downcast_ref::<io::Error>().map(io::Error::kind)
}

fn already_exists(error: &PlaceError) -> bool {
    io_kind(error) == Some(io::ErrorKind::AlreadyExists)
}

/// Whether every further write would fail in the same way.
fn is_hopeless(error: &PlaceError) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(io_kind(error), Some(StorageFull | QuotaExceeded | ReadOnlyFilesystem))
}

/// Whether the store did not answer, as against: has no such object, or a shorter one.
fn is_unanswered(error: &BlobError) -> bool {
    match error {
        BlobError::Unreadable { source, .. } => match &**source {
            StoreError::Io { source, .. } => source.kind() != io::ErrorKind::UnexpectedEof,
            other => other.is_passing(),
        },
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
