//! The scan of a piece of a file: chunks of the last backup's history, which it proves by
//! their hash, and between them the places where content may be cut.

use std::ops::Range;

use outlast_format::chunker::{Candidate, Gear, WINDOW};

use super::chunk_history::{ChunkHistory, KnownChunk};

/// Bytes that are scanned before candidates are looked up in the history: little, because behind
/// the first one that is found there is nothing to scan.
const STRIDE: usize = 32 << 10;
/// So many times a known that does not fit is hashed in vain; then the piece is scanned to its end.
const MISSES_MAX: u32 = 8;

/// A piece of a file: every byte of it was scanned or belongs to a proven chunk.
#[derive(Debug, Default)]
pub(super) struct SegmentScan {
    /// In order; none inside a proven chunk.
    pub(super) candidates: Vec<Candidate>,
    /// In order.
    pub(super) proven: Vec<Proven>,
}

/// Content that equals a chunk of the last backup.
#[derive(Debug, Clone)]
pub(super) struct Proven {
    /// Where it lies in the file.
    pub(super) range: Range<u64>,
    /// The known of the history that it is, and its number.
    pub(super) known: KnownChunk,
    pub(super) number: u64,
}

/// Scans `bytes`, which begin at `position` of their file, after the bytes `before`.
pub(super) fn scan(
    gear: &Gear,
    history: &ChunkHistory,
    before: &[u8],
    bytes: &[u8],
    position: u64,
) -> SegmentScan {
    let mut scan = SegmentScan::default();
    if history.is_empty() {
        gear.scan(before, bytes, position, &mut scan.candidates);
        return scan;
    }
    let mut misses = 0;
    let mut at = 0;
    while at < bytes.len() {
        let stride = if misses < MISSES_MAX { STRIDE } else { bytes.len() };
        let end = bytes.len().min(at.saturating_add(stride));
        let first = scan.candidates.len();
        let context = if at == 0 { before } else { &bytes[at.saturating_sub(WINDOW)..at] };
        gear.scan(context, &bytes[at..end], position + at as u64, &mut scan.candidates);
        at = end;
        for n in first..scan.candidates.len() {
            let Candidate { end, hash, .. } = scan.candidates[n];
            let from = usize::try_from(end - position).unwrap_or(usize::MAX);
            if misses == MISSES_MAX {
                break;
            }
            // What is scanned next must have its context in this piece.
            let Some(number) = history.after(hash).filter(|_| from >= WINDOW) else { continue };
            let to = follow(history, number, bytes, from, position, &mut scan.proven);
            if to > from {
                scan.candidates.truncate(n + 1);
                at = to;
                break;
            }
            misses += 1;
        }
    }
    scan
}

/// Proves chunk after chunk, beginning with the known `number` at offset `from` of the piece; where
/// that ends.
fn follow(
    history: &ChunkHistory,
    mut number: u64,
    bytes: &[u8],
    mut from: usize,
    position: u64,
    proven: &mut Vec<Proven>,
) -> usize {
    while let Some(known) = history.chunk(number)
        && let Some(chunk) = bytes[from..].get(..known.length as usize)
        && known.length > 0
        && *blake3::hash(chunk).as_bytes() == known.content
    {
        let start = position + from as u64;
        let range = start..start + u64::from(known.length);
        proven.push(Proven { range, known, number });
        from += chunk.len();
        number += 1;
    }
    from
}
