//! One pass over the share.

mod telling;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use outlast_drop::{
    DropAddress, ReceiptState, ReleaseError, Share, ShareError, Sighting, SignedReceipt,
    WorkloadScan, abandon, quarantine, receipt, release, scan,
};
use outlast_fs::durable;
use outlast_types::{Timestamp, WorkloadName};

use crate::agent::Agent;
use crate::custody::{self, Standing};
use crate::decision::{Step, decide, releasable};
use crate::report::{PassReport, ShippedDrop};
use crate::ship::{Failure, Shipping};
use crate::{Shutdown, declaration};
use telling::Seen;

/// After this much shipping, a pass ends and the next begins at once: so new drops are seen and
/// the vault hears of the agent however much there is to do.
const SHIPPING_MAX: Duration = Duration::from_secs(60);
/// The longest pause after failures of one workload, and of the road to the vault.
const WORKLOAD_PAUSE_MAX: Duration = Duration::from_secs(600);
const ROAD_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The shortest first pause, however often the share is polled.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Sealed drops to ship, oldest first, by workload.
type Queues = BTreeMap<WorkloadName, VecDeque<DropAddress>>;

impl Agent {
    /// Looks over the share once and does what is to be done.
    pub fn pass(&mut self, shutdown: &Shutdown) -> PassReport {
        let mut report = PassReport::new(self.doors.clock.now());
        let mut seen = BTreeMap::new();
        match self.open_share() {
            Ok(share) => {
                report.share = Some(share.id());
                self.look_over(&share, &mut seen, &mut report, shutdown);
            }
            Err(problem) => report.problems.push(problem),
        }
        report.finished = self.doors.clock.now();
        // The last pass must end soon; the next agent tells the rest.
        if !shutdown.is_requested() {
            self.tell(&report, seen);
        }
        report
    }

    /// Opens the share afresh: it may be unmounted, or another one may be mounted in its place.
    fn open_share(&mut self) -> Result<Share, String> {
        let share = Share::open(&self.config.share).map_err(|error| error.to_string())?;
        match self.share {
            Some(expected) if expected != share.id() => {
                let (path, found) = (share.path().to_owned(), share.id());
                let error = ShareError::Replaced { path, expected, found };
                let file = self.share_id_file();
                Err(format!(
                    "{error} (if that is meant, stop the agent and remove {})",
                    file.display()
                ))
            }
            Some(_) => Ok(share),
            None => {
                self.remember_share(share.id()).map_err(|error| error.to_string())?;
                Ok(share)
            }
        }
    }

    fn look_over(
        &mut self,
        share: &Share,
        seen: &mut BTreeMap<WorkloadName, Seen>,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) {
        self.write_again(share, report);
        let found = match scan(share, &mut self.closed, report.started) {
            Ok(found) => found,
            Err(error) => return report.problems.push(error.to_string()),
        };
        report.problems.extend(found.problems.iter().map(ToString::to_string));
        let sighted: HashSet<_> = found
            .workloads
            .iter()
            .flat_map(|workload| workload.sightings.iter().map(|sighting| sighting.address.drop))
            .collect();
        self.vigil.retain(|drop| sighted.contains(&drop));
        let mut queues = Queues::new();
        for workload in found.workloads {
            if shutdown.is_requested() {
                return;
            }
            report.problems.extend(workload.problems.iter().map(ToString::to_string));
            let declared = declaration::read(share, &workload.workload).unwrap_or_else(|reason| {
                report.problems.push(reason);
                None
            });
            seen.insert(workload.workload.clone(), Seen { declared, waiting: 0 });
            let name = workload.workload.clone();
            let queue = self.sort_out(share, workload, report);
            self.let_go(share, &name, report);
            queues.insert(name, queue);
        }
        self.ship_all(share, &mut queues, report, shutdown);
        for (workload, queue) in queues {
            report.waiting += queue.len();
            if let Some(seen) = seen.get_mut(&workload) {
                seen.waiting = queue.len() as u64;
            }
        }
    }

    /// Decides what each drop of a workload needs, and does all but shipping; returns what is to
    /// be shipped.
    fn sort_out(
        &mut self,
        share: &Share,
        found: WorkloadScan,
        report: &mut PassReport,
    ) -> VecDeque<DropAddress> {
        let mut queue = VecDeque::new();
        if let Err(problem) = self.learn(share, &found, report) {
            report.problems.push(problem);
            return queue;
        }
        for sighting in found.sightings {
            let now = self.doors.clock.now();
            let still = self.vigil.observe(sighting.address.drop, sighting.pulse, now);
            let desk = self.desks.entry(found.workload.clone()).or_default();
            let known = desk.standings.get(&sighting.address.drop);
            let Some(standing) = known.copied() else { continue };
            let Sighting { address, state, .. } = sighting;
            match decide(&state, standing, still, self.config.grace) {
                Step::Wait => {}
                Step::Settle => {
                    self.closed.settle(&address);
                    desk.standings.remove(&address.drop);
                }
                Step::Ship => queue.push_back(address),
                Step::Hold { at } => self.hold(&address, at),
                Step::FinishRelease => self.release(share, &address, report),
                Step::Refuse { rejection, is_incident } => {
                    self.refuse(share, &address, rejection.to_string(), is_incident, report);
                }
                Step::Abandon { reason } => self.abandon(share, &address, reason, report),
            }
        }
        // Oldest first, so that the last snapshot is the newest drop.
        queue.make_contiguous().sort_by_key(|address| address.drop);
        queue
    }

    /// Reads what receipts prove of drops that were not known yet.
    fn learn(
        &mut self,
        share: &Share,
        found: &WorkloadScan,
        report: &mut PassReport,
    ) -> Result<(), String> {
        let desk = self.desks.entry(found.workload.clone()).or_default();
        let is_new = |sighting: &&Sighting| !desk.standings.contains_key(&sighting.address.drop);
        let fresh: Vec<_> = found.sightings.iter().filter(is_new).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let receipts = receipt::list(share, &found.workload).map_err(|error| error.to_string())?;
        for Sighting { address, .. } in fresh {
            let none = Default::default();
            let states = receipts.get(&address.drop).unwrap_or(&none);
            let problem = |problem| report.problems.push(problem);
            let ca_pem = self.identity.ca_pem();
            match custody::standing(share, ca_pem, &address.workload, address.drop, states, problem)
            {
                Ok(standing) => {
                    desk.standings.insert(address.drop, standing);
                    // An agent may have died before the vault heard of it. After a later good
                    // drop that is moot.
                    let is_moot = receipts.iter().any(|(drop, states)| {
                        *drop > address.drop && states.contains(&ReceiptState::Vaulted)
                    });
                    if standing == Standing::Rejected
                        && !is_moot
                        && let Some(reason) = custody::incident(share, address)
                    {
                        let told = self.unreported.entry(address.workload.clone()).or_default();
                        told.insert(address.drop, reason);
                    }
                }
                // Not known, so nothing is done with it until it can be read.
                Err(error) => report.problems.push(error.to_string()),
            }
        }
        Ok(())
    }

    /// Ships the oldest drop of each workload, then the next of each, and so on: a workload with
    /// many drops does not keep the others waiting.
    fn ship_all(
        &mut self,
        share: &Share,
        queues: &mut Queues,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) {
        let began = self.doors.clock.now();
        let mut skipped: Queues = Queues::new();
        while let Some((workload, address)) = next(queues, self.turn.as_ref()) {
            self.turn = Some(workload.clone());
            let now = self.doors.clock.now();
            if shutdown.is_requested() || self.road.is_waiting(now) {
                queues.entry(workload).or_default().push_front(address);
                break;
            }
            if now.since(began) >= SHIPPING_MAX {
                queues.entry(workload).or_default().push_front(address);
                report.more = true;
                break;
            }
            let desk = self.desks.entry(workload.clone()).or_default();
            let waits = desk.backoff.is_waiting(now);
            if waits {
                report.problems.extend(desk.trouble.clone());
            }
            if waits || !self.ship_one(share, &address, report, shutdown) {
                // The others of this workload would fail, too, or overtake this one.
                let mut rest = queues.remove(&workload).unwrap_or_default();
                rest.push_front(address);
                skipped.insert(workload, rest);
            }
        }
        for (workload, mut rest) in skipped {
            rest.append(queues.entry(workload.clone()).or_default());
            queues.insert(workload, rest);
        }
    }

    /// Ships one drop; whether the workload's next one may be tried.
    fn ship_one(
        &mut self,
        share: &Share,
        address: &DropAddress,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) -> bool {
        let failure = match self.carry(share, address, report, shutdown) {
            Ok(()) => {
                self.road.succeeded();
                let desk = self.desks.entry(address.workload.clone()).or_default();
                desk.backoff.succeeded();
                desk.trouble = None;
                self.let_go(share, &address.workload, report);
                return true;
            }
            Err(failure) => failure,
        };
        if let Failure::Refused(rejection) = &failure {
            self.refuse(share, address, rejection.to_string(), true, report);
            return true;
        }
        // What is remembered of the repository may be the cause; it costs little to ask again.
        self.repositories.forget(&address.workload);
        let now = self.doors.clock.now();
        let first = self.config.poll.max(PAUSE_MIN);
        let text = match failure {
            Failure::Stopped | Failure::Refused(_) => return false,
            Failure::Unreachable(text) => {
                self.road.failed(now, first, ROAD_PAUSE_MAX, &*self.doors.random);
                report.problems.push(text);
                return false;
            }
            Failure::Lost(text) => {
                // Or the engine would trust the journal again.
                if let Err(problem) = self.remove_journal(&address.workload) {
                    report.problems.push(problem);
                }
                text
            }
            Failure::Share(text) | Failure::Workload(text) => text,
        };
        let desk = self.desks.entry(address.workload.clone()).or_default();
        desk.backoff.failed(now, first, WORKLOAD_PAUSE_MAX, &*self.doors.random);
        // The first text stays, so that a trouble that lasts is seen to be one.
        let text = format!("{address} is not shipped yet: {text}");
        report.problems.push(desk.trouble.get_or_insert(text).clone());
        false
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
                let opened = Arc::new(self.upstream.open(&address.workload, shutdown)?);
                self.repositories.keep(&address.workload, &opened);
                opened
            }
        };
        let journal = self.journal(&address.workload);
        let identity = Arc::clone(&self.identity);
        let doors = self.doors.clone();
        let shipping = Shipping {
            share,
            address,
            identity: &identity,
            upstream: &*self.upstream,
            doors: &doors,
            shutdown,
        };
        let loaded = shipping.load(&repository, &journal)?;
        let bytes = loaded.bytes();
        let mut receipts = Vec::new();
        for state in [ReceiptState::Accepted, ReceiptState::Shipped] {
            let signed = shipping.receipt(state, None, Some(bytes));
            receipts.push(signed.map_err(|error| Failure::Workload(error.to_string()))?);
        }
        put_all(share, &mut self.unwritten, receipts, report);
        let vaulted = shipping.deliver(&loaded)?;
        let (at, snapshot) = (vaulted.receipt().at, vaulted.receipt().snapshot.clone());
        put_all(share, &mut self.unwritten, vec![vaulted], report);
        self.hold(address, at);
        let snapshot = snapshot.unwrap_or_default();
        tracing::info!(drop = %address, %snapshot, bytes, "vaulted");
        report.vaulted.push(ShippedDrop { address: address.clone(), snapshot, bytes });
        Ok(())
    }

    /// Keeps a drop that the vault has held since `at`, until the keep rule lets it go.
    fn hold(&mut self, address: &DropAddress, at: Timestamp) {
        self.forget(address);
        let desk = self.desks.entry(address.workload.clone()).or_default();
        desk.held.insert(address.clone(), at);
    }

    /// Releases what the keep rule allows.
    fn let_go(&mut self, share: &Share, workload: &WorkloadName, report: &mut PassReport) {
        let Some(desk) = self.desks.get(workload) else { return };
        for address in releasable(&desk.held, self.config.keep) {
            self.release(share, &address, report);
        }
    }

    fn release(&mut self, share: &Share, address: &DropAddress, report: &mut PassReport) {
        let result = self
            .sign(share, address, ReceiptState::Released, None)
            .and_then(|signed| release(share, address, &signed).map_err(|error| error.to_string()));
        match result {
            Ok(bytes) => {
                tracing::info!(drop = %address, bytes, "released");
                self.forget(address);
                report.released.push(address.clone());
            }
            Err(error) => report.problems.push(format!("{address} is not released yet: {error}")),
        }
    }

    fn refuse(
        &mut self,
        share: &Share,
        address: &DropAddress,
        reason: String,
        is_incident: bool,
        report: &mut PassReport,
    ) {
        let state = ReceiptState::Rejected;
        let result = self.sign(share, address, state, Some(reason.clone())).and_then(|signed| {
            quarantine(share, address, &signed).map_err(|error| error.to_string())
        });
        if let Err(error) = result {
            let problem = format!("{address} cannot be put into quarantine: {error} ({reason})");
            return report.problems.push(problem);
        }
        tracing::warn!(drop = %address, reason, "rejected");
        if is_incident {
            let unreported = self.unreported.entry(address.workload.clone()).or_default();
            unreported.insert(address.drop, reason.clone());
        }
        self.forget(address);
        report.rejected.push((address.clone(), reason));
    }

    fn abandon(
        &mut self,
        share: &Share,
        address: &DropAddress,
        reason: String,
        report: &mut PassReport,
    ) {
        let state = ReceiptState::Abandoned;
        let signed = match self.sign(share, address, state, Some(reason.clone())) {
            Ok(signed) => signed,
            Err(problem) => return report.problems.push(problem),
        };
        match abandon(share, address, &signed) {
            Ok(bytes) => {
                tracing::info!(drop = %address, reason, bytes, "abandoned");
                self.forget(address);
                report.abandoned.push(address.clone());
            }
            // Sealed at the last moment: the next pass ships it.
            Err(ReleaseError::Sealed { .. }) => {}
            Err(error) => {
                report.problems.push(format!("{address} cannot be abandoned yet: {error}"));
            }
        }
    }

    /// Stops looking at a drop.
    fn forget(&mut self, address: &DropAddress) {
        self.closed.settle(address);
        self.vigil.forget(address.drop);
        if let Some(desk) = self.desks.get_mut(&address.workload) {
            desk.standings.remove(&address.drop);
            desk.held.remove(address);
        }
    }

    fn sign(
        &self,
        share: &Share,
        address: &DropAddress,
        state: ReceiptState,
        reason: Option<String>,
    ) -> Result<SignedReceipt, String> {
        let (identity, doors) = (&self.identity, &self.doors);
        let (upstream, shutdown) = (&*self.upstream, &Shutdown::default());
        Shipping { share, address, identity, upstream, doors, shutdown }
            .receipt(state, reason, None)
            .map_err(|error| format!("cannot sign the {state} receipt of {address}: {error}"))
    }

    /// Writes receipts that the share did not take before.
    fn write_again(&mut self, share: &Share, report: &mut PassReport) {
        let receipts = std::mem::take(&mut self.unwritten);
        put_all(share, &mut self.unwritten, receipts, report);
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
