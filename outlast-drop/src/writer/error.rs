//! Why a drop could not be written.

use std::io;
use std::path::{Path, PathBuf};

use outlast_types::DropId;

use crate::notice::Notice;
use crate::seal::{SEAL_BYTES_MAX, SEGMENTS_MAX};
use crate::share::{ShareError, hint, is_full};

/// Why a drop could not be written. Nothing is sealed then.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error("cannot {action} {path}: {source}{hint}; nothing was sealed", path = path.display(), hint = hint(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the drop has more than {SEGMENTS_MAX} segments; use larger segments; nothing was sealed"
    )]
    TooManySegments,
    #[error(
        "the seal would be longer than {SEAL_BYTES_MAX} bytes; use larger segments and shorter claims; nothing was sealed"
    )]
    SealTooLong,
    #[error("{path} is not what was written: it has {found} bytes instead of {written}; nothing was sealed; drop again", path = path.display())]
    Tampered { path: PathBuf, written: u64, found: u64 },
    #[error(
        "the agent gave drop {drop} up while it was being written, because it had seen no sign of life for too long; nothing was sealed; drop again"
    )]
    GivenUp { drop: DropId },
    #[error("the agent takes no drops of {} now: {notice}; nothing was written", notice.workload)]
    NoRoom { notice: Box<Notice> },
    #[error("cannot make sure of {path}: {source}{hint}; the drop may be sealed, or not: the agent will find out, and another drop does no harm", path = path.display(), hint = hint(source))]
    Unsure { path: PathBuf, source: io::Error },
    #[error("writing to the drop failed before; nothing was sealed")]
    Broken,
}

impl WriteError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Why a drop could not be begun at `path`.
    pub(crate) fn creating(path: &Path) -> impl FnOnce(ShareError) -> Self {
        let path = path.to_owned();
        move |error| match error {
            ShareError::Io { source, .. } => Self::Io { action: "create", path, source },
            error => error.into(),
        }
    }

    /// Whether the share is full, so that tidying up helps.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Share(error) => error.is_full(),
            Self::Io { source, .. } | Self::Unsure { source, .. } => is_full(source),
            _ => false,
        }
    }
}
