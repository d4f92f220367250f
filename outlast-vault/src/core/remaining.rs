//! What is left of a workload's recovery points when a backup product has a drop no more.
//!
//! It is written down with the withdrawal: a month that begins with that very drop as its newest point cannot tell by its own
//! entries which one was before it.

use outlast_catalog::SnapshotRecord;
use outlast_types::{Timestamp, WorkloadName};

use super::deliveries::Delivered;
use super::error::VaultError;
use super::vault::Vault;

/// Snapshots among which the newest one that counts is looked for.
const LOOKED_AT_MAX: u32 = 100;

impl Vault {
    /// The newest recovery point of a workload, as policy counts them, without what one hand-over had of one drop;
    /// `known` is what is known of all.
    pub(super) fn point_without(
        &self,
        workload: &WorkloadName,
        known: &[Delivered],
        gone: &Delivered,
    ) -> Result<Option<Timestamp>, VaultError> {
        let (safe, catalog) = (self.promises.safe(workload), self.promises.catalog());
        let is_gone =
            |it: &&Delivered| it.drop.drop == gone.drop.drop && it.handover == gone.handover;
        let mut confirmed: Vec<&Delivered> =
            known.iter().filter(|it| it.is_confirmed() && !is_gone(it)).collect();
        confirmed.sort_by_key(|it| std::cmp::Reverse(it.point));
        let mut newest = None;
        for it in confirmed {
            let record = catalog.snapshot_of_drop(workload, it.drop.drop)?;
            if safe.is_met(record.is_some(), true) && !self.is_in_doubt(it)? {
                newest = Some(record.map_or(it.point, |record| record.recovery_point()));
                break;
            }
        }
        if !safe.is_met(true, false) {
            return Ok(newest);
        }
        let vaulted = catalog.recent_snapshots(workload, LOOKED_AT_MAX)?;
        let counting = vaulted.iter().filter(|record| self.counts(record));
        Ok(newest.max(counting.map(SnapshotRecord::recovery_point).max()))
    }
}
