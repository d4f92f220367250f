//! Locks of restic, taken and looked for: so that stock restic and we keep out of each other's way
//! where one removes what the other relies on.
//!
//! Two who want locks that do not go together each write theirs first and look then, so at least
//! one of them sees the other and gives way.

use std::cell::Cell;

use outlast_format::lock::{Lock, REFRESH_EVERY, STALE_AFTER};
use outlast_store::{Kind, Object, StoreError};
use outlast_types::{Clock, Random, Timestamp};

pub use outlast_format::lock::Holder;

use crate::{RepoError, Repository};

/// The process that takes a lock, and what it knows of its neighbours.
pub struct Here<'a> {
    pub holder: Holder,
    /// Whether a process with this number lives on this host.
    pub lives: &'a dyn Fn(u32) -> bool,
}

/// A lock that is held. Dropping it removes it.
pub(crate) struct Held<'a> {
    repository: &'a Repository,
    here: &'a Here<'a>,
    clock: &'a dyn Clock,
    random: &'a dyn Random,
    exclusive: bool,
    written: Cell<(Object, Timestamp)>,
}

impl<'a> Held<'a> {
    /// Takes a lock; [`RepoError::Locked`] if somebody holds one that does not go with it.
    pub(crate) fn take(
        repository: &'a Repository,
        exclusive: bool,
        here: &'a Here<'a>,
        clock: &'a dyn Clock,
        random: &'a dyn Random,
    ) -> Result<Self, RepoError> {
        let now = clock.now();
        let object = write(repository, exclusive, here, now, random)?;
        let written = Cell::new((object, now));
        let held = Self { repository, here, clock, random, exclusive, written };
        held.look_for_others(object)?;
        Ok(held)
    }

    fn look_for_others(&self, own: Object) -> Result<(), RepoError> {
        for (object, _) in self.repository.store().list(Kind::Lock)? {
            if object == own {
                continue;
            }
            let Some(other) = read(self.repository, object)? else { continue };
            let is_neighbour = other.holder.hostname == self.here.holder.hostname;
            if is_neighbour && !(self.here.lives)(other.holder.pid) {
                // What a process left that was killed. Stock restic waits for half an hour unless
                // somebody unlocks.
                let _gone = self.repository.store().remove(&object);
            } else if !other.is_stale(self.clock.now()) && (self.exclusive || other.exclusive) {
                let location = self.repository.location();
                return Err(RepoError::Locked { location, lock: Box::new(other) });
            }
        }
        Ok(())
    }

    /// Keeps the lock fresh; to be called every few minutes. Fails if this process slept for so long
    /// that others took it for dead.
    pub(crate) fn keep(&self) -> Result<(), RepoError> {
        let (old, since) = self.written.get();
        let now = self.clock.now();
        let age = now.since(since);
        if age < REFRESH_EVERY {
            return Ok(());
        }
        if age > STALE_AFTER {
            return Err(RepoError::LockExpired { location: self.repository.location() });
        }
        // The new one is there before the old one goes, so that there is always one.
        let new = write(self.repository, self.exclusive, self.here, now, self.random)?;
        self.written.set((new, now));
        match self.repository.store().remove(&old) {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // What is left grows stale, or is recognised as a dead process's.
        let _gone = self.repository.store().remove(&self.written.get().0);
    }
}

fn write(
    repository: &Repository,
    exclusive: bool,
    here: &Here<'_>,
    time: Timestamp,
    random: &dyn Random,
) -> Result<Object, RepoError> {
    let lock = Lock { time, exclusive, holder: here.holder.clone() };
    let document = lock.serialize().map_err(|source| RepoError::Encode { what: "lock", source })?;
    let (name, sealed) = repository.seal_unpacked("lock", &document, random)?;
    let object = Object::Lock(name);
    repository.store().create(&object, sealed)?;
    Ok(object)
}

/// A lock of somebody; `None` if it is gone meanwhile.
fn read(repository: &Repository, object: Object) -> Result<Option<Lock>, RepoError> {
    let document = match repository.read_unpacked(&object) {
        Err(RepoError::Store(StoreError::NotFound { .. })) => return Ok(None),
        other => other?,
    };
    Lock::parse(&document).map(Some).map_err(|source| RepoError::Damaged {
        object,
        location: repository.location(),
        source,
    })
}
