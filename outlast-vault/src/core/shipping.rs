//! What agents say of their shipments, and how shipments end that nobody speaks of.

use std::collections::BTreeSet;

use outlast_types::{DropId, WorkloadName, human};
use outlast_wire::api::{
    BeginShipment, CancelShipment, CustodyRecord, CustodyView, HandedView, HeardShipment,
    SHIPMENT_IDLE_MAX, ShipmentName, ShipmentView,
};
use outlast_wire::{Certified, Peer};

use super::audit::{AuditAction, Event};
use super::deliveries::{Delivered, Step};
use super::error::VaultError;
use super::published::is_published;
use super::shipments::OpenShipment;
use super::vault::Vault;

/// The longest reason that is recorded, in characters.
const REASON_CHARS_MAX: usize = 300;

impl Vault {
    /// Begins a shipment. One of a drop that is published already is over before it began.
    pub(crate) fn begin_shipment(
        &self,
        begin: &BeginShipment,
        agent: &Peer,
    ) -> Result<HeardShipment, VaultError> {
        let (workload, drop) = (&begin.workload, begin.drop);
        if self.is_vaulted(workload, drop)? {
            self.shipments.end(workload, drop)?;
            return Ok(HeardShipment {});
        }
        if self.shipments.begin(begin, agent.name(), self.environment.clock.now())? {
            tracing::info!(%agent, %workload, %drop, bytes = begin.size, "a drop is on its way");
            let event = Event::by(agent, AuditAction::ShipmentBegun).workload(workload);
            self.audit.record(event.object(drop).detail("share", begin.share))?;
        }
        Ok(HeardShipment {})
    }

    /// Ends a shipment that will not come.
    pub(crate) fn cancel_shipment(
        &self,
        cancel: &CancelShipment,
        agent: &Peer,
    ) -> Result<HeardShipment, VaultError> {
        let (workload, drop) = (&cancel.workload, cancel.drop);
        let now = self.environment.clock.now();
        if self.shipments.cancel(workload, drop, (cancel.at, now))?.is_some() {
            let reason: String = cancel.reason.chars().take(REASON_CHARS_MAX).collect();
            tracing::info!(%agent, %workload, %drop, reason, "a drop will not come");
            let event = Event::by(agent, AuditAction::ShipmentEnded).workload(workload);
            self.audit.record(event.object(drop).detail("why", reason))?;
        }
        Ok(HeardShipment {})
    }

    /// Which of these are over, as a media server asks that holds something of them.
    pub(crate) fn ended_of(
        &self,
        asked: Vec<ShipmentName>,
        asker: &Certified,
    ) -> Result<Vec<ShipmentName>, VaultError> {
        let mut ended = Vec::new();
        for shipment in asked {
            let ShipmentName { workload, drop } = &shipment;
            if !self.is_granted(asker, workload) {
                continue;
            }
            let present = self.present(workload);
            let is_open = self.shipments.get(present, *drop).is_some();
            // It may have been given up before its workload was renamed.
            let is_given_up = || {
                self.shipments.has_ended(present, *drop)
                    || self.shipments.has_ended(workload, *drop)
            };
            if !is_open && (is_given_up() || self.is_vaulted(present, *drop)?) {
                ended.push(shipment);
            }
        }
        Ok(ended)
    }

    /// Writes how far shipments are, and ends those of which nothing came for too long.
    pub(crate) fn look_after_shipments(&self) -> Result<String, VaultError> {
        self.shipments.save()?;
        self.spools.save()?;
        // A crash may have come between a publication and the end of its shipment.
        for (workload, drop) in self.shipments.all() {
            if self.is_vaulted(&workload, drop)? {
                self.shipments.end(&workload, drop)?;
            }
        }
        let now = self.environment.clock.now();
        self.shipments.forget_ended(now);
        let idle = self.shipments.idle(now);
        let count = idle.len();
        for (workload, drop) in idle {
            let Some(ended) = self.shipments.give_up(&workload, drop, now)? else { continue };
            let why = format!("nothing came of it for {}", human::duration(SHIPMENT_IDLE_MAX));
            tracing::warn!(%workload, %drop, agent = ended.agent, why, "a shipment is over");
            let event = Event::by_vault(AuditAction::ShipmentEnded).workload(&workload);
            let event = event.object(drop).detail("why", why).detail("begun_by", &ended.agent);
            self.audit.record(event.detail("objects", ended.objects))?;
        }
        Ok(format!("{} shipments are open, {count} ended", self.shipments.all().len()))
    }

    /// What is recorded of a drop, of the workloads that are granted to `asker`.
    pub(crate) fn custody_of(
        &self,
        drop: DropId,
        asker: &Certified,
    ) -> Result<CustodyView, VaultError> {
        let (mut records, mut on_their_way) = (Vec::new(), Vec::new());
        let mut handed_over = Vec::new();
        let known = self.promises.workloads().into_iter().map(|status| status.workload);
        let known: BTreeSet<WorkloadName> =
            known.chain(self.shipments.all().into_iter().map(|(workload, _)| workload)).collect();
        for workload in known.into_iter().filter(|workload| self.is_granted(asker, workload)) {
            if let Some(record) = self.promises.catalog().snapshot_of_drop(&workload, drop)? {
                records.push(CustodyRecord {
                    is_published: self.is_vaulted(&workload, drop)?,
                    workload: workload.clone(),
                    snapshot: record.snapshot,
                    received: record.received,
                    receipt: record.receipt,
                });
            }
            let known = self.deliveries.of(&workload)?;
            let known = known.iter().filter(|known| known.drop.drop == drop);
            for known in known {
                handed_over.push(self.handed(&workload, known)?);
            }
            if let Some(open) = self.shipments.get(&workload, drop) {
                let OpenShipment { share, agent, since, last, objects, bytes, .. } = open;
                on_their_way.push(ShipmentView {
                    workload,
                    share,
                    agent,
                    since,
                    last,
                    objects,
                    bytes,
                });
            }
        }
        Ok(CustodyView { drop, records, on_their_way, handed_over })
    }

    /// What became of a drop in a hand-over, to be shown.
    fn handed(&self, workload: &WorkloadName, known: &Delivered) -> Result<HandedView, VaultError> {
        let heard = |step: &Option<Step>| step.as_ref().map(|step| step.heard);
        let told = known.confirmed.as_ref().or(known.read.as_ref()).map(|step| &step.told);
        let job = told.and_then(|told| told.jobs.first());
        let standing = known.confirmed.as_ref().filter(|_| known.is_confirmed());
        let in_doubt = self.is_in_doubt(known)?;
        let alone = self.promises.safe(workload).is_met(false, true);
        Ok(HandedView {
            workload: workload.clone(),
            agent: known.agent.name().to_owned(),
            handover: known.handover.clone(),
            product: told.and_then(|told| told.product.clone()),
            job: job.map(|job| job.shown.clone().unwrap_or_else(|| job.key.clone())),
            by: told.and_then(|told| told.by.clone()),
            evidence: told.and_then(|told| told.evidence),
            read: heard(&known.read),
            confirmed: heard(&known.confirmed),
            withdrawn: heard(&known.withdrawn),
            reason: known.withdrawn.as_ref().and_then(|step| step.told.reason.clone()),
            countersigned: standing.map(|step| self.countersign(known, step)).transpose()?,
            is_safe: standing.is_some() && alone && !in_doubt,
            suspect: in_doubt.then(|| known.sanity().why()),
        })
    }

    fn is_vaulted(&self, workload: &WorkloadName, drop: DropId) -> Result<bool, VaultError> {
        let Some(arrived) = self.arrivals.of_drop(workload, drop)? else { return Ok(false) };
        if arrived.terms.removed.is_some() {
            return Ok(true);
        }
        match self.repositories.present(workload)? {
            Some(repository) => is_published(&*repository.store, arrived.snapshot),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests;
