//! Drops that lie on the share although nothing more is done with them: those that the vault holds, and those that are left
//! to backup products.

use std::collections::BTreeMap;

use outlast_drop::DropAddress;
use outlast_types::WorkloadName;

use super::Watcher;
use crate::workload::Entrusted;

impl Watcher {
    /// Bytes of content of drops of a workload whose data is on the share and that wait for nothing.
    pub(crate) fn held_bytes(&self, workload: &WorkloadName) -> u64 {
        let Some(state) = self.workloads.get(workload) else { return 0 };
        let held = state.held.values().map(|secured| secured.held.size);
        held.chain(state.entrusted.values().map(|it| it.bytes)).fold(0, u64::saturating_add)
    }

    /// A drop lies where backup products read that are to have it alone; until it is freed, it is not looked at again.
    pub(crate) fn entrust(&mut self, address: &DropAddress, entrusted: Entrusted) {
        self.settle(address);
        self.workload(address).entrusted.insert(address.clone(), entrusted);
    }

    /// Those of one workload.
    pub(crate) fn entrusted(&self, workload: &WorkloadName) -> BTreeMap<DropAddress, Entrusted> {
        self.workloads.get(workload).map(|state| state.entrusted.clone()).unwrap_or_default()
    }

    /// Those of all.
    pub(crate) fn all_entrusted(&self) -> BTreeMap<DropAddress, Entrusted> {
        let all = self.workloads.values().flat_map(|state| &state.entrusted);
        all.map(|(address, it)| (address.clone(), *it)).collect()
    }
}
