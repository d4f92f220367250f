//! What policy says of limits.

use std::collections::BTreeMap;

use outlast_types::WorkloadName;
use outlast_wire::Peer;

/// As many bytes as there are.
pub const UNLIMITED: u64 = u64::MAX;

/// What one agent may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentLimits {
    /// Workloads that it begins in a day.
    pub new_workloads: u64,
    /// Workloads that are known by its word alone: nothing of them was ever vaulted.
    pub reported_workloads: u64,
    /// Bytes that it sends in a day.
    pub received: u64,
    /// Objects that it sends in a day.
    pub objects: u64,
    /// Bytes that are stored of all workloads that it began.
    pub stored: u64,
    pub requests_per_second: u32,
}

impl Default for AgentLimits {
    /// More than one agent host does by itself.
    fn default() -> Self {
        Self {
            new_workloads: 10_000,
            reported_workloads: 10_000,
            received: 16 << 40,
            // As many packs of the usual size as that has.
            objects: 1_000_000,
            stored: UNLIMITED,
            requests_per_second: 500,
        }
    }
}

/// What policy allows whom. Other roles are bound by what is stored of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitPolicy {
    pub default: AgentLimits,
    /// For single agents.
    pub agents: BTreeMap<String, AgentLimits>,
    /// Bytes that are stored of one workload.
    pub workload_stored: u64,
    /// The same for single workloads.
    pub workloads: BTreeMap<WorkloadName, u64>,
}

impl Default for LimitPolicy {
    fn default() -> Self {
        Self {
            default: AgentLimits::default(),
            agents: BTreeMap::new(),
            workload_stored: UNLIMITED,
            workloads: BTreeMap::new(),
        }
    }
}

impl LimitPolicy {
    pub(super) fn of(&self, peer: &Peer) -> &AgentLimits {
        let of_agent = self.agents.get(peer.name());
        of_agent.filter(|_| peer.role() == outlast_wire::Role::Agent).unwrap_or(&self.default)
    }

    pub(super) fn stored_of(&self, workload: &WorkloadName) -> u64 {
        self.workloads.get(workload).copied().unwrap_or(self.workload_stored)
    }
}
