//! What the ledger is told, and what it shows.

use std::time::Duration;

use outlast_types::{DropId, Timestamp, WorkloadName};

use crate::{Promise, State};

/// What holds for all workloads.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The promise of a workload that nobody declared.
    pub default_promise: Promise,
    /// How long an agent may stay silent before that is an incident; also how long the backlog may
    /// take to arrive once an agent, its share or the vault is back.
    pub agent_deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { default_promise: Promise::default(), agent_deadline: Duration::from_secs(300) }
    }
}

/// Something that the vault saw happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A workload is to be watched, by this promise from now on.
    Declared { workload: WorkloadName, promise: Promise },
    /// The vault published a snapshot of the workload at `at`, by the vault's clock.
    Vaulted { workload: WorkloadName, at: Timestamp },
    /// The vault looked at the workload's repository: all of it is there (`None`), or what is not.
    Repository { workload: WorkloadName, missing: Option<String> },
    /// The workload's repository is lost for good; an operator had it begun anew. What was vaulted
    /// before counts no more.
    BegunAnew { workload: WorkloadName },
    /// The vault found something about its own custody of drops.
    Custody(Finding),
    /// An agent saw a sealed drop of the workload that is not vaulted yet. No freshness follows
    /// from it, only who is asked when the promise breaks all the same.
    Waiting { workload: WorkloadName, agent: String },
    /// An agent refused a sealed drop, which is in quarantine. May be repeated.
    Rejected { workload: WorkloadName, agent: String, drop: DropId, reason: String },
    /// An agent spoke, about anything.
    AgentHeard { agent: String },
    /// An agent finished a look at its share: all is well (`None`), or what is not. `usable` says
    /// whether it could be looked over all the same: then the problem is of something on it, and
    /// explains nothing but drops that wait.
    ShareSeen { agent: String, problem: Option<String>, usable: bool },
    /// The same look: what keeps the agent from getting drops into the vault although its share is
    /// well, and what lies on the share and can be nobody's drop.
    Hindered { agent: String, work: Option<String>, stray: Option<String> },
    /// An agent looked at what a workload's team has put on the share: all can be used (`None`), or
    /// what cannot.
    Content { workload: WorkloadName, problem: Option<String> },
}

/// What speaks for or against the vault's custody of one drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The vault holds the drop, for the first time or again.
    Held { workload: WorkloadName, drop: DropId },
    /// The vault was shown a receipt that it signed, for a drop that it does not hold any more,
    /// received at `received` by its clock: its disk was put back from an older copy, or lost it.
    Lost { workload: WorkloadName, drop: DropId, received: Timestamp },
    /// An agent handed in a bill for a drop that the vault holds, but with other content or of
    /// another place: somebody used an id twice, or forged a bill. May be repeated.
    Contested { workload: WorkloadName, agent: String, drop: DropId, difference: String },
}

/// A workload as the ledger sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadStatus {
    pub workload: WorkloadName,
    pub promise: Promise,
    /// Whether somebody declared it; else it was first known by a drop.
    pub declared: bool,
    pub state: State,
    pub known_since: Timestamp,
    pub last_vaulted: Option<Timestamp>,
    /// The moment at which the promise breaks, or broke, unless a drop is vaulted before it.
    pub due: Timestamp,
    pub agent: Option<String>,
    /// What its team has put on the share and cannot be used.
    pub content_problem: Option<String>,
}

/// An agent as the ledger sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    pub agent: String,
    pub last_heard: Timestamp,
    pub silent: bool,
    pub share_problem: Option<String>,
}
