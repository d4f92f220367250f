//! What is remembered of scrubs, and what is due.

mod record;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_promise::{Damage, Unread};
use outlast_types::{Timestamp, WorkloadName};

use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

pub(crate) use self::record::{Ended, Findings, Looked, ScrubRecord, Step};

const FOLDER: &str = "scrubs";
const RECORD_BYTES_MAX: u64 = 8 << 20;
/// How often all data is read, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubPolicy {
    pub period: Duration,
    /// Bytes in a second; as fast as it can without.
    pub rate: Option<NonZeroU64>,
}

impl ScrubPolicy {
    /// As often as it is looked what is due.
    pub(crate) fn look_every(&self) -> Duration {
        (self.period / 16).clamp(Duration::from_millis(500), Duration::from_secs(60))
    }
}

impl Default for ScrubPolicy {
    fn default() -> Self {
        Self { period: Duration::from_secs(30 * 24 * 3600), rate: NonZeroU64::new(32 << 20) }
    }
}

/// What is known of the scrubs of all workloads.
pub(crate) struct Scrubs {
    pub(crate) policy: ScrubPolicy,
    storage: Storage,
    state: Mutex<BTreeMap<WorkloadName, Known>>,
}

/// What is known of one.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) record: ScrubRecord,
    /// When the oldest of its data came.
    pub(crate) first: Timestamp,
    /// What the promises heard last.
    pub(crate) told: Option<(Option<Damage>, Option<Unread>)>,
}

/// The scrubs of one workload, to be shown.
#[derive(Debug, Clone)]
pub(crate) struct ScrubStatus {
    pub(crate) workload: WorkloadName,
    pub(crate) record: ScrubRecord,
    pub(crate) first: Timestamp,
    /// When something is to be read next.
    pub(crate) due: Timestamp,
    pub(crate) is_overdue: bool,
}

impl Scrubs {
    pub(crate) fn open(storage: &Storage, policy: ScrubPolicy) -> Self {
        Self { policy, storage: Storage::clone(storage), state: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkloadName, Known>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was noted. What cannot be read is as good as lost.
    pub(crate) fn noted(&self, workload: &WorkloadName) -> ScrubRecord {
        let key = key_of(workload);
        match self.storage.read(&key, RECORD_BYTES_MAX) {
            Ok(None) => ScrubRecord::default(),
            Ok(Some(content)) => match serde_json::from_slice::<ScrubRecord>(&content) {
                Ok(record) if record.version <= record::VERSION => record,
                Ok(_) | Err(_) => {
                    tracing::warn!(%workload, "what was noted of its scrubs is damaged");
                    ScrubRecord::default()
                }
            },
            Err(error) => {
                tracing::warn!(%workload, %error, "cannot read what was noted of its scrubs");
                ScrubRecord::default()
            }
        }
    }

    /// Notes it, there and here.
    pub(crate) fn note(
        &self,
        workload: &WorkloadName,
        record: &ScrubRecord,
    ) -> Result<(), VaultError> {
        if let Some(known) = self.lock().get_mut(workload) {
            known.record.clone_from(record);
        }
        let key = key_of(workload);
        let cannot = || StorageError::of(&*self.storage, "write", &key);
        let content = serde_json::to_vec(record).map_err(|error| cannot()(error.into()))?;
        let written = self.storage.replace(&key, &content, Durability::Durable);
        Ok(written.map_err(cannot())?)
    }

    /// How all of them stand, by name.
    pub(crate) fn statuses(&self, now: Timestamp) -> Vec<ScrubStatus> {
        let period = self.policy.period;
        let status = |(workload, known): (&WorkloadName, &Known)| ScrubStatus {
            workload: workload.clone(),
            record: known.record.clone(),
            first: known.first,
            due: known.record.next(period, known.first, lot_of(workload)).0,
            is_overdue: known.record.is_overdue(period, known.first, now),
        };
        self.lock().iter().map(status).collect()
    }

    /// The one that is due first of all that are due.
    pub(crate) fn most_due(&self, now: Timestamp) -> Option<(WorkloadName, Step)> {
        let period = self.policy.period;
        let state = self.lock();
        let next = state.iter().map(|(workload, known)| {
            let (due, step) = known.record.next(period, known.first, lot_of(workload));
            (due, workload, step)
        });
        let (_, workload, step) =
            next.filter(|(due, ..)| *due <= now).min_by_key(|(due, ..)| *due)?;
        Some((workload.clone(), step))
    }
}

fn key_of(workload: &WorkloadName) -> String {
    format!("{FOLDER}/{workload}.json")
}

/// A number that stays the same for a workload and is spread evenly over all of them.
pub(crate) fn lot_of(workload: &WorkloadName) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = outlast_format::sha256(workload.as_str().as_bytes());
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
