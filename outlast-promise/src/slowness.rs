//! A share that is too slow for what waits on it: told before a promise breaks of it.
//!
//! Some shares never fill: they slow down when their credits are used up, and what was vaulted in an hour takes a day.

use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};

/// What waits of one workload to be read from a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub workload: WorkloadName,
    pub bytes: u64,
    /// When its promise breaks, if none of this arrives.
    pub due: Timestamp,
}

/// A promise that will break, though all that it needs lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slowness {
    pub workload: WorkloadName,
    /// When it will have been read.
    pub read: Timestamp,
    pub due: Timestamp,
    /// Bytes of all that waits.
    pub waiting: u64,
}

/// The promise that breaks first because a share gives `rate` bytes a second, if one does. All that waits is read by
/// turns, as the agent does: each gets as much as any other until it has all.
pub fn slowness(backlogs: &[Backlog], rate: u64, now: Timestamp) -> Option<Slowness> {
    let mut sorted: Vec<&Backlog> = backlogs.iter().filter(|backlog| backlog.bytes > 0).collect();
    sorted.sort_by_key(|backlog| backlog.bytes);
    let waiting = sorted.iter().fold(0, |sum: u64, backlog| sum.saturating_add(backlog.bytes));
    let mut smaller: u64 = 0;
    let mut first: Option<Slowness> = None;
    for (number, backlog) in sorted.iter().enumerate() {
        // Until it has all, those that are larger have as much, and all smaller ones are done with.
        let others = u64::try_from(sorted.len() - number).unwrap_or(u64::MAX);
        let before = smaller.saturating_add(backlog.bytes.saturating_mul(others));
        smaller = smaller.saturating_add(backlog.bytes);
        let takes = Duration::from_secs(before.checked_div(rate).unwrap_or(u64::MAX / 4));
        let (read, due) = (now.saturating_add(takes), backlog.due);
        // One that has broken already has its incident.
        let is_first = first.as_ref().is_none_or(|first| due < first.due);
        if due > now && read > due && is_first {
            let workload = backlog.workload.clone();
            first = Some(Slowness { workload, read, due, waiting });
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds))
    }

    fn backlogs(of: &[(u64, u64)]) -> Vec<Backlog> {
        let backlog = |(number, (bytes, due)): (usize, &(u64, u64))| {
            let workload = WorkloadName::new(&format!("w{number}")).unwrap();
            Backlog { workload, bytes: *bytes, due: at(*due) }
        };
        of.iter().enumerate().map(backlog).collect()
    }

    fn broken(of: &[(u64, u64)], rate: u64) -> Option<(String, u64)> {
        let found = slowness(&backlogs(of), rate, at(1000))?;
        Some((found.workload.to_string(), found.read.since(at(1000)).as_secs()))
    }

    #[test]
    fn i3_a_share_that_is_too_slow_is_told_before_the_promise_breaks() {
        assert_eq!(broken(&[(100, 1011)], 10), None, "just in time");
        assert_eq!(broken(&[(100, 1009)], 10), Some(("w0".to_owned(), 10)));
        // The smaller is done when both have had as much.
        assert_eq!(broken(&[(100, 1021), (10_000, 1_000_000)], 10), None);
        assert_eq!(broken(&[(100, 1019), (10_000, 1_000_000)], 10), Some(("w0".to_owned(), 20)));
        assert_eq!(broken(&[(100, 1500), (10_000, 1600)], 10), Some(("w1".to_owned(), 1010)));
        let both = broken(&[(10_000, 1500), (10_000, 1400)], 10);
        assert_eq!(both.unwrap().0, "w1", "the one that breaks first");
        assert_eq!(broken(&[(100, 1_000_000)], 0).unwrap().0, "w0", "it gives nothing at all");
    }

    #[test]
    fn i2_what_is_broken_already_and_what_waits_for_nothing_page_nobody_for_slowness() {
        assert_eq!(broken(&[], 10), None);
        assert_eq!(broken(&[(0, 1001)], 10), None);
        assert_eq!(broken(&[(u64::MAX, 1000), (u64::MAX, 900)], 10), None);
    }

    proptest! {
        #[test]
        fn a_faster_share_breaks_nothing_that_a_slower_one_keeps(
            of in prop::collection::vec((0_u64..1000, 1001_u64..3000), 0..10),
            rate in 1_u64..100,
        ) {
            if broken(&of, rate).is_none() {
                prop_assert_eq!(broken(&of, rate + 1), None);
            }
            // All of it is read when the last of it is.
            let total: u64 = of.iter().map(|(bytes, _)| bytes).sum();
            if let Some((_, read)) = broken(&of, rate) {
                prop_assert!(read <= total / rate);
            }
        }
    }
}
