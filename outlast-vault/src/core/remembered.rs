//! What remembers a workload: nothing is made anew where anything does (I6).

use std::collections::{BTreeMap, BTreeSet};

use outlast_catalog::Catalog;
use outlast_types::WorkloadName;

use super::arrivals::Arrivals;
use super::error::VaultError;
use super::presence::Memory;
use super::repositories::Repositories;
use super::vault::Vault;

impl Vault {
    pub(crate) fn memory_of(&self, workload: &WorkloadName) -> Result<Memory, VaultError> {
        Ok(Memory {
            snapshots: self.promises.catalog().snapshot_count(workload)?,
            vaulted: self
                .promises
                .status(workload)
                .is_some_and(|known| known.last_vaulted.is_some()),
            arrivals: self.arrivals.is_any(workload)?,
            // The repositories' own to know.
            password: false,
        })
    }

    /// All workloads that anything remembers to have a repository.
    pub(crate) fn memories(&self) -> Result<BTreeMap<WorkloadName, Memory>, VaultError> {
        let vaulted = self.promises.vaulted_workloads();
        memories(&self.repositories, &self.arrivals, self.promises.catalog(), vaulted)
    }
}

/// What remembers which workload; `vaulted` are those of which a drop is known to have come.
pub(crate) fn memories(
    repositories: &Repositories,
    arrivals: &Arrivals,
    catalog: &Catalog,
    vaulted: BTreeSet<WorkloadName>,
) -> Result<BTreeMap<WorkloadName, Memory>, VaultError> {
    let mut memories: BTreeMap<WorkloadName, Memory> = BTreeMap::new();
    for workload in repositories.workloads()?.into_iter().chain(repositories.with_password()?) {
        memories.entry(workload).or_default();
    }
    for workload in vaulted {
        memories.entry(workload).or_default().vaulted = true;
    }
    for workload in arrivals.workloads()? {
        memories.entry(workload).or_default().arrivals = true;
    }
    for (workload, totals) in catalog.totals()? {
        memories.entry(workload).or_default().snapshots = totals.snapshots;
    }
    Ok(memories)
}
