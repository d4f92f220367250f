//! What a look at the share finds.

use std::time::Duration;

use outlast_drop::DropAddress;
use outlast_types::{Day, WorkloadName};
use outlast_wire::api::Declared;

use crate::custody::CustodyState;
use crate::problem::Problem;

/// The outcome of a look at the share.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    /// Whether the share could be looked over, whatever was wrong with parts of it.
    pub(crate) is_usable: bool,
    /// Those that were looked at.
    pub(crate) workloads: Vec<ObservedWorkload>,
    /// All others that are there, as far as is known.
    pub(crate) remembered: Vec<(WorkloadName, Option<Declared>)>,
    pub(crate) problems: Vec<Problem>,
    /// Names beside the workloads that wait for a later look.
    pub(crate) names_waiting: u64,
    /// Whether each workload that is there has been looked at, whole, since the start.
    pub(crate) is_all: bool,
}

/// One workload, as a look saw it.
#[derive(Debug)]
pub(crate) struct ObservedWorkload {
    pub(crate) name: WorkloadName,
    pub(crate) declared: Option<Declared>,
    /// Drops that are not done with, in the order of their days and ids.
    pub(crate) drops: Vec<ObservedDrop>,
    /// Whether these are all.
    pub(crate) is_whole: bool,
    /// Whether nothing was ever dropped or declared there, as far as can be seen.
    pub(crate) is_empty: bool,
    /// Old days in which nothing is any more, as far as is known.
    pub(crate) closable: Vec<Day>,
}

/// One drop, as it is.
#[derive(Debug)]
pub(crate) struct ObservedDrop {
    pub(crate) address: DropAddress,
    pub(crate) custody: CustodyState,
    /// How long nothing in it has changed, by our own clock.
    pub(crate) still: Duration,
    /// Bytes of content, if it is sealed.
    pub(crate) bytes: u64,
    /// Whether it says that it is one of before, brought back from a backup product.
    pub(crate) is_brought_back: bool,
}
