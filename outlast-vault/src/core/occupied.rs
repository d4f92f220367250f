//! How much of their shares workloads take up, as agents tell it. For charging back only: nothing is decided by
//! it, and a start forgets it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outlast_types::{ShareId, Timestamp, WorkloadName};

/// Shares that are remembered; they are forgotten together.
const SHARES_MAX: usize = 4096;
/// Workloads of one share.
const WORKLOADS_MAX: usize = 100_000;
/// What no report has named for so long is not there any more.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// When it was told of each workload, and how many bytes it was.
type Told = BTreeMap<WorkloadName, (Timestamp, u64)>;

#[derive(Debug, Default)]
pub(crate) struct Occupied(Mutex<BTreeMap<ShareId, Told>>);

impl Occupied {
    /// A report came that says so of workloads.
    pub(crate) fn note<'a>(
        &self,
        share: ShareId,
        now: Timestamp,
        workloads: impl Iterator<Item = (&'a WorkloadName, u64)>,
    ) {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() >= SHARES_MAX && !shares.contains_key(&share) {
            shares.clear();
        }
        let known = shares.entry(share).or_default();
        for (workload, bytes) in workloads {
            if known.len() < WORKLOADS_MAX || known.contains_key(workload) {
                known.insert(workload.clone(), (now, bytes));
            }
        }
    }

    /// What each workload takes up of all shares together.
    pub(crate) fn by_workload(&self, now: Timestamp) -> BTreeMap<WorkloadName, u64> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = BTreeMap::new();
        for known in shares.values_mut() {
            known.retain(|_, (at, _)| now.since(*at) < FRESH);
            for (workload, (_, bytes)) in known {
                let sum: &mut u64 = sums.entry(workload.clone()).or_default();
                *sum = sum.saturating_add(*bytes);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_workload_takes_up_is_summed_over_shares_and_forgotten_when_nobody_tells_of_it() {
        let occupied = Occupied::default();
        let at = |hours: i64| Timestamp::from_unix(hours * 3600, 0).unwrap();
        let shares =
            ["7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01", "7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d02"]
                .map(|id| id.parse::<ShareId>().unwrap());
        let [shop, web] = ["shop", "web"].map(|name| WorkloadName::new(name).unwrap());
        occupied.note(shares[0], at(0), [(&shop, 5), (&web, 1)].into_iter());
        occupied.note(shares[1], at(20), [(&shop, 7)].into_iter());
        let all = occupied.by_workload(at(20));
        assert_eq!((all[&shop], all[&web]), (12, 1));
        occupied.note(shares[0], at(23), [(&shop, 2)].into_iter());
        let all = occupied.by_workload(at(25));
        assert_eq!((all[&shop], all.get(&web)), (9, None));
    }
}
