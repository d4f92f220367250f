//! The repositories as restic's REST protocol sees them.

use std::sync::Arc;

use outlast_store::{Object, Store, Verb};
use outlast_types::WorkloadName;
use outlast_wire::Peer;
use outlast_wire::rest::{HostError, Incoming, RepositoryHost};

use crate::VaultError;
use crate::core::admission;
use crate::core::vault::Vault;

pub(crate) struct Host(pub(crate) Arc<Vault>);

impl RepositoryHost for Host {
    fn store(
        &self,
        _peer: &Peer,
        workload: &WorkloadName,
        _verb: Verb,
    ) -> Result<Arc<dyn Store>, HostError> {
        let kept = self.0.repositories.get(workload).map_err(|error| unable(workload, &error))?;
        Ok(Arc::clone(&kept.store) as Arc<dyn Store>)
    }

    /// The whole repository is made, with a key of ours: the vault keeps the keys of all it holds.
    fn create(&self, _peer: &Peer, workload: &WorkloadName) -> Result<(), HostError> {
        self.0.open_or_make(workload).map_err(|error| unable(workload, &error))?;
        Ok(())
    }

    fn receive(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<Box<dyn Incoming>, HostError> {
        admission::arriving(Arc::clone(&self.0), peer, workload, object)
    }

    fn remove(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<(), HostError> {
        admission::remove(&self.0, peer, workload, object)
    }
}

pub(crate) fn unable(workload: &WorkloadName, error: &VaultError) -> HostError {
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
