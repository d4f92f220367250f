//! A drop's files as they are: to be copied elsewhere, and to be read there.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use outlast_types::ShareId;

use super::error::{DropReadError, segment_error};
use super::{SealedDrop, check_listing, read_seal};
use crate::files::Directory;
use crate::hash::Hasher;
use crate::layout::{DropAddress, SEAL_FILE};
use crate::rejection::Rejection;
use crate::seal::{SEAL_BYTES_MAX, Segment};
use crate::sealing::purpose;

const BUFFER_BYTES: usize = 1 << 20;

impl SealedDrop {
    /// Opens a copy of the drop at `address` of a share, which lies in a directory somewhere else.
    pub fn open_copy(
        path: &Path,
        share: ShareId,
        address: &DropAddress,
    ) -> Result<Self, DropReadError> {
        let opened = Directory::open(path);
        let directory = opened.map_err(|error| DropReadError::later(path.to_owned(), &error))?;
        let (seal, digest) = read_seal(&directory)?.ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::NotFound, "there is no seal");
            DropReadError::later(directory.path_of(SEAL_FILE.as_bytes()), &error)
        })?;
        seal.check_place(address)?;
        let allocated = check_listing(&directory, &seal)?;
        let purpose = purpose(share, &seal.workload, seal.drop);
        let (address, directory) = (address.clone(), Arc::new(directory));
        Ok(Self { address, directory, seal, digest, allocated, purpose, key: None })
    }

    /// The seal's file, byte by byte.
    pub fn seal_bytes(&self) -> Result<Vec<u8>, DropReadError> {
        let path = || self.directory.path_of(SEAL_FILE.as_bytes());
        let read = self.directory.read_bounded(SEAL_FILE, SEAL_BYTES_MAX);
        let bytes = read.map_err(|error| DropReadError::later(path(), &error))?;
        if crate::seal::Seal::digest_of(&bytes) != self.digest {
            let error = io::Error::other("the drop was sealed anew in this moment");
            return Err(DropReadError::later(path(), &error));
        }
        Ok(bytes)
    }

    /// Reads one segment as it lies there, and hands its bytes to `take` in order.
    ///
    /// # Errors
    /// What `take` says in the inner result. A segment that is not as it was sealed is refused, after its bytes were
    /// handed over: they count when this returns.
    pub fn copy_segment<E>(
        &self,
        segment: &Segment,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, DropReadError> {
        let name = &segment.name;
        let failed = |error: &io::Error| segment_error(&self.directory, name, error);
        let (file, _) = self.directory.file(name.as_bytes()).map_err(|error| failed(&error))?;
        let mut file = file.take(segment.size.saturating_add(1));
        let mut hasher = Hasher::new(segment.digest.algorithm());
        let (mut buffer, mut found) = (vec![0; BUFFER_BYTES], 0_u64);
        loop {
            let length = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&error)),
            };
            found += length as u64;
            hasher.update(&buffer[..length]);
            if let Err(error) = take(&buffer[..length]) {
                return Ok(Err(error));
            }
        }
        let name = name.clone();
        if found != segment.size {
            return Err(Rejection::WrongSize { name, sealed: segment.size, found }.into());
        }
        let digest = hasher.finish();
        if digest != segment.digest {
            let (sealed, found) = (segment.digest, digest);
            return Err(Rejection::WrongHash { name, sealed, found }.into());
        }
        Ok(Ok(()))
    }
}
