//! Plaintext into sealed blobs: compressed where that pays, and encrypted.

use outlast_format::BlobId;
use outlast_format::compress::Compressor;
use outlast_format::config::Version;
use outlast_format::crypto::NONCE_LENGTH;
use outlast_format::pack::BlobType;

use super::compression_policy::{NoiseFilter, Plan, Verdict};
use super::context::Context;
use super::engine::Bench;
use super::stop::Halt;
use crate::RepoError;
use crate::packer::SealedBlob;

/// Compresses and encrypts blobs; one per thread.
pub(super) struct Sealer<'a> {
    context: &'a Context<'a>,
    /// Not in version 1 of the format.
    compresses: bool,
    noise: NoiseFilter,
}

impl<'a> Sealer<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Self {
        let compresses = context.repository.config().version == Version::V2;
        Self { context, compresses, noise: NoiseFilter::default() }
    }

    /// How hard trees are compressed, if they are at all.
    pub(super) fn tree_level(&self) -> Option<i32> {
        self.compresses.then(|| self.context.compression.tree_level())
    }

    /// The blob as it belongs in a pack, until the next one is sealed at this bench.
    pub(super) fn seal<'b>(
        &mut self,
        bench: &'b mut Bench,
        kind: BlobType,
        id: BlobId,
        plaintext: &[u8],
    ) -> Result<SealedBlob<'b>, Halt> {
        let is_compressed = match kind {
            BlobType::Data => self.compress_data(bench, plaintext)?,
            // In version 2 always, as stock restic has it.
            BlobType::Tree if self.compresses => {
                compress(bench, self.context.compression.tree_level(), plaintext)?;
                true
            }
            BlobType::Tree => false,
        };
        if !is_compressed {
            bench.sealed.clear();
            bench.sealed.resize(NONCE_LENGTH, 0);
            bench.sealed.extend_from_slice(plaintext);
        }
        self.context.repository.key().seal_tail(&mut bench.sealed, 0, self.context.random);
        let bytes = &bench.sealed;
        self.context.counters.added(kind, plaintext.len(), bytes.len());
        let uncompressed_length =
            is_compressed.then(|| u32::try_from(plaintext.len()).unwrap_or(u32::MAX));
        Ok(SealedBlob { kind, id, bytes, uncompressed_length })
    }

    /// Compresses the content of a file; whether it became smaller. If it did not, it is stored as
    /// it is, which spares readers the work.
    fn compress_data(&mut self, bench: &mut Bench, plaintext: &[u8]) -> Result<bool, Halt> {
        if !self.compresses {
            return Ok(false);
        }
        let verdict = self.noise.judge(plaintext);
        if verdict == Verdict::Noise {
            return Ok(false);
        }
        let length = match self.context.compression.plan() {
            Plan::Compress(level) => compress(bench, level, plaintext)?,
            Plan::Compare(fast, usual) => {
                let fast = compress(bench, fast, plaintext)?;
                let usual = compress(bench, usual, plaintext)?;
                self.context.compression.compared(fast, usual);
                usual
            }
        };
        if verdict == Verdict::Doubtful {
            self.noise.tried(length < plaintext.len() - plaintext.len() / 50);
        }
        Ok(length < plaintext.len())
    }
}

/// Puts the compressed content where it will be sealed; how many bytes it has.
fn compress(bench: &mut Bench, level: i32, plaintext: &[u8]) -> Result<usize, Halt> {
    let failed = |source| RepoError::Encode { what: "compressed blob", source };
    let compressor = match &mut bench.compressor {
        Some(compressor) => compressor,
        empty => empty.insert(Compressor::new(level).map_err(failed)?),
    };
    bench.sealed.clear();
    bench.sealed.resize(NONCE_LENGTH, 0);
    Ok(compressor
        .set_level(level)
        .and_then(|()| compressor.compress_onto(plaintext, &mut bench.sealed))
        .map_err(failed)?)
}
