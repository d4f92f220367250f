//! The options of a restore, and its outcome.

use std::io;

use outlast_fs::EntryPath;
use outlast_fs::place::{Deviation, PlaceError};

use crate::read::WalkError;

/// How to restore.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Write into a directory that is not empty; entries of the same name are replaced.
    pub overwrite: bool,
    /// Go on with a restore of the same that was interrupted: as `overwrite`, but what is right of
    /// a file that is there stays, and only the rest of it is fetched and written.
    pub resume: bool,
    /// Read every file again after it was written, and compare it with the snapshot.
    pub verify: bool,
    /// Restore also what would give rights on this host, such as setuid permissions and devices; see
    /// [`Target`](outlast_fs::place::Target).
    pub privileged: bool,
    /// Restore what is in this directory of the snapshot, or this one file, without the
    /// directories above it.
    pub subpath: Option<EntryPath>,
    /// Restore only these paths and what is below them; everything if empty.
    pub include: Vec<EntryPath>,
}

/// The work that a restore did.
#[derive(Debug, Default)]
pub struct Summary {
    pub files: u64,
    pub directories: u64,
    /// Links, devices and fifos.
    pub others: u64,
    /// Bytes of content written, holes included.
    pub bytes: u64,
    /// Bytes of content that an earlier run had written, and that stayed.
    pub kept: u64,
    /// Things that would give rights on this host, and were not restored.
    pub withheld: Vec<Deviation>,
    /// Further names of files that are copies, because the file system takes no more links.
    pub copied: Vec<Deviation>,
    /// Entries that could not be restored as they were; empty if all is well.
    pub problems: Vec<Problem>,
}

/// One thing that could not be restored as it was.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// An entry or a directory of the snapshot cannot be read, or its name is refused.
    #[error("not restored: {0}")]
    Walk(WalkError),
    #[error("/{path} is not restored: nothing of its content can be had ({cause})")]
    Lost { path: EntryPath, cause: String },
    #[error(
        "/{path} is not complete: {lost} of its {size} bytes are lost, the first at {offset} \
         ({cause}); what is left of it is in {kept}, with zeroes in their place"
    )]
    Damaged { path: EntryPath, size: u64, lost: u64, offset: u64, cause: String, kept: EntryPath },
    #[error(
        "/{path} is another name of /{first}, of which parts are lost, and was therefore made as {kept}"
    )]
    DamagedLink { path: EntryPath, first: EntryPath, kept: EntryPath },
    #[error("/{path}: the snapshot records {recorded} bytes, but its content has {restored}")]
    Size { path: EntryPath, recorded: u64, restored: u64 },
    #[error("/{path} is not restored: {reason}")]
    Unsupported { path: EntryPath, reason: &'static str },
    #[error("/{path} was written, but reads back differently at byte {offset}: check this disk")]
    Verify { path: EntryPath, offset: u64 },
    #[error("/{path} was written, but cannot be read back: {source}")]
    VerifyRead { path: EntryPath, source: io::Error },
    #[error(transparent)]
    Place(PlaceError),
}
