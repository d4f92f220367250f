//! Tells a slow writer from a dead one, by the watcher's own clock.

use std::collections::HashMap;
use std::time::Duration;

use outlast_types::Timestamp;

use crate::layout::DropAddress;

/// A fingerprint of everything that a writer at work changes: another value means that it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fingerprint(pub u64);

/// Remembers since when each drop has been still.
///
/// The times of a writer are claims, and those of a file server another machine's; so stillness
/// is measured by looking again. After a restart of the watcher it begins anew, which errs on
/// the side of waiting.
///
/// Time in which nobody looked counts only in part. When a file server is away for longer than
/// the grace time, watcher and writers hang alike, and the writers need a moment to be seen alive.
#[derive(Debug, Default)]
pub struct StillnessTracker {
    seen: HashMap<DropAddress, Look>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    fingerprint: Fingerprint,
    looked: Timestamp,
    still: Duration,
}

impl StillnessTracker {
    /// Notes what was seen at `now`; returns how long the drop has not changed. Between two looks
    /// at most `gap_max` counts.
    pub fn observe(
        &mut self,
        address: &DropAddress,
        fingerprint: Fingerprint,
        now: Timestamp,
        gap_max: Duration,
    ) -> Duration {
        let begin = Look { fingerprint, looked: now, still: Duration::ZERO };
        let look = match self.seen.get_mut(address) {
            Some(look) => look,
            None => self.seen.entry(address.clone()).or_insert(begin),
        };
        if look.fingerprint != fingerprint || look.looked > now {
            *look = begin;
        }
        look.still += now.since(look.looked).min(gap_max);
        look.looked = now;
        look.still
    }

    /// When a drop was last seen to change, as far as the time in between counts.
    pub fn last_life(&self, address: &DropAddress) -> Option<Timestamp> {
        self.seen.get(address).map(|look| look.looked.saturating_sub(look.still))
    }

    /// Forgets a drop that needs no more watching.
    pub fn forget(&mut self, address: &DropAddress) {
        self.seen.remove(address);
    }

    /// Forgets all drops but those for which `keep` holds, so that the memory stays small.
    pub fn retain(&mut self, mut keep: impl FnMut(&DropAddress) -> bool) {
        self.seen.retain(|address, _| keep(address));
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::{DropId, SystemClock, SystemRandom, WorkloadName};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds, 0).unwrap()
    }

    #[test]
    fn only_a_drop_that_does_not_change_grows_still() {
        let address = DropAddress {
            workload: WorkloadName::new("w").unwrap(),
            day: at(0).day(),
            drop: DropId::new(&SystemClock, &SystemRandom),
        };
        let mut tracker = StillnessTracker::default();
        let gap_max = Duration::from_secs(60);
        let mut still = |fingerprint, seconds| {
            tracker.observe(&address, Fingerprint(fingerprint), at(seconds), gap_max).as_secs()
        };
        assert_eq!(still(1, 100), 0);
        assert_eq!(still(1, 160), 60);
        assert_eq!(still(2, 170), 0, "a sign of life");
        assert_eq!(still(2, 180), 10);
        assert_eq!(still(2, 50), 0, "a clock that went back starts anew");
        assert_eq!(still(2, 60), 10);
        assert_eq!(still(2, 9000), 70, "nobody could look in between");
        assert_eq!(still(2, 9010), 80);
    }
}
