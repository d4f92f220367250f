//! A file while its content is being placed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Mode;

use super::PlaceError;
use super::attributes::{self, Privilege};
use crate::entry::{Entry, EntryPath, Metadata};

/// Permissions of a file until it is finished: nobody else reads half a file.
pub(super) const UNFINISHED_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Runs of zeros at least this long, at these multiples, become holes: a block of most file systems.
const HOLE_BYTES: usize = 4096;

/// Where a file's content goes. May be written from several threads at once, in any order.
pub struct PlacedFile {
    file: File,
    path: EntryPath,
    target: PathBuf,
    metadata: Metadata,
    privilege: Privilege,
    /// Where the content ends, as far as it is known.
    end: AtomicU64,
}

impl PlacedFile {
    pub(super) fn new(file: File, entry: &Entry, target: PathBuf, privilege: Privilege) -> Self {
        let (path, metadata) = (entry.path.clone(), entry.metadata.clone());
        Self { file, path, target, metadata, privilege, end: AtomicU64::new(0) }
    }

    /// Writes `content` at `offset` bytes. Long runs of zeros are left out, so they become holes.
    pub fn write_at(&self, offset: u64, content: &[u8]) -> Result<(), PlaceError> {
        self.end.fetch_max(offset + content.len() as u64, Ordering::Relaxed);
        let mut at = 0;
        while at < content.len() {
            let (zeros, data) = next_run(&content[at..]);
            at += zeros;
            self.file
                .write_all_at(&content[at..at + data], offset + at as u64)
                .map_err(|source| self.failed("write", source))?;
            at += data;
        }
        Ok(())
    }

    /// Makes the file `bytes` long: what was not written reads as zeros.
    pub fn set_length(&self, bytes: u64) -> Result<(), PlaceError> {
        self.end.store(bytes, Ordering::Relaxed);
        self.file.set_len(bytes).map_err(|source| self.failed("set the length of", source))
    }

    /// Gives the file its final length, owner, attributes, mode and times.
    pub fn finish(self) -> Result<(), PlaceError> {
        let end = self.end.load(Ordering::Relaxed);
        let length = self.file.metadata().map_err(|source| self.failed("look at", source))?.len();
        if length != end {
            self.file.set_len(end).map_err(|source| self.failed("set the length of", source))?;
        }
        attributes::set_open(&self.file, &self.metadata, self.privilege)
            .map_err(|source| self.failed("set the attributes of", source))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> PlaceError {
        PlaceError::Io { action, entry: self.path.clone(), target: self.target.clone(), source }
    }
}

/// How many zeros `content` begins with that can be a hole, and how much data follows them before
/// the next such run.
fn next_run(content: &[u8]) -> (usize, usize) {
    let is_hole = |block: &&[u8]| block.len() == HOLE_BYTES && block.iter().all(|&byte| byte == 0);
    let bytes = |blocks: &mut dyn Iterator<Item = &[u8]>| blocks.map(<[u8]>::len).sum::<usize>();
    let zeros = bytes(&mut content.chunks(HOLE_BYTES).take_while(is_hole));
    let data = bytes(&mut content[zeros..].chunks(HOLE_BYTES).take_while(|block| !is_hole(block)));
    (zeros, data)
}
