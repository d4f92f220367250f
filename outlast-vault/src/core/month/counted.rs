//! What a month's entries say of confirmations, and what is counted of a workload when all of them are read.

use std::collections::BTreeSet;

use outlast_types::Timestamp;

use super::{AuditAction, EntryJson, IncidentMonth, Reader, WorkloadMonth};

impl Reader {
    /// A backup product has a drop, or has it no more.
    pub(super) fn handed_over(&mut self, entry: &EntryJson) {
        let Some(workload) = self.of(entry) else { return };
        let Some(handed) = &mut workload.handed else { return };
        if entry.action == AuditAction::ConfirmationWithdrawn {
            let of_before = handed.withdraw(entry);
            if let Some((_, left)) =
                of_before.filter(|(gone, _)| workload.last_point == Some(*gone))
            {
                workload.last_point = Some(left);
            }
            return;
        }
        if handed.confirmed(entry) {
            let size = entry.details.get("content_bytes").and_then(|text| text.parse().ok());
            workload.logical_bytes += size.unwrap_or(0);
        }
    }
}

impl WorkloadMonth {
    /// Counts what came, when all of it is known, and returns the recovery points in their order. That it is broken
    /// from one of `told` on was counted before.
    pub(super) fn count_points(
        &mut self,
        until: Option<Timestamp>,
        told: &BTreeSet<Timestamp>,
    ) -> Vec<Timestamp> {
        let Some(mut handed) = self.handed.take() else { return Vec::new() };
        let points = handed.points();
        (self.points, self.suspect) = (points.len() as u64, handed.suspect());
        handed.safe = self.safe;
        handed.explained = self.broken_without_incident(until, told);
        self.missed += handed.explained;
        self.handed = Some(handed);
        points
    }

    /// How often it was broken, and no incident of its own said so: another one explains that.
    fn broken_without_incident(&self, until: Option<Timestamp>, told: &BTreeSet<Timestamp>) -> u64 {
        let mut count = 0;
        for (place, state) in self.states.iter().enumerate() {
            let Some(since) = state.since.filter(|_| state.is == "broken") else { continue };
            if told.contains(&since) {
                continue;
            }
            let end = self.states.get(place + 1).and_then(|next| next.since).or(until);
            let is_of_it = |incident: &IncidentMonth| {
                incident.key.starts_with("recovery-point/")
                    && end.is_none_or(|end| incident.opened <= end)
                    && incident.resolved.is_none_or(|resolved| resolved >= since)
            };
            count += u64::from(!self.incidents.iter().any(is_of_it));
        }
        count
    }
}
