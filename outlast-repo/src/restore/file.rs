//! One file while it is being restored, by several threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlast_fs::place::PlacedFile;
use outlast_fs::{Entry, EntryPath};

use super::compare::Piece;
use super::filling::Filling;
use super::links::{End, Landing};
use super::outcome::Problem;
use super::run::Run;

pub(super) struct File {
    entry: Entry,
    ties: Ties,
    /// Its blobs; kept only if it is to be verified.
    pieces: Vec<Piece>,
    /// Bytes of its content.
    size: u64,
    /// Whether it gets its length before its content, because that comes in no order.
    is_laid_out: bool,
    /// Whether it holds what an earlier run left.
    is_resumed: bool,
    /// Pieces that are still to come.
    missing: AtomicUsize,
    state: Mutex<State>,
}

/// The entries that wait for a file.
#[derive(Default)]
pub(super) struct Ties {
    /// The directory that it is in, which is not complete as long as anybody holds it.
    pub(super) _directory: Option<Arc<Filling>>,
    /// The file's further names.
    pub(super) landing: Option<Arc<Landing>>,
}

/// The part of a file that an earlier run left.
pub(super) struct Left {
    pub(super) placed: PlacedFile,
    /// Bytes of it that are right.
    pub(super) kept: u64,
}

#[derive(Default)]
struct State {
    /// Created when its first piece comes, so that a file of which nothing can be had never is.
    placed: Option<Arc<PlacedFile>>,
    /// It could not be created, which has been reported.
    refused: bool,
    written: u64,
    lost: Option<Lost>,
}

/// The lost part of a file.
struct Lost {
    bytes: u64,
    offset: u64,
    cause: String,
}

impl File {
    /// A file of `size` bytes that waits for `pieces` pieces, and for [`File::complete`] if that
    /// is none. `is_laid_out` if they are not all of it, or several.
    pub(super) fn new(
        entry: Entry,
        ties: Ties,
        size: u64,
        pieces: usize,
        is_laid_out: bool,
    ) -> Self {
        let missing = AtomicUsize::new(pieces);
        let (state, is_resumed) = (Mutex::default(), false);
        Self { entry, ties, pieces: Vec::new(), size, is_laid_out, is_resumed, missing, state }
    }

    /// Asks for the file to be compared with `pieces`, all that it consists of, when it is complete.
    pub(super) fn verify(&mut self, pieces: Vec<Piece>) {
        self.pieces = pieces;
    }

    /// Goes on with what an earlier run left.
    pub(super) fn resume(&mut self, run: &Run<'_>, left: Left) {
        let Left { placed, kept } = left;
        run.kept(kept);
        self.is_resumed = true;
        let mut state = self.state();
        if placed.left() != self.size
            && let Err(error) = placed.set_length(self.size)
        {
            run.place_failed(error);
        }
        state.written = kept;
        state.placed = Some(Arc::new(placed));
    }

    pub(super) fn path(&self) -> &EntryPath {
        &self.entry.path
    }

    /// Takes the piece at `offset`. The thread that brings the last one completes the file.
    pub(super) fn take(&self, run: &Run<'_>, offset: u64, content: &[u8]) {
        if let Some(placed) = self.placed(run) {
            match placed.write_at(offset, content) {
                Ok(()) => {
                    self.state().written += content.len() as u64;
                    run.wrote(content.len() as u64);
                }
                Err(error) => {
                    self.lose(offset, content.len() as u64, &error.to_string());
                    run.place_failed(error);
                }
            }
        }
        self.piece_done(run);
    }

    /// Hears that the piece at `offset` will not come.
    pub(super) fn miss(&self, run: &Run<'_>, offset: u64, length: u64, cause: &str) {
        self.lose(offset, length, cause);
        if self.is_resumed
            && let Some(placed) = self.placed(run)
            && let Err(error) = placed.erase(offset, length)
        {
            run.place_failed(error);
        }
        self.piece_done(run);
    }

    /// Notes that `length` bytes at `offset` cannot be had.
    pub(super) fn lose(&self, offset: u64, length: u64, cause: &str) {
        let mut state = self.state();
        match &mut state.lost {
            None => state.lost = Some(Lost { bytes: length, offset, cause: cause.to_owned() }),
            Some(lost) => {
                lost.bytes += length;
                if offset < lost.offset {
                    lost.offset = offset;
                    cause.clone_into(&mut lost.cause);
                }
            }
        }
    }

    fn piece_done(&self, run: &Run<'_>) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.complete(run);
        }
    }

    /// Gives the file its attributes and its final name. Called once, when no piece is to come.
    pub(super) fn complete(&self, run: &Run<'_>) {
        let end = self.place_whole(run);
        if let Some(landing) = &self.ties.landing {
            landing.end(end);
        }
    }

    fn place_whole(&self, run: &Run<'_>) -> End {
        let lost = self.state().lost.take();
        if let Some(Lost { cause, .. }) = &lost
            && self.state().written == 0
        {
            let (path, cause) = (self.path().clone(), cause.clone());
            run.problem(Problem::Lost { path, cause });
            return End::Nowhere;
        }
        // Nobody else holds it: every piece dropped its reference before it was counted.
        let placed = self.placed(run);
        self.state().placed = None;
        let Some(placed) = placed.and_then(Arc::into_inner) else { return End::Nowhere };
        if let Err(error) = placed.finish() {
            run.place_failed(error);
        }
        match lost {
            None => {
                run.restored(self.path(), self.size, &self.pieces);
                End::Here
            }
            Some(lost) => self.put_aside(run, lost),
        }
    }

    /// Takes its own name from a file that is not complete.
    fn put_aside(&self, run: &Run<'_>, lost: Lost) -> End {
        let path = self.path().clone();
        let kept = run.put_aside(&path);
        let end = match &kept {
            Ok(kept) => End::Aside(Box::new(kept.clone())),
            Err(_) => End::Here,
        };
        let kept = kept.unwrap_or_else(|error| {
            run.place_failed(error);
            path.clone()
        });
        let Lost { bytes, offset, cause } = lost;
        run.problem(Problem::Damaged { path, size: self.size, lost: bytes, offset, cause, kept });
        end
    }

    /// The created file; created now if it was not. `None` if that failed.
    fn placed(&self, run: &Run<'_>) -> Option<Arc<PlacedFile>> {
        let mut state = self.state();
        if state.placed.is_none() && !state.refused {
            match run.create(&self.entry, self.is_laid_out.then_some(self.size)) {
                Ok(placed) => state.placed = placed.map(Arc::new),
                Err(error) => {
                    state.refused = true;
                    run.place_failed(error);
                }
            }
        }
        state.placed.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
