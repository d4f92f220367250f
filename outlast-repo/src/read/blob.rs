//! One blob: where it lies, and the proof that what comes back is it.

use bytes::{Bytes, BytesMut};
use outlast_format::compress::{self, Decompressor};
use outlast_format::crypto::NONCE_LENGTH;
use outlast_format::pack::{BLOB_MAX, BlobType, PackEntry};
use outlast_format::{BlobId, PackId, sha256};

use super::nodes::Document;
use crate::read_error::{BlobError, ReadError};
use crate::{Index, Repository};

/// The largest piece of content that is accepted, in bytes of plaintext and of stored form. Stock
/// restic cuts at 8 MiB; the bound keeps a hostile index from choosing our memory.
pub(crate) const DATA_BLOB_MAX: u32 = 64 << 20;

/// Trees of more plaintext than this are not unpacked as a whole.
const STREAMED_BYTES_MIN: u32 = 1 << 20;

/// Where a blob lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) pack: PackId,
    pub(crate) entry: PackEntry,
}

impl Located {
    pub(crate) fn start(&self) -> u64 {
        self.entry.offset.into()
    }

    pub(crate) fn end(&self) -> u64 {
        self.start() + u64::from(self.entry.length)
    }
}

/// The place of a blob of type `kind`, if the index knows one that is sane.
pub(crate) fn locate(index: &Index, blob: BlobId, kind: BlobType) -> Result<Located, BlobError> {
    let location = index.locate(kind, &blob)?.ok_or(BlobError::NotIndexed { blob })?;
    let located = Located { pack: location.pack, entry: location.entry(blob) };
    accept(&located)?;
    Ok(located)
}

/// Refuses sizes that no sane writer makes, before any memory is spent on them.
pub(crate) fn accept(located: &Located) -> Result<(), BlobError> {
    let Located { pack, entry } = *located;
    let limit = match entry.kind {
        BlobType::Data => DATA_BLOB_MAX,
        BlobType::Tree => BLOB_MAX,
    };
    let length = entry.length.max(entry.plaintext_length());
    if length > limit {
        return Err(BlobError::TooLarge { blob: entry.id, pack, length, limit });
    }
    Ok(())
}

/// Turns stored bytes into blobs; kept by a worker, because its decompressor is dear to make.
pub(crate) struct Opener<'r> {
    repository: &'r Repository,
    decompressor: Decompressor,
    /// The content that was decompressed last, by [`open_within`](Self::open_within).
    plaintext: Vec<u8>,
}

/// The largest buffer that is kept for the next blob, in bytes; larger blobs are rare.
const KEPT_BYTES_MAX: usize = 16 << 20;

impl<'r> Opener<'r> {
    pub(crate) fn new(repository: &'r Repository) -> Result<Self, ReadError> {
        let decompressor =
            Decompressor::new().map_err(|source| ReadError::Decompressor { source })?;
        Ok(Self { repository, decompressor, plaintext: Vec::new() })
    }

    /// Decrypts, decompresses and verifies the blob that lies at `located`. `sealed` is what the
    /// store has there. The caller has checked the entry with [`accept`].
    pub(crate) fn open(&mut self, located: &Located, sealed: &[u8]) -> Result<Vec<u8>, BlobError> {
        let mut sealed = sealed.to_vec();
        self.open_within(located, &mut sealed).map(<[u8]>::to_vec)
    }

    /// The same for a tree. A large one is verified while it streams by, and stays as it is stored.
    pub(crate) fn document(
        &mut self,
        located: &Located,
        sealed: Bytes,
    ) -> Result<Document, BlobError> {
        let Located { pack, entry } = *located;
        // Only stores and readers that keep what they gave hold on to it.
        let mut sealed = sealed.try_into_mut().unwrap_or_else(|kept| BytesMut::from(&kept[..]));
        if entry.plaintext_length() <= STREAMED_BYTES_MIN {
            let plaintext = self.open_within(located, &mut sealed)?;
            return Ok(Document::Plain(Bytes::copy_from_slice(plaintext)));
        }
        let damaged = |source| BlobError::Damaged { blob: entry.id, pack, source };
        let length = self.repository.key().open_in_place(&mut sealed).map_err(damaged)?.len();
        let opened = sealed.freeze().slice(NONCE_LENGTH..NONCE_LENGTH + length);
        let (hash, document) = match entry.uncompressed_length {
            None => (sha256(&opened), Document::Plain(opened)),
            Some(length) => {
                let hash = compress::hash_packed(&opened, length.into()).map_err(damaged)?;
                (hash, Document::Packed(opened))
            }
        };
        if hash != entry.id.0 {
            return Err(BlobError::OtherContent { blob: entry.id, pack });
        }
        Ok(document)
    }

    /// Like [`open`](Self::open), without memory of its own for each blob: `sealed` is decrypted
    /// in its place, and the plaintext is valid until the next call.
    pub(crate) fn open_within<'a>(
        &'a mut self,
        located: &Located,
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], BlobError> {
        let Located { pack, entry } = *located;
        let damaged = |source| BlobError::Damaged { blob: entry.id, pack, source };
        let opened = self.repository.key().open_in_place(sealed).map_err(damaged)?;
        let plaintext: &[u8] = match entry.uncompressed_length {
            None => opened,
            Some(length) => {
                if self.plaintext.capacity() > KEPT_BYTES_MAX {
                    self.plaintext = Vec::new();
                }
                self.plaintext.clear();
                self.decompressor
                    .decompress_onto(opened, length as usize, &mut self.plaintext)
                    .map_err(damaged)?;
                &self.plaintext
            }
        };
        if sha256(plaintext) != entry.id.0 {
            return Err(BlobError::OtherContent { blob: entry.id, pack });
        }
        Ok(plaintext)
    }
}
