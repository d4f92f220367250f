//! The numbers of receipts.

use std::sync::atomic::{AtomicU64, Ordering};

use outlast_catalog::SnapshotRecord;
use serde::Deserialize;

/// Numbers the receipts of a vault, from 1. It is not kept in a file of its own: the arrival records
/// have all that were given out.
#[derive(Debug, Default)]
pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    /// A number that no receipt has.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// How far it has counted.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A receipt has this number.
    pub(crate) fn saw(&self, number: u64) {
        self.0.fetch_max(number, Ordering::Relaxed);
    }

    /// Takes note of the number in the receipt of `record`, if it has one.
    pub(crate) fn saw_record(&self, record: &SnapshotRecord) {
        /// The one member that matters: there may be a million records at a start.
        #[derive(Deserialize)]
        struct Numbered {
            sequence: Option<u64>,
        }
        let text = record.receipt.as_deref().unwrap_or_default();
        let numbered = serde_json::from_str(text).ok();
        if let Some(number) = numbered.and_then(|Numbered { sequence }| sequence) {
            self.saw(number);
        }
    }
}
