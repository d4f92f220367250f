//! The watcher of the share: it looks, and says what there is. It changes nothing there.
//!
//! It also remembers what need not be looked at again; what is done about a drop is told to it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outlast_drop::files::NAMES_MAX;
use outlast_drop::layout::RECEIPTS;
use outlast_drop::{
    DropAddress, ScanLimits, ScanMemory, Share, ShareError, Sighting, StillnessTracker,
    WorkloadScan, receipt, scan,
};
use outlast_types::{Clock, DropId, ShareId, Timestamp, WorkloadName};
use outlast_wire::api::Declared;
use outlast_wire::receipts::Authority;

use crate::Shutdown;
use crate::custody::{CustodyState, Proven};
use crate::declaration::{self, DeclarationError};
use crate::problem::{Met, Problem};
use crate::receipts::Reader;
use crate::secured::{KeepRule, Secured};
use crate::state::{StateDirectory, StateError};
use crate::workload::{WorkloadState, place};

/// How often a drop must have been looked at, at least, before its writer counts as dead: a file
/// server that was away lets writers hang as long as it lets us.
const LOOKS_MIN: u32 = 4;

/// The outcome of a look at the share.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    /// Whether the share could be looked over, whatever was wrong with parts of it.
    pub(crate) is_usable: bool,
    pub(crate) workloads: Vec<ObservedWorkload>,
    pub(crate) problems: Vec<Problem>,
    /// Names beside the workloads that wait for a later look.
    pub(crate) names_waiting: u64,
}

/// One workload, as a look saw it.
#[derive(Debug)]
pub(crate) struct ObservedWorkload {
    pub(crate) name: WorkloadName,
    pub(crate) declared: Option<Declared>,
    /// Drops that are not done with, in the order of their days and ids.
    pub(crate) drops: Vec<ObservedDrop>,
    /// Whether these are all.
    pub(crate) is_whole: bool,
    /// Whether nothing was ever dropped or declared there, as far as can be seen.
    pub(crate) is_empty: bool,
}

/// One drop, as it is.
#[derive(Debug)]
pub(crate) struct ObservedDrop {
    pub(crate) address: DropAddress,
    pub(crate) custody: CustodyState,
    /// How long nothing in it has changed, by our own clock.
    pub(crate) still: Duration,
}

/// Watches one share.
pub(crate) struct Watcher {
    path: PathBuf,
    grace: Duration,
    clock: Arc<dyn Clock>,
    authority: Authority,
    state: Arc<StateDirectory>,
    /// The share that this agent serves, once it has seen it.
    served: Option<ShareId>,
    memory: ScanMemory,
    stillness: StillnessTracker,
    workloads: BTreeMap<WorkloadName, WorkloadState>,
}

impl Watcher {
    pub(crate) fn new(
        path: PathBuf,
        grace: Duration,
        clock: Arc<dyn Clock>,
        authority: Authority,
        state: Arc<StateDirectory>,
        limits: ScanLimits,
    ) -> Result<Self, StateError> {
        let served = state.share()?;
        Ok(Self {
            path,
            grace,
            clock,
            authority,
            state,
            served,
            memory: ScanMemory::new(limits),
            stillness: StillnessTracker::default(),
            workloads: BTreeMap::new(),
        })
    }

    /// The share that this agent serves, if it has ever seen it.
    pub(crate) fn served(&self) -> Option<ShareId> {
        self.served
    }

    /// Opens the share afresh: it may be unmounted, or another one may be mounted in its place.
    pub(crate) fn open_share(&mut self) -> Result<Share, Problem> {
        let unusable = |error: ShareError| Met::ShareUnusable.because(error.to_string());
        let share = Share::open(&self.path).map_err(unusable)?;
        match self.served {
            Some(expected) if expected != share.id() => {
                let (path, found) = (share.path().to_owned(), share.id());
                let error = ShareError::Replaced { path, expected, found };
                let file = self.state.share_id_file();
                let text = "if that is meant, stop the agent and remove";
                Err(Met::ShareReplaced.because(format!("{error} ({text} {})", file.display())))
            }
            Some(_) => Ok(share),
            None => {
                let unwritable =
                    |error: StateError| Met::StateUnwritable.because(error.to_string());
                self.state.remember(share.id()).map_err(unwritable)?;
                self.served = Some(share.id());
                Ok(share)
            }
        }
    }

    /// Looks over the share, until `shutdown`. `now` decides which days are old enough to be closed.
    pub(crate) fn look(
        &mut self,
        share: &Share,
        now: Timestamp,
        shutdown: &Shutdown,
    ) -> Observation {
        let mut seen = Observation::default();
        let found = match scan(share, &mut self.memory, now) {
            Ok(found) => found,
            Err(error) => {
                seen.problems.push(Met::ShareUnusable.because(error.to_string()));
                return seen;
            }
        };
        seen.is_usable = true;
        seen.names_waiting = found.waiting;
        seen.problems.extend(found.problems.into_iter().map(|it| Problem::of_scan(it, None)));
        let sightings = found.workloads.iter().flat_map(|workload| &workload.sightings);
        let sighted: HashSet<_> = sightings.map(|sighting| &sighting.address).collect();
        let looked: HashMap<_, _> = found
            .workloads
            .iter()
            .map(|workload| (&workload.workload, workload.is_whole))
            .collect();
        // What was not looked at may be there all the same.
        let may_be_there = |workload: &WorkloadName| match looked.get(workload) {
            Some(is_whole) => !is_whole,
            None => found.waiting > 0,
        };
        self.stillness
            .retain(|address| sighted.contains(address) || may_be_there(&address.workload));
        for workload in found.workloads {
            if shutdown.is_requested() {
                break;
            }
            let observed = self.look_at(share, workload, &mut seen.problems);
            seen.workloads.push(observed);
        }
        seen
    }

    fn look_at(
        &mut self,
        share: &Share,
        found: WorkloadScan,
        problems: &mut Vec<Problem>,
    ) -> ObservedWorkload {
        let WorkloadScan {
            workload: name, has_days, sightings, problems: of_scan, is_whole, ..
        } = found;
        problems.extend(of_scan.into_iter().map(|it| Problem::of_scan(it, Some(&name))));
        let declared = declaration::read(share, &name).unwrap_or_else(|error| {
            problems.push(match error {
                DeclarationError::Unreadable { path, reason } => {
                    Met::Unreadable(path).because(reason)
                }
                DeclarationError::Wrong(reason) => {
                    Met::BadDeclaration(name.clone()).because(reason)
                }
            });
            None
        });
        let is_empty = !has_days && declared.is_none();
        if is_empty && !self.workloads.contains_key(&name) {
            // Nothing is remembered of a directory in which nothing is: there may be a million.
            return ObservedWorkload { name, declared, drops: Vec::new(), is_whole, is_empty };
        }
        self.learn(share, &name, &sightings, is_whole, problems);
        let state = self.workloads.entry(name.clone()).or_default();
        let gap_max = self.grace / LOOKS_MIN;
        let mut drops = Vec::with_capacity(sightings.len());
        for Sighting { address, state: lies_there, fingerprint, .. } in sightings {
            let now = self.clock.now();
            let still = self.stillness.observe(&address, fingerprint, now, gap_max);
            // Of a drop whose receipts cannot be read nothing is known, and nothing is done with it.
            let Some(proven) = state.proven.get(&place(&address)) else { continue };
            let custody = CustodyState::of(&lies_there, proven);
            drops.push(ObservedDrop { address, custody, still });
        }
        ObservedWorkload { name, declared, drops, is_whole, is_empty }
    }

    /// Reads what receipts prove of drops that were not known yet.
    fn learn(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        sightings: &[Sighting],
        is_whole: bool,
        problems: &mut Vec<Problem>,
    ) {
        let state = self.workloads.entry(workload.clone()).or_default();
        if is_whole {
            state.retain(&sightings.iter().map(|sighting| place(&sighting.address)).collect());
        }
        let is_new = |it: &&Sighting| !state.proven.contains_key(&place(&it.address));
        let fresh: Vec<_> = sightings.iter().filter(is_new).collect();
        if fresh.is_empty() {
            return;
        }
        let wanted = fresh.iter().map(|sighting| sighting.address.drop).collect();
        let receipts = match receipt::find(share, workload, &wanted, NAMES_MAX) {
            Ok(receipts) => receipts,
            Err(error) => {
                let path = share.workload_directory(workload);
                problems.push(Met::Unreadable(path).because(error.to_string()));
                // All that was known may have changed in the meantime.
                return state.proven.clear();
            }
        };
        if !receipts.is_whole {
            let path = share.workload_directory(workload).join(RECEIPTS);
            let reason = format!("more than {NAMES_MAX} names lie among its receipts");
            problems.push(Met::TooManyNames(workload.clone(), path).because(reason));
        }
        let reader = Reader { share, authority: &self.authority };
        for Sighting { address, .. } in fresh {
            let none = BTreeSet::new();
            let states = receipts.states.get(&address.drop).unwrap_or(&none);
            match reader.prove(address, states, problems) {
                Ok(proven) => {
                    let is_lost = state.lost.contains(&place(address));
                    let proven = as_of_now(proven, address, is_lost, receipts.newest_vaulted);
                    state.proven.insert(place(address), proven);
                }
                Err(error) => {
                    let met = Met::ReceiptUnreadable(address.clone());
                    problems.push(met.because(error.to_string()));
                }
            }
        }
    }

    /// A drop is done with: it is not looked at again.
    pub(crate) fn settle(&mut self, address: &DropAddress) {
        self.memory.settle(address);
        self.stillness.forget(address);
        if let Some(state) = self.workloads.get_mut(&address.workload) {
            state.proven.remove(&place(address));
            state.held.remove(address);
            state.lost.remove(&place(address));
        }
    }

    /// A drop is secured; until it is released, it is not looked at again.
    pub(crate) fn hold(&mut self, address: &DropAddress, secured: Secured) {
        self.settle(address);
        self.workload(address).held.insert(address.clone(), secured);
    }

    /// A drop has come so far.
    pub(crate) fn advance(&mut self, address: &DropAddress, proven: Proven) {
        self.workload(address).proven.insert(place(address), proven);
    }

    /// A drop is not what was thought: its receipts, and what lies there, are looked at again.
    pub(crate) fn look_again(&mut self, address: &DropAddress) {
        self.memory.unsettle(address);
        let state = self.workload(address);
        state.proven.remove(&place(address));
        state.held.remove(address);
    }

    /// The holder of a drop does not hold it any more.
    pub(crate) fn lose(&mut self, address: &DropAddress) {
        self.look_again(address);
        self.workload(address).lost.insert(place(address));
    }

    /// All secured drops whose data is on the share.
    pub(crate) fn held(&self) -> BTreeMap<DropAddress, Secured> {
        self.workloads.values().flat_map(|state| state.held.clone()).collect()
    }

    /// The secured drops of a workload that a rule lets go.
    pub(crate) fn releasable(
        &self,
        workload: &WorkloadName,
        rule: KeepRule,
    ) -> BTreeMap<DropAddress, Secured> {
        let Some(state) = self.workloads.get(workload) else { return BTreeMap::new() };
        let excess = rule.excess(&state.held).into_iter();
        excess.filter_map(|it| state.held.get(&it).cloned().map(|secured| (it, secured))).collect()
    }

    /// The names of the workloads that were seen so far.
    pub(crate) fn workloads(&self) -> Vec<WorkloadName> {
        self.workloads.keys().cloned().collect()
    }

    fn workload(&mut self, address: &DropAddress) -> &mut WorkloadState {
        self.workloads.entry(address.workload.clone()).or_default()
    }
}

/// The proof of receipts, in the light of all that is known besides.
fn as_of_now(
    proven: Proven,
    address: &DropAddress,
    is_lost: bool,
    newest_vaulted: Option<DropId>,
) -> Proven {
    match proven {
        // The receipt is of a time that its holder does not remember.
        Proven::Vaulted(_) | Proven::Released(_) if is_lost => Proven::Nothing,
        // An agent may have died before the vault heard of it. After a later good drop that is moot.
        Proven::Rejected { untold: Some(_), by_policy }
            if newest_vaulted.is_some_and(|newest| newest > address.drop) =>
        {
            Proven::Rejected { untold: None, by_policy }
        }
        proven => proven,
    }
}
