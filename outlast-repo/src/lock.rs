//! Locks of restic, taken and looked for: so that stock restic and we keep out of each other's way
//! where one removes what the other relies on.
//!
//! Two who want locks that do not go together each write theirs first and look then, so at least
//! one of them sees the other and gives way.
//!
//! How old a lock is, is a matter of the store's time where it tells: not of the clock of whoever
//! wrote it, and not of whether it can be read. So no lock stands in the way for ever, and each can
//! be removed ([`unlock`]).

use std::cell::Cell;

use outlast_format::lock::{Lock, REFRESH_EVERY, STALE_AFTER};
use outlast_store::{Kind, Object, StoreError};
use outlast_types::{Clock, Random, Timestamp};

pub use outlast_format::lock::Holder;

pub use crate::found_lock::FoundLock;
use crate::{RepoError, Repository, forget};

/// The process that takes a lock, and what it knows of its neighbours.
pub struct Here<'a> {
    pub holder: Holder,
    /// Whether a process with this number lives on this host.
    pub lives: &'a dyn Fn(u32) -> bool,
}

impl Here<'_> {
    /// Whether the lock is that of a process of this host that is dead.
    fn outlived(&self, found: &FoundLock) -> bool {
        found.lock.as_ref().is_some_and(|Lock { holder, .. }| {
            holder.hostname == self.holder.hostname && !(self.lives)(holder.pid)
        })
    }
}

/// A lock that is held. Dropping it removes it.
pub struct Held<'a> {
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
        look_for_others(repository, Some(object), exclusive, here, clock)?;
        Ok(held)
    }

    /// Takes a shared lock, whatever others hold. Returns a lock of somebody else that does not go with
    /// it, if there is one: whoever removes packs may not have seen ours, and so what it may be removing
    /// must not be relied on.
    pub fn take_beside(
        repository: &'a Repository,
        here: &'a Here<'a>,
        clock: &'a dyn Clock,
        random: &'a dyn Random,
    ) -> Result<(Self, Option<Box<FoundLock>>), RepoError> {
        let now = clock.now();
        let object = write(repository, false, here, now, random)?;
        let written = Cell::new((object, now));
        let held = Self { repository, here, clock, random, exclusive: false, written };
        match look_for_others(repository, Some(object), false, here, clock) {
            Ok(()) => Ok((held, None)),
            Err(RepoError::Locked { lock, .. }) => Ok((held, Some(lock))),
            Err(error) => Err(error),
        }
    }

    /// Keeps the lock fresh; to be called every few minutes. Fails if this process slept for so long
    /// that others took it for dead.
    pub fn keep(&self) -> Result<(), RepoError> {
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

/// [`RepoError::Locked`] if somebody holds a lock that does not go with one of ours.
pub(crate) fn look_for_others(
    repository: &Repository,
    own: Option<Object>,
    exclusive: bool,
    here: &Here<'_>,
    clock: &dyn Clock,
) -> Result<(), RepoError> {
    for (object, _) in repository.store().list(Kind::Lock)? {
        if Some(object) == own {
            continue;
        }
        let Some(other) = find(repository, object, clock)? else { continue };
        if here.outlived(&other) {
            // What a process left that was killed. Stock restic waits for half an hour unless
            // somebody unlocks.
            let _gone = repository.store().remove(&object);
        } else if !other.is_stale() && other.forbids(exclusive) {
            let location = repository.location();
            return Err(RepoError::Locked { location, lock: Box::new(other) });
        }
    }
    Ok(())
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

/// The locks of others, before and after [`unlock`].
#[derive(Debug, Default)]
pub struct Unlocked {
    pub removed: Vec<FoundLock>,
    pub kept: Vec<FoundLock>,
}

/// Removes the locks that are stale: too old to be believed, whether they can be read or not, or of
/// processes of this host that are dead; or `all` of them. Needs no lock and no room.
pub fn unlock(
    repository: &Repository,
    all: bool,
    here: &Here<'_>,
    clock: &dyn Clock,
) -> Result<Unlocked, RepoError> {
    let mut unlocked = Unlocked::default();
    for (object, _) in repository.store().list(Kind::Lock)? {
        let found = match find(repository, object, clock) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            // What the store does not even give can go where everything is to go.
            Err(_) if all => FoundLock { object, lock: None, age: None },
            Err(error) => return Err(error),
        };
        if !all && !found.is_stale() && !here.outlived(&found) {
            unlocked.kept.push(found);
            continue;
        }
        match repository.store().remove(&object) {
            Ok(()) => unlocked.removed.push(found),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(forget::no_removal(error)),
        }
    }
    Ok(unlocked)
}

/// A lock of somebody; `None` if it is gone meanwhile.
fn find(
    repository: &Repository,
    object: Object,
    clock: &dyn Clock,
) -> Result<Option<FoundLock>, RepoError> {
    let lock = match repository.read_unpacked(&object) {
        Ok(document) => Lock::parse(&document).ok(),
        Err(RepoError::Damaged { .. } | RepoError::HashMismatch { .. }) => None,
        Err(RepoError::Store(StoreError::NotFound { .. })) => return Ok(None),
        Err(error) => return Err(error),
    };
    let age = match repository.store().written(&object) {
        Ok(Some(written)) => Some(written.age()),
        Ok(None) => lock.as_ref().map(|lock| clock.now().since(lock.time)),
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(FoundLock { object, lock, age }))
}
