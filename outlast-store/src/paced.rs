//! Reads no faster than agreed, so that a long check leaves the disk or the line to others.

use std::io;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use outlast_types::{Interrupt, Timer};

use crate::{Kind, Object, Store, StoreError, Written};

/// Pauses below this are saved up: sleeping that briefly takes longer than was asked for.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// A store whose content is read at no more than some bytes per second, by all threads together.
///
/// What was read is paid for afterwards in time: a call waits until those before it are paid, so
/// that a range larger than a second's worth passes, too. Time that nobody used is not saved up.
/// Writing, listing and looking at sizes cost nothing.
pub struct Paced {
    store: Arc<dyn Store>,
    /// `None` if nothing is to be waited for.
    bytes_per_second: Option<NonZeroU64>,
    timer: Arc<dyn Timer>,
    interrupt: Interrupt,
    debt: Mutex<Debt>,
}

/// Time that is to pass until everything that was read is paid for.
struct Debt {
    owed: Duration,
    /// When `owed` was reckoned.
    at: Duration,
}

impl Paced {
    /// At so many bytes in a second, or as fast as it can. Once `interrupt` asks for the end nothing waits any
    /// more, and content is read no more, so that whoever works through a large repository ends soon.
    pub fn new(
        store: Arc<dyn Store>,
        bytes_per_second: Option<NonZeroU64>,
        timer: Arc<dyn Timer>,
        interrupt: &Interrupt,
    ) -> Self {
        let debt = Mutex::new(Debt { owed: Duration::ZERO, at: timer.elapsed() });
        Self { store, bytes_per_second, timer, interrupt: interrupt.clone(), debt }
    }

    /// Waits until what was read before is paid for.
    fn wait(&self, object: &Object) -> Result<(), StoreError> {
        let owed = self.reckon(0);
        if owed >= PAUSE_MIN {
            self.timer.pause(owed, &self.interrupt);
        }
        if !self.interrupt.is_requested() {
            return Ok(());
        }
        Err(StoreError::Io {
            verb: "read",
            object: *object,
            location: self.location(),
            source: io::Error::other("the end was asked for"),
        })
    }

    fn charge<T>(&self, bytes: usize, result: T) -> T {
        self.reckon(bytes as u64);
        result
    }

    /// Adds what `bytes` cost; returns what is owed now.
    fn reckon(&self, bytes: u64) -> Duration {
        let Some(rate) = self.bytes_per_second else { return Duration::ZERO };
        let cost = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX));
        let mut debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.timer.elapsed();
        debt.owed = debt.owed.saturating_sub(now.saturating_sub(debt.at)).saturating_add(cost);
        debt.at = now;
        debt.owed
    }
}

impl Store for Paced {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        self.store.create(object, content)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.wait(object)?;
        let content = self.store.read(object)?;
        Ok(self.charge(content.len(), content))
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.wait(object)?;
        let content = self.store.read_range(object, offset, length)?;
        Ok(self.charge(length, content))
    }

    fn read_range_into(
        &self,
        object: &Object,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), StoreError> {
        self.wait(object)?;
        self.store.read_range_into(object, offset, buffer)?;
        self.charge(buffer.len(), Ok(()))
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.store.size(object)
    }

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        self.store.written(object)
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        self.store.list(kind)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.store.remove(object)
    }
}

#[cfg(test)]
mod tests {
    use outlast_testing::ManualTime;
    use outlast_types::{PackId, Timestamp};

    use super::*;
    use crate::MemoryStore;

    const PACK: Object = Object::Data(PackId([7; 32]));

    fn paced(bytes_per_second: u64) -> (Paced, ManualTime) {
        let time = ManualTime::hurrying(Timestamp::EPOCH);
        let memory = MemoryStore::new();
        memory.overwrite(&PACK, vec![1; 1 << 20].into());
        let rate = NonZeroU64::new(bytes_per_second);
        let timer = time.environment().timer;
        (Paced::new(Arc::new(memory), rate, timer, &Interrupt::default()), time)
    }

    #[test]
    fn many_reads_of_any_size_keep_the_rate() {
        for length in [1000, 64 << 10, 1 << 20] {
            let (store, time) = paced(1 << 20);
            let reads = (8 << 20) / length;
            for _ in 0..reads {
                store.read_range(&PACK, 0, length).unwrap();
            }
            let mut rest = vec![0; length];
            store.read_range_into(&PACK, 0, &mut rest).unwrap();
            let seconds = time.elapsed().as_secs_f64();
            assert!((7.9..8.1).contains(&seconds), "{reads} of {length} took {seconds} s");
        }
    }

    #[test]
    fn nothing_is_read_any_more_once_the_end_is_asked_for_at_any_rate() {
        let (timed, time) = paced(1);
        timed.read(&PACK).unwrap();
        for rate in [None, NonZeroU64::new(1)] {
            let stop = Interrupt::default();
            let store = Arc::clone(&timed.store);
            let store = Paced::new(store, rate, time.environment().timer, &stop);
            store.read_range(&PACK, 0, 1).unwrap();
            stop.request();
            assert!(store.read(&PACK).is_err() && store.read_range(&PACK, 0, 1).is_err());
            assert!(store.read_range_into(&PACK, 0, &mut [0]).is_err());
            assert!(store.size(&PACK).is_ok(), "looking costs nothing");
        }
    }

    #[test]
    fn idle_time_is_not_saved_up_for_a_rush() {
        let (store, time) = paced(1 << 20);
        time.advance(Duration::from_secs(3600));
        for _ in 0..4 {
            store.read(&PACK).unwrap();
        }
        assert_eq!(time.elapsed(), Duration::from_secs(3603));
    }
}
