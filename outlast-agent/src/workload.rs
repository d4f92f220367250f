//! The drops of one workload, as far as they are known. Everything of it can be read from the share again.

use std::collections::{BTreeMap, HashMap, HashSet};

use outlast_drop::DropAddress;
use outlast_types::{Day, DropId};

use crate::custody::Proven;
use crate::secured::Secured;

/// Where a drop of a workload lies. An id alone names no drop: it may lie under two days.
pub(crate) type Place = (Day, DropId);

/// Where in its workload a drop lies.
pub(crate) fn place(address: &DropAddress) -> Place {
    (address.day, address.drop)
}

/// The drops of one workload.
#[derive(Default)]
pub(crate) struct WorkloadState {
    /// The proof that receipts give of drops that are not done with.
    pub(crate) proven: HashMap<Place, Proven>,
    /// Secured drops whose data is on the share.
    pub(crate) held: BTreeMap<DropAddress, Secured>,
    /// Drops with a receipt of a holder that says it does not hold them: they are shipped again.
    pub(crate) lost: HashSet<Place>,
}

impl WorkloadState {
    /// Forgets what receipts prove of drops that were not `sighted` just now.
    pub(crate) fn retain(&mut self, sighted: &HashSet<Place>) {
        self.proven.retain(|place, _| sighted.contains(place));
    }
}
