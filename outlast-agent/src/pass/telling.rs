//! Telling the vault, and the log, what a pass saw.

use std::collections::BTreeMap;

use outlast_types::WorkloadName;
use outlast_wire::api::{AgentReport, Declared, Pass, RejectedDrop, WorkloadReport};

use super::{PAUSE_MIN, ROAD_PAUSE_MAX};
use crate::agent::Agent;
use crate::report::PassReport;

/// The most rejected drops in one report, so that it stays far below what the vault takes; the
/// rest follows in the next one.
const REJECTED_MAX: usize = 1000;

/// What a pass saw of one workload.
pub(super) struct Seen {
    pub(super) declared: Option<Declared>,
    /// Sealed drops that are not vaulted.
    pub(super) waiting: u64,
}

impl Agent {
    /// Logs what is new, and reports to the vault if there is something to say or it is time.
    pub(super) fn tell(&mut self, report: &PassReport, seen: BTreeMap<WorkloadName, Seen>) {
        let now = report.finished;
        let told = self.troubles.observe(&report.problems, now, self.config.patience);
        for problem in &told.fresh {
            tracing::warn!("{problem}");
        }
        // Until the share was seen once, there is nothing to report about; that the agent is
        // silent is what the vault then knows.
        let Some(share) = self.share else { return };
        if self.road.is_waiting(self.environment.timer.elapsed()) {
            return;
        }
        let workloads = self.workload_reports(seen);
        let details: Vec<_> = told.lasting.iter().map(|problem| report.trouble(problem)).collect();
        let content = serde_json::to_string(&(&workloads, &details)).unwrap_or_default();
        let is_due = self.reported.as_ref().is_none_or(|(at, last)| {
            *last != content || now < *at || now.since(*at) >= self.config.report
        });
        if !is_due {
            return;
        }
        let pass = Pass { started: report.started, finished: now };
        let document = AgentReport {
            share,
            pass,
            workloads,
            problems: told.lasting,
            details,
            share_usable: Some(report.is_share_usable),
        };
        match self.upstream.report(&document) {
            Ok(reported) => {
                self.road.succeeded();
                self.vault_run = Some(reported.run);
                self.reported = Some((now, content));
                for workload in document.workloads {
                    if let Some(unreported) = self.unreported.get_mut(&workload.name) {
                        workload
                            .rejected
                            .iter()
                            .for_each(|told| drop(unreported.remove(&told.drop)));
                    }
                }
            }
            Err(error) => {
                tracing::warn!("the vault was not told of this pass: {error}");
                // Whoever answers next may be another, or the same with an older disk.
                self.asked_run = None;
                let first = self.config.poll.max(PAUSE_MIN);
                let (now, random) = (self.environment.timer.elapsed(), &*self.environment.random);
                self.road.failed(now, first, ROAD_PAUSE_MAX, random);
            }
        }
    }

    fn workload_reports(&self, mut seen: BTreeMap<WorkloadName, Seen>) -> Vec<WorkloadReport> {
        // A rejected drop is told even if its workload cannot be seen right now.
        for (workload, rejected) in &self.unreported {
            if !rejected.is_empty() {
                let unseen = || Seen { declared: None, waiting: 0 };
                seen.entry(workload.clone()).or_insert_with(unseen);
            }
        }
        let mut room = REJECTED_MAX;
        seen.into_iter()
            .map(|(name, Seen { declared, waiting })| {
                let unreported = self.unreported.get(&name).into_iter().flatten();
                let rejected: Vec<_> = unreported
                    .take(room)
                    .map(|(drop, (code, reason))| RejectedDrop {
                        drop: *drop,
                        code: code.clone(),
                        reason: reason.clone(),
                    })
                    .collect();
                room -= rejected.len();
                WorkloadReport { name, declared, waiting, rejected }
            })
            .collect()
    }
}
