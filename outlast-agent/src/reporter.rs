//! The reporter: tells the vault, and the log, what a pass saw.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_drop::DropAddress;
use outlast_types::{DropId, ShareId, Timestamp, WorkloadName};
use outlast_wire::api::{AgentReport, Declared, Pass, RejectedDrop, WorkloadReport};

use crate::custody::Refusal;
use crate::line::Line;
use crate::report::PassReport;
use crate::tracker::ProblemTracker;

/// The most rejected drops in one report, so that it stays far below what the vault takes; the
/// rest follows in the next one.
const REJECTED_MAX: usize = 1000;

/// One workload, as a pass saw it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) declared: Option<Declared>,
    /// Sealed drops that are not vaulted.
    pub(crate) waiting: u64,
}

/// Tells what is new at once, and that the agent is well now and then.
pub(crate) struct Reporter {
    /// How often the vault hears of the agent when there is nothing new.
    interval: Duration,
    /// How long a problem must last before the vault hears of it.
    patience: Duration,
    tracker: ProblemTracker,
    /// Rejected drops that the vault has not heard of.
    untold: BTreeMap<WorkloadName, BTreeMap<DropId, Refusal>>,
    /// When the vault last took a report, and what was in it.
    reported: Option<(Timestamp, String)>,
}

impl Reporter {
    pub(crate) fn new(interval: Duration, patience: Duration) -> Self {
        let tracker = ProblemTracker::default();
        Self { interval, patience, tracker, untold: BTreeMap::new(), reported: None }
    }

    /// A drop was refused, and the vault is to hear why.
    pub(crate) fn refused(&mut self, address: &DropAddress, refusal: Refusal) {
        self.untold.entry(address.workload.clone()).or_default().insert(address.drop, refusal);
    }

    /// Logs what is new, and reports to the vault if there is something to say or it is time.
    pub(crate) fn tell(
        &mut self,
        line: &mut Line,
        share: Option<ShareId>,
        report: &PassReport,
        seen: BTreeMap<WorkloadName, Seen>,
    ) {
        let now = report.finished;
        let told = self.tracker.observe(&report.problems, now, self.patience);
        for problem in &told.fresh {
            tracing::warn!("{problem}");
        }
        // Until the share was seen once, there is nothing to report about; that the agent is
        // silent is what the vault then knows.
        let Some(share) = share else { return };
        if line.is_waiting() {
            return;
        }
        let workloads = self.workloads(seen);
        let details: Vec<_> = told.lasting.iter().map(|problem| problem.told()).collect();
        let content = serde_json::to_string(&(&workloads, &details)).unwrap_or_default();
        if !self.is_due(&content, now) {
            return;
        }
        let document = AgentReport {
            share,
            pass: Pass { started: report.started, finished: now },
            part: 1,
            parts: 1,
            workloads,
            problems: details.iter().map(|problem| problem.text.clone()).collect(),
            details,
            share_usable: Some(report.is_share_usable),
            other: BTreeMap::new(),
        };
        match line.report(&document) {
            Ok(_) => {
                self.reported = Some((now, content));
                self.heard(&document.workloads);
            }
            Err(error) => tracing::warn!("the vault was not told of this pass: {error}"),
        }
    }

    fn is_due(&self, content: &str, now: Timestamp) -> bool {
        self.reported.as_ref().is_none_or(|(at, last)| {
            *last != content || now < *at || now.since(*at) >= self.interval
        })
    }

    /// Notes what the vault has heard of.
    fn heard(&mut self, workloads: &[WorkloadReport]) {
        for workload in workloads {
            if let Some(untold) = self.untold.get_mut(&workload.name) {
                workload.rejected.iter().for_each(|heard| drop(untold.remove(&heard.drop)));
            }
        }
        self.untold.retain(|_, untold| !untold.is_empty());
    }

    fn workloads(&self, mut seen: BTreeMap<WorkloadName, Seen>) -> Vec<WorkloadReport> {
        // A rejected drop is told even if its workload cannot be seen right now.
        for workload in self.untold.keys() {
            seen.entry(workload.clone()).or_default();
        }
        let mut room = REJECTED_MAX;
        seen.into_iter()
            .map(|(name, Seen { declared, waiting })| {
                let untold = self.untold.get(&name).into_iter().flatten().take(room);
                let rejected: Vec<_> = untold.map(told).collect();
                room -= rejected.len();
                WorkloadReport { name, declared, waiting, rejected }
            })
            .collect()
    }
}

fn told((drop, Refusal { code, reason }): (&DropId, &Refusal)) -> RejectedDrop {
    RejectedDrop { drop: *drop, code: code.clone(), reason: reason.clone() }
}
