//! What was noted of the month that is under way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_civil::Zone;
use outlast_types::WorkloadName;

use super::InForce;

/// What was noted of the month that is under way, in the zone of policy.
pub(crate) struct Months {
    pub(crate) zone: Zone,
    state: Mutex<Option<Noted>>,
}

/// The month, and the promise and state of each workload as they were noted last.
pub(crate) struct Noted {
    pub(crate) month: String,
    /// The last day of which it was noted what is used.
    pub(crate) counted: Option<String>,
    pub(crate) workloads: BTreeMap<WorkloadName, (InForce, String)>,
}

impl Months {
    pub(crate) fn in_zone(zone: Zone) -> Self {
        Self { zone, state: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Noted>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
