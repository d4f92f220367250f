//! From events to facts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_types::WorkloadName;

use super::Ledger;
use crate::incident::cut;
use crate::memory::{Recovering, Standing};
use crate::view::{Event, Order, Source};
use crate::workload::{Retirement, Workload};
use crate::{Cause, Key};

/// Shares of one agent that are told apart; whoever names more is in error, or means harm.
const SOURCES_MAX: usize = 16;

impl Ledger {
    /// Notes the facts of `event`. The workloads that it is about go into `touched`.
    pub(super) fn observe(&mut self, event: Event, touched: &mut BTreeSet<WorkloadName>) {
        let now = self.memory.now;
        let name = match event {
            Event::Declared { workload: name, source, declaration } => {
                // A directory on a share is no workload before anything is dropped or declared.
                if declaration.is_none() && !self.memory.workloads.contains_key(&name) {
                    return;
                }
                let share = source.share;
                let default = self.settings.default_promise.clone();
                let workload = self.workload(&name);
                workload.source.get_or_insert(source);
                if let Some(share) = share {
                    workload.declare(share, declaration);
                    workload.promise_anew(&default);
                }
                name
            }
            Event::Vaulted { workload: name, at } => {
                self.workload(&name).vaulted(at.min(now));
                name
            }
            Event::Repository { workload: name, missing } => {
                self.workload(&name).missing = missing.as_deref().map(cut);
                name
            }
            Event::Custody(finding) => return self.memory.evidence.note(finding, now),
            Event::Ordered { number, workload: name, order } => {
                if number <= self.memory.last_order {
                    return;
                }
                self.memory.last_order = number;
                self.observe_order(&name, order);
                name
            }
            Event::Waiting { workload: name, source } => {
                self.hear(source.clone());
                let workload = self.workload(&name);
                workload.waiting_since.get_or_insert(now);
                workload.source = Some(source);
                name
            }
            Event::Rejected { workload: name, source, drop, reason } => {
                self.hear(source.clone());
                self.workload(&name).reject(drop, cut(&reason), source);
                name
            }
            Event::AgentHeard { source, certificate } => {
                let source = self.attributed(source);
                let standing = self.hear(source);
                standing.certificate = certificate.or(standing.certificate);
                return;
            }
            Event::ShareSeen { source, problem, usable } => {
                return self.observe_share(source, problem.as_deref(), usable);
            }
            Event::Hindered { source, work, stray } => {
                return self.observe_hindrance(source, work.as_deref(), stray.as_deref());
            }
            Event::Content { workload: name, problem } => {
                self.workload(&name).content_problem = problem.as_deref().map(cut);
                name
            }
            Event::OwnCertificate { holder, certificate } => {
                self.memory.certificates = BTreeMap::from([(cut(&holder), certificate)]);
                return;
            }
        };
        touched.insert(name);
    }

    /// Takes over what policy says, in place of what it said before.
    pub(super) fn adopt_policy(&mut self) {
        let mut policy = self.settings.policy.clone();
        for name in policy.keys() {
            self.workload(name);
        }
        let default = &self.settings.default_promise;
        self.memory.workloads.retain(|name, workload| {
            workload.policy = policy.remove(name);
            workload.promise_anew(default);
            workload.policy.is_some() || !workload.is_of_policy_only()
        });
    }

    fn observe_order(&mut self, name: &WorkloadName, order: Order) {
        let now = self.memory.now;
        let workload = self.workload(name);
        match order {
            Order::Pause { until } => {
                workload.resume();
                workload.paused_until = Some(until);
            }
            Order::Retire { at, until } => workload.retire(Retirement { at: at.min(now), until }),
            Order::Resume => workload.resume(),
            Order::Recreate { at } => {
                let at = at.min(now);
                workload.missing = None;
                workload.last_vaulted.take_if(|last| *last <= at);
                workload.known_since = workload.known_since.max(at);
            }
        }
    }

    fn observe_share(&mut self, source: Source, problem: Option<&str>, usable: bool) {
        let until = self.memory.now.saturating_add(self.settings.agent_deadline);
        self.name_share(&source);
        let incident = self.memory.open.get(&Key::Share(source.clone())).map(|open| open.id);
        let standing = self.hear(source);
        if usable && !standing.usable {
            // It is back, if not in order: the backlog gets its time all the same.
            standing.recovering = incident.map(|incident| Recovering { incident, until });
        }
        standing.usable = usable;
        standing.problem = problem.map(cut);
    }

    fn observe_hindrance(&mut self, source: Source, work: Option<&str>, stray: Option<&str>) {
        let standing = self.hear(source);
        standing.hindrance = work.map(cut);
        standing.stray = stray.map(cut);
    }

    /// What was known of an agent before it said of which share it speaks was of this one.
    fn name_share(&mut self, source: &Source) {
        let unnamed = Source { share: None, ..source.clone() };
        if source.share.is_none() || self.memory.sources.contains_key(source) {
            return;
        }
        let Some(standing) = self.memory.sources.remove(&unnamed) else { return };
        self.memory.sources.insert(source.clone(), standing);
        for workload in self.memory.workloads.values_mut() {
            if workload.source.as_ref() == Some(&unnamed) {
                workload.source = Some(source.clone());
            }
        }
        if let Some(mut incident) = self.memory.open.remove(&Key::Share(unnamed)) {
            if let Cause::ShareUnusable { share, .. } = &mut incident.cause {
                *share = source.share;
            }
            self.memory.open.insert(incident.cause.key(), incident);
        }
    }

    /// Whose word it is when an agent does not say of which share it speaks: that of its one
    /// share, if it has one.
    fn attributed(&self, source: Source) -> Source {
        if source.share.is_some() {
            return source;
        }
        let mut shares = self.memory.sources.keys().filter(|known| known.agent == source.agent);
        match (shares.next(), shares.next()) {
            (Some(only), None) => only.clone(),
            _ => source,
        }
    }

    /// The workload's account; opened with the default promise if nobody declared it.
    fn workload(&mut self, name: &WorkloadName) -> &mut Workload {
        self.memory.workloads.entry(name.clone()).or_insert_with(|| {
            let mut workload = Workload::new(self.memory.now);
            workload.promise_anew(&self.settings.default_promise);
            workload
        })
    }

    fn hear(&mut self, mut source: Source) -> &mut Standing {
        let heard = self.memory.now;
        if !self.memory.sources.contains_key(&source) {
            let of_agent = self.memory.sources.keys().filter(|known| known.agent == source.agent);
            if of_agent.count() >= SOURCES_MAX {
                source.share = None;
            }
        }
        let standing = self.memory.sources.entry(source).or_insert_with(|| Standing::new(heard));
        standing.heard = heard;
        standing.unheard = Duration::ZERO;
        standing
    }
}
