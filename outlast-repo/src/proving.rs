//! Proving packs that somebody else made: nothing in them is believed that was not looked at.
//!
//! The name of a pack says that it came as it was sent, and an authentication code that its maker
//! has the repository's key. Neither says that a blob is what it is called: only the hash of its
//! plaintext does. So all of a pack is decrypted, decompressed and hashed, piece by piece: memory
//! does not depend on what the maker chose.

use outlast_format::compress::Inflater;
use outlast_format::crypto::{Key, MAC_LENGTH, NONCE_LENGTH, OVERHEAD, Opening};
use outlast_format::pack::{BLOB_MAX, BlobType, PackEntry};
use outlast_format::{BlobId, FormatError, PackId, Sha256};
use outlast_store::StoreError;

use crate::pack_header::{self, HeaderError};
use crate::read::blob::DATA_BLOB_MAX;

pub use crate::pack_header::{PackBytes, Stored};

/// Bytes that are read and opened at once.
const PIECE_BYTES: usize = 1 << 20;
const _: () = assert!(PIECE_BYTES.is_multiple_of(Opening::BLOCK));

/// The most plaintext that one pack may hold, in bytes: it is time that the maker chooses, some
/// seconds for each GiB. Even what compresses a thousandfold stays below it in a pack of 16 MiB.
const PLAINTEXT_MAX: u64 = 16 << 30;

/// Why a pack was not proved.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It could not be read; that says nothing about it.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Pack(FormatError),
    #[error("its content does not hash to its name")]
    Name,
    #[error("blob {blob:.8} in it: {source}")]
    Blob { blob: BlobId, source: FormatError },
    #[error("blob {blob:.8} in it has other content than its id says")]
    OtherContent { blob: BlobId },
    #[error("its blobs hold more than {PLAINTEXT_MAX} bytes")]
    TooMuch,
}

impl From<HeaderError> for ProofError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Damaged(source) => Self::Pack(source),
            HeaderError::Unreadable(source) => Self::Store(source),
        }
    }
}

/// The blobs that the header of a pack lists, in the order in which they lie there.
pub fn header(pack: &dyn PackBytes, key: &Key) -> Result<Vec<PackEntry>, ProofError> {
    Ok(pack_header::read(pack, key)?)
}

/// Proves packs, one after another; to be kept by a worker. Takes 2 MiB, while it works also the
/// header of a pack and, for blobs above a MiB, what their compression refers back to (16 MiB).
pub struct Prover {
    inflater: Inflater,
    piece: Vec<u8>,
}

impl Prover {
    pub fn new() -> Result<Self, FormatError> {
        Ok(Self { inflater: Inflater::new()?, piece: vec![0; PIECE_BYTES] })
    }

    /// Proves every blob of a pack, and that they fill it; returns what its header lists. With a
    /// `name`, its whole content is hashed and compared, too.
    pub fn prove(
        &mut self,
        pack: &dyn PackBytes,
        name: Option<PackId>,
        key: &Key,
    ) -> Result<Vec<PackEntry>, ProofError> {
        let (entries, tail) = pack_header::read_tail(pack, key)?;
        let plaintext: u64 = entries.iter().map(|entry| u64::from(entry.plaintext_length())).sum();
        if plaintext > PLAINTEXT_MAX {
            return Err(ProofError::TooMuch);
        }
        let mut whole = name.map(|_| Sha256::new());
        for entry in &entries {
            self.prove_blob(pack, entry, key, whole.as_mut())?;
        }
        if let Some(mut whole) = whole {
            whole.update(&tail);
            if name != Some(PackId(whole.finish())) {
                return Err(ProofError::Name);
            }
        }
        Ok(entries)
    }

    fn prove_blob(
        &mut self,
        pack: &dyn PackBytes,
        entry: &PackEntry,
        key: &Key,
        mut whole: Option<&mut Sha256>,
    ) -> Result<(), ProofError> {
        let blob = entry.id;
        let damaged = |source| ProofError::Blob { blob, source };
        let limit = match entry.kind {
            BlobType::Data => DATA_BLOB_MAX,
            BlobType::Tree => BLOB_MAX,
        };
        if entry.length.max(entry.plaintext_length()) > limit {
            return Err(damaged(FormatError::TooLarge { object: "blob", limit: limit.into() }));
        }
        if let Some(length) = entry.uncompressed_length {
            self.inflater.begin(length.into()).map_err(damaged)?;
        }
        // An entry is at least as long as what sealing adds, and all lie within the pack.
        let mut at = u64::from(entry.offset);
        let mut left = entry.length as usize - OVERHEAD;
        let mut read = |buffer: &mut [u8]| {
            pack.read_at(at, buffer)?;
            at += buffer.len() as u64;
            if let Some(whole) = &mut whole {
                whole.update(buffer);
            }
            Ok::<(), StoreError>(())
        };
        let mut nonce = [0; NONCE_LENGTH];
        read(&mut nonce)?;
        let mut opening = key.opening(&nonce);
        let mut hash = Sha256::new();
        let is_compressed = entry.uncompressed_length.is_some();
        let inflater = &mut self.inflater;
        let mut plain = |piece: &[u8]| {
            if is_compressed {
                inflater.take(piece, |plain| hash.update(plain)).map_err(damaged)
            } else {
                hash.update(piece);
                Ok(())
            }
        };
        while left > PIECE_BYTES {
            let piece = &mut self.piece[..];
            read(piece)?;
            opening.decrypt(piece);
            plain(piece)?;
            left -= PIECE_BYTES;
        }
        let last = &mut self.piece[..left];
        read(last)?;
        let mut code = [0; MAC_LENGTH];
        read(&mut code)?;
        // Authentic first: what is not ours is not even decompressed to its end.
        opening.finish(last, &code).map_err(damaged)?;
        plain(last)?;
        if is_compressed {
            self.inflater.finish().map_err(damaged)?;
        }
        if hash.finish() != blob.0 {
            return Err(ProofError::OtherContent { blob });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
