//! How a month begins: the form of its report, and how each workload stood; and what each is called in it.

use std::collections::{BTreeMap, BTreeSet};

use outlast_promise::Safe;
use outlast_types::{Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

/// The form of a report of a month whose first entry names none: without what is charged for.
pub(super) const FIRST_FORM: u32 = 1;
/// The one before what backup products have was counted.
pub(super) const CHARGED_FORM: u32 = 2;
/// The form of reports of months that begin now.
pub(crate) const FORM: u32 = 3;

/// Single things that a workload's part of a report names, of each kind; all are counted.
pub(super) const NAMED_MAX: usize = 500;

/// How a workload stood when a month began: what the month's own entries cannot tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) workload: WorkloadName,
    pub(crate) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_point: Option<Timestamp>,
    pub(crate) promise: InForce,
    /// Each in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) holds: Vec<String>,
    pub(crate) snapshots: u64,
}

/// What is promised of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InForce {
    pub(crate) owner: String,
    /// In words, as policy says it: `a recovery point at most 26 h old`.
    pub(crate) promise: String,
    /// What makes a drop one, if that is not the vault alone.
    #[serde(default, skip_serializing_if = "Safe::is_vaulted")]
    pub(crate) safe: Safe,
}

/// The first entries of a month: `month`, and the workloads in as many entries as they need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// By which its report is made, for ever.
    #[serde(default = "first_form")]
    pub(crate) form: u32,
    pub(crate) month: String,
    pub(crate) zone: String,
    pub(crate) workloads: Vec<Carried>,
}

/// What a workload is called from a moment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Renamed {
    pub(super) to: WorkloadName,
    pub(super) at: Timestamp,
}

/// An order by which a workload got another name.
#[derive(Debug, Clone)]
pub(super) struct Renaming {
    pub(super) from: WorkloadName,
    pub(super) to: WorkloadName,
    pub(super) at: Timestamp,
}

/// All of a month.
#[derive(Debug, Default)]
pub(super) struct Renamings {
    /// Those of one workload each, in their order.
    pub(super) of_workloads: Vec<Vec<Renaming>>,
    /// By each of its names, which of them.
    pub(super) by_name: BTreeMap<WorkloadName, usize>,
}

impl Renamings {
    pub(super) fn note(&mut self, renaming: Renaming) {
        let Renaming { from, to, .. } = &renaming;
        let known = self.by_name.get(from).or_else(|| self.by_name.get(to)).copied();
        let place = known.unwrap_or(self.of_workloads.len());
        self.by_name.insert(from.clone(), place);
        self.by_name.insert(to.clone(), place);
        match self.of_workloads.get_mut(place) {
            Some(others) => others.push(renaming),
            None => self.of_workloads.push(vec![renaming]),
        }
    }

    /// All names of the workload that is or was called so, if it has several.
    pub(super) fn names(&self, name: &WorkloadName) -> BTreeSet<WorkloadName> {
        let place = self.by_name.get(name);
        let renamings = place.and_then(|place| self.of_workloads.get(*place)).into_iter().flatten();
        renamings.flat_map(|it| [it.from.clone(), it.to.clone()]).collect()
    }
}

fn first_form() -> u32 {
    FIRST_FORM
}
