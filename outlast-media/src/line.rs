//! Whose bytes go over the line next, and when.
//!
//! Two things decide. A *bucket* says how many bytes may go now: it fills at the calendar's rate and
//! holds little, so that what was not used is not caught up with in a burst. *Deficit round robin*
//! (M. Shreedhar, G. Varghese, "Efficient Fair Queuing Using Deficit Round Robin", SIGCOMM 1995) says whose:
//! workloads take turns, each with as many bytes a turn as the others, whatever the size of its pieces.
//! Who comes anew has a turn at once, and is one of many from then on (as in FQ-CoDel, RFC 8290): a small
//! drop does not wait for a round of large ones, and whoever keeps coming gets no more than its part.
//! Restores have a bucket of their own.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use outlast_civil::{Calendar, Rate};
use outlast_types::{Environment, WorkloadName};
use outlast_wire::client::Pace;

/// The largest piece that is handed on at once, in bytes.
pub(crate) const PIECE: u64 = 64 << 10;
/// What a bucket holds, as time at its rate; at least one piece.
const BUCKET: Duration = Duration::from_millis(50);
/// How often the calendar is asked whether a closed line is open again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Over how many seconds a rate is told.
const MINUTE: u64 = 60;

/// The line to the vault, shared by all streams.
pub(crate) struct Line {
    environment: Environment,
    calendar: RwLock<Calendar>,
    bucket: Mutex<Bucket>,
    sent: Mutex<Minute>,
}

impl Line {
    pub(crate) fn new(calendar: Calendar, environment: &Environment) -> Self {
        let now = environment.timer.elapsed();
        Self {
            environment: environment.clone(),
            calendar: RwLock::new(calendar),
            bucket: Mutex::new(Bucket::new(now)),
            sent: Mutex::default(),
        }
    }

    /// Another calendar is in force, at the next piece.
    pub(crate) fn set_calendar(&self, calendar: Calendar) {
        *self.calendar.write().unwrap_or_else(PoisonError::into_inner) = calendar;
    }

    /// What the calendar allows now.
    pub(crate) fn allowed(&self) -> Rate {
        let calendar = self.calendar.read().unwrap_or_else(PoisonError::into_inner);
        calendar.rate_at(self.environment.clock.now())
    }

    /// What went over it in the last minute, in bytes a second.
    pub(crate) fn rate(&self) -> u64 {
        locked(&self.sent).rate(self.environment.timer.elapsed())
    }
}

impl Pace for Line {
    fn turn(&self, bytes: u64) -> Result<(), Duration> {
        let (rate, now) = (self.allowed(), self.environment.timer.elapsed());
        match locked(&self.bucket).take(bytes, rate, now) {
            Ok(()) => {
                locked(&self.sent).add(bytes, now);
                Ok(())
            }
            // The calendar may say something else until then.
            Err(Wait::For(pause)) => Err(pause.min(LOOK_AGAIN)),
            Err(Wait::ForTheCalendar) => Err(LOOK_AGAIN),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What went in each of the last seconds.
#[derive(Default)]
struct Minute(VecDeque<(u64, u64)>);

impl Minute {
    fn add(&mut self, bytes: u64, now: Duration) {
        match self.0.back_mut() {
            Some((second, sum)) if *second == now.as_secs() => *sum += bytes,
            _ => self.0.push_back((now.as_secs(), bytes)),
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Duration) {
        while self.0.front().is_some_and(|(second, _)| second + MINUTE <= now.as_secs()) {
            self.0.pop_front();
        }
    }

    fn rate(&mut self, now: Duration) -> u64 {
        self.forget(now);
        // A process that began a moment ago has not had a minute.
        let seconds = now.as_secs().clamp(1, MINUTE);
        self.0.iter().map(|(_, bytes)| bytes).sum::<u64>() / seconds
    }
}

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
        let most = (rate * BUCKET.as_nanos()).max(u128::from(PIECE) * SECOND);
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
    /// Those who came anew, before all others.
    new: VecDeque<Turn>,
    old: VecDeque<Turn>,
}

#[derive(Debug)]
struct Turn {
    workload: WorkloadName,
    /// What it may still send in this round.
    credit: u64,
    /// Whether it has had its quantum of this round.
    served: bool,
}

impl Rounds {
    /// A workload has something to send, or may have.
    pub(crate) fn wake(&mut self, workload: &WorkloadName) {
        if !self.new.iter().chain(&self.old).any(|turn| turn.workload == *workload) {
            self.new.push_back(Turn { workload: workload.clone(), credit: 0, served: false });
        }
    }

    /// What is sent next: `piece` gives a workload's next one with its bytes, or nothing if it has none
    /// now. Each gets `quantum` bytes a round; no piece has more. Who has nothing is forgotten when its
    /// turn is over, and not before: or it could come anew at once, and again.
    pub(crate) fn next<T>(
        &mut self,
        quantum: u64,
        mut piece: impl FnMut(&WorkloadName) -> Option<(T, u64)>,
    ) -> Option<T> {
        // Each one that is passed over has nothing, or more credit the next time: it ends.
        loop {
            let is_new = !self.new.is_empty();
            let queue = if is_new { &mut self.new } else { &mut self.old };
            let mut turn = queue.pop_front()?;
            if !turn.served {
                (turn.credit, turn.served) = ((turn.credit + quantum).min(2 * quantum), true);
            }
            match piece(&turn.workload) {
                Some((piece, bytes)) if bytes.min(quantum) <= turn.credit => {
                    turn.credit -= bytes.min(quantum);
                    queue.push_front(turn);
                    return Some(piece);
                }
                Some(_) => {
                    turn.served = false;
                    self.old.push_back(turn);
                }
                None if is_new => {
                    (turn.credit, turn.served) = (0, false);
                    self.old.push_back(turn);
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const QUANTUM: u64 = 1 << 20;

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
        #![proptest_config(outlast_testing::cases(256))]

        /// At least 95% and never more than 2% and one slice above the rate, in any ten seconds.
        #[test]
        fn a_line_is_used_and_never_overused(
            rate in 64_000u64..200_000_000, size in 1u64..=PIECE, idle in 0u64..100_000,
        ) {
            let mut bucket = Bucket::new(Duration::ZERO);
            // What was not used before is not caught up with.
            let from = Duration::from_millis(idle);
            prop_assume!(size * 4 > rate / 10_000);
            let sent = sent_in(&mut bucket, size, Rate::PerSecond(rate), from, 10);
            let allowed = rate * 10;
            prop_assert!(sent <= allowed + allowed / 50 + PIECE, "{sent} of {allowed}");
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
        assert!(bucket.take(PIECE, Rate::PerSecond(1000), at).is_err());
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let mut bucket = Bucket::new(Duration::from_secs(10));
        let rate = Rate::PerSecond(1_000_000);
        assert!(bucket.take(PIECE, rate, Duration::from_secs(10)).is_err());
        assert!(bucket.take(PIECE, rate, Duration::from_secs(5)).is_err());
        assert_eq!(bucket.take(PIECE, rate, Duration::from_secs(11)), Ok(()));
    }

    /// Lets workloads send, each of which has pieces of one size, or none.
    fn play(
        rounds: &mut Rounds,
        sizes: &BTreeMap<WorkloadName, u64>,
    ) -> Option<(WorkloadName, u64)> {
        rounds.next(QUANTUM, |name| {
            let bytes = *sizes.get(name)?;
            Some(((name.clone(), bytes), bytes))
        })
    }

    #[test]
    fn a_small_drop_waits_for_nobody_and_has_no_more_than_its_part() {
        let (large, small) = (workload("large"), workload("small"));
        let mut sizes = BTreeMap::from([(large.clone(), PIECE)]);
        let mut rounds = Rounds::default();
        rounds.wake(&large);
        (0..100).for_each(|_| assert_eq!(play(&mut rounds, &sizes).unwrap().0, large));
        sizes.insert(small.clone(), PIECE);
        rounds.wake(&small);
        assert_eq!(play(&mut rounds, &sizes).unwrap().0, small);
        // It has nothing, comes anew, and again and again.
        let mut sent = BTreeMap::from([(large.clone(), 0), (small.clone(), 0)]);
        for _ in 0..1000 {
            sizes.insert(small.clone(), PIECE);
            rounds.wake(&small);
            let (name, bytes) = play(&mut rounds, &sizes).unwrap();
            *sent.get_mut(&name).unwrap() += bytes;
            if name == small {
                sizes.remove(&small);
            }
        }
        assert!(sent[&small] <= sent[&large] + QUANTUM, "{sent:?}");
    }

    proptest! {
        /// Whatever sizes their pieces have, workloads that always have one get the same number of bytes.
        #[test]
        fn workloads_share_the_line_evenly(sizes in proptest::collection::vec(1u64..=PIECE, 2..6)) {
            let sizes: BTreeMap<WorkloadName, u64> =
                sizes.into_iter().enumerate().map(|(n, size)| (workload(&format!("w-{n}")), size)).collect();
            let mut rounds = Rounds::default();
            let mut sent: BTreeMap<WorkloadName, u64> =
                sizes.keys().map(|name| (name.clone(), 0)).collect();
            sizes.keys().for_each(|name| rounds.wake(name));
            while sent.values().sum::<u64>() < 40 * QUANTUM {
                let (name, bytes) = play(&mut rounds, &sizes).unwrap();
                *sent.get_mut(&name).unwrap() += bytes;
            }
            let apart = sent.values().max().unwrap() - sent.values().min().unwrap();
            prop_assert!(apart <= 2 * QUANTUM, "{sent:?}");
        }
    }

    #[test]
    fn who_has_nothing_leaves_no_turn_behind() {
        let (a, b) = (workload("a"), workload("b"));
        let mut rounds = Rounds::default();
        rounds.wake(&a);
        rounds.wake(&b);
        let sizes = BTreeMap::from([(b.clone(), 10)]);
        assert_eq!(play(&mut rounds, &sizes), Some((b, 10)));
        assert_eq!(play(&mut rounds, &BTreeMap::new()), None);
        assert!(rounds.new.is_empty() && rounds.old.is_empty());
    }
}
