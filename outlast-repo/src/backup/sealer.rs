//! Plaintext into sealed blobs: compressed where that pays, and encrypted.

use outlast_format::BlobId;
use outlast_format::compress::Compressor;
use outlast_format::config::Version;
use outlast_format::crypto::NONCE_LENGTH;
use outlast_format::pack::BlobType;

use super::compression_policy::{NoiseFilter, Plan, Verdict};
use super::context::Context;
use super::stop::Halt;
use crate::RepoError;
use crate::packer::SealedBlob;

/// Compresses and encrypts blobs; one per thread.
pub(super) struct Sealer<'a> {
    context: &'a Context<'a>,
    /// None in version 1 of the format.
    compressor: Option<Compressor>,
    noise: NoiseFilter,
    /// Where the blob at hand is compressed and encrypted in place: room for the nonce, then the
    /// content. Kept, because new memory for every blob costs time.
    sealed: Vec<u8>,
}

impl<'a> Sealer<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Result<Self, Halt> {
        let compressor = match context.repository.config().version {
            Version::V1 => None,
            Version::V2 => Some(
                Compressor::new(context.compression.tree_level())
                    .map_err(|source| RepoError::Encode { what: "compressor", source })?,
            ),
        };
        Ok(Self { context, compressor, noise: NoiseFilter::default(), sealed: Vec::new() })
    }

    /// How hard trees are compressed, if they are at all.
    pub(super) fn tree_level(&self) -> Option<i32> {
        self.compressor.as_ref().map(|_| self.context.compression.tree_level())
    }

    /// The blob as it belongs in a pack, until the next one is sealed.
    pub(super) fn seal(
        &mut self,
        kind: BlobType,
        id: BlobId,
        plaintext: &[u8],
    ) -> Result<SealedBlob<'_>, Halt> {
        let is_compressed = match kind {
            BlobType::Data => self.compress_data(plaintext)?,
            // In version 2 always, as stock restic has it.
            BlobType::Tree if self.compressor.is_some() => {
                self.compress(self.context.compression.tree_level(), plaintext)?;
                true
            }
            BlobType::Tree => false,
        };
        if !is_compressed {
            self.sealed.clear();
            self.sealed.resize(NONCE_LENGTH, 0);
            self.sealed.extend_from_slice(plaintext);
        }
        self.context.repository.key().seal_tail(&mut self.sealed, 0, self.context.random);
        let bytes = &self.sealed;
        self.context.counters.added(kind, plaintext.len(), bytes.len());
        let uncompressed_length =
            is_compressed.then(|| u32::try_from(plaintext.len()).unwrap_or(u32::MAX));
        Ok(SealedBlob { kind, id, bytes, uncompressed_length })
    }

    /// Compresses the content of a file; whether it became smaller. If it did not, it is stored as
    /// it is, which spares readers the work.
    fn compress_data(&mut self, plaintext: &[u8]) -> Result<bool, Halt> {
        if self.compressor.is_none() {
            return Ok(false);
        }
        let verdict = self.noise.judge(plaintext);
        if verdict == Verdict::Noise {
            return Ok(false);
        }
        let length = match self.context.compression.plan() {
            Plan::Compress(level) => self.compress(level, plaintext)?,
            Plan::Compare(fast, usual) => {
                let fast = self.compress(fast, plaintext)?;
                let usual = self.compress(usual, plaintext)?;
                self.context.compression.compared(fast, usual);
                usual
            }
        };
        if verdict == Verdict::Doubtful {
            self.noise.tried(length < plaintext.len() - plaintext.len() / 50);
        }
        Ok(length < plaintext.len())
    }

    /// Puts the compressed content where it will be sealed; how many bytes it has.
    fn compress(&mut self, level: i32, plaintext: &[u8]) -> Result<usize, Halt> {
        let Some(compressor) = &mut self.compressor else { return Ok(plaintext.len()) };
        self.sealed.clear();
        self.sealed.resize(NONCE_LENGTH, 0);
        Ok(compressor
            .set_level(level)
            .and_then(|()| compressor.compress_onto(plaintext, &mut self.sealed))
            .map_err(|source| RepoError::Encode { what: "compressed blob", source })?)
    }
}
