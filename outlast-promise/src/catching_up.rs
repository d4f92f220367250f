//! After an outage: what it held up arrives, and how long that may take before somebody looks.
//!
//! The incident of the outage stays open meanwhile, and explains what waits. It gives up when nothing
//! moves for a while, or when it takes twice as long as the first estimate said: then each workload
//! that is still broken speaks for itself.

use std::fmt;
use std::time::Duration;

use outlast_types::{Timestamp, human};
use serde::{Deserialize, Serialize};

/// Before so much of what waited has come, nobody can tell how long the rest takes: one in twenty.
const PART_BEFORE_ESTIMATE: u64 = 20;
/// Without an estimate, what moves may take so long.
const UNESTIMATED_MAX: Duration = Duration::from_secs(24 * 3600);

/// How it stands with what an outage held up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatchingUp {
    /// When what had gone wrong was right again.
    pub since: Timestamp,
    /// When anything last moved.
    pub moved: Timestamp,
    /// The workloads that waited, and those that still do.
    pub most: u64,
    pub left: u64,
    /// When all will have come, as was first estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Timestamp>,
}

impl CatchingUp {
    pub(crate) fn begun(now: Timestamp, left: u64) -> Self {
        Self { since: now, moved: now, most: left, left, estimate: None }
    }

    /// Takes note of how many workloads still wait. `patience` is how long nothing may move.
    pub(crate) fn advance(&mut self, left: u64, now: Timestamp, patience: Duration) {
        if self.estimate.is_none() {
            self.most = self.most.max(left);
        }
        if left < self.left {
            self.moved = now;
        }
        self.left = left;
        let elapsed = now.since(self.since);
        let done = self.done();
        let is_enough = done > 0 && done.saturating_mul(PART_BEFORE_ESTIMATE) >= self.most;
        let is_time = elapsed >= patience / 6 && (is_enough || elapsed >= patience);
        if self.estimate.is_none() && is_time {
            self.estimate = self.end_at_this_pace(now);
        }
    }

    /// Something moved, though nothing need have come whole.
    pub(crate) fn moved(&mut self, now: Timestamp) {
        self.moved = self.moved.max(now);
    }

    /// When it has taken too long, if nothing moves before.
    pub(crate) fn over_at(&self, patience: Duration) -> Timestamp {
        let most = self.estimate.map_or(UNESTIMATED_MAX.max(patience), |estimate| {
            estimate.since(self.since).saturating_mul(2).max(patience)
        });
        self.moved.saturating_add(patience).min(self.since.saturating_add(most))
    }

    pub(crate) fn is_over(&self, now: Timestamp, patience: Duration) -> bool {
        self.over_at(patience) <= now
    }

    /// When all will have come if it goes on as it went so far; none while nothing came.
    pub fn end_at_this_pace(&self, now: Timestamp) -> Option<Timestamp> {
        let elapsed = u64::try_from(now.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let millis = u128::from(elapsed) * u128::from(self.most);
        let millis = millis.checked_div(u128::from(self.done()))?;
        let takes = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        Some(self.since.saturating_add(takes))
    }

    fn done(&self) -> u64 {
        self.most.saturating_sub(self.left)
    }

    pub(crate) fn shift(&mut self, back: impl Fn(&mut Timestamp)) {
        back(&mut self.since);
        back(&mut self.moved);
        self.estimate.iter_mut().for_each(back);
    }
}

/// `it is over since …, and 120 of 400 workloads still wait; all will have come in about 2 h`
impl fmt::Display for CatchingUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, most, left, estimate, .. } = self;
        write!(f, "it is over since {since}, and {left} of {most} workloads still wait; ")?;
        match estimate {
            Some(end) => {
                let takes = human::duration(end.since(*since));
                write!(f, "the first estimate was that all have come after {takes}")
            }
            None => f.write_str("too little has come to say how long it takes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1800);

    fn at(second: u64) -> Timestamp {
        Timestamp::EPOCH.saturating_add(Duration::from_secs(second))
    }

    #[test]
    fn the_first_estimate_waits_for_one_in_twenty_and_five_minutes_and_stays() {
        let mut it = CatchingUp::begun(at(0), 1000);
        it.advance(900, at(299), PATIENCE);
        assert_eq!(it.estimate, None, "too soon");
        let mut slow = CatchingUp::begun(at(0), 1000);
        slow.advance(951, at(1799), PATIENCE);
        assert_eq!(slow.estimate, None, "too little");
        slow.advance(951, at(1800), PATIENCE);
        let seconds = |moment: Option<Timestamp>| moment.map(Timestamp::unix_seconds);
        assert_eq!(seconds(slow.estimate), Some(1800 * 1000 / 49), "all that there is must do");
        it.advance(900, at(300), PATIENCE);
        assert_eq!(it.estimate, Some(at(3000)));
        it.advance(100, at(400), PATIENCE);
        assert_eq!(it.estimate, Some(at(3000)), "the first one counts");
        assert_eq!(seconds(it.end_at_this_pace(at(400))), Some(444));
        assert_eq!(
            it.to_string(),
            "it is over since 1970-01-01T00:00:00Z, and 100 of 1000 workloads \
             still wait; the first estimate was that all have come after 50 min"
        );
    }

    #[test]
    fn it_gives_up_when_nothing_moves_or_at_twice_the_first_estimate() {
        let mut it = CatchingUp::begun(at(0), 100);
        assert_eq!(it.over_at(PATIENCE), at(1800));
        it.moved(at(1000));
        assert_eq!(it.over_at(PATIENCE), at(2800));
        it.advance(50, at(2000), PATIENCE);
        assert_eq!((it.estimate, it.over_at(PATIENCE)), (Some(at(4000)), at(3800)));
        for second in (3000..8000).step_by(1000) {
            it.moved(at(second));
        }
        assert!(!it.is_over(at(7999), PATIENCE));
        assert!(it.is_over(at(8000), PATIENCE), "it moves for twice as long as was estimated");
        let mut big = CatchingUp::begun(at(0), 1);
        big.moved(at(86_399));
        assert_eq!(big.over_at(PATIENCE), at(86_400), "without an estimate, a day must do");
    }

    proptest! {
        /// Whatever comes when: it ends, and not before its patience.
        #[test]
        fn it_is_never_over_before_its_patience_and_always_in_the_end(
            steps in prop::collection::vec((0_u64..2000, 0_u64..200), 0..100),
        ) {
            let (mut it, mut now) = (CatchingUp::begun(at(0), 100), 0);
            for (pause, left) in steps {
                now += pause;
                it.advance(left, at(now), PATIENCE);
                prop_assert!(it.over_at(PATIENCE) >= at(1800));
                prop_assert!(it.over_at(PATIENCE) <= at(now).saturating_add(PATIENCE));
                prop_assert!(it.left <= it.most || it.estimate.is_some());
            }
        }
    }
}
