//! Phase one: where content may be cut.

use zeroize::Zeroizing;

use super::Params;
use crate::crypto::Key;

/// How many bytes a hash depends on.
pub const WINDOW: usize = 64;

/// How many parts of a block are scanned at once, for the speed of it.
const LANES: usize = 2;

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
    pub(super) table: Zeroizing<[u64; 256]>,
    pub(super) loose: u64,
    pub(super) strict: u64,
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
        let lane = block.len() / LANES;
        let (lanes, rest) = block.split_at(lane * LANES);
        if lane >= WINDOW {
            self.scan_lanes(before, lanes, position, out);
            self.scan_serial(
                &lanes[lanes.len() - WINDOW..],
                rest,
                position + lanes.len() as u64,
                out,
            );
        } else {
            self.scan_serial(before, block, position, out);
        }
    }

    fn scan_serial(&self, before: &[u8], block: &[u8], position: u64, out: &mut Vec<Candidate>) {
        let mut hash = self.warm(before);
        for (i, byte) in block.iter().enumerate() {
            hash = self.roll(hash, *byte);
            if hash < self.loose {
                out.push(self.candidate(hash, position + i as u64 + 1));
            }
        }
    }

    /// The same over the two halves of `block` at once: each hash waits for its last value, and
    /// the processor can work on the other one meanwhile. (Three or four are no faster.)
    fn scan_lanes(&self, before: &[u8], block: &[u8], position: u64, out: &mut Vec<Candidate>) {
        let (first, second) = block.split_at(block.len() / LANES);
        let (mut hash, mut other) = (self.warm(before), self.warm(first));
        // Almost no step finds anything: what is found is kept out of the loop's way.
        let mut found = Vec::new();
        for (i, (byte, other_byte)) in first.iter().zip(second).enumerate() {
            hash = self.roll(hash, *byte);
            other = self.roll(other, *other_byte);
            if (hash < self.loose) | (other < self.loose) {
                found.push((i as u64 + 1, hash, other));
            }
        }
        let of =
            |position, end, hash| (hash < self.loose).then(|| self.candidate(hash, position + end));
        out.extend(found.iter().filter_map(|(end, hash, _)| of(position, *end, *hash)));
        let middle = position + first.len() as u64;
        out.extend(found.iter().filter_map(|(end, _, other)| of(middle, *end, *other)));
    }

    /// The hash after the bytes `before`.
    fn warm(&self, before: &[u8]) -> u64 {
        let context = &before[before.len().saturating_sub(WINDOW - 1)..];
        context.iter().fold(0, |hash, byte| self.roll(hash, *byte))
    }

    fn candidate(&self, hash: u64, end: u64) -> Candidate {
        Candidate { end, strict: hash < self.strict }
    }

    #[inline(always)]
    fn roll(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.table[usize::from(byte)])
    }
}
