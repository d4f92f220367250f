//! What the ledger goes by, and what it shows.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_types::{DropId, ShareId, Timestamp, WorkloadName};

use crate::class::Quiet;
use crate::event::{Source, Validity};
use crate::handed::{HandoverId, HandoverRule};
use crate::origin::Origin;
use crate::policy::Policy;
use crate::promise::{Declaration, Promise, State};
use crate::stopped::Stopped;
use crate::workload::Quarantined;

/// What holds for all workloads.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What policy promises, of all workloads and of single ones. A share may tighten it. A workload that
    /// it names no more falls back to the default; one of which nothing else ever spoke is forgotten.
    pub policy: Policy,
    /// Workloads that consist of others, which policy names, too.
    pub services: BTreeMap<WorkloadName, Vec<WorkloadName>>,
    /// How long an agent may stay silent before that is an incident; also how long the backlog may
    /// take to arrive once an agent, its share or the vault is back.
    pub agent_deadline: Duration,
    /// After an outage: how long nothing of what it held up may move before each workload that is broken
    /// speaks for itself.
    pub stall: Duration,
    /// How many workloads may be known by the word of one agent alone.
    pub reported_max: usize,
    /// The same for single agents.
    pub reported_max_of: BTreeMap<String, usize>,
    /// What is expected of backup products, by the names of hand-overs, and of all others.
    pub handovers: BTreeMap<String, HandoverRule>,
    pub any_handover: HandoverRule,
}

impl Settings {
    /// Whether policy expects drops of this very workload.
    pub(crate) fn expects(&self, workload: &WorkloadName) -> bool {
        let consists_of_others = |members: &Vec<WorkloadName>| !members.contains(workload);
        self.policy.workloads.contains_key(workload)
            && !self.services.get(workload).is_some_and(consists_of_others)
    }

    /// What is expected of a hand-over by this name.
    pub fn handover(&self, name: &str) -> &HandoverRule {
        self.handovers.get(name).unwrap_or(&self.any_handover)
    }

    /// How many workloads may be known by the word of this agent alone.
    pub(crate) fn reported_max(&self, agent: &str) -> usize {
        self.reported_max_of.get(agent).copied().unwrap_or(self.reported_max)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            services: BTreeMap::new(),
            agent_deadline: Duration::from_secs(300),
            stall: Duration::from_secs(30 * 60),
            reported_max: 10_000,
            reported_max_of: BTreeMap::new(),
            handovers: BTreeMap::new(),
            any_handover: HandoverRule::default(),
        }
    }
}

/// A workload as the ledger sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadStatus {
    pub workload: WorkloadName,
    /// What holds, and which layer each part of it comes from.
    pub promise: Promise,
    pub rpo_from: Origin,
    pub owner_from: Origin,
    /// Whether somebody declared it; else it was first known by a drop.
    pub declared: bool,
    /// What each share declares of it.
    pub shares: BTreeMap<ShareId, Declaration>,
    pub state: State,
    pub known_since: Timestamp,
    pub last_vaulted: Option<Timestamp>,
    /// The newest drop that a backup product has confirmed.
    pub last_confirmed: Option<Timestamp>,
    /// The newest recovery point, as policy counts them.
    pub last_safe: Option<Timestamp>,
    /// The hand-over in which its drops lie, since when one is not confirmed, and whether that was read.
    pub handover: Option<HandoverId>,
    pub unconfirmed: Option<(Timestamp, bool)>,
    /// Why a product has a drop no more, while it has no other one.
    pub withdrawn: Option<String>,
    /// The moment at which the promise breaks, or broke, unless a drop is vaulted before it.
    pub due: Timestamp,
    /// The time in which its pages wait, if that is now.
    pub quiet: Option<Quiet>,
    /// Since when a sealed drop of it is known to wait.
    pub waiting_since: Option<Timestamp>,
    /// When the pause ends, or the time in which drops of a retired workload are no surprise.
    pub until: Option<Timestamp>,
    /// Since when it is retired.
    pub retired: Option<Timestamp>,
    pub source: Option<Source>,
    /// What is missing of its repository.
    pub missing: Option<String>,
    /// Why its newest drop is in quarantine, while no good one has followed.
    pub rejected: Option<String>,
    /// The newest drop that its writer gave up, while no good one has followed.
    pub stopped: Option<Stopped>,
    /// What its team has put on the share and cannot be used.
    pub content_problem: Option<String>,
    /// Why it is not dropped now, by the agent that makes its drops.
    pub failing: Option<String>,
    /// The newest drop that was vaulted and is no recovery point, when that was, and why, while no good
    /// one has followed.
    pub suspect: Option<(DropId, Timestamp, String)>,
    /// Drops in quarantine that an operator may accept, the newest last.
    pub quarantine: Vec<Quarantined>,
}

/// An agent and its share as the ledger sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    pub source: Source,
    pub last_heard: Timestamp,
    pub silent: bool,
    pub share_problem: Option<String>,
    /// How long the certificate is valid that it showed last.
    pub certificate: Option<Validity>,
}
