//! What a pack says of itself: the list of its blobs, with which it ends.

use outlast_format::pack::{self, PackEntry, TRAILER_LENGTH};
use outlast_format::{FormatError, PackId};
use outlast_store::StoreError;

use crate::Repository;
use crate::read::blob::pack_object;

/// The end of a pack that is read first: the header of 1500 blobs, which most packs do not have.
const TAIL_BYTES: u64 = 64 << 10;

/// Why a header cannot be had.
#[derive(Debug)]
pub(crate) enum HeaderError {
    Damaged(FormatError),
    Unreadable(StoreError),
}

/// The header of a pack of `size` bytes, verified by its authentication code and that size.
pub(crate) fn read(
    repository: &Repository,
    pack: PackId,
    size: u64,
) -> Result<Vec<PackEntry>, HeaderError> {
    let damaged = HeaderError::Damaged;
    let tail = |length: u64| {
        // Headers are limited to 16 MiB.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        repository
            .store()
            .read_range(&pack_object(pack), size - length as u64, length)
            .map_err(HeaderError::Unreadable)
    };
    let mut bytes = tail(size.min(TAIL_BYTES))?;
    let trailer = bytes.last_chunk::<TRAILER_LENGTH>().ok_or_else(|| {
        let (length, minimum) = (bytes.len(), TRAILER_LENGTH);
        damaged(FormatError::TooShort { object: "pack", length, minimum })
    })?;
    let length = u64::from(pack::header_length(*trailer, size).map_err(damaged)?);
    let end = length + TRAILER_LENGTH as u64;
    if end > bytes.len() as u64 {
        bytes = tail(end)?;
    }
    let begin = bytes.len() - usize::try_from(end).unwrap_or(bytes.len());
    let sealed = &bytes[begin..bytes.len() - TRAILER_LENGTH];
    let plaintext = repository.key().open(sealed).map_err(damaged)?;
    pack::decode_header(&plaintext, size - end).map_err(damaged)
}
