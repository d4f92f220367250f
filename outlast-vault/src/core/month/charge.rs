//! What a workload used in a month, for those who charge for it. Months that began before vaults counted this
//! have none of it, and come out as they did.

use serde::{Deserialize, Serialize};

use outlast_types::WorkloadName;

/// What one entry says of a day: of some of the workloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DayUsed {
    pub(crate) day: String,
    pub(crate) workloads: Vec<Used>,
}

/// What a workload used on a day, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) workload: WorkloadName,
    pub(crate) stored: u64,
    pub(crate) share: u64,
}

/// What a workload used in a month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Charge {
    /// How often somebody opened it to bring something back, or did not say what for; and to see what is there.
    pub(super) restores: u64,
    pub(super) listings: u64,
    /// On how many days was counted what is stored and taken up.
    pub(super) days_counted: u64,
    /// The mean of those days: bytes in the repository, and of drops on shares.
    pub(super) stored_bytes: Option<u64>,
    pub(super) share_bytes: Option<u64>,
    #[serde(skip)]
    sums: (u128, u128),
    #[serde(skip)]
    last_day: String,
}

impl Charge {
    /// Counts a day, once.
    pub(super) fn add(&mut self, day: &str, used: &Used) {
        if self.last_day.as_str() >= day {
            return;
        }
        day.clone_into(&mut self.last_day);
        self.sums.0 += u128::from(used.stored);
        self.sums.1 += u128::from(used.share);
    }

    /// The month has so many days on which anything was counted: on the others of them, this was not there.
    pub(super) fn finish(&mut self, days: u64) {
        self.days_counted = days;
        let mean = |sum: u128| {
            let mean = sum.checked_div(u128::from(days))?;
            Some(u64::try_from(mean).unwrap_or(u64::MAX))
        };
        (self.stored_bytes, self.share_bytes) = (mean(self.sums.0), mean(self.sums.1));
    }
}
