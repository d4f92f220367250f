//! Objects that a peer sends or removes: judged, then stored.

use std::sync::Arc;

use bytes::Bytes;
use outlast_format::key_file::KeyFile;
use outlast_store::{Kind, Object, StoreError};
use outlast_types::{DropId, PackId, SnapshotId, WorkloadName};
use outlast_wire::Peer;

use super::admission::{Place, damaged};
use super::audit::{AuditAction, Event};
use super::error::VaultError;
use super::repositories::WorkloadRepository;
use super::storage::{RepositoryStore, Staged};
use super::vault::Vault;

/// A pack on its way, in the file in which it stays if it is proved.
pub(crate) struct ArrivingPack {
    vault: Arc<Vault>,
    repository: Arc<WorkloadRepository>,
    peer: Peer,
    workload: WorkloadName,
    name: PackId,
    /// The drop for which it is, if its sender says so.
    shipment: Option<DropId>,
    staged: Box<dyn Staged>,
    is_proved: bool,
}

impl ArrivingPack {
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<(), VaultError> {
        let Self { vault, peer, workload, name, staged, .. } = self;
        let (before, bytes) = (staged.size(), piece.len() as u64);
        let allowed = vault.limits.receive(peer, workload, before, bytes);
        allowed.inspect_err(|error| refused(vault, error, peer, workload, Object::Data(*name)))?;
        Ok(staged.write(piece)?)
    }

    /// Proves the pack, all of which came: what takes a processor.
    pub(crate) fn prove(&mut self) -> Result<(), VaultError> {
        let Self { vault, repository, peer, workload, name, shipment, staged, .. } = self;
        let place = Place::of(repository, workload)?;
        let proved = vault.admission.prove_arrived(&place, *name, &**staged);
        if proved.is_err() {
            vault.note_came(workload, *shipment, staged.size(), &proved);
        }
        proved.inspect_err(|error| refused(vault, error, peer, workload, Object::Data(*name)))?;
        self.is_proved = true;
        Ok(())
    }

    /// Gives the pack its name, when it is proved: what waits for a disk.
    pub(crate) fn store(mut self) -> Result<(), VaultError> {
        if !self.is_proved {
            self.prove()?;
        }
        let Self { vault, repository, peer, workload, name, shipment, staged, .. } = self;
        let place = Place::of(&repository, &workload)?;
        let size = staged.size();
        let admitted = vault.admission.admit_proved(&place, name, staged);
        vault.note_came(&workload, shipment, size, &admitted);
        admitted
            .inspect_err(|error| refused(&vault, error, &peer, &workload, Object::Data(name)))?;
        vault.limits.stored(&peer, &workload, size);
        Ok(())
    }
}

/// A document on its way, which is held whole.
pub(crate) struct ArrivingDocument {
    vault: Arc<Vault>,
    repository: Arc<WorkloadRepository>,
    peer: Peer,
    workload: WorkloadName,
    object: Object,
    shipment: Option<DropId>,
}

impl ArrivingDocument {
    /// Judges the document and stores it.
    pub(crate) fn store(&self, content: &Bytes) -> Result<(), VaultError> {
        let Self { vault, repository, peer, workload, object, shipment } = self;
        let size = content.len() as u64;
        let allowed = vault.limits.receive(peer, workload, 0, size);
        let judged = allowed.and_then(|()| self.judge(content));
        judged.inspect_err(|error| refused(vault, error, peer, workload, *object))?;
        match *object {
            Object::Config => repository.store.create(object, content.clone())?,
            _ => {
                let put = put(&repository.store, object, content).map_err(VaultError::from);
                vault.note_came(workload, *shipment, size, &put);
                put?;
            }
        }
        if object.kind() != Kind::Lock {
            vault.limits.stored(peer, workload, size);
        }
        match *object {
            Object::Lock(lock) => vault.admission.locked(repository, workload, lock, peer),
            Object::Snapshot(snapshot) => self.adopt(snapshot),
            Object::Key(_) => {
                let added = Event::by(peer, AuditAction::KeyAdded);
                vault.audit.record(added.workload(workload).object(object))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn judge(&self, content: &[u8]) -> Result<(), VaultError> {
        let Self { vault, repository, workload, object, .. } = self;
        let (admission, now) = (&vault.admission, vault.environment.clock.now());
        match object {
            Object::Index(_) => admission.judge_index(&Place::of(repository, workload)?, content),
            Object::Lock(_) => {
                admission.judge_lock(&Place::of(repository, workload)?, content, now)
            }
            Object::Snapshot(_) => admission.judge_snapshot(repository, workload, content),
            Object::Key(_) => KeyFile::parse(content).map(drop).map_err(damaged),
            // There is one, and it is not replaced.
            Object::Config | Object::Data(_) => Ok(()),
        }
    }

    /// A snapshot of stock restic becomes known at the vault's time.
    fn adopt(&self, snapshot: SnapshotId) {
        let Self { vault, repository, peer, workload, .. } = self;
        let received = vault.environment.clock.now();
        let _one_publisher = repository.publishing();
        match vault.adopt(peer, repository, workload, snapshot, received) {
            Ok(()) => tracing::info!(%peer, %workload, %snapshot, "vaulted a snapshot"),
            // The snapshot is safe; `repair-catalog` takes it in.
            Err(error) => {
                tracing::error!(%peer, %workload, %snapshot, %error, "cannot catalog a snapshot");
            }
        }
    }
}

impl Vault {
    /// Begins to take in a pack.
    pub(crate) fn receive_pack(
        self: &Arc<Self>,
        (peer, shipment): (&Peer, Option<DropId>),
        workload: &WorkloadName,
        name: PackId,
    ) -> Result<ArrivingPack, VaultError> {
        let repository = self.repositories.get(workload)?;
        self.begin_object(peer, workload, Object::Data(name))?;
        let staged = Arc::clone(&repository.store).stage(&Object::Data(name))?;
        let (vault, peer, workload) = (Arc::clone(self), peer.clone(), workload.clone());
        let is_proved = false;
        Ok(ArrivingPack { vault, repository, peer, workload, name, shipment, staged, is_proved })
    }

    /// Begins to take in a document: any object but a pack.
    pub(crate) fn receive_document(
        self: &Arc<Self>,
        (peer, shipment): (&Peer, Option<DropId>),
        workload: &WorkloadName,
        object: Object,
    ) -> Result<ArrivingDocument, VaultError> {
        let repository = self.repositories.get(workload)?;
        self.begin_object(peer, workload, object)?;
        let (vault, peer, workload) = (Arc::clone(self), peer.clone(), workload.clone());
        Ok(ArrivingDocument { vault, repository, peer, workload, object, shipment })
    }

    /// Notes that something of a shipment came, also what was here already.
    fn note_came(
        &self,
        workload: &WorkloadName,
        shipment: Option<DropId>,
        bytes: u64,
        came: &Result<(), VaultError>,
    ) {
        let Some(shipment) = shipment else { return };
        let amount = match came {
            Ok(()) => (1, bytes),
            Err(VaultError::Store(StoreError::AlreadyExists { .. })) => (0, 0),
            Err(_) => return,
        };
        let now = self.environment.clock.now();
        self.shipments.progressed(workload, shipment, amount, now);
    }

    fn begin_object(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        object: Object,
    ) -> Result<(), VaultError> {
        let allowed = self.limits.begin_object(peer, workload);
        allowed.inspect_err(|error| refused(self, error, peer, workload, object))
    }

    /// Removes an object for `peer`, whose role may remove its kind.
    pub(crate) fn remove(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<(), VaultError> {
        let repository = self.repositories.get(workload)?;
        if let Object::Lock(lock) = *object {
            let judged = self.admission.judge_removal(&repository, workload, lock, peer);
            judged.inspect_err(|error| refused(self, error, peer, workload, *object))?;
        }
        repository.store.remove(object)?;
        let removed = Event::by(peer, AuditAction::LockRemoved);
        self.audit.record_repeated(removed.workload(workload).object(object))?;
        tracing::debug!(%peer, %workload, %object, "removed an object");
        Ok(())
    }
}

/// Stores what was judged. One of another size that has its name is damaged: it is made whole.
fn put(
    store: &Arc<dyn RepositoryStore>,
    object: &Object,
    content: &Bytes,
) -> Result<(), StoreError> {
    let exists = match store.create(object, content.clone()) {
        Err(exists @ StoreError::AlreadyExists { .. }) => exists,
        other => return other,
    };
    if store.size(object)? == content.len() as u64 {
        return Err(exists);
    }
    tracing::warn!(location = store.location(), %object, "a damaged object is made whole again");
    let mut staged = Arc::clone(store).stage(object)?;
    staged.write(content)?;
    staged.publish_over()
}

/// Tells people and the audit log what was not believed or not allowed.
fn refused(
    vault: &Vault,
    error: &VaultError,
    peer: &Peer,
    workload: &WorkloadName,
    object: Object,
) {
    if !error.is_refusal() {
        return;
    }
    tracing::warn!(%peer, %workload, %object, %error, "refused what a peer sent");
    let action = match error {
        VaultError::Denied { .. } => AuditAction::LockRemoved,
        _ => AuditAction::ObjectSent,
    };
    vault.note_failure(Event::by(peer, action).workload(workload).object(object), error);
}
