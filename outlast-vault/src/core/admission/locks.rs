//! Locks: taken only if they are locks, and removed only by who made them, or when they are stale.
//!
//! Who made a lock is noted beside the repository, because what a lock says of its holder is only a
//! claim. Whether it is stale goes by the time at which the vault stored it: holders write theirs
//! anew every few minutes, so that a file which is old belongs to nobody who lives.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_format::lock::{Lock, STALE_AFTER};
use outlast_fs::durable;
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_types::{LockId, Timestamp, WorkloadName, hex, human};
use outlast_wire::Peer;
use outlast_wire::rest::HostError;

use super::{Admission, Place, Refusal, damaged};
use crate::VaultError;
use crate::core::repositories::WorkloadRepository;
use crate::core::vault::Vault;
use crate::doors::rest::unable;

/// The longest lock that is taken, in bytes of JSON: they have some 200.
const LOCK_DOCUMENT_MAX: u64 = 64 << 10;
/// The longest note of a holder: a role and a name.
const HOLDER_BYTES_MAX: u64 = 1 << 10;

/// Who made which lock: a small file for each. Losing one costs its holder the right to remove the
/// lock before it is stale, so nothing here is made durable.
pub(super) struct Holders {
    directory: PathBuf,
}

impl Holders {
    pub(super) fn open(directory: &Path) -> Result<Self, VaultError> {
        durable::create_directories(directory, 0o700)
            .map_err(VaultError::io("create", directory))?;
        Ok(Self { directory: directory.to_owned() })
    }

    fn note(&self, workload: &WorkloadName, lock: LockId, peer: &Peer) -> io::Result<()> {
        let directory = self.directory.join(workload.as_str());
        durable::create_directories(&directory, 0o700)?;
        let path = directory.join(lock.to_string());
        let mut file =
            fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        io::Write::write_all(&mut file, peer.to_string().as_bytes())
    }

    /// Whether `peer` made the lock.
    fn is(&self, workload: &WorkloadName, lock: LockId, peer: &Peer) -> bool {
        let path = self.directory.join(workload.as_str()).join(lock.to_string());
        durable::read_bounded(&path, HOLDER_BYTES_MAX)
            .is_ok_and(|holder| holder == peer.to_string().as_bytes())
    }

    /// Forgets the makers of locks that are gone, however they went.
    fn forget_gone(&self, workload: &WorkloadName, store: &dyn Store) -> Result<(), StoreError> {
        let directory = self.directory.join(workload.as_str());
        let Ok(entries) = fs::read_dir(&directory) else { return Ok(()) };
        let noted: Vec<fs::DirEntry> = entries.flatten().collect();
        let held: BTreeSet<String> = store
            .list(Kind::Lock)?
            .into_iter()
            .filter_map(|(object, _)| Some(hex::encode(&object.name()?)))
            .collect();
        for entry in noted {
            if entry.file_name().to_str().is_none_or(|name| !held.contains(name)) {
                // One that stays is looked at again with the next lock.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

impl Admission {
    /// Judges a lock as it was sent.
    pub(super) fn judge_lock(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let lock = Lock::parse(&place.open(sealed, LOCK_DOCUMENT_MAX)?).map_err(damaged)?;
        let ahead = lock.time.since(now);
        if ahead > STALE_AFTER {
            return Err(Refusal::Unacceptable {
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
    pub(super) fn locked(
        &self,
        kept: &WorkloadRepository,
        workload: &WorkloadName,
        lock: LockId,
        peer: &Peer,
    ) {
        let noted = self.holders.note(workload, lock, peer);
        let cleaned = self.holders.forget_gone(workload, &*kept.store);
        if let Err(error) =
            noted.map_err(|error| error.to_string()).and(cleaned.map_err(|error| error.to_string()))
        {
            tracing::warn!(%workload, %peer, error, "cannot keep account of who holds which lock");
        }
    }
}

/// Removes an object for `peer`, whose role may remove its kind.
pub(crate) fn remove(
    vault: &Vault,
    peer: &Peer,
    workload: &WorkloadName,
    object: &Object,
) -> Result<(), HostError> {
    let kept = vault.repositories.get(workload).map_err(|error| unable(workload, &error))?;
    let Object::Lock(lock) = *object else { return Ok(kept.store.remove(object)?) };
    if !vault.admission.holders.is(workload, lock, peer) {
        let written = match kept.store.written(object) {
            Ok(written) => written,
            // Gone, or not to be looked at: the store says so in its words.
            Err(_) => return Ok(kept.store.remove(object)?),
        };
        let age = written.map_or(Duration::ZERO, |written| written.age());
        if age <= STALE_AFTER {
            let reason = format!(
                "{object} is not {peer}'s: others may remove it when it is stale, {} after it was \
                 stored; that was {} ago",
                human::duration(STALE_AFTER),
                human::duration(age)
            );
            return Err(HostError::Denied { reason });
        }
    }
    kept.store.remove(object)?;
    tracing::debug!(%peer, %workload, %object, "removed a lock");
    Ok(())
}
