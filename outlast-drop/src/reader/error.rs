//! Why a drop cannot be read: for good, or now.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::files::{Directory, is_later};
use crate::rejection::Rejection;
use crate::share::hint;

/// Why a drop cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DropReadError {
    /// The drop is bad and stays so.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// The share could not be read; that says nothing about the drop.
    #[error("cannot read {path} now: {reason}", path = path.display())]
    Later { path: PathBuf, reason: String },
}

impl DropReadError {
    /// The error that made a [`ContentReader`](crate::ContentReader) fail, if `error` or one of its causes is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        let mut cause: Option<&(dyn Error + 'static)> =
            error.get_ref().map(|inner| inner as &(dyn Error + 'static));
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    pub(super) fn later(path: PathBuf, error: &io::Error) -> Self {
        Self::Later { path, reason: format!("{error}{}", hint(error)) }
    }
}

/// Tells an error of reading a segment's file: a verdict, or again later.
pub(super) fn segment_error(directory: &Directory, name: &str, error: &io::Error) -> DropReadError {
    let name = name.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound if !is_later(error) => Rejection::MissingSegment { name }.into(),
        io::ErrorKind::InvalidInput => Rejection::NotAPlainFile { name }.into(),
        _ => DropReadError::later(directory.path_of(name.as_bytes()), error),
    }
}
