//! The repositories as restic's REST protocol sees them.

use std::sync::Arc;

use outlast_store::{Object, Store, Verb};
use outlast_types::WorkloadName;
use outlast_wire::rest::{HostError, RepositoryHost};
use outlast_wire::{Peer, Role};

use crate::VaultError;
use crate::vault::Vault;

pub(crate) struct Host(pub(crate) Arc<Vault>);

impl RepositoryHost for Host {
    fn store(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        _verb: Verb,
    ) -> Result<Arc<dyn Store>, HostError> {
        if peer.role() == Role::Agent
            && let Err(error) = self.0.watch.heard(peer.name())
        {
            tracing::error!(%peer, %error, "cannot note that an agent was heard");
        }
        let kept = self.0.depot.get(workload).map_err(|error| unable(workload, &error))?;
        Ok(Arc::clone(&kept.store) as Arc<dyn Store>)
    }

    /// The whole repository is made, with a key of ours: the vault keeps the keys of all it holds.
    fn create(&self, _peer: &Peer, workload: &WorkloadName) -> Result<(), HostError> {
        self.0.open_or_make(workload).map_err(|error| unable(workload, &error))?;
        Ok(())
    }

    /// A snapshot of stock restic becomes known at the vault's time.
    fn created(&self, peer: &Peer, workload: &WorkloadName, object: &Object) {
        let Object::Snapshot(snapshot) = *object else { return };
        let received = self.0.doors.clock.now();
        let adopted = self.0.depot.get(workload).and_then(|kept| {
            let _one_publisher = kept.publishing();
            self.0.adopt(&kept, workload, snapshot, received)
        });
        match adopted {
            Ok(()) => tracing::info!(%peer, %workload, %snapshot, "vaulted a snapshot"),
            // The snapshot is safe; the next start of the vault takes it in.
            Err(error) => {
                tracing::error!(%peer, %workload, %snapshot, %error, "cannot catalog a snapshot");
            }
        }
    }
}

fn unable(workload: &WorkloadName, error: &VaultError) -> HostError {
    match error {
        VaultError::UnknownWorkload { .. } => HostError::Unknown { workload: workload.clone() },
        VaultError::Missing { .. } | VaultError::RepositoriesAway { .. } => {
            // The look after the repositories has told the log.
            let reason = "it is not whole, which is an incident of the vault's".to_owned();
            HostError::Unable { workload: workload.clone(), reason }
        }
        error => {
            tracing::error!(%workload, %error, "a repository cannot be used");
            // Paths of this host are for its log only.
            let reason = "the vault's log tells why".to_owned();
            HostError::Unable { workload: workload.clone(), reason }
        }
    }
}
