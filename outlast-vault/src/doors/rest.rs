//! The repositories as restic's REST protocol sees them.

use std::sync::Arc;

use outlast_store::{Object, Store, StoreError, Verb};
use outlast_types::WorkloadName;
use outlast_wire::Peer;
use outlast_wire::access::{Action, Refused};
use outlast_wire::rest::{Asker, HostError, Incoming, RepositoryHost, Sender, Whole};

use super::shown::Shown;
use crate::core::error::VaultError;
use crate::core::receive::ArrivingPack;
use crate::core::vault::Vault;

pub(crate) struct Host(pub(crate) Arc<Vault>);

impl RepositoryHost for Host {
    fn permit(
        &self,
        asker: Asker<'_>,
        action: Action,
        workload: &WorkloadName,
    ) -> Result<(), Refused> {
        match action {
            Action::Object { verb, kind } => self.0.permit_object(asker, verb, kind, workload),
            Action::Call(_) => self.0.permit(asker.certified, action, workload),
        }
    }

    fn permit_pack(
        &self,
        asker: Asker<'_>,
        workload: &WorkloadName,
        pack: &Object,
    ) -> Result<(), HostError> {
        let told = |error| told_of(workload, *pack, error);
        let workload = self.0.called(workload).map_err(told)?;
        self.0.permit_pack(asker, &workload, pack).map_err(told)
    }

    fn store(
        &self,
        _peer: &Peer,
        workload: &WorkloadName,
        _verb: Verb,
    ) -> Result<Arc<dyn Store>, HostError> {
        let present = self.0.called(workload).map_err(|error| told(workload, error))?;
        let repository =
            self.0.repositories.get(&present).map_err(|error| told(workload, error))?;
        let store = Arc::clone(&repository.store) as Arc<dyn Store>;
        let hidden = self.0.forgotten(&present);
        Ok(if hidden.is_empty() { store } else { Arc::new(Shown { store, hidden }) })
    }

    /// The whole repository is made, with a key of ours: the vault keeps the keys of all it holds.
    fn create(&self, peer: &Peer, workload: &WorkloadName) -> Result<(), HostError> {
        let told = |error| told(workload, error);
        let present = self.0.called(workload).map_err(told)?;
        self.0.open_or_make(peer, &present).map(drop).map_err(told)
    }

    fn receive(
        &self,
        sender: Sender<'_>,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<Box<dyn Incoming>, HostError> {
        let told = |error| told_of(workload, *object, error);
        let sender = (sender.peer, sender.shipment);
        let workload = &self.0.called(workload).map_err(told)?;
        if let Object::Data(pack) = *object {
            let arriving = self.0.receive_pack(sender, workload, pack).map_err(told)?;
            return Ok(Box::new(Pack { arriving, workload: workload.clone(), object: *object }));
        }
        let arriving = self.0.receive_document(sender, workload, *object).map_err(told)?;
        let (workload, object) = (workload.clone(), *object);
        Ok(Box::new(Whole::new(move |content| {
            arriving.store(&content).map_err(|error| told_of(&workload, object, error))
        })))
    }

    fn remove(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<(), HostError> {
        let told = |error| told_of(workload, *object, error);
        let present = self.0.called(workload).map_err(told)?;
        self.0.remove(peer, &present, object).map_err(told)
    }
}

/// A pack that passes through the door.
struct Pack {
    arriving: ArrivingPack,
    workload: WorkloadName,
    object: Object,
}

impl Incoming for Pack {
    fn take(&mut self, piece: &[u8]) -> Result<(), HostError> {
        let taken = self.arriving.take(piece);
        taken.map_err(|error| told_of(&self.workload, self.object, error))
    }

    fn prove(&mut self) -> Result<(), HostError> {
        let proved = self.arriving.prove();
        proved.map_err(|error| told_of(&self.workload, self.object, error))
    }

    fn store(self: Box<Self>) -> Result<(), HostError> {
        let Self { arriving, workload, object } = *self;
        arriving.store().map_err(|error| told_of(&workload, object, error))
    }
}

/// An error about an object, as its sender is told.
fn told_of(workload: &WorkloadName, object: Object, error: VaultError) -> HostError {
    match error {
        VaultError::Unacceptable { reason, hint } => {
            HostError::Unacceptable { object, reason, hint: hint.to_owned() }
        }
        VaultError::PackMissing { pack } => HostError::PackMissing { object, pack },
        VaultError::Busy { reason } => HostError::Busy { reason },
        VaultError::OverLimit { .. } => HostError::OverLimit { reason: error.to_string() },
        VaultError::Denied { reason } => HostError::Denied { reason },
        VaultError::Store(error) if !matches!(error, StoreError::Open { .. }) => {
            HostError::Store(error)
        }
        error => told(workload, error),
    }
}

/// An error about a repository, as a peer is told.
fn told(workload: &WorkloadName, error: VaultError) -> HostError {
    match error {
        VaultError::OverLimit { .. } => HostError::OverLimit { reason: error.to_string() },
        VaultError::FormerName { .. } => HostError::Denied { reason: error.to_string() },
        VaultError::UnknownWorkload { .. } => HostError::Unknown { workload: workload.clone() },
        VaultError::Missing { .. } | VaultError::RepositoriesAway { .. } => {
            // The look after the repositories has told the log.
            let reason = "it is not whole, which is an incident of the vault's".to_owned();
            HostError::Unable { workload: workload.clone(), reason }
        }
        error => {
            tracing::error!(%workload, %error, "a repository cannot be used");
            // Where things lie on this host is for its log only.
            let reason = "the vault's log tells why".to_owned();
            HostError::Unable { workload: workload.clone(), reason }
        }
    }
}
