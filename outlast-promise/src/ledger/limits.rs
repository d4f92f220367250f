//! What agents want beyond policy, and workloads that are known by an agent's word alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};

use super::Ledger;
use crate::agenda::Matter;
use crate::cause::{Cause, Key, Topic};
use crate::event::Source;
use crate::incident::Change;
use crate::limit::{Excess, Limit, OverLimit};
use crate::promise::State;
use crate::workload::Workload;

/// How long after it last wanted too much that is told of an agent: longer than it pauses between two
/// attempts.
const TOLD_FOR: Duration = Duration::from_secs(30 * 60);
/// So many workloads of an agent of which nothing ever came may each be an incident of its own.
const TOLD_SINGLY_MAX: usize = 20;

impl OverLimit {
    pub(super) fn told_until(&self) -> Timestamp {
        self.last.saturating_add(TOLD_FOR)
    }
}

impl Ledger {
    /// An agent wanted more than policy allows it.
    pub(super) fn observe_excess(
        &mut self,
        agent: String,
        excess: Excess,
        touched: &mut BTreeSet<Matter>,
    ) {
        let over = OverLimit { excess, last: self.state.head.now };
        touched.insert(Matter::Agent(agent.clone()));
        self.state.over_limits.insert(agent, over);
    }

    /// Whether the word of `source` about a workload is noted. Not if it would be one more that is known
    /// by the word of its agent alone, and there are too many of them.
    pub(super) fn is_noted(
        &mut self,
        name: &WorkloadName,
        source: &Source,
        touched: &mut BTreeSet<Matter>,
    ) -> bool {
        if self.state.workloads.contains(name) {
            return true;
        }
        let workloads = &self.state.workloads;
        let hearsay = self.hearsay.get_or_insert_with(|| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            let sources = workloads.values().filter(|workload| workload.is_hearsay());
            for source in sources.filter_map(|workload| workload.source.as_ref()) {
                *counts.entry(source.agent.clone()).or_default() += 1;
            }
            counts
        });
        let known = hearsay.entry(source.agent.clone()).or_default();
        let most = self.settings.reported_max(&source.agent);
        if *known < most {
            *known += 1;
            return true;
        }
        let excess =
            Excess { limit: Limit::ReportedWorkloads, allowed: most as u64, workload: None };
        self.observe_excess(source.agent.clone(), excess, touched);
        false
    }

    /// Settles what an agent wanted too much, and what it speaks of and never brought. Whether something
    /// else than before explains what is the matter with its workloads.
    pub(super) fn settle_limits(&mut self, agent: &str, changes: &mut Vec<Change>) -> bool {
        let now = self.state.head.now;
        let before = self.explanations_of(agent);
        let name = agent.to_owned();
        let is_old = |over: &OverLimit| over.told_until() <= now;
        if self.state.over_limits.get(&name).is_some_and(is_old) {
            self.state.over_limits.remove(&name);
        }
        let over = self.state.over_limits.get(&name);
        let over = over
            .map(|over| Cause::OverLimit { agent: agent.to_owned(), excess: over.excess.clone() });
        let limits = Key::about_agent(Topic::Limits, agent);
        let resolved = self.settle_incident(&limits, over, None, changes);
        for source in self.sources_of(agent) {
            self.recovers(&source, resolved);
        }
        let count = self.flotsam.iter().flatten().filter_map(|name| self.state.workloads.get(name));
        let is_its = |workload: &&Workload| {
            workload.source.as_ref().is_some_and(|source| source.agent == agent)
                && is_troubled(workload, now)
        };
        let count = count.filter(is_its).count();
        let many = (count > TOLD_SINGLY_MAX)
            .then(|| Cause::NeverVaulted { agent: agent.to_owned(), count });
        let explanation = many.as_ref().and(self.open_id(&limits));
        let key = Key::about_agent(Topic::NeverVaulted, agent);
        self.settle_incident(&key, many, explanation, changes);
        self.explanations_of(agent) != before
    }

    /// Notes which of the workloads that were touched nobody but an agent ever spoke of.
    pub(super) fn note_flotsam(&mut self, touched: &BTreeSet<Matter>) {
        let Some(mut flotsam) = self.flotsam.take() else {
            let all = self.state.workloads.iter();
            let flotsam = all.filter(|(name, workload)| self.is_flotsam(name, workload));
            self.flotsam = Some(flotsam.map(|(name, _)| name.clone()).collect());
            return;
        };
        for matter in touched {
            let Matter::Workload(name) = matter else { continue };
            let known = self.state.workloads.get(name);
            if known.is_some_and(|workload| self.is_flotsam(name, workload)) {
                flotsam.insert(name.clone());
            } else {
                flotsam.remove(name);
            }
        }
        self.flotsam = Some(flotsam);
    }

    /// The incident that stands for all that is the matter with workloads like this one, of which
    /// nothing was ever vaulted, if they are many.
    pub(super) fn flood_of(&self, name: &WorkloadName) -> Option<u64> {
        let workload = self.state.workloads.get(name)?;
        let source = workload.source.as_ref().filter(|_| self.is_flotsam(name, workload))?;
        self.explanations_of(&source.agent).1
    }

    /// The incidents of an agent that explain: its wants, and its many workloads that never came.
    fn explanations_of(&self, agent: &str) -> (Option<u64>, Option<u64>) {
        let limits = self.open_id(&Key::about_agent(Topic::Limits, agent));
        let flood = self.state.open.get(&Key::about_agent(Topic::NeverVaulted, agent));
        (limits, flood.map(|flood| flood.folded_into.unwrap_or(flood.id)))
    }

    /// Whether nobody but an agent ever spoke of a workload. Policy's promises page for themselves.
    fn is_flotsam(&self, name: &WorkloadName, workload: &Workload) -> bool {
        workload.is_hearsay() && !self.settings.policy.workloads.contains_key(name)
    }
}

/// Whether there is something to tell of a workload that never came.
fn is_troubled(workload: &Workload, now: Timestamp) -> bool {
    workload.rejected.is_some()
        || workload.content_problem.is_some()
        || (workload.waiting_since.is_none() && workload.state(now) == State::Broken)
}
