//! Doubtful drops: which are no recovery points, and what operators say of that.
//!
//! The agent, which reads a drop, tells what its content is and whether its end is there; what it refuses
//! stays on the share. Here, what comes is compared with what counted before, by policy. What is in
//! doubt is kept beside the rest and counts for nothing. An operator's word takes it for good: of what
//! is here at once, of what lies in quarantine by a receipt that the vault signs for that very content.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use outlast_catalog::SnapshotRecord;
use outlast_drop::{DropAddress, Receipt, ReceiptState};
use outlast_promise::{Measure, doubts};
use outlast_types::{
    DropId, RejectionCode, Sanity, SanityRule, ShareId, Timestamp, Verdict, WorkloadName,
};
use outlast_wire::Certified;
use outlast_wire::api::{Delivery, Shipment};

use super::audit;
use super::deliveries::Delivered;
use super::error::VaultError;
use super::orders::{Action, NewOrder, Order, Place};
use super::vault::Vault;

/// Snapshots that are looked at for those that counted, and how many of these are compared with.
const RECENT_MAX: u32 = 64;
const COMPARED_MAX: usize = 8;
/// How long an agent has to take up what an operator accepted of its quarantine.
const CLEARED_FOR: Duration = Duration::from_secs(90 * 86_400);
/// How many such words one answer carries; the others follow.
const CLEARED_MAX: usize = 100;

impl Vault {
    /// What is to be thought of the content of a drop that is handed in.
    pub(super) fn judge(&self, shipment: &Shipment) -> Result<Sanity, VaultError> {
        let workload = &shipment.workload;
        let rule = self.policy().sanity.rule(workload, shipment.sanity_rule.as_ref());
        let handed = match self.promises.counts_confirmed(workload) {
            true => self.deliveries.of(workload)?,
            false => Vec::new(),
        };
        let past = self.counted_before(workload, shipment.drop, &handed)?;
        Ok(weighed(shipment.sanity.clone(), shipment.size, &rule, &past))
    }

    /// The same of a drop that only a backup product has, after those that are `known` to be handed over.
    pub(super) fn judge_handed(
        &self,
        workload: &WorkloadName,
        told: &Delivery,
        known: &[Delivered],
    ) -> Result<Sanity, VaultError> {
        let rule = self.policy().sanity.rule(workload, told.sanity_rule.as_ref());
        let past = self.counted_before(workload, told.drop.drop, known)?;
        Ok(weighed(told.sanity.clone(), told.size, &rule, &past))
    }

    /// The newest drops of a workload that counted, but this one: since an operator last accepted one, which is
    /// then as large as they are.
    fn counted_before(
        &self,
        workload: &WorkloadName,
        but: DropId,
        handed: &[Delivered],
    ) -> Result<Vec<Measure>, VaultError> {
        let mut all = Vec::new();
        for record in self.promises.catalog().recent_snapshots(workload, RECENT_MAX)? {
            let Some(drop) = record.drop.filter(|_| self.counts(&record)) else { continue };
            let entries = record.sanity.entries;
            let measure = Measure { bytes: record.content_bytes, entries };
            all.push((record.recovery_point(), drop, measure));
        }
        let vaulted: BTreeSet<DropId> = all.iter().map(|(_, drop, _)| *drop).collect();
        let confirmed = handed.iter().filter(|known| known.confirmed.is_some());
        for known in confirmed.filter(|known| !vaulted.contains(&known.drop.drop)) {
            if !self.is_doubtful(workload, known.drop.drop, &known.sanity()) {
                all.push((known.point, known.drop.drop, known.measure()));
            }
        }
        // In two hand-overs it is one drop.
        all.sort_by_key(|(point, drop, _)| (Reverse(*point), *drop));
        all.dedup_by_key(|(_, drop, _)| *drop);
        let mut past = Vec::new();
        for (_, drop, measure) in all.into_iter().filter(|(_, drop, _)| *drop != but) {
            past.push(measure);
            if past.len() == COMPARED_MAX || self.orders.has_accepted(workload, drop) {
                break;
            }
        }
        Ok(past)
    }

    /// Whether a snapshot is a recovery point. One of stock restic is what its maker says.
    pub(crate) fn counts(&self, record: &SnapshotRecord) -> bool {
        let SnapshotRecord { workload, drop, sanity, .. } = record;
        drop.is_none_or(|drop| !self.is_doubtful(workload, drop, sanity))
    }

    /// Whether a drop of which this is thought is no recovery point.
    pub(super) fn is_doubtful(
        &self,
        workload: &WorkloadName,
        drop: DropId,
        sanity: &Sanity,
    ) -> bool {
        !sanity.counts() && !self.orders.has_accepted(workload, drop)
    }

    /// Takes a drop for a backup, by the word of an operator.
    pub(crate) fn accept(
        &self,
        workload: &WorkloadName,
        by: &str,
        drop: DropId,
        reason: Option<&str>,
    ) -> Result<Order, VaultError> {
        let bad = |reason: String| VaultError::BadOrder {
            workload: workload.clone(),
            action: "accepted",
            reason,
        };
        if self.orders.has_accepted(workload, drop) {
            return Err(bad(format!("drop {drop} was accepted before")));
        }
        let mut handed = self.deliveries.of(workload)?;
        handed.retain(|known| known.drop.drop == drop);
        let action = match self.promises.catalog().snapshot_of_drop(workload, drop)? {
            Some(record) if record.sanity.counts() => {
                return Err(bad(format!("drop {drop} counts already")));
            }
            Some(record) => Action::Accept { drop, received: Some(record.received), place: None },
            None => match handed.first() {
                Some(known) if known.sanity().counts() => {
                    return Err(bad(format!("drop {drop} is in no doubt")));
                }
                Some(_) => Action::Accept { drop, received: None, place: None },
                None => {
                    let place = self.quarantined(workload, drop)?;
                    Action::Accept { drop, received: None, place: Some(place) }
                }
            },
        };
        let at = self.environment.clock.now();
        let order = self.orders.append(NewOrder { at, by, workload, reason, action })?;
        self.audit.record_member(audit::Source::Orders, order.number, order.entry())?;
        self.promises.ordered(&order, None)?;
        // It is as old as it was.
        for known in handed.iter().filter(|known| known.is_confirmed()) {
            let counts = self.confirmation_of(workload, known)?;
            self.promises.noted(counts.into_iter().collect())?;
        }
        Ok(order)
    }

    /// Which drop lies in quarantine, if it may be accepted.
    fn quarantined(&self, workload: &WorkloadName, drop: DropId) -> Result<Place, VaultError> {
        let known = self.promises.status(workload).map(|status| status.quarantine);
        let found = known.unwrap_or_default().into_iter().find(|known| known.drop == drop);
        let unknown = || VaultError::UnknownDrop { workload: workload.clone(), drop };
        let found = found.ok_or_else(unknown)?;
        if found.code != RejectionCode::BrokenContent {
            let reason =
                format!("drop {drop} was not refused for what it looks like: {}", found.reason);
            let (workload, action) = (workload.clone(), "accepted");
            return Err(VaultError::BadOrder { workload, action, reason });
        }
        Ok(Place { share: found.share, day: found.day, seal: found.seal })
    }

    /// The words by which an agent takes drops out of its quarantine: those that operators accepted and
    /// that are not here yet.
    pub(crate) fn cleared(
        &self,
        agent: &Certified,
        share: ShareId,
    ) -> Result<Vec<String>, VaultError> {
        let now = self.environment.clock.now();
        let mut cleared = Vec::new();
        for (workload, drop, place) in
            self.orders.accepted_on(share, now.saturating_sub(CLEARED_FOR))
        {
            let present = self.present(&workload);
            let is_here = || -> Result<bool, VaultError> {
                let is_vaulted = self.promises.catalog().snapshot_of_drop(present, drop)?.is_some();
                let of_drop = |known: &Delivered| known.drop.drop == drop;
                Ok(is_vaulted || self.deliveries.of(present)?.iter().any(of_drop))
            };
            if cleared.len() == CLEARED_MAX {
                break;
            }
            // It lies under the name by which its instance called the workload.
            let mut names = self.former.of(present).chain([present]).collect::<Vec<_>>();
            names.retain(|name| self.is_granted(agent, name));
            if !names.is_empty() && !is_here()? {
                for name in names {
                    cleared.push(self.clear(name, drop, place, now)?);
                }
            }
        }
        Ok(cleared)
    }

    fn clear(
        &self,
        workload: &WorkloadName,
        drop: DropId,
        Place { share, day, seal }: Place,
        now: Timestamp,
    ) -> Result<String, VaultError> {
        let address = DropAddress { workload: workload.clone(), day, drop };
        let receipt = Receipt {
            seal: Some(seal),
            verdict: Some(Verdict::Broken),
            ..Receipt::about(share, &address, ReceiptState::Cleared, now)
        };
        let sign = |source| VaultError::Sign { drop, source };
        let signed = receipt.sign(&*self.identity.get()).map_err(sign)?;
        Ok(String::from_utf8_lossy(signed.bytes()).into_owned())
    }
}

/// What is thought of content of which its agent `said` this, and of which there are so many bytes.
fn weighed(said: Option<Sanity>, bytes: u64, rule: &SanityRule, past: &[Measure]) -> Sanity {
    let mut sanity = said.unwrap_or_default().bounded();
    let now = Measure { bytes, entries: sanity.entries };
    for doubt in doubts(rule, now, (&sanity.kind, &sanity.packed), past) {
        sanity.doubted(doubt);
    }
    sanity
}

#[cfg(test)]
mod tests;
