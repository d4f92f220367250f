//! Why an entry cannot be had, as it is told.

use std::io;

use rustix::io::Errno;

use crate::entry::SourceError;

pub(super) fn entry_error(path: &str, errno: Errno) -> SourceError {
    let source = match errno {
        Errno::AGAIN => io::Error::new(
            io::ErrorKind::WouldBlock,
            "another program has a lease on it and did not give it up in time",
        ),
        errno => errno.into(),
    };
    SourceError::Entry { path: path.to_owned(), source }
}

pub(super) fn invalid(path: &str, error: crate::InvalidPath) -> SourceError {
    let source = io::Error::new(io::ErrorKind::InvalidInput, error);
    SourceError::Entry { path: path.to_owned(), source }
}
