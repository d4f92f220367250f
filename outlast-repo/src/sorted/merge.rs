//! Several runs as one: all records in order, none twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::run::{Cursor, Run};
use crate::CacheError;

/// The records of several runs in order. Records that are equal come once. Memory holds one page
/// of each run.
pub(crate) struct Merge<const N: usize> {
    cursors: Vec<Cursor<N>>,
    /// The next record of each run that has one.
    heads: BinaryHeap<Reverse<([u8; N], usize)>>,
    last: Option<[u8; N]>,
    /// A run that cannot be read; told before anything else.
    failed: Option<CacheError>,
}

impl<const N: usize> Merge<N> {
    pub(crate) fn new(runs: &[Arc<Run<N>>]) -> Self {
        let cursors = runs.iter().map(|run| Cursor::new(Arc::clone(run))).collect::<Vec<_>>();
        let heads = BinaryHeap::with_capacity(cursors.len());
        let mut merge = Self { cursors, heads, last: None, failed: None };
        (0..merge.cursors.len()).for_each(|run| merge.advance(run));
        merge
    }

    fn advance(&mut self, run: usize) {
        match self.cursors[run].next() {
            Ok(Some(record)) => self.heads.push(Reverse((record, run))),
            Ok(None) => {}
            Err(error) => self.failed = Some(error),
        }
    }
}

impl<const N: usize> Iterator for Merge<N> {
    type Item = Result<[u8; N], CacheError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.failed.take() {
                // What comes after a gap would look whole.
                self.heads.clear();
                return Some(Err(error));
            }
            let Reverse((record, run)) = self.heads.pop()?;
            self.advance(run);
            if self.last != Some(record) {
                self.last = Some(record);
                return Some(Ok(record));
            }
        }
    }
}
