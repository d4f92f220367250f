//! One pass over the share.

mod carrying;
mod ending;
mod holdings;
mod telling;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use outlast_drop::{
    DropAddress, ReceiptState, ScanProblem, Share, ShareError, Sighting, WorkloadScan, receipt,
    scan,
};
use outlast_types::{ProblemKind, WorkloadName};

use crate::Shutdown;
use crate::agent::Agent;
use crate::custody::{self, Standing};
use crate::decision::{Step, decide};
use crate::declaration::{self, DeclarationError};
use crate::report::PassReport;
use carrying::Queues;
use ending::place;
use telling::Seen;

/// What a problem of a scan is about, if it is not the share: something refused is of `refused`.
fn kind_of(problem: &ScanProblem, refused: ProblemKind) -> ProblemKind {
    match problem {
        ScanProblem::Later { .. } => ProblemKind::Share,
        ScanProblem::Refused { .. } => refused,
    }
}

/// The longest pause after failures of the road to the vault.
const ROAD_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The shortest first pause, however often the share is polled.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// How often a drop must have been looked at, at least, before its writer counts as dead: a file
/// server that was away lets writers hang as long as it lets us.
const LOOKS_MIN: u32 = 4;

impl Agent {
    /// Looks over the share once and does what is to be done.
    pub fn pass(&mut self, shutdown: &Shutdown) -> PassReport {
        let mut report = PassReport::new(self.environment.clock.now());
        let mut seen = BTreeMap::new();
        match self.open_share() {
            Ok(share) => {
                report.share = Some(share.id());
                self.look_over(&share, &mut seen, &mut report, shutdown);
            }
            Err((kind, problem)) => report.note(kind, None, problem),
        }
        report.finished = self.environment.clock.now();
        // The last pass must end soon; the next agent tells the rest.
        if !shutdown.is_requested() {
            self.tell(&report, seen);
        }
        report
    }

    /// Opens the share afresh: it may be unmounted, or another one may be mounted in its place.
    fn open_share(&mut self) -> Result<Share, (ProblemKind, String)> {
        let of_share = |text: String| (ProblemKind::Share, text);
        let share = Share::open(&self.config.share).map_err(|error| of_share(error.to_string()))?;
        match self.share {
            Some(expected) if expected != share.id() => {
                let (path, found) = (share.path().to_owned(), share.id());
                let error = ShareError::Replaced { path, expected, found };
                let file = self.share_id_file();
                Err(of_share(format!(
                    "{error} (if that is meant, stop the agent and remove {})",
                    file.display()
                )))
            }
            Some(_) => {
                self.upstream.speak_of(share.id());
                Ok(share)
            }
            None => {
                self.remember_share(share.id())
                    .map_err(|error| (ProblemKind::Work, error.to_string()))?;
                self.upstream.speak_of(share.id());
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
        report.is_share_usable = true;
        for problem in &found.problems {
            report.note(kind_of(problem, ProblemKind::Stray), None, problem.to_string());
        }
        let sightings = found.workloads.iter().flat_map(|workload| &workload.sightings);
        let sighted: HashSet<_> = sightings.map(|sighting| &sighting.address).collect();
        self.stillness.retain(|address| sighted.contains(address));
        let mut queues = Queues::new();
        for workload in found.workloads {
            if shutdown.is_requested() {
                return;
            }
            let name = &workload.workload;
            for problem in &workload.problems {
                let kind = kind_of(problem, ProblemKind::Content);
                report.note(kind, Some(name), problem.to_string());
            }
            let declared = declaration::read(share, name).unwrap_or_else(|error| {
                let kind = match error {
                    DeclarationError::Unreadable(_) => ProblemKind::Share,
                    DeclarationError::Wrong(_) => ProblemKind::Content,
                };
                report.note(kind, Some(name), error.to_string());
                None
            });
            seen.insert(workload.workload.clone(), Seen { declared, waiting: 0 });
            let name = workload.workload.clone();
            let queue = self.sort_out(share, workload, report);
            queues.insert(name, queue);
        }
        self.ask_what_is_held(share, report);
        for name in queues.keys() {
            if shutdown.is_requested() {
                return;
            }
            self.let_go(share, name, report);
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
            let now = self.environment.clock.now();
            let gap_max = self.config.grace / LOOKS_MIN;
            let still =
                self.stillness.observe(&sighting.address, sighting.fingerprint, now, gap_max);
            let desk = self.desks.entry(found.workload.clone()).or_default();
            let known = desk.standings.get(&place(&sighting.address));
            let Some(standing) = known.cloned() else { continue };
            let Sighting { address, state, .. } = sighting;
            match decide(&state, standing, still, self.config.grace) {
                Step::Wait => {}
                Step::Settle => {
                    self.closed.settle(&address);
                    desk.standings.remove(&place(&address));
                }
                Step::Ship => queue.push_back(address),
                Step::Hold(vaulted) => self.hold(&address, vaulted),
                Step::FinishRelease(vaulted) => self.release(share, &address, &vaulted, report),
                Step::Refuse { rejection, is_incident } => {
                    self.refuse(share, &address, &rejection, is_incident, report);
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
        let sighted: HashSet<_> = found.sightings.iter().map(|seen| place(&seen.address)).collect();
        desk.standings.retain(|place, _| sighted.contains(place));
        desk.snags.retain(|place, _| sighted.contains(place));
        let is_new = |sighting: &&Sighting| !desk.standings.contains_key(&place(&sighting.address));
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
            match custody::standing(share, ca_pem, address, states, problem) {
                // The receipt is of a time that the vault does not remember.
                Ok(Standing::Vaulted(_) | Standing::Released(_))
                    if desk.lost.contains(&place(address)) =>
                {
                    desk.standings.insert(place(address), Standing::New);
                }
                Ok(standing) => {
                    // An agent may have died before the vault heard of it. After a later good
                    // drop that is moot.
                    let is_moot = receipts.iter().any(|(drop, states)| {
                        *drop > address.drop && states.contains(&ReceiptState::Vaulted)
                    });
                    if standing == Standing::Rejected
                        && !is_moot
                        && let Some(refusal) = custody::incident(share, address)
                    {
                        let told = self.unreported.entry(address.workload.clone()).or_default();
                        told.insert(address.drop, refusal);
                    }
                    desk.standings.insert(place(address), standing);
                }
                // Not known, so nothing is done with it until it can be read.
                Err(error) => report.problems.push(error.to_string()),
            }
        }
        Ok(())
    }
}
