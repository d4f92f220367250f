//! The words that are signed: the content of statements.

use outlast_types::{ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use super::{AgentReport, Base64};
use crate::certificate::Fingerprint;
use crate::challenge::Challenge;
use crate::peer::Peer;
use crate::sealed_key::BoxPublicKey;

/// `POST /api/v1/workloads/{workload}/open`: asks for the workload's repository. A
/// [`Statement`](crate::statement::Statement) about [`Subject::Open`](crate::statement::Subject::Open).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRepository {
    /// The newest one of the vault that the asker knows.
    pub challenge: Challenge,
    /// By the asker's own clock: recorded, decides nothing.
    pub at: Timestamp,
    /// Of which share the asker speaks, if of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareId>,
    /// As in the address.
    pub workload: WorkloadName,
    /// To which the answer is to be sealed.
    pub box_public_key: BoxPublicKey,
    /// Why, in the words of who restores: recorded, decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What for, as who asks says it: `list` or `restore`. Recorded, decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

/// What somebody opens a repository for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To see what is there.
    List,
    /// To bring something back.
    Restore,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Restore => "restore",
        }
    }
}

/// The answer, as the vault signs it: where the repository is and, sealed, how to open it.
/// [`opening`](crate::opening) makes and opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedRepository {
    /// Who answers.
    pub vault: Peer,
    /// Whom.
    pub asker: Peer,
    /// Of the certificate with which it asked.
    pub certificate: Fingerprint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareId>,
    pub workload: WorkloadName,
    pub challenge: Challenge,
    /// By the vault's clock.
    pub at: Timestamp,
    /// The path below the vault's address, with a slash at both ends: `/repo/shop-db/`.
    pub repository_path: String,
    /// The version of the repository format, 1 or 2.
    pub version: u32,
    /// The repository's key, and for an agent a ticket.
    pub sealed: Base64,
}

/// `POST /api/v1/agent/report`: a report, or only that the agent lives. A
/// [`Statement`](crate::statement::Statement) about
/// [`Subject::Report`](crate::statement::Subject::Report).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedReport {
    /// The newest one of the vault that the agent knows.
    pub challenge: Challenge,
    /// Counts up with each report over one challenge. What is not newer than what was heard, by
    /// challenge and counter, does nothing.
    pub counter: u64,
    /// By the agent's own clock: recorded, decides nothing.
    pub at: Timestamp,
    /// Of which share it speaks. `None` before it has seen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareId>,
    /// What a pass saw; `None` if nothing is to be told but that the agent lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<AgentReport>,
}
