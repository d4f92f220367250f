//! Backups that instances want back: what an agent asks, and what it is answered.

use outlast_types::{ContentHash, DropId, RequestId, ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::challenge::Challenge;

/// The most requests of one question.
pub const REQUESTS_MAX: usize = 100;

/// Which backup of a workload is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantedBackup {
    /// The newest that counts as a recovery point.
    Latest,
    /// This one, whatever is thought of it.
    Drop(DropId),
    /// The newest of those that had come by then, by the vault's clock.
    At(Timestamp),
}

/// A request of an instance, named so that nothing can be put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AskedRequest {
    pub request: RequestId,
    /// The BLAKE3 of its whole file, with the public key in it.
    pub digest: ContentHash,
}

/// `POST /api/v1/workloads/{workload}/backup`: asks for a backup for instances that have asked the
/// agent. A
/// [`Statement`](crate::statement::Statement) about [`Subject::AskBackup`](crate::statement::Subject::AskBackup).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskBackup {
    /// The newest one of the vault that the agent knows.
    pub challenge: Challenge,
    /// By the agent's own clock: recorded, decides nothing.
    pub at: Timestamp,
    /// On which the requests lie.
    pub share: ShareId,
    /// As in the address.
    pub workload: WorkloadName,
    pub wanted: WantedBackup,
    /// Who wants it.
    pub requests: Vec<AskedRequest>,
    /// By what the agent knows that they belong to the workload, for the record: `owner` or `anyone`.
    pub proof: String,
}
