//! The reporter: tells the vault how the agent is doing and what its passes saw, and writes its
//! figures.
//!
//! It has a thread of its own, so a pass that takes hours silences nobody; one that stands still is
//! told, for the share may hang. What is to be told comes in pages, the important first, each of
//! which can be understood alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::{DropId, Environment, Pulse, TenureId, Timestamp, human};
use outlast_wire::IdentityHandle;
use outlast_wire::api::{
    AgentReport, HandoverReport, HandoverSpace, Pass, Problem, REPORT_PARTS_MAX,
    REPORT_WORKLOADS_MAX, RejectedDrop, WorkloadReport,
};

use crate::Shutdown;
use crate::board::{Board, News};
use crate::custody::Refusal;
use crate::figures;
use crate::handover::Handovers;
use crate::line::Line;
use crate::problem::Met;
use crate::state::StateDirectory;

/// The most rejected drops in one page, so that it stays far below what the vault takes.
const PAGE_REJECTED: usize = 1000;
/// The longest reason of a rejection that is told, in characters.
const REASON_CHARS_MAX: usize = 1000;
/// The longest time in which nothing is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often the agent's own directory is measured.
const MEASURE: Duration = Duration::from_secs(300);
const TEXTFILE_MODE: u32 = 0o644;

/// Tells what is new at once, and that the agent is well now and then.
pub(crate) struct Reporter {
    board: Arc<Board>,
    identity: IdentityHandle,
    environment: Environment,
    state: Arc<StateDirectory>,
    handovers: Arc<Handovers>,
    /// How often the vault hears of the agent when there is nothing new.
    interval: Duration,
    /// Where the figures are written for a node_exporter.
    textfile: Option<PathBuf>,
    /// Beaten when the vault took a report.
    heard: Pulse,
    /// The news that were looked at last.
    looked: u64,
    /// The news that were told last, and whether a pass stood still then.
    told: Option<(u64, bool)>,
    /// When the vault last took a report, and what was in it.
    reported: Option<(Timestamp, String)>,
    /// When the figures were written last, by the timer; what the news were then.
    written: Option<(Duration, u64)>,
    /// When the agent's own directory was measured, by the timer, and its bytes.
    measured: Option<(Duration, Option<u64>)>,
}

impl Reporter {
    pub(crate) fn new(
        board: Arc<Board>,
        identity: IdentityHandle,
        environment: Environment,
        state: &Arc<StateDirectory>,
        handovers: &Arc<Handovers>,
        interval: Duration,
        textfile: Option<PathBuf>,
    ) -> Self {
        let (told, reported, written, measured) = (None, None, None, None);
        let (state, handovers) = (Arc::clone(state), Arc::clone(handovers));
        Self {
            board,
            identity,
            environment,
            state,
            handovers,
            interval,
            textfile,
            heard: Pulse::default(),
            looked: 0,
            told,
            reported,
            written,
            measured,
        }
    }

    /// Beaten when the vault took a report.
    pub(crate) fn heard(&self) -> &Pulse {
        &self.heard
    }

    /// Tells what there is to tell until the end is asked for.
    pub(crate) fn run(&mut self, line: &Line, shutdown: &Shutdown) {
        while !shutdown.is_requested() {
            self.tell(line);
            self.board.wait(self.looked, TICK);
        }
    }

    /// Reports to the vault if there is something to say or it is time.
    pub(crate) fn tell(&mut self, line: &Line) {
        let (now, elapsed) = (self.environment.clock.now(), self.environment.timer.elapsed());
        let mut news = self.board.news(now, elapsed);
        self.looked = news.number;
        let told = (news.number, news.hanging.is_some());
        let is_old = self.told == Some(told) && !self.is_time(now);
        if is_old && self.is_written(&news, elapsed) {
            return;
        }
        news.handed = self.handovers.account();
        news.figures.state_bytes = self.state_bytes(elapsed);
        self.write_figures(&news, elapsed);
        // Until the share was seen once, there is nothing to report about; that the agent is
        // silent is what the vault then knows.
        let Some(share) = news.share else { return };
        if is_old || line.is_waiting() {
            return;
        }
        let Some(report) = Report::of(&news, now) else { return };
        let content = report.content();
        if !self.is_due(&content, now) {
            self.told = Some(told);
            return;
        }
        let parts = u32::try_from(report.pages.len()).unwrap_or(u32::MAX);
        let mut handovers = news.handed.reports;
        for (part, workloads) in (1..=parts).zip(report.pages) {
            let document = AgentReport {
                share,
                pass: report.pass,
                part,
                parts,
                workloads,
                problems: report.problems.iter().map(|problem| problem.text.clone()).collect(),
                details: report.problems.clone(),
                share_usable: Some(report.is_share_usable),
                tenure: report.tenure,
                figures: Some(news.figures.clone()),
                handovers: handovers.clone(),
                other: BTreeMap::new(),
            };
            match line.report(&document) {
                Ok(reported) => {
                    self.heard.beat();
                    self.board.heard(&document.workloads);
                    self.board.cleared(reported.cleared);
                    self.handovers.heard(&reported.run, &reported.deliveries);
                    // What became of drops is told in the first part.
                    handovers.iter_mut().for_each(|it| it.deliveries.clear());
                }
                Err(error) => {
                    // All of it is told again; the vault hears nothing new twice.
                    return tracing::warn!("the vault was not told of this pass: {error}");
                }
            }
        }
        (self.told, self.reported) = (Some(told), Some((now, content)));
    }

    fn is_time(&self, now: Timestamp) -> bool {
        let reported = self.reported.as_ref();
        reported.is_none_or(|(at, _)| now < *at || now.since(*at) >= self.interval)
    }

    fn is_due(&self, content: &str, now: Timestamp) -> bool {
        self.is_time(now) || self.reported.as_ref().is_some_and(|(_, last)| *last != content)
    }

    /// Writes the figures, if there are new ones or it is time.
    fn write_figures(&mut self, news: &News, elapsed: Duration) {
        let Some(path) = self.textfile.as_ref().filter(|_| !self.is_written(news, elapsed)) else {
            return;
        };
        self.written = Some((elapsed, news.number));
        let name = self.identity.get().peer().name().to_owned();
        let mut text = figures::text(&news.figures, &name);
        text.push_str(&figures::of_handovers(&news.handed.reports, &name));
        if let Err(error) = durable::replace(path, text.as_bytes(), TEXTFILE_MODE) {
            tracing::warn!("cannot write {}: {error}", path.display());
        }
    }

    /// Whether the figures of these news are written, if anybody wants them.
    fn is_written(&self, news: &News, elapsed: Duration) -> bool {
        let is_it = |(at, number): (Duration, u64)| {
            number == news.number && elapsed.saturating_sub(at) < self.interval
        };
        self.textfile.is_none() || self.written.is_some_and(is_it)
    }

    fn state_bytes(&mut self, elapsed: Duration) -> Option<u64> {
        let is_fresh = |at: Duration| elapsed.saturating_sub(at) < MEASURE;
        match self.measured {
            Some((at, bytes)) if is_fresh(at) => bytes,
            _ => {
                let bytes = self.state.bytes();
                self.measured = Some((elapsed, bytes));
                bytes
            }
        }
    }
}

/// A report, before it is divided.
struct Report {
    pass: Pass,
    is_share_usable: bool,
    tenure: Option<TenureId>,
    problems: Vec<Problem>,
    pages: Vec<Vec<WorkloadReport>>,
    handovers: Vec<HandoverReport>,
}

impl Report {
    /// The report of the news; `None` if nothing is known yet.
    fn of(news: &News, now: Timestamp) -> Option<Self> {
        let hang = news.hanging.map(|(started, pause)| {
            let reason = format!(
                "the pass over the share that began at {started} stands still for {}: the share \
                 hangs, or answers very slowly; check its mount and its file server",
                human::duration(pause - Duration::from_secs(pause.as_secs() % 60))
            );
            Met::PassHangs.because(reason).told()
        });
        let last = news.pass.as_ref();
        if last.is_none() && hang.is_none() {
            return None;
        }
        let pass = last.map_or(Pass { started: now, finished: now }, |pass| Pass {
            started: pass.started,
            finished: pass.finished,
        });
        let is_share_usable = hang.is_none() && last.is_some_and(|pass| pass.is_share_usable);
        let mut problems: Vec<_> = hang.into_iter().collect();
        problems.extend(last.into_iter().flat_map(|pass| pass.problems.iter().cloned()));
        let tenure = last.and_then(|pass| pass.tenure);
        // What is free on a disk changes all the time, and is told when something else does.
        let without_free = |report: &HandoverReport| {
            let space = HandoverSpace { free: None, ..report.space };
            HandoverReport { space, ..report.clone() }
        };
        let handovers = news.handed.reports.iter().map(without_free).collect();
        Some(Self { pass, is_share_usable, tenure, problems, pages: pages(news), handovers })
    }

    /// The content by which it differs from the last.
    fn content(&self) -> String {
        serde_json::to_string(&(&self.pages, &self.problems, &self.handovers)).unwrap_or_default()
    }
}

/// The workloads in pages, at least one. First those of which a drop was rejected, then those that
/// have drops waiting, then the declared ones; last of all directories in which nothing is.
fn pages(news: &News) -> Vec<Vec<WorkloadReport>> {
    let mut all = BTreeMap::new();
    for (name, seen) in news.pass.iter().flat_map(|pass| &pass.seen) {
        all.insert(
            name,
            (seen.declared.clone(), seen.waiting, seen.waiting_bytes, Some(seen.share_bytes)),
        );
    }
    // A rejected drop is told even if its workload cannot be seen right now.
    let others = news.stopped.keys().chain(news.handed.unconfirmed.keys());
    for name in news.untold.keys().chain(others) {
        all.entry(name).or_default();
    }
    let mut workloads: Vec<WorkloadReport> = all
        .into_iter()
        .map(|(name, (declared, waiting, waiting_bytes, share_bytes))| {
            let untold = news.untold.get(name).into_iter().flatten().take(PAGE_REJECTED);
            let rejected = untold.map(told).collect();
            let stopped = news.stopped.get(name).cloned();
            let name = name.clone();
            let unconfirmed = news.handed.unconfirmed.get(&name).cloned().unwrap_or_default();
            WorkloadReport {
                name,
                declared,
                waiting,
                waiting_bytes,
                share_bytes,
                rejected,
                stopped,
                unconfirmed,
            }
        })
        .collect();
    // Stable, so that those of a rank stay in the order of their names.
    workloads.sort_by_key(|workload| match workload {
        WorkloadReport { rejected, .. } if !rejected.is_empty() => 0,
        WorkloadReport { waiting: 1.., .. } => 1,
        WorkloadReport { declared: Some(_), .. } => 2,
        _ => 3,
    });
    let mut pages = vec![Vec::new()];
    let mut rejected = 0;
    for workload in workloads {
        let page = pages.last().map_or(0, Vec::len);
        if page == REPORT_WORKLOADS_MAX || rejected + workload.rejected.len() > PAGE_REJECTED {
            pages.push(Vec::new());
            rejected = 0;
        }
        rejected += workload.rejected.len();
        if let Some(page) = pages.last_mut() {
            page.push(workload);
        }
    }
    // Beyond are empty directories, if anything.
    pages.truncate(REPORT_PARTS_MAX as usize);
    pages
}

fn told((drop, refusal): (&DropId, &Refusal)) -> RejectedDrop {
    let Refusal { code, reason, place } = refusal;
    let reason = reason.chars().take(REASON_CHARS_MAX).collect();
    let (day, seal) = place.unzip();
    RejectedDrop { drop: *drop, day, seal, code: code.clone(), reason }
}

#[cfg(test)]
mod tests;
