//! What the ledger shows.

use std::collections::BTreeSet;

use outlast_types::WorkloadName;

use super::Ledger;
use crate::event::Source;
use crate::incident::Incident;
use crate::layers::Effective;
use crate::promise::{Promise, State};
use crate::service::ServiceStatus;
use crate::status::{Settings, SourceStatus, WorkloadStatus};
use crate::workload::Workload;

impl Ledger {
    /// All workloads, by name, as they stood at the latest call.
    pub fn workloads(&self) -> impl Iterator<Item = WorkloadStatus> {
        self.state.workloads.iter().map(|(name, workload)| self.status_of(name, workload))
    }

    /// One workload, as it stood at the latest call.
    pub fn workload(&self, name: &WorkloadName) -> Option<WorkloadStatus> {
        self.state.workloads.get(name).map(|workload| self.status_of(name, workload))
    }

    /// The workloads that consist of others, as they stood at the latest call.
    pub fn services(&self) -> impl Iterator<Item = ServiceStatus> {
        let Settings { services, policy, .. } = &self.settings;
        let listed: BTreeSet<&WorkloadName> = services.values().flatten().collect();
        services.iter().map(move |(service, members)| {
            let own = (!members.contains(service)).then_some(service);
            ServiceStatus {
                service: service.clone(),
                promise: Promise::of(policy.class(service)),
                members: members.iter().chain(own).filter_map(|name| self.workload(name)).collect(),
                unlisted: self.called_like_members(service, &listed),
            }
        })
    }

    /// The workloads that are called like members of a service, and that no service lists.
    fn called_like_members(
        &self,
        service: &WorkloadName,
        listed: &BTreeSet<&WorkloadName>,
    ) -> Vec<WorkloadName> {
        let beginning = format!("{service}.");
        let near = self.state.workloads.from(service).map(|(name, _)| name);
        let near = near.take_while(|name| name.as_str().starts_with(service.as_str()));
        let is_like = |name: &&WorkloadName| {
            name.as_str().starts_with(&beginning)
                && !listed.contains(*name)
                && !self.settings.services.contains_key(*name)
        };
        near.filter(is_like).cloned().collect()
    }

    fn status_of(&self, name: &WorkloadName, workload: &Workload) -> WorkloadStatus {
        let state = workload.state(self.state.head.now);
        let Effective { promise, rpo_from, owner_from, declared } = workload.effective().clone();
        WorkloadStatus {
            workload: name.clone(),
            promise,
            rpo_from,
            owner_from,
            declared,
            shares: workload.shares().clone(),
            state,
            known_since: workload.known_since,
            last_vaulted: workload.last_vaulted,
            last_confirmed: workload.last_delivered(),
            last_safe: workload.last_safe(),
            handover: workload.lies.as_ref().map(|lies| lies.handover.clone()),
            unconfirmed: workload.lies.as_ref().and_then(|it| Some((it.unconfirmed?, it.read))),
            withdrawn: workload.withdrawn.as_ref().map(|gone| gone.reason.clone()),
            due: workload.due(),
            quiet: workload.quiet(self.state.head.now),
            waiting_since: workload.waiting_since,
            until: match state {
                State::Paused => workload.paused_until,
                State::Retiring => workload.retirement.map(|retirement| retirement.until),
                _ => None,
            },
            retired: workload.retirement.map(|retirement| retirement.at),
            source: workload.source.clone(),
            missing: workload.missing.clone(),
            rejected: workload.rejected.as_ref().map(|rejected| rejected.reason.clone()),
            stopped: workload.stopped.clone(),
            content_problem: workload.content_problem.clone(),
            failing: workload.failing.clone(),
            suspect: workload.suspect.clone().map(|it| (it.drop, it.at, it.why)),
            quarantine: workload.quarantine.iter().cloned().collect(),
        }
    }

    /// The workloads of which a drop is known to have been vaulted.
    pub fn vaulted(&self) -> impl Iterator<Item = &WorkloadName> {
        let is_vaulted = |known: &Workload| known.last_vaulted.is_some() || known.suspect.is_some();
        let vaulted = self.state.workloads.iter().filter(move |(_, known)| is_vaulted(known));
        vaulted.map(|(name, _)| name)
    }

    /// The workloads of whose content on a share something cannot be used, or whose drops cannot be made,
    /// and where they are from.
    pub fn troubled(&self) -> impl Iterator<Item = (&WorkloadName, Option<&Source>)> {
        let workloads = self.state.workloads.iter();
        let is_troubled =
            |known: &Workload| known.content_problem.is_some() || known.failing.is_some();
        let troubled = workloads.filter(move |(_, known)| is_troubled(known));
        troubled.map(|(name, known)| (name, known.source.as_ref()))
    }

    /// All agents and their shares, by name.
    pub fn sources(&self) -> impl Iterator<Item = SourceStatus> {
        let (deadline, now) = (self.settings.agent_deadline, self.state.head.now);
        self.state.sources.iter().map(move |(source, known)| SourceStatus {
            source: source.clone(),
            last_heard: known.heard,
            silent: known.is_silent(deadline, now),
            share_problem: known.problem.clone(),
            certificate: known.certificate,
        })
    }

    /// All open incidents, those folded into others included, oldest first.
    pub fn incidents(&self) -> impl Iterator<Item = Incident> {
        let mut open: Vec<_> = self.state.open.values().collect();
        open.sort_by_key(|incident| incident.id);
        open.into_iter().map(|incident| incident.view(None))
    }
}
