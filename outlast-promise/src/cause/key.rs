//! What incidents are about.

use std::fmt;

use outlast_types::WorkloadName;

use crate::event::Source;
use crate::handed::HandoverId;

/// What an incident is about. At most one incident per key is open at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub topic: Topic,
    pub subject: Subject,
}

/// The kind of thing that went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    Certificate,
    Media,
    Spool,
    Route,
    Agent,
    Share,
    Work,
    Stray,
    Clock,
    Content,
    Limits,
    NeverVaulted,
    Vault,
    Repository,
    VaultWentBack,
    AuditLog,
    ReleasesWithheld,
    Forgetting,
    ContestedDrop,
    RejectedDrop,
    Retired,
    FormerName,
    Data,
    Scrub,
    Drill,
    Shortening,
    Handover,
    HandoverRoom,
    Withdrawn,
    RecoveryPoint,
}

/// The thing that it went wrong with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Vault,
    /// Who holds a certificate: `agent road-1`.
    Holder(String),
    Agent(String),
    Media(String),
    /// A way by which people are told.
    Route(String),
    Source(Source),
    Handover(HandoverId),
    Workload(WorkloadName),
}

impl Topic {
    fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Media => "media",
            Self::Spool => "spool",
            Self::Route => "route",
            Self::Agent => "agent",
            Self::Share => "share",
            Self::Work => "work",
            Self::Stray => "stray",
            Self::Clock => "clock",
            Self::Content => "content",
            Self::Limits => "limits",
            Self::NeverVaulted => "never-vaulted",
            Self::Vault => "vault",
            Self::Repository => "repository",
            Self::VaultWentBack => "vault-went-back",
            Self::AuditLog => "audit-log",
            Self::ReleasesWithheld => "releases-withheld",
            Self::Forgetting => "forgetting",
            Self::ContestedDrop => "contested-drop",
            Self::RejectedDrop => "rejected-drop",
            Self::Retired => "retired",
            Self::FormerName => "former-name",
            Self::Data => "damaged-data",
            Self::Scrub => "scrub",
            Self::Drill => "drill",
            Self::Shortening => "shortening",
            Self::Handover => "handover",
            Self::HandoverRoom => "handover-room",
            Self::Withdrawn => "handover-withdrawn",
            Self::RecoveryPoint => "recovery-point",
        }
    }
}

impl Key {
    pub fn of_workload(topic: Topic, workload: &WorkloadName) -> Self {
        Self { topic, subject: Subject::Workload(workload.clone()) }
    }

    pub fn of_source(topic: Topic, source: &Source) -> Self {
        Self { topic, subject: Subject::Source(source.clone()) }
    }

    pub fn of_agent(agent: &str) -> Self {
        Self::about_agent(Topic::Agent, agent)
    }

    /// What else there is about an agent, whatever its share.
    pub fn about_agent(topic: Topic, agent: &str) -> Self {
        Self { topic, subject: Subject::Agent(agent.to_owned()) }
    }

    pub fn of_media(topic: Topic, media: &str) -> Self {
        Self { topic, subject: Subject::Media(media.to_owned()) }
    }

    pub fn of_route(route: &str) -> Self {
        Self { topic: Topic::Route, subject: Subject::Route(route.to_owned()) }
    }

    pub fn of_handover(topic: Topic, handover: &HandoverId) -> Self {
        Self { topic, subject: Subject::Handover(handover.clone()) }
    }

    /// The hand-over of an agent that it is about.
    pub(crate) fn handover_of(&self, agent: &str) -> Option<&HandoverId> {
        match &self.subject {
            Subject::Handover(handover) if handover.agent == agent => Some(handover),
            _ => None,
        }
    }

    pub fn of_vault(topic: Topic) -> Self {
        Self { topic, subject: Subject::Vault }
    }

    pub fn of_certificate(holder: &str) -> Self {
        Self { topic: Topic::Certificate, subject: Subject::Holder(holder.to_owned()) }
    }
}

/// Stable text for pagers that join repeated messages: `recovery-point/shop-db`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.topic.as_str())?;
        match &self.subject {
            Subject::Vault => Ok(()),
            Subject::Holder(holder) => write!(f, "/{}", holder.replacen(' ', "/", 1)),
            Subject::Agent(name) | Subject::Media(name) | Subject::Route(name) => {
                write!(f, "/{name}")
            }
            Subject::Source(source) => write!(f, "/{source}"),
            Subject::Handover(handover) => write!(f, "/{handover}"),
            Subject::Workload(workload) => write!(f, "/{workload}"),
        }
    }
}
