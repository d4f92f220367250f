//! Phase two: which candidates become cuts.

use std::collections::VecDeque;

use super::params::Params;
use super::scan::Candidate;

/// The end of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes from the start of the stream.
    pub end: u64,
    /// The hash of the candidate that it was, 0 if the chunk became too long, and `None` if the
    /// stream ended: then other content may follow the same bytes another time.
    pub hash: Option<u64>,
}

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
    /// those of the calls before, and appends the cuts that are certain by now to `cuts`.
    pub fn feed(&mut self, candidates: &[Candidate], scanned: u64, cuts: &mut Vec<Cut>) {
        self.pending.extend(candidates);
        self.scanned = self.scanned.max(scanned);
        while let Some(cut) = self.next_cut() {
            cuts.push(cut);
            self.start = cut.end;
        }
    }

    /// Takes the content from where the stream is scanned up to `end` without its candidates: it
    /// equals a chunk that was cut with this `hash` before, and not because its stream ended. If a
    /// chunk begins there now, it ends at `end` again, since the rules look at nothing but the
    /// chunk itself. If none does, nothing is taken and the answer is no: the caller has to scan it
    /// after all.
    #[must_use]
    pub fn feed_known(&mut self, end: u64, hash: u64, cuts: &mut Vec<Cut>) -> bool {
        if self.start != self.scanned {
            return false;
        }
        (self.start, self.scanned) = (end, end);
        self.pending.clear();
        cuts.push(Cut { end, hash: Some(hash) });
        true
    }

    /// Ends the stream where it is scanned: appends the last cut, if bytes are left.
    pub fn finish(self, cuts: &mut Vec<Cut>) {
        if self.scanned > self.start {
            cuts.push(Cut { end: self.scanned, hash: None });
        }
    }

    fn next_cut(&mut self) -> Option<Cut> {
        let average = self.start + u64::from(self.params.average);
        let limit = self.start + u64::from(self.params.max);
        let first = self.start + u64::from(self.params.min);
        while let Some(candidate) = self.pending.front() {
            if candidate.end >= limit {
                break;
            }
            if candidate.end >= first && (candidate.strict || candidate.end >= average) {
                return Some(Cut { end: candidate.end, hash: Some(candidate.hash) });
            }
            self.pending.pop_front();
        }
        (self.scanned >= limit).then_some(Cut { end: limit, hash: Some(0) })
    }
}
