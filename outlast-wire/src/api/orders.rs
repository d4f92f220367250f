//! What operators order of workloads and drops.

use outlast_types::{DropId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

/// `POST /api/v1/workloads/{workload}/recreate`: begins a repository anew that is missing for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecreateOrder {
    /// For those who read later what was done.
    pub reason: String,
}

/// `POST /api/v1/workloads/{workload}/pause`: nobody is paged for it until then. One of the two ends
/// is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseOrder {
    /// From now on, by the vault's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub reason: String,
}

/// `POST /api/v1/workloads/{workload}/retire`: it drops no more. `…/resume`: its promise counts again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonedOrder {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /api/v1/workloads/{workload}/accept`: a drop that is suspect, or was rejected as no whole
/// backup, is a backup all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptOrder {
    pub drop: DropId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to an order of an operator. `GET /api/v1/orders?workload=` gives a list of these, in
/// the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// Counts up from 1.
    pub number: u64,
    /// By the vault's clock.
    pub at: Timestamp,
    /// Who ordered it: `operator eu-1`.
    pub by: String,
    /// `recreate`, `pause`, `retire`, `resume`, `accept`, or `destroy` by the vault itself.
    pub action: String,
    pub workload: WorkloadName,
    /// The drop that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<DropId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When a pause ends by itself, or until when drops of a retired workload are no surprise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many snapshots went with a repository that was begun anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_forgotten: Option<u64>,
}

/// `POST /api/v1/releases/resume`: agents that did not report since the vault was brought back are not waited
/// for any longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeReleases {
    /// Why, for whoever reads the audit log.
    pub reason: String,
}

/// The answer to [`ResumeReleases`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasesResumed {
    /// Who never reported.
    pub silent_agents: Vec<String>,
}
