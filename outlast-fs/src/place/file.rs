//! A file while it is being filled.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::PlaceError;
use super::attributes::{Attributes, Problems};
use crate::entry::{EntryPath, Metadata};

/// What a file system stores or leaves out as a whole: the unit of holes.
const PAGE: usize = 4096;
const ZEROES: [u8; PAGE] = [0; PAGE];

/// A new file of a [`Target`](super::Target) while it is filled, possibly by several threads.
///
/// Dropping it without [`finish`](Self::finish) leaves the file as it is, without its attributes.
pub struct PlacedFile {
    file: File,
    path: EntryPath,
    metadata: Metadata,
    attributes: Attributes,
    problems: Problems,
    /// Where the furthest write ended, which may have been in a hole.
    end: AtomicU64,
}

impl PlacedFile {
    pub(super) fn new(
        file: File,
        path: EntryPath,
        metadata: Metadata,
        attributes: Attributes,
        problems: Problems,
    ) -> Self {
        Self { file, path, metadata, attributes, problems, end: AtomicU64::new(0) }
    }

    /// Writes `content` at `offset` bytes from the start. Every byte may be written once: pages of
    /// zeroes are left out, so that holes come back as holes.
    pub fn write_at(&self, offset: u64, content: &[u8]) -> Result<(), PlaceError> {
        let mut run = 0;
        let mut at = 0;
        while at < content.len() {
            let into_page = usize::try_from((offset + at as u64) % PAGE as u64).unwrap_or(0);
            let next = (at + PAGE - into_page).min(content.len());
            let piece = &content[at..next];
            if piece == &ZEROES[..piece.len()] {
                self.write_run(offset + run as u64, &content[run..at])?;
                run = next;
            }
            at = next;
        }
        self.write_run(offset + run as u64, &content[run..])?;
        self.end.fetch_max(offset + content.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_run(&self, offset: u64, content: &[u8]) -> Result<(), PlaceError> {
        self.file.write_all_at(content, offset).map_err(|source| self.failed("write", source))
    }

    /// Makes the file `length` bytes long; what was not written is a hole.
    pub fn set_length(&self, length: u64) -> Result<(), PlaceError> {
        self.file.set_len(length).map_err(|source| self.failed("set the length of", source))
    }

    /// Completes the file: its length, then owner, attributes, permissions and times. Attributes
    /// that cannot be set are told by [`Target::finish`](super::Target::finish).
    pub fn finish(self) -> Result<(), PlaceError> {
        let length = self.file.metadata().map_err(|source| self.failed("examine", source))?.len();
        let end = self.end.load(Ordering::Relaxed);
        if length < end {
            self.set_length(end)?;
        }
        self.attributes.set(&self.file, &self.path, &self.metadata, &self.problems);
        Ok(())
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> PlaceError {
        PlaceError::Io { action, path: self.path.clone(), source }
    }
}
