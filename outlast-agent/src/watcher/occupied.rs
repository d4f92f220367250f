//! How much of the share workloads take up.

use outlast_types::WorkloadName;

use super::Watcher;

impl Watcher {
    /// Bytes of content of secured drops of a workload whose data is on the share.
    pub(crate) fn held_bytes(&self, workload: &WorkloadName) -> u64 {
        let held = self.workloads.get(workload).into_iter().flat_map(|state| state.held.values());
        held.map(|secured| secured.held.size).sum()
    }
}
