//! What was used: pure.

use std::collections::BTreeMap;

use outlast_types::{Day, WorkloadName};
use serde::{Deserialize, Serialize};

/// Of what is written.
const VERSION: u32 = 1;

/// All that was used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Usage {
    version: u32,
    /// The day of which the counts are, by the vault's clock.
    day: Option<Day>,
    /// What agents used on that day.
    agents: BTreeMap<String, OfToday>,
    workloads: BTreeMap<WorkloadName, Stored>,
    /// What is stored of all workloads of each agent.
    #[serde(skip)]
    by_agent: BTreeMap<String, u64>,
}

/// What an agent used today.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OfToday {
    pub(super) begun: u64,
    pub(super) received: u64,
    #[serde(default)]
    pub(super) objects: u64,
}

/// What is stored of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    bytes: u64,
    /// Whose it is: the agent that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("it has version {0}, and this program knows {VERSION}")]
    Version(u32),
}

impl Usage {
    pub(super) fn parse(record: &[u8]) -> Result<Self, Unreadable> {
        let mut usage: Self = serde_json::from_slice(record)?;
        if usage.version != VERSION {
            return Err(Unreadable::Version(usage.version));
        }
        for stored in usage.workloads.values() {
            if let Some(agent) = &stored.agent {
                *usage.by_agent.entry(agent.clone()).or_default() += stored.bytes;
            }
        }
        Ok(usage)
    }

    /// As it is kept.
    pub(super) fn written(&mut self) -> Vec<u8> {
        self.version = VERSION;
        // Texts and numbers: nothing here that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What an agent used on `day`; what was used on another one counts no more.
    pub(super) fn today(&mut self, day: Day, agent: &str) -> &mut OfToday {
        if self.day != Some(day) {
            (self.day, self.agents) = (Some(day), BTreeMap::new());
        }
        self.agents.entry(agent.to_owned()).or_default()
    }

    pub(super) fn stored_of(&self, workload: &WorkloadName) -> u64 {
        self.workloads.get(workload).map_or(0, |stored| stored.bytes)
    }

    pub(super) fn all_stored(&self) -> BTreeMap<WorkloadName, u64> {
        self.workloads.iter().map(|(name, stored)| (name.clone(), stored.bytes)).collect()
    }

    pub(super) fn stored_by(&self, agent: &str) -> u64 {
        self.by_agent.get(agent).copied().unwrap_or(0)
    }

    /// So much more is stored of a workload, which is `agent`'s if it is nobody's yet.
    pub(super) fn store(&mut self, workload: &WorkloadName, agent: Option<&str>, bytes: u64) {
        let before = self.stored_of(workload);
        let stored = self.workloads.entry(workload.clone()).or_default();
        if let Some(agent) = agent
            && stored.agent.is_none()
        {
            stored.agent = Some(agent.to_owned());
            *self.by_agent.entry(agent.to_owned()).or_default() += before;
        }
        self.measured(workload, before.saturating_add(bytes));
    }

    /// So much is stored of a workload.
    pub(super) fn measured(&mut self, workload: &WorkloadName, bytes: u64) {
        let stored = self.workloads.entry(workload.clone()).or_default();
        let before = std::mem::replace(&mut stored.bytes, bytes);
        if let Some(of_agent) = stored.agent.as_ref().and_then(|agent| self.by_agent.get_mut(agent))
        {
            *of_agent = of_agent.saturating_sub(before).saturating_add(bytes);
        }
    }
}
