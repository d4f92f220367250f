//! What agents tell of drops that they handed over: judged, written down, and signed.
//!
//! The order is: the audit log, the record of the workload, the ledger, the answer. What was told and is told again
//! changes nothing and gets the same answer, so a crash anywhere costs a word.

use std::collections::BTreeMap;

use outlast_catalog::SnapshotRecord;
use outlast_drop::SignedReceipt;
use outlast_promise::{Event, Finding, Source};
use outlast_types::{Sanity, ShareId, Timestamp, Verdict, WorkloadName};
use outlast_wire::Certified;
use outlast_wire::api::{
    DELIVERY_JOBS_MAX, Delivery, DeliveryState, HANDOVER_TEXT_MAX, HandoverReport, HeardDelivery,
};
use outlast_wire::confirmation::Confirmation;

use super::audit::{self, AuditAction};
use super::deliveries::{Delivered, Step};
use super::error::VaultError;
use super::vault::Vault;

/// What came of what was told.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) events: Vec<Event>,
    pub(crate) answers: Vec<HeardDelivery>,
}

/// Who tells, of what.
pub(crate) struct Teller<'a> {
    pub(crate) agent: &'a Certified,
    pub(crate) share: ShareId,
    pub(crate) received: Timestamp,
}

impl Vault {
    /// Hears what became of drops, in all hand-overs of an agent.
    pub(crate) fn hear_deliveries(
        &self,
        teller: &Teller<'_>,
        handovers: &[HandoverReport],
    ) -> Result<Heard, VaultError> {
        let mut heard = Heard::default();
        // Each workload's record is read and written once.
        let mut by_workload: BTreeMap<WorkloadName, Vec<(&str, &Delivery)>> = BTreeMap::new();
        for handover in handovers {
            for told in &handover.deliveries {
                match self.may_tell(teller, told) {
                    Ok(present) => {
                        by_workload.entry(present).or_default().push((&handover.name, told));
                    }
                    Err(reason) => {
                        let (agent, drop) = (&teller.agent.peer, &told.drop);
                        tracing::warn!(%agent, %drop, reason, "did not believe what a product has");
                        heard.answers.push(answer(&handover.name, told, None, Some(reason)));
                    }
                }
            }
        }
        let _one_writer = self.deliveries.writing();
        for (workload, told) in by_workload {
            self.hear_of(teller, &workload, &told, &mut heard)?;
        }
        Ok(heard)
    }

    /// Of which workload it is, if it may be told of that.
    fn may_tell(&self, teller: &Teller<'_>, told: &Delivery) -> Result<WorkloadName, String> {
        let workload = &told.drop.workload;
        if !self.is_granted(teller.agent, workload) {
            return Err(format!("{workload} is not granted to {}", teller.agent.peer));
        }
        if told.drop.share != teller.share {
            return Err("it lies on another share than the report is of".to_owned());
        }
        self.called(workload).map_err(|error| error.to_string())
    }

    fn hear_of(
        &self,
        teller: &Teller<'_>,
        workload: &WorkloadName,
        told: &[(&str, &Delivery)],
        heard: &mut Heard,
    ) -> Result<(), VaultError> {
        let mut known = self.deliveries.of(workload)?;
        let mut is_changed = false;
        for (handover, told) in told {
            let vaulted = self.promises.catalog().snapshot_of_drop(workload, told.drop.drop)?;
            let of_drop = known.iter().find(|known| known.drop.drop == told.drop.drop);
            let sealed = vaulted.as_ref().and_then(|record| seal_of(record.receipt.as_deref()));
            let sealed = sealed.or(of_drop.map(|known| known.drop.seal));
            if sealed.is_some_and(|seal| seal != told.drop.seal) {
                let difference =
                    "its seal is another one than that of the drop which is known".to_owned();
                heard.events.push(self.contested(teller, workload, told, &difference));
                heard.answers.push(answer(handover, told, None, Some(difference)));
                continue;
            }
            let judged = match (&vaulted, of_drop) {
                // What is thought of it stands with its snapshot.
                (Some(_), _) => None,
                (None, Some(known)) => known.sanity.clone(),
                (None, None) => Some(self.judge_handed(workload, told, &known)?),
            };
            let point = match (&vaulted, of_drop) {
                (Some(record), _) => record.recovery_point(),
                // It does not become newer by being told again.
                (None, Some(known)) => known.point,
                (None, None) => self.first_sight(teller, told),
            };
            let place = known
                .iter()
                .position(|known| known.drop.drop == told.drop.drop && known.handover == *handover);
            let place = place.unwrap_or_else(|| {
                let (agent, handover) = (teller.agent.peer.clone(), bounded_text(handover));
                known.push(Delivered::new(told.drop.clone(), (handover, agent), point, judged));
                known.len() - 1
            });
            let (mut next, was_confirmed) = (known[place].clone(), known[place].is_confirmed());
            if next.take(&bounded((*told).clone()), teller.received) {
                (next.agent, next.point) = (teller.agent.peer.clone(), point);
                let more = match told.state {
                    // It was counted when it was first told.
                    DeliveryState::Confirmed if was_confirmed => Some(("again", "true".to_owned())),
                    DeliveryState::Withdrawn => {
                        let left = self.point_without(workload, &known, &next)?;
                        left.map(|left| ("left_point", left.to_string()))
                    }
                    _ => None,
                };
                self.note_delivery(&next, workload, (told.state, vaulted.as_ref()), more)?;
                known[place] = next;
                is_changed = true;
            }
            self.follow(teller, workload, (&known[place], told), heard)?;
        }
        if is_changed {
            self.deliveries.put(workload, known)?;
        }
        Ok(())
    }

    /// What follows from what is known of a drop now: told again each time, since what follows may have been lost.
    fn follow(
        &self,
        teller: &Teller<'_>,
        workload: &WorkloadName,
        (known, told): (&Delivered, &Delivery),
        heard: &mut Heard,
    ) -> Result<(), VaultError> {
        let mut countersigned = None;
        match (&known.confirmed, told.state) {
            (Some(step), DeliveryState::Confirmed) => {
                heard.events.extend(self.confirmation_of(workload, known)?);
                countersigned = Some(self.countersign(known, step)?);
            }
            (_, DeliveryState::Withdrawn) => heard.events.push(Event::Withdrawn {
                workload: workload.clone(),
                source: Source {
                    agent: teller.agent.peer.name().to_owned(),
                    share: Some(teller.share),
                },
                handover: known.handover.clone(),
                drop: known.drop.drop,
                reason: told.reason.clone().unwrap_or_else(|| "nobody says why".to_owned()),
            }),
            _ => {}
        }
        heard.answers.push(answer(&known.handover, told, countersigned, None));
        Ok(())
    }

    /// What a drop that a product has means for promises.
    pub(super) fn confirmation_of(
        &self,
        workload: &WorkloadName,
        known: &Delivered,
    ) -> Result<Option<Event>, VaultError> {
        let (drop, workload) = (known.drop.drop, workload.clone());
        let record = self.promises.catalog().snapshot_of_drop(&workload, drop)?;
        let said = known.sanity();
        Ok(match record {
            // What looks like no backup is none, wherever it is.
            Some(record) if !self.counts(&record) => None,
            Some(record) => {
                let at = record.recovery_point();
                Some(Event::Confirmed { workload, drop, at, vaulted: true })
            }
            None if self.is_doubtful(&workload, drop, &said) => {
                let heard = known.confirmed.as_ref().map_or(known.point, |step| step.heard);
                Some(Event::Suspected { workload, drop, at: heard, why: said.why() })
            }
            None => Some(Event::Confirmed { workload, drop, at: known.point, vaulted: false }),
        })
    }

    /// Whether a drop that was handed over is no recovery point for what it looks like.
    pub(super) fn is_in_doubt(&self, known: &Delivered) -> Result<bool, VaultError> {
        let (workload, drop) = (self.present(&known.drop.workload), known.drop.drop);
        let record = self.promises.catalog().snapshot_of_drop(workload, drop)?;
        Ok(match record {
            Some(record) => !self.counts(&record),
            None => self.is_doubtful(workload, drop, &known.sanity()),
        })
    }

    /// A drop is vaulted; and a product may have it already, which tells those who count both.
    pub(super) fn tell_vaulted(
        &self,
        record: &SnapshotRecord,
        counts: bool,
    ) -> Result<(), VaultError> {
        self.promises.vaulted(record, counts)?;
        let (workload, Some(drop)) = (&record.workload, record.drop) else { return Ok(()) };
        if !counts || !self.promises.counts_confirmed(workload) {
            return Ok(());
        }
        let known = self.deliveries.of(workload)?;
        let known = known.iter().find(|it| it.drop.drop == drop && it.is_confirmed());
        let Some(known) = known else { return Ok(()) };
        self.promises.noted(self.confirmation_of(workload, known)?.into_iter().collect())
    }

    /// Says of a drop that comes what policy counts, if that is not the vault alone, and whether a product has it
    /// already: else the log alone does not tell which drops are recovery points.
    pub(super) fn as_policy_counts(
        &self,
        record: &SnapshotRecord,
        event: audit::Event,
    ) -> Result<audit::Event, VaultError> {
        let safe = self.promises.safe(&record.workload);
        if !safe.counts_confirmed() {
            return Ok(event);
        }
        let event = event.detail("safe", safe);
        let known = self.deliveries.of(&record.workload)?;
        let is_of_it = |known: &Delivered| record.drop == Some(known.drop.drop);
        let is_confirmed = known.iter().any(|known| is_of_it(known) && known.is_confirmed());
        Ok(if is_confirmed { event.detail("confirmed", true) } else { event })
    }

    /// When the drop was first seen, as far as the vault believes that.
    fn first_sight(&self, teller: &Teller<'_>, told: &Delivery) -> Timestamp {
        let said = told.first_seen.unwrap_or(told.at);
        self.sights.corrected(teller.share, said, teller.received)
    }

    fn contested(
        &self,
        teller: &Teller<'_>,
        workload: &WorkloadName,
        told: &Delivery,
        difference: &str,
    ) -> Event {
        Event::Custody(Finding::Contested {
            workload: workload.clone(),
            agent: teller.agent.peer.name().to_owned(),
            drop: told.drop.drop,
            difference: difference.to_owned(),
        })
    }

    /// Writes into the log what is confirmed, and what is not any more. That something was read decides nothing.
    fn note_delivery(
        &self,
        known: &Delivered,
        workload: &WorkloadName,
        (state, vaulted): (DeliveryState, Option<&SnapshotRecord>),
        more: Option<(&'static str, String)>,
    ) -> Result<(), VaultError> {
        let (action, step) = match state {
            DeliveryState::Read => return Ok(()),
            DeliveryState::Confirmed => (AuditAction::DropConfirmed, &known.confirmed),
            DeliveryState::Withdrawn => (AuditAction::ConfirmationWithdrawn, &known.withdrawn),
        };
        let Some(Step { told, .. }) = step else { return Ok(()) };
        let event = audit::Event::by(&known.agent, action).workload(workload);
        let mut event = event
            .object(known.drop.drop)
            .detail("handover", &known.handover)
            .detail("seal", known.drop.seal)
            .detail("recovery_point", known.point)
            .detail("content_bytes", told.size)
            .detail("safe", self.promises.safe(workload));
        if let Some((name, text)) = more {
            event = event.detail(name, text);
        }
        if vaulted.is_some() {
            event = event.detail("vaulted", true);
        }
        let (counts, why) = match vaulted {
            Some(record) => (self.counts(record), record.sanity.why()),
            None => {
                let sanity = known.sanity();
                (!self.is_doubtful(workload, known.drop.drop, &sanity), sanity.why())
            }
        };
        if !counts {
            event = event.detail("suspect", why);
        }
        let job = told.jobs.first();
        let details = [
            ("product", told.product.clone()),
            ("job", job.map(|job| job.shown.clone().unwrap_or_else(|| job.key.clone()))),
            ("evidence", told.evidence.map(|evidence| evidence.to_string())),
            ("by", told.by.clone()),
            ("reason", told.reason.clone()),
        ];
        for (name, text) in details {
            event = text.iter().fold(event, |event, text| event.detail(name, text));
        }
        self.audit.record(event)
    }

    /// The vault's word for the confirmation of a drop.
    pub(super) fn countersign(&self, known: &Delivered, step: &Step) -> Result<String, VaultError> {
        let verdict = match self.is_in_doubt(known)? {
            true => Verdict::Suspect,
            false => Verdict::default(),
        };
        let confirmation = Confirmation {
            agent: known.agent.clone(),
            handover: known.handover.clone(),
            at: step.heard,
            delivery: step.told.clone(),
            verdict,
            safe: Some(self.promises.safe(self.present(&known.drop.workload))),
        };
        confirmation
            .sign(&self.identity.get())
            .map_err(|error| VaultError::SignAnswer { source: error.into() })
    }
}

fn answer(
    handover: &str,
    told: &Delivery,
    countersigned: Option<String>,
    refused: Option<String>,
) -> HeardDelivery {
    HeardDelivery {
        handover: handover.to_owned(),
        workload: told.drop.workload.clone(),
        drop: told.drop.drop,
        state: told.state,
        countersigned,
        refused,
    }
}

/// The seal that a receipt is of.
fn seal_of(receipt: Option<&str>) -> Option<outlast_types::ContentHash> {
    SignedReceipt::parse(receipt?.as_bytes()).ok()?.receipt().seal
}

/// Words of a product or a person are cut off, and of many jobs the first are kept.
fn bounded(mut told: Delivery) -> Delivery {
    let cut = |text: &mut Option<String>| *text = text.as_deref().map(bounded_text);
    told.jobs.truncate(DELIVERY_JOBS_MAX);
    for job in &mut told.jobs {
        job.key = bounded_text(&job.key);
        for text in [
            &mut job.shown,
            &mut job.schedule,
            &mut job.kind,
            &mut job.meaning,
            &mut job.advice,
            &mut job.by,
        ] {
            cut(text);
        }
    }
    for text in [&mut told.product, &mut told.by, &mut told.reason] {
        cut(text);
    }
    told.sanity = told.sanity.map(Sanity::bounded);
    told
}

pub(crate) fn bounded_text(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(HANDOVER_TEXT_MAX).collect()
}
