//! Tries again after passing faults, within bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use outlast_types::{Backoff, Environment, Interrupt, Random, Timer};

use crate::{Kind, Object, Store, StoreError, Written};

/// How often and how long to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Calls in all, the first included; at least one is made.
    pub attempts: u32,
    /// The pause after the first failure; it doubles each time.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// All pauses of one call together are not longer.
    pub total_pause: Duration,
}

impl Default for Policy {
    /// Rides out a restart of the other side: 8 calls within two minutes.
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            total_pause: Duration::from_secs(120),
        }
    }
}

/// A call that failed and may be made again.
#[derive(Debug)]
pub struct Retry<'a> {
    pub error: &'a StoreError,
    /// How long to wait before.
    pub pause: Duration,
    /// How long was waited already, for this call.
    pub waited: Duration,
    /// Whether the store has answered any call before.
    pub answered: bool,
}

/// Hears of a call that failed before it is made again, and says whether to go on.
pub type Judge = Box<dyn Fn(&Retry<'_>) -> bool + Send + Sync>;

/// A store that repeats calls that failed for passing reasons ([`StoreError::is_passing`]).
///
/// A create whose answer was lost may have been done. When the repeated call finds the object
/// with the size that was sent, it counts as done; when a repeated remove finds nothing, too.
pub struct Retrying {
    store: Arc<dyn Store>,
    policy: Policy,
    timer: Arc<dyn Timer>,
    random: Arc<dyn Random>,
    interrupt: Interrupt,
    judge: Option<Judge>,
    answered: AtomicBool,
}

impl Retrying {
    pub fn new(store: Arc<dyn Store>, policy: Policy, environment: &Environment) -> Self {
        Self {
            store,
            policy,
            timer: Arc::clone(&environment.timer),
            random: Arc::clone(&environment.random),
            interrupt: Interrupt::default(),
            judge: None,
            answered: AtomicBool::new(false),
        }
    }

    /// The same store, which tries no more once `interrupt` asks for the end.
    #[must_use]
    pub fn heeding(self, interrupt: &Interrupt) -> Self {
        Self { interrupt: interrupt.clone(), ..self }
    }

    /// The same store, which asks `judge` before each pause.
    #[must_use]
    pub fn asking(self, judge: Judge) -> Self {
        Self { judge: Some(judge), ..self }
    }

    /// Calls until success, a lasting error or the end of the policy; `call` hears whether it is
    /// a repetition.
    fn repeat<T>(&self, call: impl Fn(bool) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let Policy { first_pause, longest_pause, total_pause, .. } = self.policy;
        let mut backoff = Backoff::default();
        let mut budget = total_pause;
        let mut attempt = 1;
        loop {
            let error = match call(attempt > 1) {
                Err(error) if error.is_passing() => error,
                result => {
                    self.answered.store(true, Ordering::Relaxed);
                    return result;
                }
            };
            let now = self.timer.elapsed();
            let pause = backoff.failed(now, first_pause, longest_pause, &*self.random).min(budget);
            if attempt >= self.policy.attempts || budget.is_zero() {
                return Err(error);
            }
            tracing::warn!(%error, attempt, ?pause, "trying again");
            let answered = self.answered.load(Ordering::Relaxed);
            let retry = Retry { error: &error, pause, waited: total_pause - budget, answered };
            let goes_on = self.judge.as_ref().is_none_or(|judge| judge(&retry));
            if !goes_on || self.timer.pause(pause, &self.interrupt) {
                return Err(error);
            }
            budget -= pause;
            attempt += 1;
        }
    }
}

impl Store for Retrying {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let size = content.len() as u64;
        self.repeat(|again| match self.store.create(object, content.clone()) {
            Err(StoreError::AlreadyExists { .. })
                if again && self.holds(object, &content, size) =>
            {
                Ok(())
            }
            result => result,
        })
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.repeat(|_| self.store.read(object))
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.repeat(|_| self.store.read_range(object, offset, length))
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.repeat(|_| self.store.size(object))
    }

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        self.repeat(|_| self.store.written(object))
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        self.repeat(|_| self.store.list(kind))
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.repeat(|again| match self.store.remove(object) {
            Err(StoreError::NotFound { .. }) if again => Ok(()),
            result => result,
        })
    }
}

impl Retrying {
    /// Whether the object that is there is the one we sent. A name is the hash of the content, so
    /// the size settles it; the config has no such name and is compared.
    fn holds(&self, object: &Object, content: &Bytes, size: u64) -> bool {
        match object {
            Object::Config => self.store.read(object).is_ok_and(|stored| stored == *content),
            _ => self.store.size(object).is_ok_and(|stored| stored == size),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use outlast_testing::ManualTime;
    use outlast_types::{LockId, Timestamp};

    use super::*;
    use crate::faulty::{Fault, Faulty};
    use crate::{MemoryStore, Recording, Verb};

    const LOCK: Object = Object::Lock(LockId([7; 32]));

    fn retrying(
        faulty: Faulty,
        interrupt: &Interrupt,
    ) -> (Retrying, Arc<Recording>, Arc<Mutex<Vec<Duration>>>) {
        let recording = Arc::new(Recording::new(Arc::new(faulty)));
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&pauses);
        let judge: Judge = Box::new(move |retry| {
            heard.lock().unwrap().push(retry.pause);
            true
        });
        let environment = ManualTime::hurrying(Timestamp::EPOCH).environment();
        let store: Arc<dyn Store> = recording.clone();
        let retrying = Retrying::new(store, Policy::default(), &environment);
        (retrying.heeding(interrupt).asking(judge), recording, pauses)
    }

    fn faulty() -> Faulty {
        Faulty::new(Arc::new(MemoryStore::new()))
    }

    #[test]
    fn a_create_whose_answer_was_lost_counts_as_done() {
        let faulty = faulty();
        faulty.script(Verb::Create, 1, Fault::After(io::ErrorKind::TimedOut));
        let (store, recording, _) = retrying(faulty, &Interrupt::default());
        store.create(&LOCK, Bytes::from_static(b"content")).unwrap();
        assert_eq!(recording.count(Verb::Create), 2);
        let again = store.create(&LOCK, Bytes::from_static(b"content"));
        assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
    }

    #[test]
    fn another_creator_of_the_config_is_not_taken_for_ourselves() {
        let memory = MemoryStore::new();
        memory.overwrite(&Object::Config, Bytes::from_static(b"as long"));
        let faulty = Faulty::new(Arc::new(memory));
        faulty.script(Verb::Create, 1, Fault::Before(io::ErrorKind::TimedOut));
        let (store, recording, _) = retrying(faulty, &Interrupt::default());
        let refused = store.create(&Object::Config, Bytes::from_static(b"is ours"));
        assert!(matches!(refused, Err(StoreError::AlreadyExists { .. })), "{refused:?}");
        assert_eq!(recording.count(Verb::Create), 2);
    }

    #[test]
    fn a_remove_whose_answer_was_lost_counts_as_done() {
        let faulty = faulty();
        faulty.script(Verb::Remove, 1, Fault::After(io::ErrorKind::ConnectionReset));
        let (store, ..) = retrying(faulty, &Interrupt::default());
        store.create(&LOCK, Bytes::new()).unwrap();
        store.remove(&LOCK).unwrap();
        assert!(matches!(store.remove(&LOCK), Err(StoreError::NotFound { .. })));
    }

    #[test]
    fn attempts_and_pauses_are_bounded() {
        let faulty = faulty();
        for nth in 1..100 {
            faulty.script(Verb::List, nth, Fault::Before(io::ErrorKind::TimedOut));
        }
        let (store, recording, pauses) = retrying(faulty, &Interrupt::default());
        assert!(store.list(Kind::Data).is_err());
        let policy = Policy::default();
        assert_eq!(recording.count(Verb::List), policy.attempts as usize);
        let pauses = pauses.lock().unwrap();
        assert!(pauses.iter().sum::<Duration>() <= policy.total_pause);
        assert!(pauses.iter().all(|pause| *pause <= policy.longest_pause));
    }

    #[test]
    fn what_cannot_help_is_not_tried_again() {
        let (store, recording, pauses) = retrying(faulty(), &Interrupt::default());
        assert!(matches!(store.read(&LOCK), Err(StoreError::NotFound { .. })));
        store.create(&LOCK, Bytes::from_static(b"short")).unwrap();
        assert!(store.read_range(&LOCK, 3, 10).is_err());
        assert_eq!(recording.count(Verb::Read), 2);
        assert!(pauses.lock().unwrap().is_empty());
    }

    #[test]
    fn a_shutdown_ends_the_retries() {
        let faulty = faulty();
        faulty.script(Verb::Size, 1, Fault::Before(io::ErrorKind::TimedOut));
        let interrupt = Interrupt::default();
        interrupt.request();
        let (store, recording, _) = retrying(faulty, &interrupt);
        assert!(store.size(&LOCK).is_err());
        assert_eq!(recording.count(Verb::Size), 1);
    }
}
