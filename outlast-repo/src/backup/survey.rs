//! What a worker finds in a piece of a file: chunks of the last backup's trail, which it proves by
//! their hash, and between them the places where content may be cut.

use std::ops::Range;

use outlast_format::chunker::{Candidate, Gear, WINDOW};

use super::trail::{Step, Trail};

/// Bytes that are scanned before candidates are looked up in the trail: little, because behind
/// the first one that is found there is nothing to scan.
const STRIDE: usize = 32 << 10;
/// So many times a step that does not fit is hashed in vain; then the piece is scanned to its end.
const MISSES_MAX: u32 = 8;

/// A piece of a file: every byte of it was scanned or belongs to a proven chunk.
#[derive(Debug, Default)]
pub(super) struct Survey {
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
    /// The step of the trail that it is, and its number.
    pub(super) step: Step,
    pub(super) number: u64,
}

/// Surveys `bytes`, which begin at `position` of their file, after the bytes `before`.
pub(super) fn survey(
    gear: &Gear,
    trail: &Trail,
    before: &[u8],
    bytes: &[u8],
    position: u64,
) -> Survey {
    let mut survey = Survey::default();
    if trail.is_empty() {
        gear.scan(before, bytes, position, &mut survey.candidates);
        return survey;
    }
    let mut misses = 0;
    let mut at = 0;
    while at < bytes.len() {
        let stride = if misses < MISSES_MAX { STRIDE } else { bytes.len() };
        let end = bytes.len().min(at.saturating_add(stride));
        let first = survey.candidates.len();
        let context = if at == 0 { before } else { &bytes[at.saturating_sub(WINDOW)..at] };
        gear.scan(context, &bytes[at..end], position + at as u64, &mut survey.candidates);
        at = end;
        for n in first..survey.candidates.len() {
            let Candidate { end, mark, .. } = survey.candidates[n];
            let from = usize::try_from(end - position).unwrap_or(usize::MAX);
            if misses == MISSES_MAX {
                break;
            }
            // What is scanned next must have its context in this piece.
            let Some(number) = trail.after(mark).filter(|_| from >= WINDOW) else { continue };
            let to = follow(trail, number, bytes, from, position, &mut survey.proven);
            if to > from {
                survey.candidates.truncate(n + 1);
                at = to;
                break;
            }
            misses += 1;
        }
    }
    survey
}

/// Proves chunk after chunk, beginning with the step `number` at offset `from` of the piece; where
/// that ends.
fn follow(
    trail: &Trail,
    mut number: u64,
    bytes: &[u8],
    mut from: usize,
    position: u64,
    proven: &mut Vec<Proven>,
) -> usize {
    while let Some(step) = trail.step(number)
        && let Some(chunk) = bytes[from..].get(..step.length as usize)
        && step.length > 0
        && *blake3::hash(chunk).as_bytes() == step.content
    {
        let start = position + from as u64;
        let range = start..start + u64::from(step.length);
        proven.push(Proven { range, step, number });
        from += chunk.len();
        number += 1;
    }
    from
}
