//! Why something of a hand-over could not be done.

use std::io;
use std::path::{Path, PathBuf};

use outlast_drop::DropReadError;
use outlast_drop::fetch::FetchError;

/// Why something of a hand-over could not be done.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{path} is a symbolic link, and a backup product would store the link itself: name the real directory",
        path = path.display()
    )]
    Link { path: PathBuf },
    #[error(
        "{directory} and {desk} beside it are not on one file system, so that nothing can appear by one rename: \
         make a directory in that file system, and name that",
        directory = directory.display(), desk = desk.display()
    )]
    OtherFileSystem { directory: PathBuf, desk: PathBuf },
    #[error(
        "{path} is not a hand-over: an agent whose agent.toml has a [[handover]] with this directory makes it at its start",
        path = path.display()
    )]
    NotOne { path: PathBuf },
    #[error("{path} was written by a newer program (version {version}): use that one", path = path.display())]
    Newer { path: PathBuf, version: u64 },
    #[error(
        "{path} is damaged in line {line}: move it away and restart the agent, which makes it anew from the manifests",
        path = path.display()
    )]
    Journal { path: PathBuf, line: usize },
    #[error("{path} is not of the expected form: {reason}", path = path.display())]
    Form { path: PathBuf, reason: String },
    #[error(
        "{path} was there before and is gone: is its file system mounted? If it is to begin anew, stop the agent and remove {note}",
        path = path.display(), note = note.display()
    )]
    Lost { path: PathBuf, note: PathBuf },
    #[error("{path} is in use by another agent", path = path.display())]
    Running { path: PathBuf },
    #[error("somebody else has had {path} for {seconds} s: look which process hangs", path = path.display())]
    Busy { path: PathBuf, seconds: u64 },
    #[error("there is no room: {reason}")]
    Full { reason: String },
    #[error("{reason}")]
    NotOffered { reason: String },
    #[error(transparent)]
    Drop(#[from] DropReadError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("it was broken off")]
    Stopped,
}

impl HandoverError {
    /// An error of a call that was to do `action` to `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether a disk of ours is full.
    pub fn is_full(&self) -> bool {
        let is_full = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        };
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => is_full(source),
            _ => false,
        }
    }
}
