//! One workload in one month.

use std::collections::BTreeMap;

use outlast_promise::Safe;
use outlast_types::{Timestamp, WorkloadName};

use super::charge::Charge;
use super::handed::Handed;
use super::{CHARGED_FORM, FIRST_FORM, WorkloadMonth};

impl WorkloadMonth {
    pub(super) fn new(workload: &WorkloadName, form: u32) -> Self {
        let is_charged = form > FIRST_FORM;
        Self {
            workload: workload.clone(),
            owner: String::new(),
            safe: Safe::default(),
            promises: Vec::new(),
            states: Vec::new(),
            points: 0,
            suspect: 0,
            last_point: None,
            longest_gap_seconds: None,
            longest_gap_from: None,
            missed: 0,
            incidents: Vec::new(),
            drills: Vec::new(),
            drills_good: 0,
            drills_failed: 0,
            rto_milliseconds: None,
            scrub_rounds: 0,
            scrub_problems: 0,
            restores: Vec::new(),
            deeds: Vec::new(),
            snapshots_at_begin: 0,
            holds_at_begin: Vec::new(),
            logical_bytes: 0,
            line_bytes: 0,
            listings: is_charged.then(Vec::new),
            charge: is_charged.then(Charge::default),
            handed: (form > CHARGED_FORM).then(Handed::default),
            brought_by: (form > CHARGED_FORM).then(BTreeMap::new),
            renamed: None,
        }
    }

    /// A recovery point of `at` came.
    pub(super) fn point(&mut self, at: Timestamp) {
        self.gap(at);
        self.last_point = Some(self.last_point.map_or(at, |last| last.max(at)));
    }

    /// Until `at`, nothing newer than the last point came.
    pub(super) fn gap(&mut self, at: Timestamp) {
        let Some(last) = self.last_point.filter(|last| *last < at) else { return };
        let gap = at.since(last).as_secs();
        if self.longest_gap_seconds.is_none_or(|longest| gap > longest) {
            (self.longest_gap_seconds, self.longest_gap_from) = (Some(gap), Some(last));
        }
    }
}
