//! What a run of the vault counts for its metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use outlast_catalog::SnapshotRecord;
use outlast_types::Verdict;

/// Numbers that only rise, from 0 at each start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    drops: AtomicU64,
    content_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    /// Drops by what is thought of their content.
    verdicts: Mutex<BTreeMap<&'static str, u64>>,
    /// By status code, of which HTTP has few.
    requests: Mutex<BTreeMap<u16, u64>>,
}

/// The same, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) drops: u64,
    pub(crate) content_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) verdicts: BTreeMap<&'static str, u64>,
    pub(crate) requests: BTreeMap<u16, u64>,
}

impl Counters {
    /// A snapshot was made known.
    pub(crate) fn published(&self, record: &SnapshotRecord) {
        self.drops.fetch_add(u64::from(record.drop.is_some()), Ordering::Relaxed);
        self.content_bytes.fetch_add(record.content_bytes, Ordering::Relaxed);
        self.stored_bytes.fetch_add(record.stored_bytes, Ordering::Relaxed);
        if record.drop.is_some() {
            let verdict = match &record.sanity.verdict {
                Verdict::Sound => "sound",
                Verdict::Unknown => "unknown",
                Verdict::Suspect => "suspect",
                Verdict::Broken => "broken",
                // An agent of before, or one that says what is not known here.
                Verdict::Other(_) => "none",
            };
            let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            *verdicts.entry(verdict).or_default() += 1;
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(status).or_default() += 1;
    }

    pub(crate) fn read(&self) -> Counted {
        Counted {
            drops: self.drops.load(Ordering::Relaxed),
            content_bytes: self.content_bytes.load(Ordering::Relaxed),
            stored_bytes: self.stored_bytes.load(Ordering::Relaxed),
            verdicts: self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            requests: self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
