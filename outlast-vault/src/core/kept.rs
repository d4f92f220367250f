//! What keeps each snapshot of a workload, and which may go.

use std::collections::BTreeSet;
use std::time::Duration;

use outlast_catalog::{SnapshotRecord, Terms};
use outlast_promise::{Candidate, Conditions, Keep, Point, Reason, State, plan};
use outlast_types::{SnapshotId, Timestamp, WorkloadName};
use outlast_wire::api::Shipment;

use super::error::VaultError;
use super::keepings::{Forgotten, Keeping};
use super::vault::Vault;

/// How long the first rules are there before they let anything go that came without any, so that there are
/// days to see what they mean.
const ANNOUNCED: Duration = Duration::from_secs(7 * 86_400);

/// A snapshot, and what keeps it.
pub(crate) struct Verdict {
    pub(crate) record: SnapshotRecord,
    /// Without any, it may go.
    pub(crate) reasons: Vec<Reason>,
    /// Since when it is hidden, if it is.
    pub(crate) forgotten: Option<Forgotten>,
}

impl Verdict {
    pub(crate) fn snapshot(&self) -> SnapshotId {
        self.record.snapshot
    }
}

/// By which rules is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Under<'a> {
    /// Those of today, and what was recorded when each came.
    Policy,
    /// These alone: what would be left if they had been in force for ever.
    Only(&'a Keep),
}

impl Vault {
    /// What keeps each snapshot of a workload at `now`, the one that came last first.
    pub(crate) fn verdicts(
        &self,
        keeping: &Keeping,
        under: Under<'_>,
        now: Timestamp,
    ) -> Result<Vec<Verdict>, VaultError> {
        let workload = &keeping.workload;
        let rule = self.policy().retention(workload);
        let records = self.promises.catalog().snapshots(Some(workload))?;
        let records: Vec<SnapshotRecord> =
            records.into_iter().filter(|it| it.terms.removed.is_none()).collect();
        let recorded: Vec<Option<Keep>> = records
            .iter()
            .map(|record| self.recorded(keeping, record))
            .collect::<Result<_, _>>()?;
        let is_retired = self.is_retired(workload);
        let conditions = Conditions {
            keep: match under {
                Under::Policy => rule.keep.as_ref(),
                Under::Only(keep) => Some(keep),
            },
            zone: &rule.zone,
            min_age: self.policy().retention.min_age,
            is_retired,
            now,
        };
        // What operators agreed to forget is not there for the rules.
        let is_there = |record: &SnapshotRecord| {
            let gone = |it: &Forgotten| it.snapshot == record.snapshot && !it.by_rules;
            !keeping.forgotten.iter().any(gone)
        };
        let drilled = self.last_drilled(workload);
        let candidate = |record: &SnapshotRecord, recorded| Candidate {
            point: Point {
                time: record.recovery_point(),
                received: record.received,
                is_suspect: !self.counts(record) || !is_there(record),
            },
            recorded,
            immutable_until: record.terms.immutable_until,
            is_drilled: drilled == Some(record.snapshot),
            is_held: keeping.holds(record.snapshot, now),
        };
        let candidates: Vec<Candidate<'_>> = match under {
            Under::Policy => {
                let with = records.iter().zip(&recorded);
                with.map(|(record, recorded)| candidate(record, recorded.as_ref())).collect()
            }
            Under::Only(_) => records.iter().map(|record| candidate(record, None)).collect(),
        };
        let mut planned = plan(&candidates, &conditions);
        if let (Under::Policy, Some(base)) = (under, &keeping.base) {
            let until = base.at.saturating_add(ANNOUNCED);
            let unannounced =
                records.iter().zip(&mut planned).filter(|(it, _)| it.terms.keep.is_none());
            unannounced
                .filter(|_| until > now)
                .for_each(|(_, reasons)| reasons.push(Reason::Young { until }));
        }
        let verdict = |(record, reasons): (SnapshotRecord, Vec<Reason>)| Verdict {
            forgotten: keeping.forgotten.iter().find(|it| it.snapshot == record.snapshot).cloned(),
            record,
            reasons,
        };
        Ok(records.into_iter().zip(planned).map(verdict).collect())
    }

    /// The rules that were in force when a snapshot came, or what two operators put in their place. Rules
    /// that cannot be read are no leave to forget.
    fn recorded(
        &self,
        keeping: &Keeping,
        record: &SnapshotRecord,
    ) -> Result<Option<Keep>, VaultError> {
        if let Some(shortened) = keeping.shortened.as_ref().filter(|it| record.received <= it.at) {
            return Ok(Some(shortened.keep.clone()));
        }
        let Some(text) = &record.terms.keep else {
            return Ok(keeping.base.as_ref().map(|base| base.keep.clone()));
        };
        let keep = text.parse().map_err(|error| VaultError::BadArrival {
            location: format!("the record of snapshot {}", record.snapshot),
            reason: format!("its rules are none: {error}"),
        })?;
        Ok(Some(keep))
    }

    /// The snapshots of a workload that are hidden. Where that cannot be read, none is.
    pub(crate) fn forgotten(&self, workload: &WorkloadName) -> BTreeSet<SnapshotId> {
        let keeping = self.keepings.get(workload).ok();
        let forgotten = keeping.iter().flat_map(|keeping| &keeping.forgotten);
        forgotten.map(|forgotten| forgotten.snapshot).collect()
    }

    /// What is promised of a snapshot of a workload that comes at `received`.
    pub(super) fn terms(&self, workload: &WorkloadName, received: Timestamp) -> Terms {
        let rule = self.policy().retention(workload);
        let immutable = Some(rule.immutable_for).filter(|time| !time.is_zero());
        Terms {
            class: rule.class.clone(),
            keep: rule.keep.as_ref().map(ToString::to_string),
            immutable_until: immutable.map(|time| received.saturating_add(time)),
            ..Terms::default()
        }
    }

    /// The same of a drop, and the moment that it brings back, if that is not when it came.
    pub(super) fn terms_of(&self, shipment: &Shipment, received: Timestamp) -> Terms {
        let place = (shipment.share, &shipment.workload);
        let point = |said| self.sights.recovery_point(place, said, received);
        Terms {
            recovery_point: shipment.first_seen.map(point).filter(|point| *point < received),
            ..self.terms(&shipment.workload, received)
        }
    }

    pub(crate) fn is_retired(&self, workload: &WorkloadName) -> bool {
        let status = self.promises.status(workload);
        status.is_some_and(|status| status.state == State::Retired)
    }
}
