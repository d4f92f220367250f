//! The state of a share, for people: who uses what, and what waits for what and why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use outlast_types::{DropId, ShareId, Timestamp, WorkloadName};
use serde::Serialize;

use crate::layout::{RECEIPTS, WORKLOADS, is_foreign};
use crate::notice::{self, NoticeCode, NoticeLevel};
use crate::proven::{Verifier, is_suspect, last_state};
use crate::receipt::{self, ReceiptState};
use crate::scan::{
    DropState, Plan, ScanMemory, Sighting, WorkloadMemory, WorkloadScan, plan, scan_one,
};
use crate::share::{Share, ShareError};

/// Workloads that are looked at at a time: a far file server takes its time for each call.
const PLACES: usize = 16;

/// The state of a share.
#[derive(Debug, Serialize)]
pub struct ShareStatus {
    pub share: ShareId,
    pub path: PathBuf,
    /// Whether the states that receipts say were verified; else they are what somebody claims.
    pub verified: bool,
    /// Bytes of all drops, in whatever state.
    pub used_bytes: u64,
    /// How many drops of all workloads are in each state.
    pub counts: BTreeMap<String, u64>,
    /// What matters most comes first: trouble, then what waits longest, then who uses most.
    pub workloads: Vec<WorkloadStatus>,
    /// How many workloads there are beside those.
    pub more_workloads: usize,
    pub problems: Vec<String>,
    /// Files and directories that are not ours, anywhere on the share; they are ignored.
    pub foreign: u64,
}

/// The state of one workload on a share.
#[derive(Debug, Serialize)]
pub struct WorkloadStatus {
    pub workload: WorkloadName,
    /// The newest sealed drop by the time of the file server, rejected and suspect ones aside.
    pub newest: Option<DropStatus>,
    /// Drops that are being written, or were left behind.
    pub open: Vec<DropStatus>,
    /// How many drops are in each state.
    pub counts: BTreeMap<String, u64>,
    /// How many of them the vault holds and does not take for recovery points.
    pub suspect: u64,
    /// Bytes of sealed drops on the share.
    pub sealed_bytes: u64,
    /// Bytes of all drops, in whatever state.
    pub used_bytes: u64,
    /// What lies there, for whom it waits, and why; what waits longest comes first.
    pub waiting: Vec<Waiting>,
    /// The agent's word about the room that is left.
    pub notice: Option<NoticeStatus>,
    pub problems: Vec<String>,
    /// Files and directories among its drops that are not ours; they are ignored.
    pub foreign: u64,
}

/// Drops of one workload in one state.
#[derive(Debug, Clone, Serialize)]
pub struct Waiting {
    pub state: String,
    pub drops: u64,
    pub bytes: u64,
    /// The oldest change of one of them, by the clock of the file server.
    pub since: Option<Timestamp>,
    pub waits_for: &'static str,
    pub why: String,
}

/// The agent's word to writers, as it lies there; it counts only for a while after it was written.
#[derive(Debug, Clone, Serialize)]
pub struct NoticeStatus {
    pub level: NoticeLevel,
    pub code: NoticeCode,
    pub reason: String,
    pub used: u64,
    pub budget: u64,
    pub left: u64,
    pub written: Option<Timestamp>,
}

/// One drop on the share.
#[derive(Debug, Clone, Serialize)]
pub struct DropStatus {
    pub drop: DropId,
    /// `open`, `failed`, `sealed`, `refused`, or the last receipt of its life.
    pub state: String,
    /// The newest change of a file in it, by the clock of the file server.
    pub changed: Option<Timestamp>,
    /// Bytes on the share, when it is sealed.
    pub bytes: Option<u64>,
    /// The instance that wrote it, as it says itself.
    pub instance: Option<String>,
    /// Whether the vault holds it and does not take it for a recovery point.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspect: bool,
}

type States = BTreeSet<ReceiptState>;

/// Looks through the whole share. Without a verifier, what receipts say is what somebody claims.
pub fn status(share: &Share, verifier: Option<&dyn Verifier>) -> Result<ShareStatus, ShareError> {
    status_up_to(share, usize::MAX, verifier)
}

/// The same, and tells of as many workloads as `max`, of those that matter most.
pub fn status_up_to(
    share: &Share,
    max: usize,
    verifier: Option<&dyn Verifier>,
) -> Result<ShareStatus, ShareError> {
    share.check()?;
    // A fresh memory and the beginning of time: nothing is left out.
    let found = plan(share, &mut ScanMemory::default(), Timestamp::EPOCH)?;
    let problems = found.iter().flat_map(|plan| &plan.problems).map(ToString::to_string).collect();
    let (workloads, foreign) = found.map_or((Vec::new(), 0), |plan| look(share, &plan, verifier));
    let mut result = summary(share, workloads, verifier);
    (result.problems, result.foreign) = (problems, result.foreign + foreign);
    result.foreign += foreign_in(share, &[]);
    result.workloads.sort_by_key(WorkloadStatus::rank);
    result.more_workloads = result.workloads.len().saturating_sub(max);
    result.workloads.truncate(max);
    Ok(result)
}

/// The same of one workload, and opens nothing of any other.
pub fn status_of(
    share: &Share,
    workload: &WorkloadName,
    verifier: Option<&dyn Verifier>,
) -> Result<ShareStatus, ShareError> {
    let seen = scan_one(share, workload)?;
    let workloads = seen.iter().map(|seen| workload_status(share, seen, verifier)).collect();
    Ok(summary(share, workloads, verifier))
}

fn summary(
    share: &Share,
    workloads: Vec<WorkloadStatus>,
    verifier: Option<&dyn Verifier>,
) -> ShareStatus {
    let mut counts = BTreeMap::new();
    for (state, count) in workloads.iter().flat_map(|workload| &workload.counts) {
        *counts.entry(state.clone()).or_default() += count;
    }
    ShareStatus {
        share: share.id(),
        path: share.path().to_owned(),
        verified: verifier.is_some(),
        used_bytes: workloads.iter().map(|workload| workload.used_bytes).sum(),
        counts,
        foreign: workloads.iter().map(|workload| workload.foreign).sum(),
        workloads,
        more_workloads: 0,
        problems: Vec::new(),
    }
}

/// The status of all workloads of a plan, and how many names are none of ours.
fn look(share: &Share, plan: &Plan, verifier: Option<&dyn Verifier>) -> (Vec<WorkloadStatus>, u64) {
    let (next, found) = (AtomicUsize::new(0), Mutex::new((Vec::new(), plan.foreign)));
    let work = || {
        while let Some(name) = plan.workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
            let seen = plan.visit.look(name, &mut WorkloadMemory::default());
            let status = seen.map(|seen| workload_status(share, &seen, verifier));
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match status {
                Some(status) => found.0.push(status),
                None => found.1 += 1,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..PLACES.min(plan.workloads.len()) {
            scope.spawn(work);
        }
        work();
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl WorkloadStatus {
    /// By what it comes before others.
    fn rank(&self) -> (bool, bool, Option<Timestamp>, std::cmp::Reverse<u64>, WorkloadName) {
        let is_well = self.problems.is_empty() && self.notice.is_none();
        let waits = self.waiting.iter().filter(|it| is_to_be_shipped(&it.state));
        let oldest = waits.filter_map(|it| it.since).min();
        let used = std::cmp::Reverse(self.used_bytes);
        (is_well, oldest.is_none(), oldest, used, self.workload.clone())
    }
}

/// Whether what is in this state is a drop that the vault is still to have.
fn is_to_be_shipped(state: &str) -> bool {
    matches!(state, "sealed" | "accepted" | "shipped")
}

fn workload_status(
    share: &Share,
    seen: &WorkloadScan,
    verifier: Option<&dyn Verifier>,
) -> WorkloadStatus {
    let mut problems: Vec<String> = seen.problems.iter().map(ToString::to_string).collect();
    let receipts = receipt::list(share, &seen.workload).unwrap_or_else(|error| {
        problems.push(error.to_string());
        BTreeMap::new()
    });
    let home = [WORKLOADS, seen.workload.as_str()].map(str::to_owned);
    let receipts_of = [WORKLOADS, seen.workload.as_str(), RECEIPTS].map(str::to_owned);
    let mut result = WorkloadStatus {
        workload: seen.workload.clone(),
        newest: None,
        open: Vec::new(),
        counts: BTreeMap::new(),
        suspect: 0,
        sealed_bytes: 0,
        used_bytes: 0,
        waiting: Vec::new(),
        notice: notice_status(share, &seen.workload),
        problems,
        foreign: seen.foreign + foreign_in(share, &home) + foreign_in(share, &receipts_of),
    };
    if seen.reserved > 0 {
        result.counts.insert("of a later version".to_owned(), seen.reserved);
    }
    let none = States::new();
    for sighting in &seen.sightings {
        let states = receipts.get(&sighting.address.drop).unwrap_or(&none);
        let last = last_state(share, sighting, states, verifier, |problem| {
            result.problems.push(problem);
        });
        let suspect = is_suspect(share, sighting, states, verifier);
        let drop = DropStatus { suspect, ..drop_status(sighting, last) };
        *result.counts.entry(drop.state.clone()).or_default() += 1;
        result.sealed_bytes += drop.bytes.unwrap_or(0);
        result.used_bytes += sighting.bytes;
        result.wait(share, sighting, &drop.state);
        match &sighting.state {
            DropState::Refused(rejection) if !sighting.state.may_heal() => {
                result.problems.push(format!("{}: {rejection}", sighting.address));
            }
            DropState::Sealed(_) if suspect => result.suspect += 1,
            DropState::Sealed(_) if last != Some(ReceiptState::Rejected) => {
                let newer =
                    |newest: &DropStatus| (newest.changed, newest.drop) < (drop.changed, drop.drop);
                if result.newest.as_ref().is_none_or(newer) {
                    result.newest = Some(drop);
                }
            }
            DropState::Open(_) => result.open.push(drop),
            _ => {}
        }
    }
    result.waiting.sort_by_key(|waiting| (!is_to_be_shipped(&waiting.state), waiting.since));
    result
}

impl WorkloadStatus {
    /// Counts a drop among those that wait for the same.
    fn wait(&mut self, share: &Share, sighting: &Sighting, state: &str) {
        let (bytes, changed) = (sighting.bytes, sighting.changed);
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.state == state) {
            waiting.drops += 1;
            waiting.bytes += bytes;
            waiting.since = match (waiting.since, changed) {
                (Some(since), Some(changed)) => Some(since.min(changed)),
                (since, changed) => since.or(changed),
            };
            return;
        }
        let (waits_for, why) = match state {
            "open" => {
                ("its writer", "it is being written; if its writer died, the agent removes it")
            }
            "failed" => ("the agent", "its writer gave up, so it is removed after the grace time"),
            "sealed" => ("the agent", "nobody has read it yet"),
            "accepted" => (
                "the agent",
                "its content was verified, and neither the vault nor a backup product that gets it alone has it yet",
            ),
            "shipped" => (
                "the vault",
                "its content is on the way, and the vault has not said that it has it",
            ),
            "vaulted" | "confirmed" => (
                "the keep rule",
                "it is held elsewhere, and the newest stay for instances that start",
            ),
            "handed-over" => {
                ("the backup product", "it was given to that, which has not confirmed it")
            }
            "rejected" | "refused" => ("an operator", "it cannot be taken"),
            _ => ("the agent", "it is being removed; somebody may have a file of it open"),
        };
        let said = || match state {
            "rejected" => {
                let address = &sighting.address;
                let rejected = ReceiptState::Rejected;
                let read = receipt::read(share, &address.workload, address.drop, rejected);
                read.ok().flatten()?.receipt().reason.clone()
            }
            _ => None,
        };
        let why = match said() {
            Some(reason) => {
                format!("{why}: {}", reason.chars().take(REASON_CHARS_MAX).collect::<String>())
            }
            None => why.to_owned(),
        };
        let state = state.to_owned();
        self.waiting.push(Waiting { state, drops: 1, bytes, since: changed, waits_for, why });
    }
}

/// The longest part of a reason that is told, in characters.
const REASON_CHARS_MAX: usize = 500;

fn notice_status(share: &Share, workload: &WorkloadName) -> Option<NoticeStatus> {
    let (notice, written) = notice::read(share, workload)?;
    let left = notice.left();
    let notice::Notice { level, code, reason, used, budget, .. } = notice;
    Some(NoticeStatus { level, code, reason, used, budget, left, written })
}

/// How many names that are not ours a directory holds, as far as it can be listed.
fn foreign_in(share: &Share, names: &[String]) -> u64 {
    let directory = share.directory().and_then(|root| match names {
        [] => Ok(root),
        names => root.descend(names),
    });
    let names = directory.and_then(|directory| directory.names()).unwrap_or_default();
    names.iter().filter(|name| is_foreign(name)).count() as u64
}

fn drop_status(sighting: &Sighting, last: Option<ReceiptState>) -> DropStatus {
    let (state, bytes, instance) = match &sighting.state {
        DropState::Open(record) => {
            let instance = record.as_ref().and_then(|record| record.claims.instance.clone());
            ("open", None, instance)
        }
        DropState::Failed { .. } => ("failed", None, None),
        DropState::Sealed(seal) => ("sealed", Some(seal.stored_bytes), seal.instance.clone()),
        DropState::Refused(_) => ("refused", None, None),
    };
    DropStatus {
        drop: sighting.address.drop,
        state: last.map_or_else(|| state.to_owned(), |last| last.to_string()),
        changed: sighting.changed,
        bytes,
        instance,
        suspect: false,
    }
}
