//! A few things that many share.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

pub(super) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    returned: Condvar,
}

impl<T> Pool<T> {
    pub(super) fn new(things: Vec<T>) -> Self {
        Self { idle: Mutex::new(things), returned: Condvar::new() }
    }

    /// One of them, as soon as one is idle; `None` if none is for so long.
    pub(super) fn take(&self, patience: Duration) -> Option<Lent<'_, T>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.returned.wait_timeout_while(idle, patience, |idle| idle.is_empty());
        let (mut idle, _) = waited.unwrap_or_else(PoisonError::into_inner);
        idle.pop().map(|thing| Lent { pool: self, thing: Some(thing) })
    }
}

/// Goes back when it is dropped.
pub(crate) struct Lent<'p, T> {
    pool: &'p Pool<T>,
    /// There until then.
    thing: Option<T>,
}

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "it is taken when this is dropped, not before")]
    fn deref(&self) -> &T {
        self.thing.as_ref().expect("a thing that is lent is there")
    }
}

impl<T> DerefMut for Lent<'_, T> {
    #[expect(clippy::expect_used, reason = "it is taken when this is dropped, not before")]
    fn deref_mut(&mut self) -> &mut T {
        self.thing.as_mut().expect("a thing that is lent is there")
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.thing.take());
        drop(idle);
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_comes_back_and_nobody_waits_for_ever() {
        let pool = Pool::new(vec![7]);
        let lent = pool.take(Duration::ZERO).unwrap();
        assert_eq!(*lent, 7);
        assert!(pool.take(Duration::from_millis(1)).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.take(Duration::from_secs(60)).map(|lent| *lent));
            drop(lent);
            assert_eq!(waiting.join().unwrap(), Some(7));
        });
    }
}
