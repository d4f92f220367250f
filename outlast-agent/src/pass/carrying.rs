//! Carrying what is sealed to the vault, workload by workload.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use outlast_drop::{DropAddress, ReceiptState, Share, SignedReceipt, receipt};
use outlast_fs::durable;
use outlast_types::{ProblemKind, WorkloadName};

use super::ending::place;
use super::{PAUSE_MIN, ROAD_PAUSE_MAX};
use crate::Shutdown;
use crate::agent::{Agent, Desk};
use crate::report::{PassReport, ShippedDrop};
use crate::ship::{Failure, Shipping};

/// After this much shipping, a pass ends and the next begins at once: so new drops are seen and
/// the vault hears of the agent however much there is to do.
const SHIPPING_MAX: Duration = Duration::from_secs(60);
/// The longest pause after failures of one workload, or of one drop.
const WORKLOAD_PAUSE_MAX: Duration = Duration::from_secs(600);
/// A drop that could not be read as often as this no longer holds up the newer ones: better an old
/// drop published late than none of those after it.
const READS_BEFORE_OVERTAKING: u32 = 3;

/// Sealed drops to ship, oldest first, by workload.
pub(super) type Queues = BTreeMap<WorkloadName, VecDeque<DropAddress>>;

/// How a workload goes on after one of its drops was tried.
enum Turn {
    /// The drop is done with; the next one may be tried.
    Next,
    /// The drop stays behind; the next one may be tried.
    Overtake,
    /// The others would fail, too, or overtake this one.
    Stop,
}

impl Agent {
    /// Ships the oldest drop of each workload, then the next of each, and so on: a workload with
    /// many drops does not keep the others waiting.
    pub(super) fn ship_all(
        &mut self,
        share: &Share,
        queues: &mut Queues,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) {
        let began = self.environment.timer.elapsed();
        let mut skipped: Queues = Queues::new();
        while let Some((workload, address)) = next(queues, self.turn.as_ref()) {
            self.turn = Some(workload.clone());
            let now = self.environment.timer.elapsed();
            if shutdown.is_requested() || self.road.is_waiting(now) {
                queues.entry(workload).or_default().push_front(address);
                break;
            }
            if now.saturating_sub(began) >= SHIPPING_MAX {
                queues.entry(workload).or_default().push_front(address);
                report.more = true;
                break;
            }
            let turn = match self.desks.get(&workload).and_then(|desk| held_up(desk, &address, now))
            {
                Some((turn, kind, trouble)) => {
                    report.note(kind, None, trouble);
                    turn
                }
                None => self.ship_one(share, &address, report, shutdown),
            };
            let behind = skipped.entry(workload.clone()).or_default();
            match turn {
                Turn::Next => {}
                Turn::Overtake => behind.push_back(address),
                Turn::Stop => {
                    behind.push_back(address);
                    behind.extend(queues.remove(&workload).unwrap_or_default());
                }
            }
        }
        for (workload, mut rest) in skipped {
            rest.append(queues.entry(workload.clone()).or_default());
            queues.insert(workload, rest);
        }
    }

    /// Ships one drop, and notes what came of it.
    fn ship_one(
        &mut self,
        share: &Share,
        address: &DropAddress,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) -> Turn {
        let failure = match self.carry(share, address, report, shutdown) {
            Ok(()) => {
                self.road.succeeded();
                let desk = self.desks.entry(address.workload.clone()).or_default();
                desk.backoff.succeeded();
                desk.trouble = None;
                self.let_go(share, &address.workload, report);
                return Turn::Next;
            }
            Err(failure) => failure,
        };
        if let Failure::Refused(rejection) = &failure {
            self.refuse(share, address, rejection, true, report);
            return Turn::Next;
        }
        // What is remembered of the repository may be the cause; it costs little to ask again.
        self.repositories.forget(&address.workload);
        let now = self.environment.timer.elapsed();
        let first = self.config.poll.max(PAUSE_MIN);
        let random = &*self.environment.random;
        let told = |text| format!("{address} is not shipped yet: {text}");
        let text = match failure {
            Failure::Stopped | Failure::Refused(_) => return Turn::Stop,
            Failure::Unreachable(text) => {
                self.asked_run = None;
                self.road.failed(now, first, ROAD_PAUSE_MAX, random);
                report.note(ProblemKind::Work, None, text);
                return Turn::Stop;
            }
            Failure::Share(text) => {
                let desk = self.desks.entry(address.workload.clone()).or_default();
                let snag = desk.snags.entry(place(address)).or_default();
                snag.backoff.failed(now, first, WORKLOAD_PAUSE_MAX, random);
                snag.trouble.get_or_insert_with(|| told(text));
                report.problems.extend(snag.trouble.clone());
                return snag.turn();
            }
            Failure::Lost(text) => {
                // Or the engine would trust the journal again.
                if let Err(problem) = self.remove_journal(&address.workload) {
                    report.note(ProblemKind::Work, None, problem);
                }
                text
            }
            Failure::Workload(text) => text,
        };
        let desk = self.desks.entry(address.workload.clone()).or_default();
        desk.backoff.failed(now, first, WORKLOAD_PAUSE_MAX, random);
        // The first text stays, so that a trouble that lasts is seen to be one.
        let trouble = desk.trouble.get_or_insert_with(|| told(text)).clone();
        report.note(ProblemKind::Work, None, trouble);
        Turn::Stop
    }

    fn remove_journal(&self, workload: &WorkloadName) -> Result<(), String> {
        let path = self.journal(workload);
        match durable::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {error}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Ships one drop: accepted, shipped, vaulted.
    fn carry(
        &mut self,
        share: &Share,
        address: &DropAddress,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        let repository = match self.repositories.get(&address.workload) {
            Some(repository) => repository,
            None => {
                let opened = self.upstream.open(&address.workload, shutdown)?;
                let opened = Arc::new(opened.cached_in(&self.cache()));
                self.repositories.keep(&address.workload, &opened);
                opened
            }
        };
        let journal = self.journal(&address.workload);
        let identity = Arc::clone(&self.identity);
        let environment = self.environment.clone();
        let shipping = Shipping {
            share,
            address,
            identity: &identity,
            upstream: &*self.upstream,
            environment: &environment,
            shutdown,
            report_interval: self.config.report,
        };
        let loaded = shipping.load(&repository, &journal)?;
        let bytes = loaded.bytes();
        let mut receipts = Vec::new();
        for state in [ReceiptState::Accepted, ReceiptState::Shipped] {
            receipts.push(shipping.receipt(state, &loaded).map_err(Failure::Workload)?);
        }
        put_all(share, &mut self.unwritten, receipts, report);
        let (signed, vaulted) = shipping.deliver(&loaded)?;
        put_all(share, &mut self.unwritten, vec![signed], report);
        let snapshot = vaulted.held.snapshot.to_string();
        self.hold(address, vaulted);
        tracing::info!(drop = %address, %snapshot, bytes, "vaulted");
        report.vaulted.push(ShippedDrop { address: address.clone(), snapshot, bytes });
        Ok(())
    }

    /// Writes receipts that the share did not take before.
    pub(super) fn write_again(&mut self, share: &Share, report: &mut PassReport) {
        let receipts = std::mem::take(&mut self.unwritten);
        put_all(share, &mut self.unwritten, receipts, report);
    }
}

/// Whether a drop has to wait because of what failed before, and why.
fn held_up(
    desk: &Desk,
    address: &DropAddress,
    now: Duration,
) -> Option<(Turn, ProblemKind, String)> {
    if desk.backoff.is_waiting(now) {
        return Some((Turn::Stop, ProblemKind::Work, desk.trouble.clone()?));
    }
    let snag = desk.snags.get(&place(address)).filter(|snag| snag.backoff.is_waiting(now))?;
    Some((snag.turn(), ProblemKind::Share, snag.trouble.clone()?))
}

impl crate::agent::Snag {
    fn turn(&self) -> Turn {
        if self.backoff.failures() < READS_BEFORE_OVERTAKING { Turn::Stop } else { Turn::Overtake }
    }
}

/// Takes the oldest drop of the workload that comes after the one whose turn was `last`.
fn next(queues: &mut Queues, last: Option<&WorkloadName>) -> Option<(WorkloadName, DropAddress)> {
    let ready = queues.iter_mut().filter(|(_, queue)| !queue.is_empty());
    let mut after = None;
    let mut first = None;
    for (workload, queue) in ready {
        if last.is_none_or(|last| workload > last) {
            after = Some((workload, queue));
            break;
        }
        first.get_or_insert((workload, queue));
    }
    let (workload, queue) = after.or(first)?;
    Some((workload.clone(), queue.pop_front()?))
}

/// Writes receipts; what the share does not take goes to `unwritten`.
fn put_all(
    share: &Share,
    unwritten: &mut Vec<SignedReceipt>,
    receipts: Vec<SignedReceipt>,
    report: &mut PassReport,
) {
    for signed in receipts {
        if let Err(error) = receipt::write(share, &signed) {
            report.problems.push(error.to_string());
            unwritten.push(signed);
        }
    }
}
