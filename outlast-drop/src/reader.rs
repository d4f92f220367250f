//! Reading a sealed drop: every byte is hashed on its way through, and nothing that differs from
//! the seal ever looks like the end of the content.

mod content;
mod error;
mod limits;
mod raw;

use std::io;
use std::sync::Arc;

use outlast_types::ContentHash;

use crate::files::{Directory, is_not_a_directory};
use crate::layout::{DropAddress, DropFile, FILES_MAX, SEAL_FILE, names_max};
use crate::rejection::Rejection;
use crate::seal::{SEAL_BYTES_MAX, Seal};
use crate::sealing::{ContentKey, Opener, purpose};
use crate::share::Share;

use error::segment_error;

pub use content::{ContentReader, ReadOptions, ReadWatch};
pub use error::DropReadError;
pub use limits::DropLimits;

/// A sealed drop whose seal is valid and whose directory holds what the seal lists.
#[derive(Debug)]
pub struct SealedDrop {
    address: DropAddress,
    directory: Arc<Directory>,
    seal: Seal,
    digest: ContentHash,
    /// Bytes of its segments that the file system says it has allocated.
    allocated: u64,
    /// The purpose of the key of its content, and the key, if it is encrypted and was unlocked.
    purpose: String,
    key: Option<ContentKey>,
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
        let allocated = check_listing(&directory, &seal)?;
        let (address, directory) = (address.clone(), Arc::new(directory));
        let purpose = purpose(share.id(), &seal.workload, seal.drop);
        Ok(Self { address, directory, seal, digest, allocated, purpose, key: None })
    }

    /// Gets the key of the content, if that is encrypted: without it, reading it fails.
    ///
    /// # Errors
    /// [`DropReadError::Later`] if `opener` cannot open it: whoever has the right key can.
    pub fn unlock(&mut self, opener: &dyn Opener) -> Result<(), DropReadError> {
        let Some(sealed_to) = &self.seal.sealed_to else { return Ok(()) };
        let opened = opener.open(sealed_to, &self.purpose);
        let path = self.directory.path_of(SEAL_FILE.as_bytes());
        self.key = Some(opened.map_err(|reason| DropReadError::Later { path, reason })?);
        Ok(())
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
        ContentReader::start(&self.directory, &self.seal, self.key.as_ref(), options)
    }

    /// The drop's directory, open.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// Reads the seal in `directory`, and the digest of its file; `None` if there is none. A directory of
/// its name is none: an agent has given the drop up, and nobody will seal it.
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
                io::ErrorKind::InvalidInput => not_a_plain_seal(directory),
                _ => Err(DropReadError::later(directory.path_of(SEAL_FILE.as_bytes()), &error)),
            };
        }
    };
    Ok(Some((Seal::parse(&bytes)?, Seal::digest_of(&bytes))))
}

/// What something else than a plain file is under the name of the seal.
fn not_a_plain_seal(directory: &Directory) -> Result<Option<(Seal, ContentHash)>, DropReadError> {
    match directory.facts(SEAL_FILE.as_bytes()) {
        Ok(facts) if facts.is_directory => Ok(None),
        Ok(_) => Err(Rejection::NotAPlainFile { name: SEAL_FILE.to_owned() }.into()),
        Err(error) => Err(DropReadError::later(directory.path_of(SEAL_FILE.as_bytes()), &error)),
    }
}

/// Checks that the directory holds the segments of the seal, in their sizes, and no others. What
/// is not ours is left alone: a file server that keeps its notes in every directory must not
/// condemn a backup. Returns the bytes that the file system says it has allocated for them.
fn check_listing(directory: &Directory, seal: &Seal) -> Result<u64, DropReadError> {
    let later = |error: &io::Error| DropReadError::later(directory.path().to_owned(), error);
    let mut extra: Option<Vec<u8>> = None;
    let max = names_max(seal.segments.len(), FILES_MAX);
    let listed = directory.each_name(max, |name| {
        let is_listed = || {
            std::str::from_utf8(name)
                .is_ok_and(|name| position(name).is_some_and(|at| at < seal.segments.len()))
        };
        if DropFile::of(name) == DropFile::Segment
            && extra.as_deref().is_none_or(|first| name < first)
            && !is_listed()
        {
            extra = Some(name.to_owned());
        }
    });
    let is_whole = listed.map_err(|error| later(&error))?;
    if let Some(name) = extra {
        return Err(Rejection::ExtraSegment { name: outlast_fs::entry::show(&name) }.into());
    }
    if !is_whole {
        return Err(Rejection::TooManyFiles { max }.into());
    }
    let mut allocated = 0_u64;
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
        allocated = allocated.saturating_add(facts.allocated.min(facts.size));
    }
    Ok(allocated)
}

/// The index of a segment's name, if it is spelt as segments are.
fn position(name: &str) -> Option<usize> {
    let index = name.strip_suffix(".seg")?.parse::<usize>().ok()?.checked_sub(1)?;
    (crate::layout::segment_name(index) == name).then_some(index)
}
