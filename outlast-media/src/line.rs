//! Whose bytes go over the line next, and when: pure.
//!
//! Two things decide. A *bucket* says how many bytes may go now: it fills at the calendar's rate and
//! holds little, so that what was not used is not caught up with in a burst. *Deficit round robin*
//! (M. Shreedhar, G. Varghese, "Efficient Fair Queuing Using Deficit Round Robin", SIGCOMM 1995) says whose:
//! workloads take turns, each with as many bytes a turn as the others, whatever the size of its pieces.
//! Restores go before all others, at a rate of their own.

use std::collections::VecDeque;
use std::time::Duration;

use outlast_types::WorkloadName;

use crate::calendar::Rate;

/// The largest piece that is handed on at once, in bytes.
pub const SLICE: u64 = 64 << 10;
/// What a workload gets in one turn: an object of others waits for no more than this of each.
const QUANTUM: u64 = 1 << 20;
/// What a bucket holds, as time at its rate; at least one slice.
const BUCKET: Duration = Duration::from_millis(50);

/// Bytes that may go, at a rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Bytes, times a second in nanoseconds: nothing is lost by rounding.
    level: u128,
    at: Duration,
}

const SECOND: u128 = 1_000_000_000;

impl Bucket {
    pub(crate) fn new(now: Duration) -> Self {
        Self { level: 0, at: now }
    }

    /// Takes `bytes` if they may go at `now`; else how long to wait. Of a closed line nobody knows: the
    /// calendar is asked again.
    pub(crate) fn take(&mut self, bytes: u64, rate: Rate, now: Duration) -> Result<(), Wait> {
        let rate = match rate {
            Rate::Unlimited => {
                (self.level, self.at) = (0, now);
                return Ok(());
            }
            Rate::PerSecond(0) => {
                (self.level, self.at) = (0, now);
                return Err(Wait::ForTheCalendar);
            }
            Rate::PerSecond(rate) => u128::from(rate),
        };
        let most = (rate * BUCKET.as_nanos()).max(u128::from(SLICE) * SECOND);
        let came = rate * now.saturating_sub(self.at).as_nanos();
        (self.level, self.at) = ((self.level + came).min(most), now.max(self.at));
        // What is larger than the bucket waits for a full one.
        let wanted = u128::from(bytes) * SECOND;
        if self.level >= wanted.min(most) {
            self.level = self.level.saturating_sub(wanted);
            return Ok(());
        }
        let nanos = (wanted.min(most) - self.level).div_ceil(rate);
        Err(Wait::For(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))))
    }
}

/// Why nothing goes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    For(Duration),
    ForTheCalendar,
}

/// Turns of those who have something to send.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    waiting: VecDeque<Turn>,
}

#[derive(Debug)]
struct Turn {
    workload: WorkloadName,
    /// The bytes of its next piece.
    next: u64,
    /// What it may still send in this round.
    credit: u64,
    /// Whether it has had its quantum of this round.
    served: bool,
}

impl Rounds {
    /// A workload wants to send a piece of `bytes`. One that waits already has one next piece.
    pub(crate) fn want(&mut self, workload: &WorkloadName, bytes: u64) {
        match self.waiting.iter_mut().find(|turn| turn.workload == *workload) {
            Some(turn) => turn.next = bytes,
            None => self.waiting.push_back(Turn {
                workload: workload.clone(),
                next: bytes,
                credit: 0,
                served: false,
            }),
        }
    }

    /// A workload has nothing more to send: what it had left of its turn is gone, too.
    pub(crate) fn done(&mut self, workload: &WorkloadName) {
        self.waiting.retain(|turn| turn.workload != *workload);
    }

    /// Whose piece goes next, and its bytes.
    pub(crate) fn peek(&mut self) -> Option<(&WorkloadName, u64)> {
        // Each one that is passed over has more credit the next time: it ends.
        loop {
            let turn = self.waiting.front_mut()?;
            if !turn.served {
                (turn.credit, turn.served) = (turn.credit.saturating_add(QUANTUM), true);
            }
            if turn.credit >= turn.next {
                break;
            }
            turn.served = false;
            self.waiting.rotate_left(1);
        }
        self.waiting.front().map(|turn| (&turn.workload, turn.next))
    }

    /// The piece that [`peek`](Self::peek) named has gone; another one may follow in the same turn.
    pub(crate) fn sent(&mut self) {
        if let Some(turn) = self.waiting.front_mut() {
            turn.credit = turn.credit.saturating_sub(turn.next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn workload(name: &str) -> WorkloadName {
        name.parse().unwrap()
    }

    /// What goes in `seconds` if somebody always wants to send pieces of `size`.
    fn sent_in(bucket: &mut Bucket, size: u64, rate: Rate, from: Duration, seconds: u64) -> u64 {
        let (mut now, mut sent) = (from, 0);
        let end = from + Duration::from_secs(seconds);
        while now < end {
            match bucket.take(size, rate, now) {
                Ok(()) => sent += size,
                Err(Wait::For(wait)) => now += wait,
                Err(Wait::ForTheCalendar) => now += Duration::from_secs(1),
            }
        }
        sent
    }

    proptest! {
        /// At least 95% and never more than 2% and one slice above the rate, in any ten seconds.
        #[test]
        fn a_line_is_used_and_never_overused(
            rate in 64_000u64..200_000_000, size in 1u64..=SLICE, idle in 0u64..100_000,
        ) {
            let mut bucket = Bucket::new(Duration::ZERO);
            // What was not used before is not caught up with.
            let from = Duration::from_millis(idle);
            prop_assume!(size * 4 > rate / 10_000);
            let sent = sent_in(&mut bucket, size, Rate::PerSecond(rate), from, 10);
            let allowed = rate * 10;
            prop_assert!(sent <= allowed + allowed / 50 + SLICE, "{sent} of {allowed}");
            prop_assert!(sent + size >= allowed / 100 * 95, "{sent} of {allowed}");
        }
    }

    #[test]
    fn a_closed_line_lets_nothing_go_and_an_unlimited_one_all() {
        let mut bucket = Bucket::new(Duration::ZERO);
        let at = Duration::from_secs(100);
        assert_eq!(bucket.take(1, Rate::PerSecond(0), at), Err(Wait::ForTheCalendar));
        assert_eq!(bucket.take(1 << 40, Rate::Unlimited, at), Ok(()));
        // From one rate to the other nothing is carried over.
        assert!(bucket.take(SLICE, Rate::PerSecond(1000), at).is_err());
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let mut bucket = Bucket::new(Duration::from_secs(10));
        let rate = Rate::PerSecond(1_000_000);
        assert!(bucket.take(SLICE, rate, Duration::from_secs(10)).is_err());
        assert!(bucket.take(SLICE, rate, Duration::from_secs(5)).is_err());
        assert_eq!(bucket.take(SLICE, rate, Duration::from_secs(11)), Ok(()));
    }

    #[test]
    fn a_small_drop_does_not_wait_behind_a_large_one() {
        let (large, small) = (workload("large"), workload("small"));
        let mut rounds = Rounds::default();
        rounds.want(&large, SLICE);
        (0..100).for_each(|_| {
            rounds.peek().unwrap();
            rounds.sent();
            rounds.want(&large, SLICE);
        });
        rounds.want(&small, 1000);
        let mut before = 0;
        while rounds.peek().unwrap().0 != &small {
            before += SLICE;
            rounds.sent();
            rounds.want(&large, SLICE);
        }
        assert!(before <= QUANTUM, "{before} bytes");
    }

    proptest! {
        /// Whatever sizes their pieces have, workloads that always have one get the same number of bytes.
        #[test]
        fn workloads_share_the_line_evenly(sizes in proptest::collection::vec(1u64..=SLICE, 2..6)) {
            let names: Vec<WorkloadName> =
                (0..sizes.len()).map(|number| workload(&format!("w-{number}"))).collect();
            let mut rounds = Rounds::default();
            let mut sent: BTreeMap<WorkloadName, u64> = BTreeMap::new();
            names.iter().zip(&sizes).for_each(|(name, size)| rounds.want(name, *size));
            while sent.values().sum::<u64>() < 40 * QUANTUM {
                let (name, bytes) = rounds.peek().unwrap();
                *sent.entry(name.clone()).or_default() += bytes;
                rounds.sent();
            }
            let (least, most) =
                (names.iter().map(|name| sent.get(name).copied().unwrap_or(0)).min(), sent.values().max());
            let apart = most.unwrap() - least.unwrap();
            prop_assert!(apart <= 2 * QUANTUM, "{sent:?}");
        }
    }

    #[test]
    fn who_is_done_leaves_no_turn_behind() {
        let (a, b) = (workload("a"), workload("b"));
        let mut rounds = Rounds::default();
        rounds.want(&a, 10);
        rounds.want(&b, 10);
        rounds.done(&a);
        assert_eq!(rounds.peek(), Some((&b, 10)));
        rounds.done(&b);
        assert_eq!(rounds.peek(), None);
    }
}
