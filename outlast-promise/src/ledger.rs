//! The ledger: what was observed, what follows from it, and who has to be told.
//!
//! `observe` turns events into facts, `settle` makes the open incidents agree with the facts; here is
//! what both go by: time.

mod observe;
mod settle;

use std::collections::BTreeSet;
use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};

use crate::memory::{Absence, Memory, MemoryError, Standing};
use crate::view::{Event, Settings, SourceStatus, WorkloadStatus};
use crate::workload::Workload;
use crate::{Change, Incident, State};

/// A clock that jumps back by less than this was read a moment too early by another thread; by
/// more, it was set.
const CLOCK_JITTER: Duration = Duration::from_secs(1);

/// Keeps account of all workloads, agents and incidents.
///
/// Every call takes the present moment. It may repeat or step back a little; when the clock was
/// set back, all remembered moments move with it, so that what counts is the time that passed.
#[derive(Debug, Clone)]
pub struct Ledger {
    settings: Settings,
    memory: Memory,
    /// Until when time alone changes nothing, as far as is known; `None` if that must be found
    /// out. It makes a tick cheap, whatever the number of workloads.
    quiet_until: Option<Timestamp>,
}

impl Ledger {
    /// An empty ledger. Incidents are numbered from after `last_incident_id`: that of the last one
    /// that an earlier ledger told of.
    pub fn new(settings: Settings, last_incident_id: u64, now: Timestamp) -> Self {
        let mut memory = Memory::new(now);
        memory.last_incident_id = last_incident_id;
        let mut ledger = Self { settings, memory, quiet_until: None };
        ledger.adopt_policy();
        ledger
    }

    /// Goes on from what [`encode`](Self::encode) gave. What is open stays open and is not told
    /// again. The time since then, in which nobody listened, is not counted against any agent;
    /// promises that broke in it are explained by one incident of the vault's own.
    pub fn resume(settings: Settings, text: &str, now: Timestamp) -> Result<Self, MemoryError> {
        let memory = Memory::decode(text)?;
        let mut ledger = Self { settings, memory, quiet_until: None };
        ledger.adopt_policy();
        ledger.slept_until(now);
        Ok(ledger)
    }

    /// Hears that nobody listened from the latest call until `now`: the host slept, or its clock was
    /// set forward. It is as if the vault had been down, see [`resume`](Self::resume).
    pub fn slept_until(&mut self, now: Timestamp) {
        let from = self.memory.now;
        let absent = now.since(from);
        if absent > self.settings.agent_deadline {
            let recovered = now.saturating_add(self.settings.agent_deadline);
            self.memory.absence = Some(Absence { from, until: now, recovered });
        }
        for standing in self.memory.sources.values_mut() {
            standing.unheard = standing.unheard.saturating_add(absent);
        }
        self.quiet_until = None;
        self.pass_time(now);
    }

    /// The time of the latest call.
    pub fn now(&self) -> Timestamp {
        self.memory.now
    }

    /// The number of the last order that was heard.
    pub fn last_order(&self) -> u64 {
        self.memory.last_order
    }

    /// All that [`resume`](Self::resume) needs, as JSON with a version.
    pub fn encode(&self) -> String {
        self.memory.encode()
    }

    /// Takes note of `event` at `now` and says what follows.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Vec<Change> {
        self.apply_all([event], now)
    }

    /// Takes note of `events` that all became known at `now`, and says what follows from them
    /// together.
    pub fn apply_all(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        now: Timestamp,
    ) -> Vec<Change> {
        // What broke before the events stays on record, even if they mend it.
        let mut changes = self.tick(now);
        let sources = self.memory.sources.len();
        let certificates = self.memory.certificates.clone();
        let mut touched: BTreeSet<WorkloadName> = BTreeSet::new();
        for event in events {
            self.observe(event, &mut touched);
        }
        self.settle_evidence(&mut changes);
        let mut troubles = Vec::new();
        self.settle_sources(&mut troubles);
        // Whatever may explain one workload may explain them all.
        let explanations_changed = !troubles.is_empty()
            || self.memory.sources.len() != sources
            || self.memory.certificates != certificates
            || self.memory.absence.is_some();
        changes.append(&mut troubles);
        if explanations_changed {
            changes.extend(self.reconcile());
            return changes;
        }
        for name in &touched {
            self.settle_workload(name, &mut changes);
        }
        let due = touched.iter().filter_map(|name| self.memory.workloads.get(name));
        let due = due.flat_map(Workload::deadlines).chain(self.source_deadlines());
        let due = due.chain(self.memory.evidence.deadlines());
        self.quiet_until = due.chain(self.quiet_until).min();
        changes
    }

    /// Says what follows from it being `now`.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Change> {
        self.pass_time(now);
        if self.quiet_until.is_some_and(|until| self.memory.now < until) {
            return Vec::new();
        }
        self.reconcile()
    }

    /// The next moment at which [`tick`](Self::tick) may have something to say, if nothing else
    /// happens before; `None` if nothing ever will.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let now = self.memory.now;
        let workloads = self.memory.workloads.values().flat_map(Workload::deadlines);
        let absence = self.memory.absence.iter().map(|absence| absence.recovered);
        let certificates =
            self.memory.certificates.values().flat_map(|held| [held.from, held.announced()]);
        let others = absence.chain(certificates).chain(self.memory.evidence.deadlines());
        workloads.chain(self.source_deadlines()).chain(others).filter(|at| *at > now).min()
    }

    /// When each source counts as silent, when its backlog has had its time, and when the end of
    /// its certificate is announced.
    fn source_deadlines(&self) -> impl Iterator<Item = Timestamp> {
        let now = self.memory.now;
        let deadlines = self.memory.sources.values().flat_map(|standing| {
            let silent_at = standing
                .heard
                .saturating_add(standing.unheard)
                .saturating_add(self.settings.agent_deadline);
            let recovered = standing.recovering.as_ref().map(|recovering| recovering.until);
            let announced = standing.certificate.map(|certificate| certificate.announced());
            [Some(silent_at), recovered, announced]
        });
        deadlines.flatten().filter(move |at| *at > now)
    }

    /// All workloads, by name, as they stood at the latest call.
    pub fn workloads(&self) -> impl Iterator<Item = WorkloadStatus> {
        let now = self.memory.now;
        self.memory.workloads.iter().map(move |(name, workload)| {
            let state = workload.state(now);
            WorkloadStatus {
                workload: name.clone(),
                promise: workload.promise().clone(),
                declared: workload.is_declared(),
                state,
                known_since: workload.known_since,
                last_vaulted: workload.last_vaulted,
                due: workload.due(),
                until: match state {
                    State::Paused => workload.paused_until,
                    State::Retiring => workload.retirement.map(|retirement| retirement.until),
                    _ => None,
                },
                retired: workload.retirement.map(|retirement| retirement.at),
                source: workload.source.clone(),
                content_problem: workload.content_problem.clone(),
            }
        })
    }

    /// All agents and their shares, by name.
    pub fn sources(&self) -> impl Iterator<Item = SourceStatus> {
        self.memory.sources.iter().map(|(source, standing)| SourceStatus {
            source: source.clone(),
            last_heard: standing.heard,
            silent: self.is_silent(standing),
            share_problem: standing.problem.clone(),
        })
    }

    /// All open incidents, those folded into others included, oldest first.
    pub fn incidents(&self) -> impl Iterator<Item = Incident> {
        let mut open: Vec<_> = self.memory.open.values().collect();
        open.sort_by_key(|incident| incident.id);
        open.into_iter().map(|incident| incident.view(None))
    }

    fn pass_time(&mut self, now: Timestamp) {
        let back = self.memory.now.since(now);
        if back > CLOCK_JITTER {
            self.memory.shift_back(back);
            self.quiet_until = None;
        }
        self.memory.now = self.memory.now.max(now);
    }

    fn is_silent(&self, standing: &Standing) -> bool {
        let silence = self.memory.now.since(standing.heard).saturating_sub(standing.unheard);
        silence >= self.settings.agent_deadline
    }
}
