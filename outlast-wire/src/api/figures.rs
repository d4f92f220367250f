//! The figures of an agent: for those who watch it. Nothing is decided by them, but whether a share is too slow.

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

/// How an agent is doing, in numbers. Counters begin with its process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentFigures {
    /// Of the program.
    pub version: String,
    /// The agent's own clock, when it counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
    /// Passes over the share that ended.
    pub passes: u64,
    /// When the last of them ended, and how long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pass: Option<Timestamp>,
    pub last_pass_millis: u64,
    /// How long the pass that is under way has lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass_under_way_millis: Option<u64>,
    /// Drops that were vaulted, rejected, abandoned and released.
    pub drops_vaulted: u64,
    pub drops_rejected: u64,
    pub drops_abandoned: u64,
    pub drops_released: u64,
    /// Sealed drops that are not vaulted.
    pub drops_waiting: u64,
    /// Of these, the ones that were sent and wait at media servers, and the names of those.
    pub drops_in_transit: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<String>,
    /// How long the one waits that has waited longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_waiting_seconds: Option<u64>,
    /// Drops that are being read beside the others, because they take long.
    pub long_loads: u64,
    /// Calls that were made to the share's file system to look at it, and to change it.
    pub share_calls: u64,
    /// Bytes of content that the share has given in a second of late, while somebody waited for it; nothing if too
    /// little was read to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_bytes_per_second: Option<u64>,
    /// Workloads that were seen, and names beside them that wait for their turn.
    pub workloads: u64,
    pub names_waiting: u64,
    /// Bytes of content that were read, of these the ones that the vault had already, and bytes that
    /// were sent.
    pub bytes_read: u64,
    pub bytes_known: u64,
    pub bytes_sent: u64,
    /// Attempts that failed and are made again.
    pub retries: u64,
    /// Problems that the last pass met.
    pub problems: u64,
    /// Bytes of the agent's own directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_bytes: Option<u64>,
}
