//! A file while it is being filled.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FallocateFlags;

use super::PlaceError;
use super::attributes::{Attributes, Shape, Wanted};
use super::report::Remarks;
use crate::entry::{EntryPath, Metadata};

/// The unit of holes: a file system stores or leaves out so much as a whole.
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
    remarks: Remarks,
    /// Whether it is new, and inherited nothing from its directory.
    is_bare: bool,
    /// Where the furthest write ended, which may have been in a hole.
    end: AtomicU64,
    /// Bytes that the file has, as far as we made it.
    length: AtomicU64,
    /// The part that an earlier run left of it, if that is where it comes from.
    left: Option<Left>,
}

#[derive(Clone, Copy)]
struct Left {
    length: u64,
    writable: bool,
}

impl PlacedFile {
    pub(super) fn new(
        file: File,
        path: EntryPath,
        metadata: Metadata,
        attributes: Attributes,
        remarks: Remarks,
        is_bare: bool,
    ) -> Self {
        let (end, length) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { file, path, metadata, attributes, remarks, is_bare, end, length, left: None }
    }

    /// The same as what an earlier run left, `length` bytes long.
    pub(super) fn resumed(mut self, length: u64, writable: bool) -> Self {
        self.length = AtomicU64::new(length);
        self.left = Some(Left { length, writable });
        self
    }

    /// Bytes that an earlier run left; 0 if the file is new.
    pub fn left(&self) -> u64 {
        self.left.map_or(0, |left| left.length)
    }

    /// Whether it can be written to. Only a file that an earlier run completed may be read-only.
    pub fn is_writable(&self) -> bool {
        self.left.is_none_or(|left| left.writable)
    }

    /// The file itself, to look at what an earlier run left in it.
    pub fn content(&self) -> &File {
        &self.file
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
                if self.left.is_some() {
                    self.erase(offset + at as u64, piece.len() as u64)?;
                }
                run = next;
            }
            at = next;
        }
        self.write_run(offset + run as u64, &content[run..])?;
        self.end.fetch_max(offset + content.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_run(&self, offset: u64, content: &[u8]) -> Result<(), PlaceError> {
        if content.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(content, offset).map_err(|source| self.failed("write", source))?;
        self.length.fetch_max(offset + content.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a hole of `length` bytes at `offset`, whatever was there.
    pub fn erase(&self, offset: u64, length: u64) -> Result<(), PlaceError> {
        let mut left = length.min(self.length.load(Ordering::Relaxed).saturating_sub(offset));
        if left == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&self.file, flags, offset, left).is_ok() {
            return Ok(());
        }
        // Not every file system can: then they are zeroes like any others.
        let mut at = offset;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
            self.write_run(at, &ZEROES[..step])?;
            at += step as u64;
            left -= step as u64;
        }
        Ok(())
    }

    /// Makes the file `length` bytes long; what was not written is a hole. Not to be called while
    /// another thread writes.
    pub fn set_length(&self, length: u64) -> Result<(), PlaceError> {
        self.file.set_len(length).map_err(|source| self.failed("set the length of", source))?;
        self.length.store(length, Ordering::Relaxed);
        Ok(())
    }

    /// Completes the file: its length, then owner, attributes, permissions and times. Attributes
    /// that cannot be set are told by [`Target::finish`](super::Target::finish).
    pub fn finish(self) -> Result<(), PlaceError> {
        let end = self.end.load(Ordering::Relaxed);
        if self.length.load(Ordering::Relaxed) < end {
            self.set_length(end)?;
        }
        let (path, metadata, is_bare) = (&self.path, &self.metadata, self.is_bare);
        let wanted = Wanted { path, metadata, shape: Shape::File, is_bare };
        self.attributes.set(&self.file, wanted, &self.remarks);
        Ok(())
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> PlaceError {
        PlaceError::Io { action, path: self.path.clone(), source }
    }
}
