//! Phase one: where content may be cut.

use zeroize::Zeroizing;

use super::params::Params;
use crate::crypto::Key;

/// How many bytes a hash depends on.
pub const WINDOW: usize = 64;

/// How many parts of a block are scanned at once, for the speed of it.
const LANES: usize = 4;

/// The context string of BLAKE3's key derivation: changing it changes where everything is cut.
const DERIVE_CONTEXT: &str = "outlast 2026-11-23 chunker gear table v1";

/// A position at which content may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Bytes from the start of the stream to the cut: the byte before it is the chunk's last.
    pub end: u64,
    /// Whether it may end a chunk that is shorter than the average.
    pub strict: bool,
    /// The hash of the [`WINDOW`] bytes before it, by which the place is known again.
    pub hash: u64,
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
        let mut rest = block;
        let mut before = before;
        let mut position = position;
        if lane >= WINDOW {
            let (lanes, after) = block.split_at(lane * LANES);
            self.scan_lanes(before, lanes, position, out);
            (before, rest) = (&lanes[lanes.len() - WINDOW..], after);
            position += lanes.len() as u64;
        }
        let mut hash = self.warm(before);
        for (i, byte) in rest.iter().enumerate() {
            hash = self.roll(hash, *byte);
            if hash < self.loose {
                out.push(self.candidate(hash, position + i as u64 + 1));
            }
        }
    }

    /// The same over the parts of `block` at once, all of one length: each hash waits for its last
    /// value, and the processor can work on the other ones meanwhile.
    fn scan_lanes(&self, before: &[u8], block: &[u8], position: u64, out: &mut Vec<Candidate>) {
        let length = block.len() / LANES;
        let lane = |n: usize| &block[n * length..(n + 1) * length];
        let mut hashes = [0; LANES];
        for (n, hash) in hashes.iter_mut().enumerate() {
            *hash = self.warm(if n == 0 { before } else { lane(n - 1) });
        }
        let mut found: [Vec<Candidate>; LANES] = Default::default();
        let mut done = 0;
        while let Some(step) = self.next_hit(std::array::from_fn(|n| &lane(n)[done..]), &mut hashes)
        {
            done += step;
            for (n, &hash) in hashes.iter().enumerate().filter(|(_, hash)| **hash < self.loose) {
                let end = position + (n * length + done) as u64;
                found[n].push(self.candidate(hash, end));
            }
        }
        found.iter().for_each(|candidates| out.extend(candidates));
    }

    /// Rolls all hashes on until one is a candidate; after how many bytes that is, or `None` at the
    /// end. Nearly all of the time of a scan is spent here, so the loop has nothing else in it: with
    /// a vector to push to, its registers no longer suffice.
    #[inline(never)]
    fn next_hit(&self, lanes: [&[u8]; LANES], hashes: &mut [u64; LANES]) -> Option<usize> {
        let [a, b, c, d] = lanes;
        let [mut first, mut second, mut third, mut fourth] = *hashes;
        let mut hit = None;
        for (i, (((a, b), c), d)) in a.iter().zip(b).zip(c).zip(d).enumerate() {
            first = self.roll(first, *a);
            second = self.roll(second, *b);
            third = self.roll(third, *c);
            fourth = self.roll(fourth, *d);
            let loose = self.loose;
            if (first < loose) | (second < loose) | (third < loose) | (fourth < loose) {
                hit = Some(i + 1);
                break;
            }
        }
        *hashes = [first, second, third, fourth];
        hit
    }

    /// The hash after the bytes `before`.
    fn warm(&self, before: &[u8]) -> u64 {
        let context = &before[before.len().saturating_sub(WINDOW - 1)..];
        context.iter().fold(0, |hash, byte| self.roll(hash, *byte))
    }

    fn candidate(&self, hash: u64, end: u64) -> Candidate {
        Candidate { end, strict: hash < self.strict, hash }
    }

    #[inline(always)]
    fn roll(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.table[usize::from(byte)])
    }
}
