//! Incidents: the only thing that pages.

use std::fmt;
use std::time::Duration;

use outlast_types::{DropId, ShareId, Timestamp, WorkloadName, human};
use serde::{Deserialize, Serialize};

use crate::Source;

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
    Certificate(String),
    Agent(String),
    Share(Source),
    Work(Source),
    Stray(Source),
    Content(WorkloadName),
    Vault,
    Repository(WorkloadName),
    VaultWentBack,
    ContestedDrop(WorkloadName),
    RejectedDrop(WorkloadName),
    Retired(WorkloadName),
    RecoveryPoint(WorkloadName),
}

/// Stable text for pagers that join repeated messages: `recovery-point/shop-db`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(holder) => {
                write!(f, "certificate/{}", holder.replacen(' ', "/", 1))
            }
            Self::Agent(agent) => write!(f, "agent/{agent}"),
            Self::Share(source) => write!(f, "share/{source}"),
            Self::Work(source) => write!(f, "work/{source}"),
            Self::Stray(source) => write!(f, "stray/{source}"),
            Self::Content(workload) => write!(f, "content/{workload}"),
            Self::Vault => f.write_str("vault"),
            Self::Repository(workload) => write!(f, "repository/{workload}"),
            Self::VaultWentBack => f.write_str("vault-went-back"),
            Self::ContestedDrop(workload) => write!(f, "contested-drop/{workload}"),
            Self::RejectedDrop(workload) => write!(f, "rejected-drop/{workload}"),
            Self::Retired(workload) => write!(f, "retired/{workload}"),
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
    /// A workload was retired, and drops all the same.
    RetiredDropped { workload: WorkloadName, retired: Timestamp, dropped: Timestamp },
    /// Nothing was heard of an agent for its whole deadline.
    AgentSilent { agent: String, last_heard: Timestamp, deadline: Duration },
    /// An agent is alive, but nothing was heard of one of its shares for its whole deadline.
    ShareSilent { source: Source, last_heard: Timestamp, deadline: Duration },
    /// An agent is alive but cannot read its share.
    ShareUnusable {
        agent: String,
        #[serde(default)]
        share: Option<ShareId>,
        problem: String,
    },
    /// An agent reads its share, but does not get drops into the vault.
    AgentHindered {
        agent: String,
        #[serde(default)]
        share: Option<ShareId>,
        problem: String,
    },
    /// Something lies on a share that can be nobody's drop.
    StrayOnShare {
        agent: String,
        #[serde(default)]
        share: Option<ShareId>,
        problem: String,
    },
    /// What a team has put on the share for its workload cannot be used.
    ContentUnusable { workload: WorkloadName, problem: String },
    /// A certificate ends soon, or has ended.
    CertificateEnds { holder: String, until: Timestamp },
    /// A certificate is not valid yet, so it was made under another clock.
    CertificateEarly { holder: String, from: Timestamp },
    /// The vault's repository of a workload is not there, or not all of it, though it is remembered.
    RepositoryMissing { workload: WorkloadName, what: String },
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
            Self::RetiredDropped { workload, .. } => Key::Retired(workload.clone()),
            Self::AgentSilent { agent, .. } => Key::Agent(agent.clone()),
            Self::AgentHindered { agent, share, .. } => {
                Key::Work(Source { agent: agent.clone(), share: *share })
            }
            Self::StrayOnShare { agent, share, .. } => {
                Key::Stray(Source { agent: agent.clone(), share: *share })
            }
            Self::ContentUnusable { workload, .. } => Key::Content(workload.clone()),
            Self::ShareSilent { source, .. } => Key::Share(source.clone()),
            Self::ShareUnusable { agent, share, .. } => {
                Key::Share(Source { agent: agent.clone(), share: *share })
            }
            Self::CertificateEnds { holder, .. } | Self::CertificateEarly { holder, .. } => {
                Key::Certificate(holder.clone())
            }
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
            | Self::ContentUnusable { .. }
            | Self::RetiredDropped { .. } => Owner::App,
            Self::NotVaulted { .. }
            | Self::AgentSilent { .. }
            | Self::ShareSilent { .. }
            | Self::ShareUnusable { .. }
            | Self::AgentHindered { .. }
            | Self::StrayOnShare { .. }
            | Self::CertificateEnds { .. }
            | Self::CertificateEarly { .. }
            | Self::RepositoryMissing { .. }
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
            | Self::RetiredDropped { workload, .. }
            | Self::RepositoryMissing { workload, .. }
            | Self::DropContested { workload, .. }
            | Self::ContentUnusable { workload, .. } => Some(workload),
            Self::AgentSilent { .. }
            | Self::ShareSilent { .. }
            | Self::ShareUnusable { .. }
            | Self::AgentHindered { .. }
            | Self::StrayOnShare { .. }
            | Self::CertificateEnds { .. }
            | Self::CertificateEarly { .. }
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
            Self::RetiredDropped { workload, retired, dropped } => write!(
                f,
                "{workload} was retired at {retired}, and a drop of it was vaulted at {dropped}: \
                 its promise counts again; retire it again when nothing drops it any more, or \
                 resume it if it lives"
            ),
            Self::ShareSilent { source, last_heard, deadline } => {
                share_silent(f, source, *last_heard, *deadline)
            }
            Self::ShareUnusable { agent, problem, .. } => {
                write!(f, "agent {agent} cannot use its share: {problem}")
            }
            Self::AgentHindered { agent, problem, .. } => {
                write!(f, "agent {agent} does not get drops into the vault: {problem}")
            }
            Self::StrayOnShare { agent, problem, .. } => stray(f, agent, problem),
            Self::ContentUnusable { workload, problem } => unusable(f, workload, problem),
            Self::CertificateEnds { holder, until } => certificate_ends(f, holder, *until),
            Self::CertificateEarly { holder, from } => certificate_early(f, holder, *from),
            Self::RepositoryMissing { workload, what } => write!(
                f,
                "the vault's repository of {workload} is not whole: {what}; nothing is made in its \
                 place, so put it back, and this resolves by itself; if it is lost for good, \
                 `outlast workload recreate {workload}` begins anew"
            ),
            Self::VaultAbsent { from, until } => write!(
                f,
                "the vault was down from {from} until {until}, and promises broke meanwhile; \
                 those that the waiting drops do not mend will open by themselves"
            ),
            Self::VaultWentBack { lost, count } => went_back(f, lost, *count),
            Self::DropContested { workload, agent, drop, difference } => {
                contested(f, workload, agent, *drop, difference)
            }
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

fn contested(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    agent: &str,
    drop: DropId,
    difference: &str,
) -> fmt::Result {
    write!(
        f,
        "agent {agent} handed in a bill for drop {drop} of {workload} that is not the drop the \
         vault holds under this id ({difference}); the vault keeps what it holds and took nothing; \
         find out who used the id twice, and whether that agent's certificate is in the right hands"
    )
}

fn share_silent(
    f: &mut fmt::Formatter<'_>,
    Source { agent, share }: &Source,
    last_heard: Timestamp,
    deadline: Duration,
) -> fmt::Result {
    write!(
        f,
        "agent {agent} says nothing of share {} since {last_heard}, though it reports at least every \
         {} of another one: if two agents bear one name, look after the other one, and give it a \
         name of its own",
        share.map_or_else(|| "(unknown)".to_owned(), |share| share.to_string()),
        human::duration(deadline)
    )
}

fn stray(f: &mut fmt::Formatter<'_>, agent: &str, problem: &str) -> fmt::Result {
    write!(
        f,
        "on the share of agent {agent} lies what nobody backs up: {problem}; give it a proper \
         name, or remove it"
    )
}

fn unusable(f: &mut fmt::Formatter<'_>, workload: &WorkloadName, problem: &str) -> fmt::Result {
    write!(
        f,
        "what {workload} has on the share cannot be used: {problem}; until it is mended, what was \
         known before counts"
    )
}

fn certificate_ends(f: &mut fmt::Formatter<'_>, holder: &str, until: Timestamp) -> fmt::Result {
    write!(
        f,
        "the certificate of {holder} is valid until {until} only, by the vault's clock; renew it \
         before, or {holder} is refused from then on (`outlast up` renews its own when it starts)"
    )
}

fn certificate_early(f: &mut fmt::Formatter<'_>, holder: &str, from: Timestamp) -> fmt::Result {
    write!(
        f,
        "the certificate of {holder} is valid from {from} only, and nobody believes it before: \
         this clock is wrong, or the one was under which it was made; set the clock right, and \
         issue the certificate again"
    )
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
