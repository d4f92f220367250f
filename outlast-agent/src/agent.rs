//! The agent and its loop.
//!
//! A pass watches, decides, applies, ships and reports. What is to be done about a drop is an
//! [`Action`], wherever that was decided, and [`Agent::apply`] is the one place where actions
//! change the share and what is remembered of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use outlast_drop::{DropAddress, ReceiptState, Share, SignedReceipt, receipt};
use outlast_types::{Environment, WorkloadName};
use outlast_wire::holdings::QUESTION_DROPS_MAX;
use outlast_wire::identity::IdentityError;
use outlast_wire::receipts::Authority;
use outlast_wire::{AddressError, IdentityHandle, Roads, Role};

use crate::action::{Action, Parcel};
use crate::custody::{Proven, Refusal};
use crate::decision::decide;
use crate::lifecycle::{End, Lifecycle};
use crate::line::{Confirmed, Line};
use crate::problem::Met;
use crate::queue::Queue;
use crate::report::{PassReport, ShippedDrop};
use crate::reporter::{Reporter, Seen};
use crate::secured::{KeepRule, Secured};
use crate::shipper::{Shipper, Turn};
use crate::state::{StateDirectory, StateError};
use crate::statement::Scribe;
use crate::tier::Tier;
use crate::upstream::{Upstream, Vault};
use crate::watcher::{Observation, Watcher};
use crate::workload::place;
use crate::{AgentConfig, Shutdown};

/// The shortest first pause after a failure, however often the share is polled.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// After this much shipping, a pass ends and the next begins at once: so new drops are seen and
/// the vault hears of the agent however much there is to do.
const SHIPPING_MAX: Duration = Duration::from_secs(60);

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{identity} is not an agent: give it a certificate of the role agent")]
    WrongRole { identity: String },
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// The agent. Everything that it remembers beyond the share may be lost at any moment.
pub struct Agent {
    config: AgentConfig,
    environment: Environment,
    authority: Authority,
    scribe: Arc<Scribe>,
    watcher: Watcher,
    line: Line,
    shipper: Shipper,
    queue: Queue,
    reporter: Reporter,
    /// Receipts that the share would not take, to be written later.
    unwritten: Vec<SignedReceipt>,
}

impl Agent {
    /// Starts an agent of the vault that the configuration names. Neither the share nor the vault
    /// need be there.
    pub fn start(config: AgentConfig, environment: Environment) -> Result<Self, AgentError> {
        let identity = IdentityHandle::open(&config.identity, &environment)?;
        let roads = Roads::through(config.proxies.clone());
        let vault = Vault::over(&roads, &config.upstream, identity.clone(), environment.clone())?;
        Self::with_upstream(config, environment, identity, Box::new(vault))
    }

    /// Starts an agent of any upstream.
    pub fn with_upstream(
        config: AgentConfig,
        environment: Environment,
        identity: IdentityHandle,
        upstream: Box<dyn Upstream>,
    ) -> Result<Self, AgentError> {
        let current = identity.get();
        if current.peer().role() != Role::Agent {
            return Err(AgentError::WrongRole { identity: current.peer().to_string() });
        }
        let state = Arc::new(StateDirectory::open(&config.state)?);
        let clock = Arc::clone(&environment.clock);
        if let Some(trouble) = current.validity().trouble(clock.now()) {
            // It may be the clock that is wrong, and soon be right.
            tracing::error!("the certificate in {} {trouble}", config.identity.display());
        }
        let authority = Authority::following(&identity);
        let watcher = Watcher::new(
            config.share.clone(),
            config.grace,
            Arc::clone(&clock),
            authority.clone(),
            Arc::clone(&state),
        )?;
        let pause = config.poll.max(PAUSE_MIN);
        let tier = Tier::new(upstream, identity.clone(), environment.clone(), state, config.report);
        let scribe = Arc::new(Scribe { identity, clock });
        Ok(Self {
            line: Line::new(Box::new(tier), environment.clone(), pause),
            shipper: Shipper::new(Arc::clone(&scribe), environment.clone(), pause),
            reporter: Reporter::new(config.report, config.patience),
            queue: Queue::default(),
            unwritten: Vec::new(),
            config,
            environment,
            authority,
            scribe,
            watcher,
        })
    }

    /// Passes over the share until `shutdown` is requested.
    pub fn run(&mut self, shutdown: &Shutdown) {
        self.line.heed(shutdown);
        tracing::info!(
            share = %self.config.share.display(),
            upstream = %self.config.upstream,
            agent = %self.scribe.identity.get().peer(),
            "the agent watches the share"
        );
        while !shutdown.is_requested() {
            let report = self.pass(shutdown);
            self.environment.pulse.rest();
            if !report.more && self.environment.timer.pause(self.config.poll, shutdown) {
                break;
            }
        }
        tracing::info!("the agent has stopped");
    }

    /// Looks over the share once and does what is to be done.
    pub fn pass(&mut self, shutdown: &Shutdown) -> PassReport {
        self.environment.pulse.beat();
        let mut report = PassReport::new(self.environment.clock.now());
        let mut seen = BTreeMap::new();
        match self.watcher.open_share() {
            Ok(share) => {
                report.share = Some(share.id());
                self.line.speak_of(share.id());
                seen = self.look_over(&share, &mut report, shutdown);
            }
            Err(problem) => report.problems.push(problem),
        }
        report.finished = self.environment.clock.now();
        // The last pass must end soon; the next agent tells the rest.
        if !shutdown.is_requested() {
            self.reporter.tell(&mut self.line, self.watcher.served(), &report, seen);
        }
        report
    }

    /// Does what the share asks for; what was seen of each workload, for the report.
    fn look_over(
        &mut self,
        share: &Share,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) -> BTreeMap<WorkloadName, Seen> {
        for signed in std::mem::take(&mut self.unwritten) {
            self.record(share, signed, report);
        }
        let Observation { is_usable, workloads, problems } =
            self.watcher.look(share, report.started, shutdown);
        report.is_share_usable = is_usable;
        report.problems.extend(problems);
        let mut seen = BTreeMap::new();
        self.queue.begin();
        for workload in workloads {
            if shutdown.is_requested() {
                return seen;
            }
            self.environment.pulse.beat();
            let sighted = workload.drops.iter().map(|drop| place(&drop.address)).collect();
            self.shipper.retain(&workload.name, &sighted);
            for drop in workload.drops {
                let grace = self.config.grace;
                if let Some(action) = decide(&drop.address, drop.custody, drop.still, grace) {
                    self.apply(share, action, report);
                }
            }
            seen.insert(workload.name, Seen { declared: workload.declared, waiting: 0 });
        }
        self.ask_what_is_held(share, report);
        for workload in seen.keys() {
            if shutdown.is_requested() {
                return seen;
            }
            self.release_excess(share, workload, report);
        }
        self.ship(share, report, shutdown);
        for (workload, seen) in &mut seen {
            seen.waiting = self.queue.waiting(workload);
            report.waiting += seen.waiting;
        }
        seen
    }

    /// Does one thing about one drop. Nothing else changes the share, or what is known of drops.
    fn apply(&mut self, share: &Share, action: Action, report: &mut PassReport) {
        let lifecycle = Lifecycle { share, scribe: &self.scribe, authority: &self.authority };
        let (address, end) = match action {
            Action::Ship(parcel) => return self.queue.push(parcel),
            Action::Record(signed) => return self.record(share, signed, report),
            Action::Advance { address, proven } => return self.watcher.advance(&address, proven),
            Action::Hold { address, secured } => return self.watcher.hold(&address, secured),
            Action::ShipAgain(address) => {
                tracing::warn!(drop = %address, "the vault does not hold this drop any more; shipping it again");
                report.more = true;
                return self.watcher.lose(&address);
            }
            Action::Settle { address, untold } => {
                untold.into_iter().for_each(|refusal| self.reporter.refused(&address, refusal));
                (address, End::Done)
            }
            Action::Release { address, secured } => {
                let end = lifecycle.release(&address, &secured);
                if let End::Done = end {
                    report.released.push(address.clone());
                }
                (address, end)
            }
            Action::Refuse { address, rejection } => {
                let end = lifecycle.refuse(&address, &rejection);
                if let End::Done = end {
                    let (code, reason) = (rejection.code(), rejection.to_string());
                    report.rejected.push((address.clone(), reason.clone()));
                    if code.is_incident() {
                        self.reporter.refused(&address, Refusal { code, reason });
                    }
                }
                (address, end)
            }
            Action::Abandon { address, reason } => {
                let end = lifecycle.abandon(&address, &reason);
                match end {
                    End::Done => report.abandoned.push(address.clone()),
                    End::Begun => self.watcher.advance(&address, Proven::Abandoned),
                    End::Mistaken(_) | End::Failed(_) => {}
                }
                (address, end)
            }
        };
        match end {
            End::Done => {
                self.watcher.settle(&address);
                self.shipper.forget(&address);
            }
            End::Begun => {}
            End::Mistaken(problem) => {
                self.watcher.look_again(&address);
                report.problems.extend(problem);
            }
            End::Failed(problem) => report.problems.push(problem),
        }
    }

    /// Puts a receipt on the share; one that the share does not take is written later.
    fn record(&mut self, share: &Share, signed: SignedReceipt, report: &mut PassReport) {
        if let Err(error) = receipt::write(share, &signed) {
            report.problems.push(unwritten(&signed).because(error.to_string()));
            self.unwritten.push(signed);
        }
    }

    /// Asks for all that is held on the share, if this run of the vault was not asked yet: at the
    /// start, and when the vault was away or began anew.
    fn ask_what_is_held(&mut self, share: &Share, report: &mut PassReport) {
        if !self.line.must_ask() || self.line.is_waiting() {
            return;
        }
        let held = self.watcher.held();
        if held.is_empty() {
            return;
        }
        let lost = match self.line.confirm(held) {
            Ok(confirmed) => confirmed.lost,
            // The vault is away, which is told when the pass is.
            Err(reason) => return tracing::debug!("{reason}"),
        };
        if lost.is_empty() {
            return;
        }
        for address in lost {
            self.apply(share, Action::ShipAgain(address), report);
        }
        if let Err(reason) = self.show_receipts(share) {
            self.line.ask_again();
            report.problems.push(Met::HoldingsUnknown.because(reason));
        }
    }

    /// Shows the vault all that it signed, as far as it lies on the share, so that it can tell
    /// people what it has forgotten.
    fn show_receipts(&mut self, share: &Share) -> Result<(), String> {
        let mut batch = Vec::new();
        for workload in self.watcher.workloads() {
            let states = receipt::list(share, &workload).map_err(|error| error.to_string())?;
            let vaulted = ReceiptState::Vaulted;
            let is_vaulted = |states: &BTreeSet<ReceiptState>| states.contains(&vaulted);
            for (drop, _) in states.into_iter().filter(|(_, states)| is_vaulted(states)) {
                // One that cannot be read says nothing to the vault, either.
                let Ok(Some(signed)) = receipt::read(share, &workload, drop, vaulted) else {
                    continue;
                };
                batch.extend(String::from_utf8(signed.bytes().to_vec()));
                if batch.len() == QUESTION_DROPS_MAX {
                    self.line.show(std::mem::take(&mut batch))?;
                }
            }
        }
        if batch.is_empty() { Ok(()) } else { self.line.show(batch) }
    }

    /// Releases what the keep rule lets go, of that what its holder holds at this moment.
    fn release_excess(&mut self, share: &Share, workload: &WorkloadName, report: &mut PassReport) {
        let releasable = self.watcher.releasable(workload, KeepRule::vaulted(self.config.keep));
        if releasable.is_empty() || self.line.is_waiting() {
            return;
        }
        // A receipt is of the past. Nothing is freed but on the holder's signed word of now (I1).
        match self.line.confirm(releasable) {
            Ok(confirmed) => {
                for action in endings(confirmed) {
                    self.apply(share, action, report);
                }
            }
            Err(reason) => report.problems.push(Met::HoldingsUnknown.because(reason)),
        }
    }

    /// Ships what is queued, workload by workload.
    fn ship(&mut self, share: &Share, report: &mut PassReport, shutdown: &Shutdown) {
        let began = self.environment.timer.elapsed();
        while let Some(parcel) = self.queue.pop() {
            let workload = parcel.address.workload.clone();
            let elapsed = self.environment.timer.elapsed().saturating_sub(began);
            let is_late = elapsed >= SHIPPING_MAX;
            if is_late || shutdown.is_requested() || self.line.is_waiting() {
                report.more |= is_late;
                return self.queue.push(parcel);
            }
            let turn = match self.shipper.held_up(&parcel.address) {
                Some((turn, problem)) => {
                    report.problems.extend(problem);
                    turn
                }
                None => self.carry(share, parcel, report, shutdown),
            };
            match turn {
                Turn::Next => {}
                Turn::Overtake => self.queue.leave(&workload),
                Turn::Stop => self.queue.leave_all(&workload),
            }
        }
    }

    /// Carries one drop as far as it comes, under one id at every tier.
    fn carry(
        &mut self,
        share: &Share,
        parcel: Parcel,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) -> Turn {
        self.environment.pulse.beat();
        let id = self.line.begin(&parcel.address);
        let shipment = tracing::info_span!("shipment", id);
        let turn = shipment.in_scope(|| self.carry_on(share, parcel, report, shutdown));
        self.line.end();
        turn
    }

    fn carry_on(
        &mut self,
        share: &Share,
        mut parcel: Parcel,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) -> Turn {
        loop {
            let step = self.shipper.step(&mut self.line, share, &mut parcel, shutdown);
            report.problems.extend(step.problems);
            for action in step.actions {
                if let Action::Hold { address, secured } = &action {
                    report.vaulted.push(arrived(address, secured));
                }
                self.apply(share, action, report);
            }
            match step.turn {
                Some(Turn::Next) => {
                    self.release_excess(share, &parcel.address.workload, report);
                    return Turn::Next;
                }
                Some(turn) => return turn,
                None => {}
            }
        }
    }
}

/// The actions for releasable drops, now that their holder has answered.
fn endings(confirmed: Confirmed) -> Vec<Action> {
    let lost = confirmed.lost.into_iter().map(Action::ShipAgain);
    let held = confirmed.held.into_iter();
    let held = held.map(|(address, secured)| Action::Release { address, secured });
    lost.chain(held).collect()
}

fn arrived(address: &DropAddress, secured: &Secured) -> ShippedDrop {
    let (snapshot, bytes) = (secured.held.snapshot.to_string(), secured.held.size);
    tracing::info!(drop = %address, %snapshot, bytes, "vaulted");
    ShippedDrop { address: address.clone(), snapshot, bytes }
}

/// A receipt that the share does not take.
fn unwritten(signed: &SignedReceipt) -> Met {
    let receipt = signed.receipt();
    let (workload, drop) = (receipt.workload.clone(), receipt.drop);
    let day = receipt.day.unwrap_or_else(|| receipt.at.day());
    Met::ReceiptUnwritten(DropAddress { workload, day, drop }, receipt.state)
}
