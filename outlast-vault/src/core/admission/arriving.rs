//! What comes through the REST door, judged and then stored.

use std::sync::Arc;

use bytes::Bytes;
use outlast_format::PackId;
use outlast_format::key_file::KeyFile;
use outlast_store::{DirectoryStore, Object, StagedObject, Store, StoreError};
use outlast_types::{SnapshotId, WorkloadName};
use outlast_wire::Peer;
use outlast_wire::rest::{HostError, Incoming, Whole};

use super::{Place, Refusal, damaged};
use crate::VaultError;
use crate::core::repositories::WorkloadRepository;
use crate::core::vault::Vault;
use crate::doors::rest::unable;

/// Begins to take in `object`.
pub(crate) fn arriving(
    vault: Arc<Vault>,
    peer: &Peer,
    workload: &WorkloadName,
    object: &Object,
) -> Result<Box<dyn Incoming>, HostError> {
    let kept = vault.repositories.get(workload).map_err(|error| unable(workload, &error))?;
    let (peer, workload, object) = (peer.clone(), workload.clone(), *object);
    if let Object::Data(name) = object {
        let staged = kept.store.stage(&object)?;
        return Ok(Box::new(ArrivingPack { vault, kept, peer, workload, name, staged }));
    }
    let from = From { vault, kept, peer, workload, object };
    Ok(Box::new(Whole::new(move |content| from.store(&content))))
}

/// A pack, in the file in which it stays if it is proved.
struct ArrivingPack {
    vault: Arc<Vault>,
    kept: Arc<WorkloadRepository>,
    peer: Peer,
    workload: WorkloadName,
    name: PackId,
    staged: StagedObject,
}

impl Incoming for ArrivingPack {
    fn take(&mut self, piece: &[u8]) -> Result<(), HostError> {
        Ok(self.staged.write(piece)?)
    }

    fn store(self: Box<Self>) -> Result<(), HostError> {
        let Self { vault, kept, peer, workload, name, staged } = *self;
        let admitted = Place::of(&kept, &workload)
            .map_err(Refusal::from)
            .and_then(|place| vault.admission.admit_pack(&place, PackId(name.0), staged));
        admitted.map_err(|refusal| told(refusal, &peer, &workload, Object::Data(name)))
    }
}

/// A document, and where it goes.
struct From {
    vault: Arc<Vault>,
    kept: Arc<WorkloadRepository>,
    peer: Peer,
    workload: WorkloadName,
    object: Object,
}

impl From {
    fn store(&self, content: &Bytes) -> Result<(), HostError> {
        let Self { vault, kept, peer, workload, object } = self;
        self.judge(content).map_err(|refusal| told(refusal, peer, workload, *object))?;
        match *object {
            Object::Config => kept.store.create(object, content.clone())?,
            _ => put(&kept.store, object, content)?,
        }
        match *object {
            Object::Lock(lock) => vault.admission.locked(kept, workload, lock, peer),
            Object::Snapshot(snapshot) => self.adopt(snapshot),
            _ => {}
        }
        Ok(())
    }

    fn judge(&self, content: &[u8]) -> Result<(), Refusal> {
        let Self { vault, kept, workload, object, .. } = self;
        let (admission, now) = (&vault.admission, vault.environment.clock.now());
        match object {
            Object::Index(_) => admission.judge_index(&Place::of(kept, workload)?, content),
            Object::Lock(_) => admission.judge_lock(&Place::of(kept, workload)?, content, now),
            Object::Snapshot(_) => admission.judge_snapshot(kept, workload, content),
            Object::Key(_) => KeyFile::parse(content).map(drop).map_err(damaged),
            // There is one, and it is not replaced.
            Object::Config | Object::Data(_) => Ok(()),
        }
    }

    /// A snapshot of stock restic becomes known at the vault's time.
    fn adopt(&self, snapshot: SnapshotId) {
        let Self { vault, kept, peer, workload, .. } = self;
        let received = vault.environment.clock.now();
        let _one_publisher = kept.publishing();
        match vault.adopt(kept, workload, snapshot, received) {
            Ok(()) => tracing::info!(%peer, %workload, %snapshot, "vaulted a snapshot"),
            // The snapshot is safe; the next start of the vault takes it in.
            Err(error) => {
                tracing::error!(%peer, %workload, %snapshot, %error, "cannot catalog a snapshot");
            }
        }
    }
}

/// Stores what was judged. One of another size that has its name is damaged: it is made whole.
fn put(store: &DirectoryStore, object: &Object, content: &Bytes) -> Result<(), StoreError> {
    let exists = match store.create(object, content.clone()) {
        Err(exists @ StoreError::AlreadyExists { .. }) => exists,
        other => return other,
    };
    if store.size(object)? == content.len() as u64 {
        return Err(exists);
    }
    tracing::warn!(location = store.location(), %object, "a damaged object is made whole again");
    let mut staged = store.stage(object)?;
    staged.write(content)?;
    staged.publish_over()
}

/// What of a refusal is for the sender; the log has it all.
fn told(refusal: Refusal, peer: &Peer, workload: &WorkloadName, object: Object) -> HostError {
    match refusal {
        Refusal::Unacceptable { reason, hint } => {
            tracing::warn!(%peer, %workload, %object, reason, "refused what a peer sent");
            HostError::Unacceptable { object, reason, hint: hint.to_owned() }
        }
        Refusal::Busy { reason } => HostError::Busy { reason },
        Refusal::Vault(VaultError::Store(error)) => HostError::Store(error),
        Refusal::Vault(error) => unable(workload, &error),
    }
}
