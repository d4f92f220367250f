//! Open repositories, kept from one drop to the next.

use std::sync::Arc;

use outlast_repo::Repository;
use outlast_types::WorkloadName;

/// How many stay open. Each holds a few MiB for its index, and opening one anew costs looking
/// through what the cache has of that.
const OPEN_MAX: usize = 16;

/// The repositories used last, the most recent one at the end.
#[derive(Default)]
pub(crate) struct Repositories(Vec<(WorkloadName, Arc<Repository>)>);

impl Repositories {
    pub(crate) fn get(&mut self, workload: &WorkloadName) -> Option<Arc<Repository>> {
        let position = self.0.iter().position(|(name, _)| name == workload)?;
        let found = self.0.remove(position);
        let repository = Arc::clone(&found.1);
        self.0.push(found);
        Some(repository)
    }

    pub(crate) fn keep(&mut self, workload: &WorkloadName, repository: &Arc<Repository>) {
        self.forget(workload);
        if self.0.len() >= OPEN_MAX {
            self.0.remove(0);
        }
        self.0.push((workload.clone(), Arc::clone(repository)));
    }

    /// Forgets what is known of the workload's repository, so that it is looked at afresh.
    pub(crate) fn forget(&mut self, workload: &WorkloadName) {
        self.0.retain(|(name, _)| name != workload);
    }
}
