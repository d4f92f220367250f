//! Why a scan did not see something.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::files::is_not_a_directory;
use crate::reader::DropReadError;
use crate::rejection::Rejection;
use crate::share::hint;

/// A reason for which a scan did not see something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanProblem {
    /// The share could not be read there; the next scan may succeed. The reason ends with what
    /// to do.
    Later { path: PathBuf, reason: String },
    /// Something that does not belong there.
    Refused { path: PathBuf, rejection: Rejection },
    /// More than one scan looks at; the reason says what becomes of the rest.
    Crowded { path: PathBuf, reason: String },
}

impl fmt::Display for ScanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Later { path, reason } => {
                write!(f, "cannot read {} now: {reason}", path.display())
            }
            Self::Refused { path, rejection } => write!(f, "{}: {rejection}", path.display()),
            Self::Crowded { path, reason } => write!(f, "{}: {reason}", path.display()),
        }
    }
}

impl ScanProblem {
    pub(super) fn of(path: PathBuf, error: &io::Error) -> Self {
        if is_not_a_directory(error) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Self::Refused { path, rejection: Rejection::NotADirectory { name } }
        } else if let Some(DropReadError::Later { path, reason }) = DropReadError::of(error) {
            Self::Later { path: path.clone(), reason: reason.clone() }
        } else {
            Self::Later { path, reason: format!("{error}{}", hint(error)) }
        }
    }

    /// Whether the next look may go better.
    pub(super) fn is_later(&self) -> bool {
        matches!(self, Self::Later { .. })
    }
}
