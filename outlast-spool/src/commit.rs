//! One sync of the directory for all who wait for it.
//!
//! Whoever gave a file its name takes the number of that change and waits until a sync that began after
//! it has ended. One of those who wait does it for all; who comes meanwhile waits for the next one. With
//! many writers that is far fewer syncs than files, and nobody waits for more than two.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Syncs a directory for many at once.
#[derive(Default)]
pub(crate) struct GroupCommit {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of the last change.
    made: u64,
    /// All changes up to this one are durable.
    durable: u64,
    /// Somebody syncs.
    is_syncing: bool,
}

impl GroupCommit {
    /// Returns when what the caller changed before is durable; `sync` is called if it is its turn.
    ///
    /// # Errors
    /// That of the sync which the caller did itself. Who only waited tries once more by itself: a failed
    /// sync tells those who did it, and a file system says it once.
    pub(crate) fn commit(&self, sync: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        state.made += 1;
        let mine = state.made;
        while state.durable < mine {
            if state.is_syncing {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.is_syncing = true;
            let covered = state.made;
            drop(state);
            let synced = sync();
            state = self.lock();
            state.is_syncing = false;
            self.changed.notify_all();
            synced?;
            state.durable = state.durable.max(covered);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn many_who_wait_share_few_syncs_and_none_returns_before_one_that_began_after_it() {
        const WRITERS: usize = 16;
        let (group, syncs) = (GroupCommit::default(), AtomicU64::new(0));
        let (first_syncs, all_wait) = (Barrier::new(2), Barrier::new(2));
        let sync = || {
            // The first one lasts until all others have come.
            if syncs.fetch_add(1, Ordering::SeqCst) == 0 {
                first_syncs.wait();
                all_wait.wait();
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            scope.spawn(|| group.commit(sync).unwrap());
            first_syncs.wait();
            for _ in 1..WRITERS {
                scope.spawn(|| group.commit(sync).unwrap());
            }
            while group.lock().made < WRITERS as u64 {
                std::thread::yield_now();
            }
            all_wait.wait();
        });
        assert_eq!(syncs.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_sync_that_fails_makes_nothing_durable() {
        let group = GroupCommit::default();
        assert!(group.commit(|| Err(io::ErrorKind::Other.into())).is_err());
        let syncs = AtomicU64::new(0);
        group
            .commit(|| {
                syncs.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
            .unwrap();
        assert_eq!(syncs.load(Ordering::SeqCst), 1);
    }
}
