//! The ledger: what was observed, what follows from it, and who has to be told.

use std::collections::BTreeSet;
use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};

use crate::incident::cut;
use crate::memory::{Absence, Agent, Memory, MemoryError, OpenIncident, Recovering, Workload};
use crate::view::{AgentStatus, Event, Settings, WorkloadStatus};
use crate::{Cause, Change, Incident, Key, Owner, State};

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
    /// An empty ledger.
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        Self { settings, memory: Memory::new(now), quiet_until: None }
    }

    /// Goes on from what [`encode`](Self::encode) gave. What is open stays open and is not told
    /// again. The time since then, in which nobody listened, is not counted against any agent;
    /// promises that broke in it are explained by one incident of the vault's own.
    pub fn resume(settings: Settings, text: &str, now: Timestamp) -> Result<Self, MemoryError> {
        let mut ledger = Self { settings, memory: Memory::decode(text)?, quiet_until: None };
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
        for agent in self.memory.agents.values_mut() {
            agent.unheard = agent.unheard.saturating_add(absent);
        }
        self.quiet_until = None;
        self.pass_time(now);
    }

    /// The time of the latest call.
    pub fn now(&self) -> Timestamp {
        self.memory.now
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
        let agents = self.memory.agents.len();
        let touched: BTreeSet<WorkloadName> =
            events.into_iter().filter_map(|event| self.observe(event)).collect();
        self.reconcile_evidence(&mut changes);
        let mut troubles = Vec::new();
        self.reconcile_agents(&mut troubles);
        // Whatever may explain one workload may explain them all.
        let explanations_changed = !troubles.is_empty()
            || self.memory.agents.len() != agents
            || self.memory.absence.is_some();
        changes.append(&mut troubles);
        if explanations_changed {
            changes.extend(self.reconcile());
            return changes;
        }
        for name in &touched {
            self.reconcile_workload(name, &mut changes);
        }
        let due = touched.iter().filter_map(|name| self.memory.workloads.get(name));
        let due = due.flat_map(Workload::deadlines).chain(self.agent_deadlines());
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
        let evidence = self.memory.evidence.deadlines();
        let all = workloads.chain(self.agent_deadlines()).chain(absence).chain(evidence);
        all.filter(|at| *at > now).min()
    }

    /// When each agent counts as silent, and when its backlog has had its time.
    fn agent_deadlines(&self) -> impl Iterator<Item = Timestamp> {
        let now = self.memory.now;
        let deadlines = self.memory.agents.values().flat_map(|agent| {
            let silent_at = agent
                .heard
                .saturating_add(agent.unheard)
                .saturating_add(self.settings.agent_deadline);
            [Some(silent_at), agent.recovering.as_ref().map(|recovering| recovering.until)]
        });
        deadlines.flatten().filter(move |at| *at > now)
    }

    /// All workloads, by name, as they stood at the latest call.
    pub fn workloads(&self) -> impl Iterator<Item = WorkloadStatus> {
        self.memory.workloads.iter().map(|(name, workload)| WorkloadStatus {
            workload: name.clone(),
            promise: workload.promise.clone(),
            declared: workload.declared,
            state: workload.state(self.memory.now),
            known_since: workload.known_since,
            last_vaulted: workload.last_vaulted,
            due: workload.due(),
            agent: workload.agent.clone(),
            content_problem: workload.content_problem.clone(),
        })
    }

    /// All agents, by name.
    pub fn agents(&self) -> impl Iterator<Item = AgentStatus> {
        self.memory.agents.iter().map(|(name, agent)| AgentStatus {
            agent: name.clone(),
            last_heard: agent.heard,
            silent: self.is_silent(agent),
            share_problem: agent.share_problem.clone(),
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

    /// Notes the facts of `event`. Returns the workload that it is about.
    fn observe(&mut self, event: Event) -> Option<WorkloadName> {
        let now = self.memory.now;
        match event {
            Event::Declared { workload: name, promise } => {
                let workload = self.workload(&name);
                workload.promise = promise;
                workload.declared = true;
                Some(name)
            }
            Event::Vaulted { workload: name, at } => {
                let at = at.min(now);
                let workload = self.workload(&name);
                // Told late, as after a rebuild: it was known when its first drop came.
                workload.known_since = workload.known_since.min(at);
                if workload.last_vaulted.is_none_or(|last| last <= at) {
                    workload.last_vaulted = Some(at);
                    workload.waiting_since = None;
                    workload.rejected = None;
                }
                Some(name)
            }
            Event::Repository { workload: name, missing } => {
                self.workload(&name).missing = missing.as_deref().map(cut);
                Some(name)
            }
            Event::BegunAnew { workload: name } => {
                let workload = self.workload(&name);
                workload.missing = None;
                workload.last_vaulted = None;
                workload.known_since = now;
                Some(name)
            }
            Event::Custody(finding) => {
                self.memory.evidence.note(finding, now);
                None
            }
            Event::Waiting { workload: name, agent } => {
                let workload = self.workload(&name);
                workload.waiting_since.get_or_insert(now);
                workload.agent = Some(agent.clone());
                self.hear(agent);
                Some(name)
            }
            Event::Rejected { workload: name, agent, drop, reason } => {
                self.workload(&name).reject(drop, &reason, &agent);
                self.hear(agent);
                Some(name)
            }
            Event::AgentHeard { agent } => {
                self.hear(agent);
                None
            }
            Event::ShareSeen { agent, problem, usable } => {
                let until = now.saturating_add(self.settings.agent_deadline);
                let incident = self.memory.open.get(&Key::Share(agent.clone())).map(|open| open.id);
                let back = incident.map(|incident| Recovering { incident, until });
                self.hear(agent).saw_share(problem.as_deref(), usable, back);
                None
            }
            Event::Hindered { agent, work, stray } => {
                self.hear(agent).hindered(work.as_deref(), stray.as_deref());
                None
            }
            Event::Content { workload: name, problem } => {
                self.workload(&name).content_problem = problem.as_deref().map(cut);
                Some(name)
            }
        }
    }

    /// The workload's account; opened with the default promise if nobody declared it.
    fn workload(&mut self, name: &WorkloadName) -> &mut Workload {
        self.memory.workloads.entry(name.clone()).or_insert_with(|| Workload {
            promise: self.settings.default_promise.clone(),
            declared: false,
            known_since: self.memory.now,
            last_vaulted: None,
            waiting_since: None,
            agent: None,
            rejected: None,
            missing: None,
            recovering: None,
            content_problem: None,
            rejected_before: Default::default(),
        })
    }

    fn hear(&mut self, name: String) -> &mut Agent {
        let heard = self.memory.now;
        let agent = self.memory.agents.entry(name).or_insert_with(|| Agent {
            heard,
            unheard: Duration::ZERO,
            share_problem: None,
            share_usable: true,
            hindrance: None,
            stray: None,
            recovering: None,
        });
        agent.heard = heard;
        agent.unheard = Duration::ZERO;
        agent
    }

    fn is_silent(&self, agent: &Agent) -> bool {
        let silence = self.memory.now.since(agent.heard).saturating_sub(agent.unheard);
        silence >= self.settings.agent_deadline
    }

    /// Makes the open incidents agree with the facts. Explanations first: what is explained by an
    /// incident that opens in this very moment must not page beside it.
    pub(crate) fn reconcile(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.reconcile_agents(&mut changes);
        self.reconcile_absence(&mut changes);
        self.reconcile_evidence(&mut changes);
        let names: Vec<WorkloadName> = self.memory.workloads.keys().cloned().collect();
        for name in &names {
            self.reconcile_workload(name, &mut changes);
        }
        self.quiet_until = self.next_deadline();
        changes
    }

    fn reconcile_agents(&mut self, changes: &mut Vec<Change>) {
        let names: Vec<String> = self.memory.agents.keys().cloned().collect();
        for name in &names {
            self.reconcile_agent(name, changes);
        }
    }

    fn reconcile_agent(&mut self, name: &str, changes: &mut Vec<Change>) {
        let now = self.memory.now;
        let Some(agent) = self.memory.agents.get(name) else { return };
        let silent = self.is_silent(agent).then(|| Cause::AgentSilent {
            agent: name.to_owned(),
            last_heard: agent.heard,
            deadline: self.settings.agent_deadline,
        });
        let troubles = agent.troubles(name);
        for (key, cause) in [(Key::Agent(name.to_owned()), silent)].into_iter().chain(troubles) {
            let explains = !matches!(key, Key::Stray(_));
            if let Some(incident) = self.settle(&key, cause, None, changes).filter(|_| explains) {
                let until = now.saturating_add(self.settings.agent_deadline);
                if let Some(agent) = self.memory.agents.get_mut(name) {
                    agent.recovering = Some(Recovering { incident, until });
                }
            }
        }
        if let Some(agent) = self.memory.agents.get_mut(name) {
            agent.recovering.take_if(|recovering| recovering.until <= now);
        }
    }

    /// An absence of the vault is told only if a promise broke in it.
    fn reconcile_absence(&mut self, changes: &mut Vec<Change>) {
        let now = self.memory.now;
        self.memory.absence.take_if(|absence| absence.recovered <= now);
        let broke = |absence: &Absence| {
            self.memory
                .workloads
                .values()
                .any(|workload| workload.due() <= now && absence.explains(workload.due()))
        };
        let cause = self
            .memory
            .absence
            .as_ref()
            .filter(|absence| broke(absence))
            .map(|absence| Cause::VaultAbsent { from: absence.from, until: absence.until });
        self.settle(&Key::Vault, cause, None, changes);
    }

    fn reconcile_evidence(&mut self, changes: &mut Vec<Change>) {
        for (key, cause) in self.memory.evidence.causes(self.memory.now) {
            self.settle(&key, cause, None, changes);
        }
    }

    fn reconcile_workload(&mut self, name: &WorkloadName, changes: &mut Vec<Change>) {
        let Some(workload) = self.memory.workloads.get(name) else { return };
        let rejected = workload.rejected.as_ref().map(|rejected| Cause::DropRejected {
            workload: name.clone(),
            drop: rejected.drop,
            reason: rejected.reason.clone(),
        });
        let broken = (workload.state(self.memory.now) == State::Broken).then(|| {
            workload.waiting_since.map_or_else(
                || Cause::NothingDropped {
                    workload: name.clone(),
                    rpo: workload.promise.rpo(),
                    last_vaulted: workload.last_vaulted,
                    known_since: workload.known_since,
                },
                |waiting_since| Cause::NotVaulted {
                    workload: name.clone(),
                    rpo: workload.promise.rpo(),
                    waiting_since,
                },
            )
        });
        let missing = workload
            .missing
            .clone()
            .map(|what| Cause::RepositoryMissing { workload: name.clone(), what });
        let content = workload
            .content_problem
            .clone()
            .map(|problem| Cause::ContentUnusable { workload: name.clone(), problem });
        self.settle(&Key::RejectedDrop(name.clone()), rejected, None, changes);
        self.settle(&Key::Content(name.clone()), content, None, changes);
        let found = self.settle(&Key::Repository(name.clone()), missing, None, changes);
        let now = self.memory.now;
        let until = now.saturating_add(self.settings.agent_deadline);
        if let Some(workload) = self.memory.workloads.get_mut(name) {
            if let Some(incident) = found {
                workload.recovering = Some(Recovering { incident, until });
            }
            workload.recovering.take_if(|recovering| recovering.until <= now);
        }
        let explanation = self.explanation(name);
        self.settle(&Key::RecoveryPoint(name.clone()), broken, explanation, changes);
    }

    /// The incident that explains why `name` got no drop, if there is one: a repository that is
    /// missing, a drop of its own that was rejected, or trouble on the way from its agent to here.
    fn explanation(&self, name: &WorkloadName) -> Option<u64> {
        let open = |key: &Key| self.memory.open.get(key).map(|incident| incident.id);
        let own = [Key::Repository(name.clone()), Key::RejectedDrop(name.clone())];
        if let Some(own) = own.iter().find_map(open) {
            return Some(own);
        }
        let workload = self.memory.workloads.get(name)?;
        if let Some(recovering) = &workload.recovering {
            return Some(recovering.incident);
        }
        let trouble = |agent: &String| {
            let known = self.memory.agents.get(agent);
            // A stray file on a share that works must not hide, for as long as it lies there,
            // that a workload of which nothing waits produced nothing.
            let waits = workload.waiting_since.is_some();
            let by_share = waits || known.is_some_and(|agent| !agent.share_usable);
            open(&Key::Agent(agent.clone()))
                .or_else(|| open(&Key::Share(agent.clone())).filter(|_| by_share))
                .or_else(|| open(&Key::Work(agent.clone())).filter(|_| waits))
                .or_else(|| Some(known?.recovering.as_ref()?.incident))
        };
        let agents = match &workload.agent {
            Some(agent) => trouble(agent),
            // Nobody spoke of it yet, so any agent could have: only trouble of all explains it.
            None => {
                let mut troubles = self.memory.agents.keys().map(trouble);
                let first = troubles.next().flatten();
                first.filter(|_| troubles.all(|trouble| trouble.is_some()))
            }
        };
        let absence = || {
            let absence = self.memory.absence.as_ref()?;
            absence.explains(workload.due()).then(|| open(&Key::Vault)).flatten()
        };
        agents.or_else(absence)
    }

    /// Opens, folds, gives back or resolves the one incident of `key`, as `cause` (still there, or
    /// gone) and `explanation` demand. Returns the id of an incident that resolved.
    fn settle(
        &mut self,
        key: &Key,
        cause: Option<Cause>,
        explanation: Option<u64>,
        changes: &mut Vec<Change>,
    ) -> Option<u64> {
        let Some(cause) = cause else {
            let incident = self.memory.open.remove(key)?;
            if incident.announced {
                changes.push(Change::Resolved(incident.view(Some(self.memory.now))));
            }
            return Some(incident.id);
        };
        if let Some(incident) = self.memory.open.get_mut(key) {
            // What was told once stays on its own: taking it back would be one more page.
            if !incident.announced {
                incident.folded_into = explanation;
                incident.announced = explanation.is_none();
                if incident.announced {
                    changes.push(Change::Opened(incident.view(None)));
                }
            }
            return None;
        }
        let incident = self.open(cause, explanation);
        if incident.announced {
            changes.push(Change::Opened(incident.view(None)));
        }
        self.memory.open.insert(key.clone(), incident);
        None
    }

    fn open(&mut self, cause: Cause, explanation: Option<u64>) -> OpenIncident {
        let team = match (cause.owner(), cause.workload()) {
            (Owner::App, Some(workload)) => {
                self.memory.workloads.get(workload).map(|w| w.promise.owner().to_owned())
            }
            _ => None,
        };
        self.memory.last_incident_id += 1;
        OpenIncident {
            id: self.memory.last_incident_id,
            cause,
            team: team.unwrap_or_else(|| "platform".to_owned()),
            opened: self.memory.now,
            folded_into: explanation,
            announced: explanation.is_none(),
        }
    }
}
