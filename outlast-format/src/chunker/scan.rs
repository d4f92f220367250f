//! Phase one: where content may be cut.

use zeroize::Zeroizing;

use super::Params;
use crate::crypto::Key;

/// How many bytes a hash depends on.
pub const WINDOW: usize = 64;

/// The context string of BLAKE3's key derivation: changing it changes where everything is cut.
const DERIVE_CONTEXT: &str = "outlast 2026-11-23 chunker gear table v1";

/// A position at which content may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Bytes from the start of the stream to the cut: the byte before it is the chunk's last.
    pub end: u64,
    /// Whether it may end a chunk that is shorter than the average.
    pub strict: bool,
}

/// The keyed table of the rolling hash, and how rare candidates are.
#[derive(Clone)]
pub struct Gear {
    table: Zeroizing<[u64; 256]>,
    loose: u64,
    strict: u64,
}

impl Gear {
    /// The table of a repository: 256 words of BLAKE3's extendable output, in its key derivation
    /// mode, over the 64 bytes of the repository key, little-endian.
    pub fn derive(key: &Key, params: Params) -> Self {
        let key = Zeroizing::new(key.to_bytes());
        let mut stream =
            blake3::Hasher::new_derive_key(DERIVE_CONTEXT).update(&*key).finalize_xof();
        let mut table = Zeroizing::new([0; 256]);
        for word in table.iter_mut() {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            *word = u64::from_le_bytes(bytes);
        }
        // Two bits rarer and two bits commoner than the average length.
        let bits = params.average.max(16).ilog2();
        Self { table, loose: 1 << (64 - (bits - 2)), strict: 1 << (64 - (bits + 2)) }
    }

    /// Appends the candidates in `block` to `out`, in order.
    ///
    /// `position` is where the block begins in its stream, and `before` the stream's bytes right
    /// before it: at least the last [`WINDOW`] − 1 of them, or all if there are fewer. The
    /// candidates do not depend on how the stream is cut into blocks.
    pub fn scan(&self, before: &[u8], block: &[u8], position: u64, out: &mut Vec<Candidate>) {
        let context = &before[before.len().saturating_sub(WINDOW - 1)..];
        let mut hash = context.iter().fold(0, |hash, byte| self.roll(hash, *byte));
        for (i, byte) in block.iter().enumerate() {
            hash = self.roll(hash, *byte);
            if hash < self.loose {
                let end = position + i as u64 + 1;
                out.push(Candidate { end, strict: hash < self.strict });
            }
        }
    }

    #[inline(always)]
    fn roll(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.table[usize::from(byte)])
    }
}
