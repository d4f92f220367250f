//! Why an entry could not be placed.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::entry::EntryPath;

/// Why an entry, or an attribute of it, could not be placed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The target has something in it already.
    #[error(
        "{} is not empty: choose an empty or new directory, or allow overwriting", path.display()
    )]
    NotEmpty { path: PathBuf },
    /// The target itself cannot be used.
    #[error("cannot use {} as the target: {source}", path.display())]
    Target { path: PathBuf, source: io::Error },
    /// A symbolic link or file stands where the way to an entry needs a directory.
    #[error(
        "{path} was not written: {link} is a link or a file and not a directory, so the way \
         through it might lead out of the target"
    )]
    ThroughLink { path: EntryPath, link: String },
    /// A directory that is not empty has the name of an entry of another kind.
    #[error("{path} was not written: a directory that is not empty has its name; move that away")]
    DirectoryInTheWay { path: EntryPath },
    /// Another name of a file could not be made.
    #[error("cannot make {path} another name of {target}: {source}")]
    Link { path: EntryPath, target: EntryPath, source: io::Error },
    /// Making or writing an entry failed.
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: EntryPath, source: io::Error },
    /// The entry is there, but not all that belongs to it.
    #[error("{path} was written without its {attribute}: {source}")]
    Attribute { attribute: String, path: EntryPath, source: io::Error },
    /// The entry is there, with something that it should not have.
    #[error(
        "{path} was written, but has an extended attribute {attribute} that cannot be removed: {source}"
    )]
    Extra { attribute: String, path: EntryPath, source: io::Error },
    /// There were more problems than are worth keeping.
    #[error("{count} more problems of the same kinds")]
    More { count: u64 },
}

impl PlaceError {
    pub(super) fn io(action: &'static str, path: &EntryPath, errno: Errno) -> Self {
        Self::Io { action, path: path.clone(), source: errno.into() }
    }
}
