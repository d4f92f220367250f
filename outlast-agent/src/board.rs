//! The board: where the passes post what is to be told, and the reporter reads it. Neither waits for
//! the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_drop::DropAddress;
use outlast_types::{DropId, ShareId, TenureId, Timestamp, WorkloadName};
use outlast_wire::api::{
    self, AgentFigures, Declared, HandoverReport, StoppedWriter, UnconfirmedDrops, WorkloadReport,
};

use crate::custody::Refusal;

/// One workload, as a pass saw it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) declared: Option<Declared>,
    /// Sealed drops that are not vaulted, and bytes of content that are still to be read of them.
    pub(crate) waiting: u64,
    pub(crate) waiting_bytes: u64,
    /// Bytes of content of sealed drops.
    pub(crate) share_bytes: u64,
}

/// A pass that has ended.
#[derive(Debug)]
pub(crate) struct PassNews {
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    /// Whether the share could be looked over, whatever else went wrong.
    pub(crate) is_share_usable: bool,
    /// In which tenure the share was served.
    pub(crate) tenure: Option<TenureId>,
    /// The problems that have lasted.
    pub(crate) problems: Vec<api::Problem>,
    pub(crate) seen: BTreeMap<WorkloadName, Seen>,
}

/// A pass that has not ended.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    started: Timestamp,
    /// By the timer: when it began, and when it last came a step further.
    began: Duration,
    moved: Duration,
}

/// Rejected drops that the vault has not heard of.
pub(crate) type Untold = BTreeMap<WorkloadName, BTreeMap<DropId, Refusal>>;

/// How hand-overs stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handed {
    pub(crate) reports: Vec<HandoverReport>,
    /// Of each workload, the drops in them that are not confirmed.
    pub(crate) unconfirmed: BTreeMap<WorkloadName, Vec<UnconfirmedDrops>>,
}

/// All that there is to tell now.
#[derive(Debug, Clone)]
pub(crate) struct News {
    /// Counts up with everything that is posted.
    pub(crate) number: u64,
    /// The share that the agent serves, once it has seen it.
    pub(crate) share: Option<ShareId>,
    pub(crate) pass: Option<Arc<PassNews>>,
    /// The pass that stands still, since when it is under way, and for how long it has not moved.
    pub(crate) hanging: Option<(Timestamp, Duration)>,
    pub(crate) untold: Untold,
    /// The newest drop of each workload that was given up, until the vault has heard of it.
    pub(crate) stopped: BTreeMap<WorkloadName, StoppedWriter>,
    pub(crate) figures: AgentFigures,
    /// Whoever tells all this asks for it.
    pub(crate) handed: Handed,
}

/// The board's content.
#[derive(Debug, Default)]
struct Posted {
    number: u64,
    share: Option<ShareId>,
    pass: Option<Arc<PassNews>>,
    under_way: Option<UnderWay>,
    untold: Untold,
    stopped: BTreeMap<WorkloadName, StoppedWriter>,
    /// What the vault says of drops in quarantine, as it came.
    cleared: Vec<String>,
    figures: AgentFigures,
    /// Since when the drop waits that has waited longest.
    oldest: Option<Timestamp>,
}

/// The board.
#[derive(Debug, Default)]
pub(crate) struct Board {
    posted: Mutex<Posted>,
    changed: Condvar,
}

/// Rejected drops of one workload that are remembered for the vault: the newest tell enough.
const UNTOLD_MAX: usize = 1000;

/// Workloads whose writers stopped, of which the vault has not heard yet: beyond, they say nothing new.
const STOPPED_MAX: usize = 10_000;

/// Drops taken out of quarantine at a time; the vault tells the others again.
const CLEARED_MAX: usize = 1000;

/// A pass that has not moved for so long stands still: a share that hangs, most likely.
const STANDSTILL: Duration = Duration::from_secs(300);

impl Board {
    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pass begins. `elapsed` is by the timer, here as below.
    pub(crate) fn begin_pass(&self, started: Timestamp, elapsed: Duration) {
        self.posted().under_way = Some(UnderWay { started, began: elapsed, moved: elapsed });
    }

    /// The pass under way has come a step further.
    pub(crate) fn moved(&self, elapsed: Duration) {
        if let Some(pass) = &mut self.posted().under_way {
            pass.moved = elapsed;
        }
    }

    /// The pass under way has ended. `oldest` is since when a drop waits.
    pub(crate) fn end_pass(
        &self,
        share: Option<ShareId>,
        pass: PassNews,
        oldest: Option<Timestamp>,
        elapsed: Duration,
    ) {
        let mut posted = self.posted();
        posted.number += 1;
        posted.share = share;
        posted.oldest = oldest;
        let began = posted.under_way.take().map_or(elapsed, |pass| pass.began);
        let figures = &mut posted.figures;
        figures.passes += 1;
        figures.last_pass = Some(pass.finished);
        figures.last_pass_millis = millis(elapsed.saturating_sub(began));
        figures.workloads = pass.seen.len() as u64;
        figures.drops_waiting = pass.seen.values().map(|seen| seen.waiting).sum();
        posted.pass = Some(Arc::new(pass));
        drop(posted);
        self.changed.notify_all();
    }

    /// A drop was refused, and the vault is to hear why: at once, however long the pass still takes.
    pub(crate) fn refused(&self, address: &DropAddress, refusal: Refusal) {
        let mut posted = self.posted();
        posted.number += 1;
        let untold = posted.untold.entry(address.workload.clone()).or_default();
        untold.insert(address.drop, refusal);
        if untold.len() > UNTOLD_MAX {
            untold.pop_first();
        }
        drop(posted);
        self.changed.notify_all();
    }

    /// A writer stopped before it sealed its drop.
    pub(crate) fn stopped(&self, address: &DropAddress, stopped: StoppedWriter) {
        let mut posted = self.posted();
        if posted.stopped.len() < STOPPED_MAX || posted.stopped.contains_key(&address.workload) {
            posted.number += 1;
            posted.stopped.insert(address.workload.clone(), stopped);
        }
        drop(posted);
        self.changed.notify_all();
    }

    /// The vault said which drops in quarantine were accepted.
    pub(crate) fn cleared(&self, mut receipts: Vec<String>) {
        receipts.truncate(CLEARED_MAX);
        self.posted().cleared = receipts;
    }

    /// Takes what the vault said last.
    pub(crate) fn take_cleared(&self) -> Vec<String> {
        std::mem::take(&mut self.posted().cleared)
    }

    /// Counts something.
    pub(crate) fn count(&self, count: impl FnOnce(&mut AgentFigures)) {
        count(&mut self.posted().figures);
    }

    /// All that is posted, as of `now`.
    pub(crate) fn news(&self, now: Timestamp, elapsed: Duration) -> News {
        let posted = self.posted();
        let pause = |pass: &UnderWay| elapsed.saturating_sub(pass.moved);
        let still = posted.under_way.filter(|pass| pause(pass) >= STANDSTILL);
        let lasted = |pass: &UnderWay| millis(elapsed.saturating_sub(pass.began));
        News {
            number: posted.number,
            share: posted.share,
            pass: posted.pass.clone(),
            hanging: still.map(|pass| (pass.started, pause(&pass))),
            untold: posted.untold.clone(),
            stopped: posted.stopped.clone(),
            figures: AgentFigures {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                clock: Some(now),
                pass_under_way_millis: posted.under_way.as_ref().map(lasted),
                oldest_waiting_seconds: posted.oldest.map(|since| now.since(since).as_secs()),
                ..posted.figures.clone()
            },
            handed: Handed::default(),
        }
    }

    /// The share that the agent served before it saw it in this run.
    pub(crate) fn serves(&self, share: Option<ShareId>) {
        self.posted().share = share;
    }

    /// Notes what the vault has heard of.
    pub(crate) fn heard(&self, workloads: &[WorkloadReport]) {
        let mut posted = self.posted();
        for workload in workloads {
            if let Some(untold) = posted.untold.get_mut(&workload.name) {
                workload.rejected.iter().for_each(|heard| drop(untold.remove(&heard.drop)));
            }
            if workload.stopped.is_some()
                && posted.stopped.get(&workload.name) == workload.stopped.as_ref()
            {
                posted.stopped.remove(&workload.name);
            }
        }
        posted.untold.retain(|_, untold| !untold.is_empty());
    }

    /// Waits for something newer than `number`, for a moment.
    pub(crate) fn wait(&self, number: u64, moment: Duration) {
        let is_old = |posted: &mut Posted| posted.number == number;
        drop(self.changed.wait_timeout_while(self.posted(), moment, is_old));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
