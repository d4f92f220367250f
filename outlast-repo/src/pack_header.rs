//! The header of a pack: the list of its blobs, with which it ends.

use outlast_format::crypto::Key;
use outlast_format::pack::{self, PackEntry};
use outlast_format::{FormatError, PackId};
use outlast_store::{Object, Store, StoreError};

/// The end of a pack that is read first: the header of 1500 blobs, which most packs do not have.
const TAIL_BYTES: u64 = 64 << 10;

/// A pack whose bytes can be read.
pub trait PackBytes {
    /// Its length in bytes.
    fn size(&self) -> u64;

    /// As many bytes from `offset` as `buffer` has room for, all of them within the size.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError>;
}

/// A pack in a store.
pub struct Stored<'a> {
    store: &'a dyn Store,
    object: Object,
    size: u64,
}

impl<'a> Stored<'a> {
    /// The pack with this id, which must be there.
    pub fn open(store: &'a dyn Store, pack: PackId) -> Result<Self, StoreError> {
        let size = store.size(&Object::Data(pack))?;
        Ok(Self::of_size(store, pack, size))
    }

    /// The pack with this id, which is known to have so many bytes.
    pub(crate) fn of_size(store: &'a dyn Store, pack: PackId, size: u64) -> Self {
        Self { store, object: Object::Data(pack), size }
    }
}

impl PackBytes for Stored<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.store.read_range_into(&self.object, offset, buffer)
    }
}

/// Why a header cannot be had.
#[derive(Debug)]
pub(crate) enum HeaderError {
    Damaged(FormatError),
    Unreadable(StoreError),
}

/// The header of a pack, verified by its authentication code and by the size of the pack.
pub(crate) fn read(pack: &dyn PackBytes, key: &Key) -> Result<Vec<PackEntry>, HeaderError> {
    read_tail(pack, key).map(|(entries, _)| entries)
}

/// The same with the bytes of header and trailer as they lie in the pack.
pub(crate) fn read_tail(
    pack: &dyn PackBytes,
    key: &Key,
) -> Result<(Vec<PackEntry>, Vec<u8>), HeaderError> {
    let size = pack.size();
    let read = |length: u64| {
        // Headers are limited to 16 MiB.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        pack.read_at(size - length, &mut bytes).map_err(HeaderError::Unreadable)?;
        Ok(bytes)
    };
    let mut tail = read(size.min(TAIL_BYTES))?;
    let length = pack::tail_length(&tail, size).map_err(HeaderError::Damaged)?;
    if length > tail.len() as u64 {
        tail = read(length)?;
    }
    let before = tail.len() - usize::try_from(length).unwrap_or(tail.len());
    tail.drain(..before);
    let entries = pack::read_tail(&tail, size, key).map_err(HeaderError::Damaged)?;
    Ok((entries, tail))
}
