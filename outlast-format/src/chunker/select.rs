//! Phase two: which candidates become cuts.

use std::collections::VecDeque;

use super::{Candidate, Params};

/// Makes cuts of candidates, serially.
///
/// From the start of a chunk, the first candidate ends it that is at least `min` away and, before
/// `average`, strict. If there is none up to `max`, the chunk ends there.
#[derive(Debug)]
pub struct Selector {
    params: Params,
    /// Where the current chunk begins.
    start: u64,
    scanned: u64,
    pending: VecDeque<Candidate>,
}

impl Selector {
    /// At the beginning of a stream.
    pub fn new(params: Params) -> Self {
        Self { params, start: 0, scanned: 0, pending: VecDeque::new() }
    }

    /// Where the current chunk begins: everything before it is cut.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Takes the candidates up to `scanned` bytes from the start of the stream, in order after
    /// those of the calls before, and appends the cuts that are certain by now to `cuts` (ends of
    /// chunks, in bytes from the start of the stream).
    pub fn feed(&mut self, candidates: &[Candidate], scanned: u64, cuts: &mut Vec<u64>) {
        self.pending.extend(candidates);
        self.scanned = self.scanned.max(scanned);
        while let Some(cut) = self.next_cut() {
            cuts.push(cut);
            self.start = cut;
        }
    }

    /// Ends the stream where it is scanned: appends the last cut, if bytes are left.
    pub fn finish(self, cuts: &mut Vec<u64>) {
        if self.scanned > self.start {
            cuts.push(self.scanned);
        }
    }

    fn next_cut(&mut self) -> Option<u64> {
        let average = self.start + u64::from(self.params.average);
        let limit = self.start + u64::from(self.params.max);
        let first = self.start + u64::from(self.params.min);
        while let Some(candidate) = self.pending.front() {
            if candidate.end >= limit {
                break;
            }
            if candidate.end >= first && (candidate.strict || candidate.end >= average) {
                return Some(candidate.end);
            }
            self.pending.pop_front();
        }
        (self.scanned >= limit).then_some(limit)
    }
}
