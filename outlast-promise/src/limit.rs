//! What policy allows an agent, and what is said when it wants more.

use std::fmt;

use outlast_types::{Timestamp, WorkloadName, codes, human};
use serde::{Deserialize, Serialize};

codes! {
    /// What an agent, or a workload, has only so much of.
    pub enum Limit {
        /// Workloads that an agent begins in a day.
        NewWorkloads => "new_workloads",
        /// Workloads that are known by an agent's word alone.
        ReportedWorkloads => "reported_workloads",
        /// Bytes that an agent sends in a day.
        Received => "received",
        /// Objects that an agent sends in a day, however small.
        Objects => "objects",
        /// Bytes that are stored of all workloads that an agent began.
        Stored => "stored",
        /// Bytes that are stored of one workload.
        WorkloadStored => "workload_stored",
        /// Requests that an agent makes in a second.
        Requests => "requests",
    }
}

impl Limit {
    /// How much of it is allowed: `10000 new workloads a day`.
    pub fn in_words(&self, allowed: u64) -> String {
        match self {
            Self::NewWorkloads => format!("{allowed} new workloads a day"),
            Self::ReportedWorkloads => {
                format!("{allowed} workloads of which it speaks and nothing was ever vaulted")
            }
            Self::Received => format!("{} a day", human::bytes(allowed)),
            Self::Objects => format!("{allowed} objects a day"),
            Self::Stored => format!("{} stored of all its workloads", human::bytes(allowed)),
            Self::WorkloadStored => format!("{} stored of one workload", human::bytes(allowed)),
            Self::Requests => format!("{allowed} requests a second"),
            Self::Other(_) => format!("{allowed} of something"),
        }
    }
}

/// An agent wants more than policy allows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excess {
    pub limit: Limit,
    pub allowed: u64,
    /// Of which workload, for limits that are of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
}

/// `10000 new workloads a day`, `50.0 GiB stored of one workload, which shop-db has`.
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.limit.in_words(self.allowed))?;
        self.workload.iter().try_for_each(|workload| write!(f, ", which {workload} has"))
    }
}

/// What is remembered of an agent that wanted more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverLimit {
    pub(crate) excess: Excess,
    /// When it last did.
    pub(crate) last: Timestamp,
}
