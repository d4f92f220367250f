//! Incidents: the only thing that pages.

use std::fmt;
use std::time::Duration;

use outlast_types::{DropId, Timestamp, WorkloadName, human};
use serde::{Deserialize, Serialize};

/// Longest text taken over from a report, in characters.
const TEXT_LENGTH_MAX: usize = 500;

/// Who has to act. Every incident has one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The application's team: nothing was produced, or nothing that can be used.
    App,
    /// Whoever runs Outlast: agent, share, network or vault.
    Platform,
}

impl Owner {
    /// `app` or `platform`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Platform => "platform",
        }
    }
}

/// What an incident is about. At most one incident per key is open at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Agent(String),
    Share(String),
    Work(String),
    Stray(String),
    Vault,
    Repository(WorkloadName),
    VaultWentBack,
    ContestedDrop(WorkloadName),
    Content(WorkloadName),
    RejectedDrop(WorkloadName),
    RecoveryPoint(WorkloadName),
}

/// Stable text for pagers that join repeated messages: `recovery-point/shop-db`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "agent/{agent}"),
            Self::Share(agent) => write!(f, "share/{agent}"),
            Self::Work(agent) => write!(f, "work/{agent}"),
            Self::Stray(agent) => write!(f, "stray/{agent}"),
            Self::Vault => f.write_str("vault"),
            Self::Repository(workload) => write!(f, "repository/{workload}"),
            Self::VaultWentBack => f.write_str("vault-went-back"),
            Self::ContestedDrop(workload) => write!(f, "contested-drop/{workload}"),
            Self::Content(workload) => write!(f, "content/{workload}"),
            Self::RejectedDrop(workload) => write!(f, "rejected-drop/{workload}"),
            Self::RecoveryPoint(workload) => write!(f, "recovery-point/{workload}"),
        }
    }
}

/// Why an incident is open, with what was known when it opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Cause {
    /// Nothing came: no sealed drop was seen since the last one that was vaulted.
    NothingDropped {
        workload: WorkloadName,
        rpo: Duration,
        last_vaulted: Option<Timestamp>,
        known_since: Timestamp,
    },
    /// The application did its part: a sealed drop waits on the share, but is not vaulted.
    NotVaulted { workload: WorkloadName, rpo: Duration, waiting_since: Timestamp },
    /// A sealed drop failed verification and is in quarantine.
    DropRejected { workload: WorkloadName, drop: DropId, reason: String },
    /// Nothing was heard of an agent for its whole deadline.
    AgentSilent { agent: String, last_heard: Timestamp, deadline: Duration },
    /// An agent is alive but cannot read its share.
    ShareUnusable { agent: String, problem: String },
    /// The vault's repository of a workload is not there, or not all of it, though it is remembered.
    RepositoryMissing { workload: WorkloadName, what: String },
    /// An agent can read its share, and cannot get drops into the vault.
    AgentHindered { agent: String, problem: String },
    /// Something on an agent's share belongs to no workload, though somebody may have meant it.
    StrayOnShare { agent: String, problem: String },
    /// What a workload's team has put on the share cannot be used.
    ContentUnusable { workload: WorkloadName, problem: String },
    /// The vault itself was down while promises broke.
    VaultAbsent { from: Timestamp, until: Timestamp },
    /// The vault does not know drops that it signed for.
    VaultWentBack { lost: Vec<LostDrop>, count: usize },
    /// Two different drops were handed in under one id.
    DropContested { workload: WorkloadName, agent: String, drop: DropId, difference: String },
}

/// A drop that a vault signed for and does not hold any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostDrop {
    pub workload: WorkloadName,
    pub drop: DropId,
    /// When the vault received it, by its clock of then.
    pub received: Timestamp,
}

impl Cause {
    /// What the incident is about.
    pub fn key(&self) -> Key {
        match self {
            Self::NothingDropped { workload, .. } | Self::NotVaulted { workload, .. } => {
                Key::RecoveryPoint(workload.clone())
            }
            Self::DropRejected { workload, .. } => Key::RejectedDrop(workload.clone()),
            Self::RepositoryMissing { workload, .. } => Key::Repository(workload.clone()),
            Self::AgentSilent { agent, .. } => Key::Agent(agent.clone()),
            Self::ShareUnusable { agent, .. } => Key::Share(agent.clone()),
            Self::AgentHindered { agent, .. } => Key::Work(agent.clone()),
            Self::StrayOnShare { agent, .. } => Key::Stray(agent.clone()),
            Self::ContentUnusable { workload, .. } => Key::Content(workload.clone()),
            Self::VaultAbsent { .. } => Key::Vault,
            Self::VaultWentBack { .. } => Key::VaultWentBack,
            Self::DropContested { workload, .. } => Key::ContestedDrop(workload.clone()),
        }
    }

    /// The one who has to act.
    pub fn owner(&self) -> Owner {
        match self {
            Self::NothingDropped { .. }
            | Self::DropRejected { .. }
            | Self::ContentUnusable { .. } => Owner::App,
            Self::NotVaulted { .. }
            | Self::AgentSilent { .. }
            | Self::ShareUnusable { .. }
            | Self::RepositoryMissing { .. }
            | Self::AgentHindered { .. }
            | Self::StrayOnShare { .. }
            | Self::VaultAbsent { .. }
            | Self::VaultWentBack { .. }
            | Self::DropContested { .. } => Owner::Platform,
        }
    }

    /// The workload concerned, if it is about one.
    pub fn workload(&self) -> Option<&WorkloadName> {
        match self {
            Self::NothingDropped { workload, .. }
            | Self::NotVaulted { workload, .. }
            | Self::DropRejected { workload, .. }
            | Self::RepositoryMissing { workload, .. }
            | Self::DropContested { workload, .. }
            | Self::ContentUnusable { workload, .. } => Some(workload),
            Self::AgentSilent { .. }
            | Self::ShareUnusable { .. }
            | Self::AgentHindered { .. }
            | Self::StrayOnShare { .. }
            | Self::VaultAbsent { .. }
            | Self::VaultWentBack { .. } => None,
        }
    }
}

/// What happened, to what, and what to do next: the text of a page.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingDropped { workload, rpo, last_vaulted: Some(last), .. } => write!(
                f,
                "{workload} missed its recovery point: nothing newer than {last} is vaulted, and \
                 {} are promised; check that its instances still write and seal drops",
                human::duration(*rpo)
            ),
            Self::NothingDropped { workload, rpo, last_vaulted: None, known_since } => write!(
                f,
                "{workload} missed its recovery point: nothing was vaulted since it became known \
                 at {known_since}, and {} are promised; check that its instances mount the share \
                 and drop",
                human::duration(*rpo)
            ),
            Self::NotVaulted { workload, rpo, waiting_since } => write!(
                f,
                "{workload} missed its recovery point of {}: a sealed drop waits on the share \
                 since {waiting_since} but is not vaulted; check the agent's log and its way to \
                 the vault",
                human::duration(*rpo)
            ),
            Self::DropRejected { workload, drop, reason } => write!(
                f,
                "drop {drop} of {workload} was rejected: {reason}; it is kept in quarantine on \
                 the share, and the next good drop resolves this"
            ),
            Self::AgentSilent { agent, last_heard, deadline } => write!(
                f,
                "agent {agent} is silent: nothing was heard of it since {last_heard}, and it \
                 reports at least every {}; check its host and its way to the vault",
                human::duration(*deadline)
            ),
            Self::ShareUnusable { agent, problem } => {
                write!(f, "agent {agent} cannot use its share: {problem}")
            }
            Self::RepositoryMissing { workload, what } => write!(
                f,
                "the vault's repository of {workload} is not whole: {what}; nothing is made in its \
                 place, so put it back, and this resolves by itself; if it is lost for good, \
                 `outlast workload recreate {workload}` begins anew"
            ),
            Self::AgentHindered { agent, problem } => {
                write!(f, "agent {agent} does not get drops into the vault: {problem}")
            }
            Self::StrayOnShare { agent, problem } => write!(
                f,
                "on the share of agent {agent} lies what nobody backs up: {problem}; give it a \
                 proper name, or remove it"
            ),
            Self::ContentUnusable { workload, problem } => write!(
                f,
                "what {workload} has on the share cannot be used: {problem}; until it is mended, \
                 what was known before counts"
            ),
            Self::VaultAbsent { from, until } => write!(
                f,
                "the vault was down from {from} until {until}, and promises broke meanwhile; \
                 those that the waiting drops do not mend will open by themselves"
            ),
            Self::VaultWentBack { lost, count } => went_back(f, lost, *count),
            Self::DropContested { workload, agent, drop, difference } => write!(
                f,
                "agent {agent} handed in a bill for drop {drop} of {workload} that is not the \
                 drop the vault holds under this id ({difference}); the vault keeps what it holds \
                 and took nothing; find out who used the id twice, and whether that agent's \
                 certificate is in the right hands"
            ),
        }
    }
}

fn went_back(f: &mut fmt::Formatter<'_>, lost: &[LostDrop], count: usize) -> fmt::Result {
    write!(
        f,
        "the vault does not hold {count} drops that it signed for: its directory was put back from \
         an older copy, or data was lost. Those that still lie on a share are shipped again by \
         themselves; keep every share as it is, and look for a newer copy of the vault. Missing:"
    )?;
    for (index, LostDrop { workload, drop, received }) in lost.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma} {workload} {drop} received {received}")?;
    }
    if count > lost.len() { write!(f, " and {} more", count - lost.len()) } else { Ok(()) }
}

/// A broken promise, or one that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Counts up from 1 within one ledger.
    pub id: u64,
    pub cause: Cause,
    /// The team that is asked: the promise's owner, or `platform`.
    pub team: String,
    pub opened: Timestamp,
    pub resolved: Option<Timestamp>,
    /// The incident that explains this one; it is not paged then.
    pub folded_into: Option<u64>,
}

impl Incident {
    pub fn key(&self) -> Key {
        self.cause.key()
    }

    pub fn owner(&self) -> Owner {
        self.cause.owner()
    }
}

/// What somebody has to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Opened(Incident),
    Resolved(Incident),
}

impl Change {
    /// The incident that changed.
    pub fn incident(&self) -> &Incident {
        match self {
            Self::Opened(incident) | Self::Resolved(incident) => incident,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let incident = self.incident();
        match (self, incident.resolved) {
            (Self::Resolved(_), Some(at)) => write!(
                f,
                "incident {} resolved after {}: {}",
                incident.id,
                human::duration(at.since(incident.opened)),
                incident.key()
            ),
            _ => write!(
                f,
                "incident {} for {} ({}): {}",
                incident.id,
                incident.team,
                incident.owner().as_str(),
                incident.cause
            ),
        }
    }
}

/// A text from outside, short and on one line, fit for a page.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(TEXT_LENGTH_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
