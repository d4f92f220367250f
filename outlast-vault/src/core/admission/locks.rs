//! Locks: taken only if they are locks, and removed only by who made them, or when they are stale.
//!
//! Who made a lock is noted beside the repository, because what a lock says of its holder is only a
//! claim. Whether it is stale goes by the time at which the vault stored it: holders write theirs
//! anew every few minutes, so that a file which is old belongs to nobody who lives.

use std::time::Duration;

use outlast_format::lock::{Lock, STALE_AFTER};
use outlast_store::Object;
use outlast_types::{LockId, Timestamp, WorkloadName, human};
use outlast_wire::Peer;

use super::{Admission, Place, damaged};
use crate::core::error::VaultError;
use crate::core::repositories::WorkloadRepository;

/// The longest lock that is taken, in bytes of JSON: they have some 200.
const LOCK_DOCUMENT_MAX: u64 = 64 << 10;

impl Admission {
    /// Judges a lock as it was sent.
    pub(crate) fn judge_lock(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let lock = Lock::parse(&place.open(sealed, LOCK_DOCUMENT_MAX)?).map_err(damaged)?;
        let ahead = lock.time.since(now);
        if ahead > STALE_AFTER {
            return Err(VaultError::Unacceptable {
                reason: format!(
                    "it is dated {}, {} ahead of the vault's clock, and would not grow stale",
                    lock.time,
                    human::duration(ahead)
                ),
                hint: "set the clock of the host that locks right, or that of the vault",
            });
        }
        Ok(())
    }

    /// Notes who made a lock that is stored.
    pub(crate) fn locked(
        &self,
        repository: &WorkloadRepository,
        workload: &WorkloadName,
        lock: LockId,
        peer: &Peer,
    ) {
        let noted = self.holders.note(workload, lock, peer);
        let cleaned = self.holders.forget_gone(workload, &*repository.store);
        if let Err(error) =
            noted.map_err(|error| error.to_string()).and(cleaned.map_err(|error| error.to_string()))
        {
            tracing::warn!(%workload, %peer, error, "cannot keep account of who holds which lock");
        }
    }

    /// Whether `peer` may remove a lock: its own, or one that is stale.
    pub(crate) fn judge_removal(
        &self,
        repository: &WorkloadRepository,
        workload: &WorkloadName,
        lock: LockId,
        peer: &Peer,
    ) -> Result<(), VaultError> {
        if self.holders.is(workload, lock, peer) {
            return Ok(());
        }
        let object = Object::Lock(lock);
        // Gone, or not to be looked at: the store says so in its words when it is to be removed.
        let Ok(written) = repository.store.written(&object) else { return Ok(()) };
        let age = written.map_or(Duration::ZERO, |written| written.age());
        if age > STALE_AFTER {
            return Ok(());
        }
        let reason = format!(
            "{object} is not {peer}'s: others may remove it when it is stale, {} after it was \
             stored; that was {} ago",
            human::duration(STALE_AFTER),
            human::duration(age)
        );
        Err(VaultError::Denied { reason })
    }
}
