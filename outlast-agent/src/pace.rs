//! How fast the share gives what is read of it, and how much of what is being read is done.
//!
//! Only time in which somebody waits for the share counts: when the processor or the line is what takes long, the share
//! has its answers ready, and is as fast as can be seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_types::{Timer, WorkloadName};

/// The time over which the pace is measured, in slots.
const SLOT: Duration = Duration::from_secs(60);
const SLOTS: usize = 10;
/// What was waited for less than this, or gave less, says nothing of the share.
const WAITED_MIN: Duration = Duration::from_secs(20);
const BYTES_MIN: u64 = 16 << 20;

/// The pace of a share.
pub(crate) struct Pace {
    timer: Arc<dyn Timer>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who waits for the share now, and since when somebody does.
    waiting: u32,
    since: Duration,
    /// By the number of the slot, the newest last.
    slots: VecDeque<Slot>,
    /// Bytes that were read of each workload's drop that is being read.
    reading: BTreeMap<WorkloadName, u64>,
}

#[derive(Default)]
struct Slot {
    number: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(timer: Arc<dyn Timer>) -> Self {
        Self { timer, state: Mutex::default() }
    }

    /// A drop of a workload is being read as long as this lives.
    pub(crate) fn reading(&self, workload: &WorkloadName) -> Reading<'_> {
        self.state().reading.insert(workload.clone(), 0);
        Reading { pace: self, workload: workload.clone() }
    }

    /// Bytes that were read of the drop of a workload that is being read.
    pub(crate) fn read_of(&self, workload: &WorkloadName) -> u64 {
        self.state().reading.get(workload).copied().unwrap_or(0)
    }

    /// Bytes of content that the share has given in a second of late; `None` if too little is known.
    pub(crate) fn rate(&self) -> Option<u64> {
        let now = self.timer.elapsed();
        let mut state = self.state();
        state.slot(now);
        let (waited, bytes) =
            state.slots.iter().fold((Duration::ZERO, 0), |(waited, bytes), it| {
                (waited + it.waited, bytes + it.bytes)
            });
        let is_known = waited >= WAITED_MIN && bytes >= BYTES_MIN;
        let millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        is_known.then(|| bytes.saturating_mul(1000).checked_div(millis)).flatten()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The slot of now; those that are over are forgotten.
    fn slot(&mut self, now: Duration) -> &mut Slot {
        let number = now.as_secs() / SLOT.as_secs();
        let oldest = number.saturating_sub(SLOTS as u64 - 1);
        self.slots.retain(|slot| slot.number >= oldest);
        if self.slots.back().is_none_or(|last| last.number < number) {
            self.slots.push_back(Slot { number, ..Slot::default() });
        }
        let last = self.slots.len() - 1;
        &mut self.slots[last]
    }
}

/// A drop that is being read.
pub(crate) struct Reading<'a> {
    pace: &'a Pace,
    workload: WorkloadName,
}

impl Reading<'_> {
    /// Waits for `read` to give some bytes of content.
    pub(crate) fn wait<E>(&self, read: impl FnOnce() -> Result<usize, E>) -> Result<usize, E> {
        let begun = self.pace.timer.elapsed();
        {
            let mut state = self.pace.state();
            if state.waiting == 0 {
                state.since = begun;
            }
            state.waiting += 1;
        }
        let result = read();
        let now = self.pace.timer.elapsed();
        let bytes = result.as_ref().map_or(0, |count| *count as u64);
        let mut state = self.pace.state();
        state.waiting -= 1;
        // Two that wait at once wait for the same share. The time counts from where it was counted last.
        let waited = now.saturating_sub(state.since);
        state.since = now;
        let slot = state.slot(now);
        slot.waited += waited;
        slot.bytes += bytes;
        if let Some(read) = state.reading.get_mut(&self.workload) {
            *read += bytes;
        }
        result
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.pace.state().reading.remove(&self.workload);
    }
}

#[cfg(test)]
mod tests {
    use outlast_testing::ManualTime;
    use outlast_types::Timestamp;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn only_time_in_which_somebody_waits_for_the_share_counts_and_old_times_are_forgotten() {
        let time = ManualTime::new(Timestamp::EPOCH);
        let pace = Pace::new(Arc::new(time.clone()));
        let workload = WorkloadName::new("shop").unwrap();
        let reading = pace.reading(&workload);
        let read = |seconds: u64| {
            let wait = || {
                time.advance(Duration::from_secs(seconds));
                Ok::<_, ()>(MIB)
            };
            reading.wait(wait).unwrap();
        };
        (0..10).for_each(|_| read(1));
        assert_eq!(pace.rate(), None, "too little is known");
        // The processor is busy, and the share waits.
        time.advance(Duration::from_secs(100));
        (0..10).for_each(|_| read(1));
        assert_eq!(pace.rate(), Some(MIB as u64));
        assert_eq!(pace.read_of(&workload), 20 * MIB as u64);
        (0..20).for_each(|_| read(3));
        assert_eq!(pace.rate(), Some(MIB as u64 / 2), "it has become slow");
        time.advance(SLOT * 20);
        assert_eq!(pace.rate(), None, "that was long ago");
        drop(reading);
        assert_eq!(pace.read_of(&workload), 0);
    }

    #[test]
    fn two_that_wait_at_once_wait_for_the_same_share() {
        let time = ManualTime::new(Timestamp::EPOCH);
        let pace = Pace::new(Arc::new(time.clone()));
        let [one, two] = ["one", "two"].map(|name| pace.reading(&WorkloadName::new(name).unwrap()));
        for _ in 0..30 {
            let both = || {
                let second = || {
                    time.advance(Duration::from_secs(1));
                    Ok::<_, ()>(MIB)
                };
                two.wait(second)
            };
            one.wait(both).unwrap();
        }
        assert_eq!(pace.rate(), Some(2 * MIB as u64));
    }
}
