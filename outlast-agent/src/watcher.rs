//! The watcher of the share: it looks, and says what there is. It changes nothing there.
//!
//! It also remembers what need not be looked at again; what is done about a drop is told to it.

mod closing;
mod observed;
mod occupied;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outlast_drop::bell;
use outlast_drop::files::{Count, FileSystem, Meter};
use outlast_drop::scan::{self, Visit};
use outlast_drop::{
    Closing, DropAddress, DropState, ScanLimits, ScanMemory, Share, ShareError, Sighting,
    StillnessTracker, WorkloadScan,
};
use outlast_types::{Clock, Day, Environment, Random, ShareId, TenureId, Timestamp, WorkloadName};
use outlast_wire::receipts::Authority;

use crate::Shutdown;
use crate::crew::Crew;
use crate::custody::{CustodyState, Proven};
use crate::lookout::{Look, Looked, Outcome, Seen};
use crate::problem::{Met, Problem};
use crate::secured::{KeepRule, Secured};
use crate::state::{StateDirectory, StateError};
use crate::tenure::Tenure;
use crate::workload::{WorkloadState, place};

use closing::Closers;
pub(crate) use observed::{Observation, ObservedDrop, ObservedWorkload};

/// How often a drop must have been looked at, at least, before its writer counts as dead: a file
/// server that was away lets writers hang as long as it lets us.
const LOOKS_MIN: u32 = 4;
/// Workloads that are looked at, and days that are closed, at a time; and as many again that take long.
const PLACES: usize = 16;
/// A look that takes longer keeps nobody waiting any more.
const LONG: Duration = Duration::from_secs(10);
/// Workloads for which it is heard in one pass that somebody has rung.
const RINGS_MAX: usize = 10_000;
/// Watches one share.
pub(crate) struct Watcher {
    path: PathBuf,
    grace: Duration,
    clock: Arc<dyn Clock>,
    state: Arc<StateDirectory>,
    /// The share that this agent serves, once it has seen it.
    served: Option<ShareId>,
    /// What it is on.
    file_system: Option<FileSystem>,
    tenure: Tenure,
    random: Arc<dyn Random>,
    memory: ScanMemory,
    stillness: StillnessTracker,
    workloads: BTreeMap<WorkloadName, WorkloadState>,
    crew: Crew<Look, Looked>,
    closers: Closers,
    /// Workloads at which somebody looks.
    under_way: BTreeSet<WorkloadName>,
    /// Workloads that were to be looked at and were not, or not whole.
    unseen: BTreeSet<WorkloadName>,
    meter: Meter,
    calls: Arc<Count>,
}

impl Watcher {
    pub(crate) fn new(
        path: PathBuf,
        grace: Duration,
        environment: &Environment,
        authority: Authority,
        state: Arc<StateDirectory>,
        limits: ScanLimits,
    ) -> Result<Self, StateError> {
        let served = state.share()?;
        let crew =
            Crew::new(environment.clone(), PLACES, LONG, move |look: Look| look.take(&authority));
        let closers = Closers::new(environment, PLACES, LONG);
        let calls = Arc::new(Count::default());
        let tenure = Tenure::remembered(&state);
        Ok(Self {
            path,
            grace,
            clock: Arc::clone(&environment.clock),
            state,
            served,
            file_system: None,
            tenure,
            random: Arc::clone(&environment.random),
            memory: ScanMemory::new(limits),
            stillness: StillnessTracker::default(),
            workloads: BTreeMap::new(),
            crew,
            closers,
            under_way: BTreeSet::new(),
            unseen: BTreeSet::new(),
            meter: Meter::new(Arc::<Count>::clone(&calls)),
            calls,
        })
    }

    /// How long a drop must be still from now on before its writer counts as dead.
    pub(crate) fn wait_for(&mut self, grace: Duration) {
        self.grace = grace;
    }

    /// Lets `meter` hear of all calls to the share, in place of our own count.
    pub(crate) fn measure(&mut self, meter: Meter) {
        self.meter = meter;
    }

    /// How many calls were made to the share's file system.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.calls()
    }

    /// The share that this agent serves, if it has ever seen it.
    pub(crate) fn served(&self) -> Option<ShareId> {
        self.served
    }

    /// In which tenure it is served.
    pub(crate) fn tenure(&self) -> Option<TenureId> {
        self.tenure.id()
    }

    /// Opens the share afresh: it may be unmounted, another one or a copy may be mounted in its place,
    /// and another agent may serve it. `None` while one may be at work there that was until now. `me` is
    /// this agent's name, and `now` the time by its timer.
    pub(crate) fn open_share(&mut self, me: &str, now: Duration) -> Result<Option<Share>, Problem> {
        let unusable = |error: ShareError| Met::ShareUnusable.because(error.to_string());
        let share = Share::open_metered(&self.path, self.meter.clone()).map_err(unusable)?;
        let path = || share.path().to_owned();
        if let Some(expected) = self.served.filter(|expected| *expected != share.id()) {
            let error = ShareError::Replaced { path: path(), expected, found: share.id() };
            let file = self.state.share_id_file();
            let text = "if that is meant, stop the agent and remove";
            return Err(Met::ShareReplaced.because(format!("{error} ({text} {})", file.display())));
        }
        if let (Some(expected), Some(found)) = (self.file_system, share.file_system())
            && expected != found
        {
            let error = ShareError::Remounted { path: path(), expected, found };
            let text = "if that is meant, restart the agent";
            return Err(Met::ShareReplaced.because(format!("{error} ({text})")));
        }
        if !self.tenure.claim(&share, me, &self.state, self.random.as_ref(), now)? {
            return Ok(None);
        }
        self.file_system = share.file_system();
        if self.served.is_none() {
            let unwritable = |error: StateError| Met::StateUnwritable.because(error.to_string());
            self.state.remember(share.id()).map_err(unwritable)?;
            self.served = Some(share.id());
        }
        Ok(Some(share))
    }

    /// Looks over the share, until `shutdown`. `now` decides which days are old.
    pub(crate) fn look(
        &mut self,
        share: &Share,
        now: Timestamp,
        shutdown: &Shutdown,
    ) -> Observation {
        let mut seen = Observation::default();
        self.hear(share);
        let plan = match scan::plan(share, &mut self.memory, now) {
            Ok(plan) => plan,
            Err(error) => {
                seen.problems.push(Met::ShareUnusable.because(error.to_string()));
                return seen;
            }
        };
        // Where no workload is, the share may have been unmounted since it was opened.
        if plan.is_none()
            && let Err(error) = share.check()
        {
            seen.problems.push(Met::ShareUnusable.because(error.to_string()));
            return seen;
        }
        seen.is_usable = true;
        let Some(plan) = plan else {
            self.workloads.values_mut().for_each(|state| state.is_there = false);
            seen.is_all = true;
            return seen;
        };
        seen.names_waiting = plan.waiting;
        seen.problems.extend(plan.problems.into_iter().map(|it| Problem::of_scan(it, None)));
        for gone in &plan.gone {
            self.stillness.retain(|address| address.workload != *gone);
            self.unseen.remove(gone);
            if let Some(state) = self.workloads.get_mut(gone) {
                state.is_there = false;
            }
        }
        let looks = plan.workloads.into_iter().map(|it| self.look_of(share, &plan.visit, it));
        let looks: Vec<_> = looks.collect();
        self.unseen.extend(looks.iter().map(|look| look.workload.clone()));
        let run = self.crew.run(looks, shutdown);
        for Look { workload, memory, .. } in run.left {
            self.under_way.remove(&workload);
            self.memory.put_off(&workload, memory);
        }
        for looked in run.done {
            self.under_way.remove(&looked.workload);
            seen.workloads.extend(self.note(looked));
        }
        // In the order of their names, whoever was quicker.
        seen.workloads.sort_by(|one, other| one.name.cmp(&other.name));
        let whole = seen.workloads.iter().filter(|workload| workload.is_whole);
        for workload in whole {
            self.unseen.remove(&workload.name);
        }
        seen.is_all = seen.names_waiting == 0 && self.unseen.is_empty();
        if !shutdown.is_requested() {
            self.remember(share, &mut seen);
        }
        seen
    }

    /// Listens for which workloads somebody has rung. What cannot be heard costs time and nothing else.
    fn hear(&mut self, share: &Share) {
        match bell::heard(share, RINGS_MAX) {
            Ok(rung) => rung.iter().for_each(|name| self.memory.ring(name)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Err(error) = bell::put_up(share) {
                    tracing::debug!("the share has no bell: {error}");
                }
            }
            Err(error) => tracing::debug!("the bell cannot be heard: {error}"),
        }
    }

    /// Closes old days in which nothing is.
    pub(crate) fn close(
        &mut self,
        share: &Share,
        closable: Vec<(WorkloadName, Vec<Day>)>,
        shutdown: &Shutdown,
    ) {
        for (workload, closed) in self.closers.close(share, closable, shutdown) {
            let closed = match closed {
                Ok(closed) => closed,
                // The next look tells what is wrong there.
                Err(error) => {
                    tracing::debug!(%workload, "its days cannot be closed now: {error}");
                    continue;
                }
            };
            for (day, closing) in closed {
                match closing {
                    Closing::Closed => self.memory.closed(&workload, day),
                    Closing::NotEmpty => self.memory.not_closed(&workload, day),
                    Closing::Failed(error) => {
                        tracing::warn!(%workload, %day, "the day cannot be closed: {error}");
                        self.memory.kept_open(&workload);
                    }
                }
            }
        }
    }

    /// What is to be looked at of a workload.
    fn look_of(&mut self, share: &Share, visit: &Visit, workload: WorkloadName) -> Look {
        let memory = self.memory.lend(&workload);
        self.under_way.insert(workload.clone());
        let state = self.workloads.get(&workload);
        let known = state.map(|state| state.proven.keys().copied().collect()).unwrap_or_default();
        let declaration = state.and_then(|state| state.declaration);
        let looks = state.map_or(0, |state| state.looks);
        let (share, visit) = (share.clone(), visit.clone());
        Look { share, visit, workload, memory, known, declaration, looks }
    }

    /// Takes in what came of a look.
    fn note(&mut self, looked: Looked) -> Option<ObservedWorkload> {
        let Looked { workload: name, memory, outcome } = looked;
        let seen = match outcome {
            Outcome::PutOff => {
                self.memory.put_off(&name, memory);
                return None;
            }
            Outcome::Foreign => {
                self.memory.take_back(&name, memory);
                self.workloads.remove(&name);
                self.unseen.remove(&name);
                return None;
            }
            Outcome::Seen(seen) => *seen,
        };
        // One of its drops may have come to its end while somebody looked: that is looked at again.
        if !self.memory.take_back(&name, memory) {
            return None;
        }
        let Seen { scan, declared, learned, problems } = seen;
        let WorkloadScan { has_dropped, sightings, problems: of_scan, is_whole, closable, .. } =
            scan;
        if scan.reserved > 0 {
            let count = scan.reserved;
            tracing::info!(workload = %name, count, "drops of a later version's kind stay here");
        }
        let told = of_scan.into_iter().map(|it| Problem::of_scan(it, Some(&name)));
        let problems: Vec<_> = told.chain(problems).collect();
        let is_declared = matches!(declared, None | Some(Ok(Some(_))));
        let is_clean = problems.is_empty() && !matches!(declared, Some(Err(_)));
        let is_empty = !has_dropped && !is_declared;
        let is_known = WorkloadState::has_drops;
        if is_empty && is_clean && !self.workloads.get(&name).is_some_and(is_known) {
            // Nothing is remembered of a directory in which nothing is: there may be a million.
            self.workloads.remove(&name);
            let (declared, drops) = (None, Vec::new());
            return Some(ObservedWorkload { name, declared, drops, is_whole, is_empty, closable });
        }
        let state = self.workloads.entry(name.clone()).or_default();
        state.is_there = true;
        state.looks = state.looks.wrapping_add(1);
        state.problems = problems;
        state.heed(&name, declared, scan.declaration);
        if is_whole {
            state.retain(&sightings.iter().map(|sighting| place(&sighting.address)).collect());
        }
        state.learn(&name, learned);
        let declared = state.declared.clone();
        let drops = self.observe(&name, sightings, is_whole);
        Some(ObservedWorkload { name, declared, drops, is_whole, is_empty, closable })
    }

    /// When a drop was last seen to change, by our own clock.
    pub(crate) fn last_life(&self, address: &DropAddress) -> Option<Timestamp> {
        self.stillness.last_life(address)
    }

    /// The drops that were sighted, each as it is.
    fn observe(
        &mut self,
        name: &WorkloadName,
        sightings: Vec<Sighting>,
        is_whole: bool,
    ) -> Vec<ObservedDrop> {
        if is_whole {
            let sighted: HashSet<_> = sightings.iter().map(|it| place(&it.address)).collect();
            self.stillness.retain(|it| it.workload != *name || sighted.contains(&place(it)));
        }
        let gap_max = self.grace / LOOKS_MIN;
        let Some(state) = self.workloads.get(name) else { return Vec::new() };
        let mut drops = Vec::with_capacity(sightings.len());
        for Sighting { address, state: lies_there, fingerprint, .. } in sightings {
            let now = self.clock.now();
            let still = self.stillness.observe(&address, fingerprint, now, gap_max);
            // Of a drop whose receipts cannot be read nothing is known, and nothing is done with it.
            let Some(proven) = state.proven.get(&place(&address)) else { continue };
            let custody = CustodyState::of(&lies_there, proven);
            let (bytes, is_brought_back) = match &lies_there {
                DropState::Sealed(seal) => (seal.raw_bytes, seal.is_brought_back),
                _ => (0, false),
            };
            drops.push(ObservedDrop { address, custody, still, bytes, is_brought_back });
        }
        drops
    }

    /// Adds what is known of workloads that were not looked at just now, and what was wrong with any.
    fn remember(&self, share: &Share, seen: &mut Observation) {
        let looked: HashSet<_> = seen.workloads.iter().map(|workload| &workload.name).collect();
        let mut remembered = Vec::new();
        for (name, state) in self.workloads.iter().filter(|(_, state)| state.is_there) {
            seen.problems.extend(state.problems.iter().cloned());
            if !looked.contains(name) {
                remembered.push((name.clone(), state.declared.clone()));
            }
        }
        for name in &self.under_way {
            let path = share.workload_directory(name);
            let reason = "a look at it does not come to its end: the share hangs there, or answers \
                          very slowly; check its mount and its file server";
            seen.problems.push(Met::Unreadable(path).because(reason));
        }
        seen.remembered = remembered;
    }

    /// A drop is done with, and stays where it is: it is not looked at again.
    pub(crate) fn settle(&mut self, address: &DropAddress) {
        self.memory.settle(address);
        self.done(address);
    }

    /// A drop is done with, and its data has gone.
    pub(crate) fn forget(&mut self, address: &DropAddress) {
        self.memory.forget(address);
        self.done(address);
    }

    fn done(&mut self, address: &DropAddress) {
        self.stillness.forget(address);
        if let Some(state) = self.workloads.get_mut(&address.workload) {
            state.done(address);
        }
    }

    /// A drop is secured; until it is released, it is not looked at again.
    pub(crate) fn hold(&mut self, address: &DropAddress, secured: Secured) {
        self.settle(address);
        self.workload(address).held.insert(address.clone(), Box::new(secured));
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
        state.entrusted.remove(address);
    }

    /// The holder of a drop does not hold it any more.
    pub(crate) fn lose(&mut self, address: &DropAddress) {
        self.look_again(address);
        self.workload(address).lost.insert(place(address));
    }

    /// All secured drops whose data is on the share.
    pub(crate) fn held(&self) -> BTreeMap<DropAddress, Secured> {
        let held = self.workloads.values().flat_map(|state| &state.held);
        held.map(|(address, secured)| (address.clone(), Secured::clone(secured))).collect()
    }

    /// The secured drops of a workload that a rule lets go.
    pub(crate) fn releasable(
        &self,
        workload: &WorkloadName,
        rule: KeepRule,
    ) -> BTreeMap<DropAddress, Secured> {
        let Some(state) = self.workloads.get(workload) else { return BTreeMap::new() };
        let excess = rule.excess(&state.held).into_iter();
        let of = |it: &DropAddress| state.held.get(it).map(|secured| Secured::clone(secured));
        excess.filter_map(|it| of(&it).map(|secured| (it, secured))).collect()
    }

    /// Whether a drop's data lies on the share, as far as is known.
    pub(crate) fn holds(&self, address: &DropAddress) -> bool {
        self.workloads.get(&address.workload).is_some_and(|state| {
            state.held.contains_key(address)
                || state.entrusted.contains_key(address)
                || state.proven.contains_key(&place(address))
        })
    }

    /// Bytes of all drops of each workload that lie on the share, as far as they were seen.
    pub(crate) fn usage(&self) -> BTreeMap<WorkloadName, u64> {
        let there = self.workloads.iter().filter(|(_, state)| state.is_there);
        there.map(|(name, _)| (name.clone(), self.memory.bytes(name))).collect()
    }

    /// The names of the workloads that were seen so far.
    pub(crate) fn workloads(&self) -> Vec<WorkloadName> {
        self.workloads.keys().cloned().collect()
    }

    fn workload(&mut self, address: &DropAddress) -> &mut WorkloadState {
        self.workloads.entry(address.workload.clone()).or_default()
    }
}
