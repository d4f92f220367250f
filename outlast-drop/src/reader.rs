//! Reading a sealed drop: every byte is hashed on its way through, and nothing that differs from
//! the seal ever looks like the end of the content.

mod content;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use outlast_types::ContentHash;

use crate::files::{Directory, is_later, is_not_a_directory};
use crate::layout::{DropAddress, DropFile, SEAL_FILE};
use crate::rejection::Rejection;
use crate::seal::{SEAL_BYTES_MAX, Seal};
use crate::share::{Share, hint};

pub use content::ContentReader;

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
    /// The error that made a [`ContentReader`] fail, if `error` or one of its causes is one.
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

    fn later(path: PathBuf, error: &io::Error) -> Self {
        Self::Later { path, reason: format!("{error}{}", hint(error)) }
    }
}

/// How a drop is read.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// Reads that are under way at the same time; at least 1. Each takes 2 MiB of memory.
    pub parallel: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { parallel: 4 }
    }
}

/// Remembers why the reading failed, for whoever sees only that some reader broke.
#[derive(Debug, Clone, Default)]
pub struct ReadWatch(Arc<Mutex<Option<DropReadError>>>);

impl ReadWatch {
    /// What the reader failed with; `None` while it has not.
    pub fn failure(&self) -> Option<DropReadError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, error: &DropReadError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
    }
}

/// A sealed drop whose seal is valid and whose directory holds what the seal lists.
#[derive(Debug)]
pub struct SealedDrop {
    address: DropAddress,
    directory: Arc<Directory>,
    seal: Seal,
    digest: ContentHash,
}

impl SealedDrop {
    /// Opens the drop at `address`: verifies its seal, and names and sizes of its segments.
    pub fn open(share: &Share, address: &DropAddress) -> Result<Self, DropReadError> {
        let path = share.drop_directory(address);
        let directory = share
            .directory()
            .and_then(|root| root.descend(&address.components()))
            .map_err(|error| {
                if is_not_a_directory(&error) {
                    DropReadError::Refused(Rejection::NotADirectory { name: address.to_string() })
                } else {
                    DropReadError::later(path, &error)
                }
            })?;
        let (seal, digest) = read_seal(&directory)?.ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::NotFound, "the drop is not sealed");
            DropReadError::later(directory.path_of(SEAL_FILE.as_bytes()), &error)
        })?;
        seal.check_place(address)?;
        check_listing(&directory, &seal)?;
        Ok(Self { address: address.clone(), directory: Arc::new(directory), seal, digest })
    }

    /// The seal.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The BLAKE3 of the whole file of the seal.
    pub fn seal_digest(&self) -> ContentHash {
        self.digest
    }

    /// Where the drop lives.
    pub fn address(&self) -> &DropAddress {
        &self.address
    }

    /// Begins to read the content from its first byte.
    pub fn content(&self, options: ReadOptions) -> ContentReader {
        ContentReader::start(&self.directory, &self.seal, options)
    }

    /// The drop's directory, open.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// Reads the seal in `directory`, and the digest of its file; `None` if there is none.
pub(crate) fn read_seal(
    directory: &Directory,
) -> Result<Option<(Seal, ContentHash)>, DropReadError> {
    let bytes = match directory.read_bounded(SEAL_FILE, SEAL_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(None),
                io::ErrorKind::FileTooLarge => {
                    Err(Rejection::SealTooLong { max: SEAL_BYTES_MAX }.into())
                }
                io::ErrorKind::InvalidInput => {
                    Err(Rejection::NotAPlainFile { name: SEAL_FILE.to_owned() }.into())
                }
                _ => Err(DropReadError::later(directory.path_of(SEAL_FILE.as_bytes()), &error)),
            };
        }
    };
    Ok(Some((Seal::parse(&bytes)?, Seal::digest_of(&bytes))))
}

/// Checks that the directory holds the segments of the seal, in their sizes, and no others. What
/// is not ours is left alone: a file server that keeps its notes in every directory must not
/// condemn a backup.
fn check_listing(directory: &Directory, seal: &Seal) -> Result<(), DropReadError> {
    let later = |error: &io::Error| DropReadError::later(directory.path().to_owned(), error);
    let names = directory.names().map_err(|error| later(&error))?;
    for name in &names {
        if DropFile::of(name) != DropFile::Segment {
            continue;
        }
        let listed = std::str::from_utf8(name)
            .is_ok_and(|name| position(name).is_some_and(|at| at < seal.segments.len()));
        if !listed {
            return Err(Rejection::ExtraSegment { name: outlast_fs::entry::show(name) }.into());
        }
    }
    for segment in &seal.segments {
        let name = segment.name.clone();
        let facts = match directory.facts(name.as_bytes()) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Rejection::MissingSegment { name }.into());
            }
            Err(error) => return Err(later(&error)),
        };
        if !facts.is_file {
            return Err(Rejection::NotAPlainFile { name }.into());
        }
        if facts.size != segment.size {
            // A network file system may answer from what it remembers of the time when the segment
            // was being written; it asks the server when a file is opened.
            let (_, facts) = directory
                .file(name.as_bytes())
                .map_err(|error| segment_error(directory, &name, &error))?;
            if facts.size != segment.size {
                let (sealed, found) = (segment.size, facts.size);
                return Err(Rejection::WrongSize { name, sealed, found }.into());
            }
        }
    }
    Ok(())
}

/// The index of a segment's name, if it is spelt as segments are.
fn position(name: &str) -> Option<usize> {
    let index = name.strip_suffix(".seg")?.parse::<usize>().ok()?.checked_sub(1)?;
    (crate::layout::segment_name(index) == name).then_some(index)
}

/// Tells an error of reading a segment's file: a verdict, or again later.
fn segment_error(directory: &Directory, name: &str, error: &io::Error) -> DropReadError {
    let name = name.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound if !is_later(error) => Rejection::MissingSegment { name }.into(),
        io::ErrorKind::InvalidInput => Rejection::NotAPlainFile { name }.into(),
        _ => DropReadError::later(directory.path_of(name.as_bytes()), error),
    }
}
