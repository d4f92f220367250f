//! Reading by a grant: the packs that one snapshot needs, and no others.
//!
//! What a grant lets somebody read follows from the root tree in its ticket: the packs in which something
//! lies that the tree reaches. They are found by a walk when the first one is asked for, and kept for the
//! time of a restore or two.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use outlast_format::pack::BlobType;
use outlast_format::{BlobId, PackId};
use outlast_repo::RepoError;
use outlast_repo::reach::{Met, ReachError, reach};
use outlast_store::Object;
use outlast_types::WorkloadName;
use outlast_wire::Role;
use outlast_wire::rest::Asker;
use outlast_wire::ticket::Ticket;

use super::error::VaultError;
use super::repositories::WorkloadRepository;
use super::restorable::Kept;
use super::vault::Vault;

/// A pack that is not among those of a snapshot may be one into which a prune has copied something since.
/// That is looked at no more often than this.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Vault {
    /// Lets `asker`, who may read packs, read this one. Who reads by a grant reads what that is for.
    pub(crate) fn permit_pack(
        &self,
        asker: Asker<'_>,
        workload: &WorkloadName,
        pack: &Object,
    ) -> Result<(), VaultError> {
        let (Object::Data(pack), Some(text)) = (*pack, asker.ticket) else { return Ok(()) };
        if !matches!(asker.certified.peer.role(), Role::Agent | Role::Media) {
            return Ok(());
        }
        let denied = |reason: String| VaultError::Denied { reason };
        let ticket = Ticket::read_header(text, self.identity.get().ca_pem());
        let ticket = ticket.map_err(|error| denied(error.to_string()))?;
        // One of a vault of the release before is for all of the workload.
        let Some(tree) = ticket.tree else { return Ok(()) };
        match self.is_needed(workload, tree, pack)? {
            true => Ok(()),
            false => Err(denied(format!("data/{pack} is nothing that the granted backup needs"))),
        }
    }

    fn is_needed(
        &self,
        workload: &WorkloadName,
        tree: BlobId,
        pack: PackId,
    ) -> Result<bool, VaultError> {
        let look = || {
            let (packs, at) = self.restorable.find(workload, tree)?;
            let is_new = self.environment.timer.elapsed().saturating_sub(at) < LOOK_AGAIN;
            (packs.contains(&pack) || is_new).then(|| packs.contains(&pack))
        };
        if let Some(is_needed) = look() {
            return Ok(is_needed);
        }
        let _one_walks = self.restorable.finding();
        if let Some(is_needed) = look() {
            return Ok(is_needed);
        }
        let repository = self.repositories.get(workload)?;
        let packs = Arc::new(packs_of(&repository, tree)?);
        let is_needed = packs.contains(&pack);
        let at = self.environment.timer.elapsed();
        self.restorable.keep(Kept { workload: workload.clone(), tree, packs, at });
        Ok(is_needed)
    }
}

/// The packs in which something lies that a tree reaches.
fn packs_of(repository: &WorkloadRepository, tree: BlobId) -> Result<HashSet<PackId>, VaultError> {
    let opened = repository.opened_afresh()?;
    let index = opened.index()?;
    let mut packs = HashSet::new();
    let mut add = |kind: BlobType, id: BlobId| -> Result<(), RepoError> {
        packs.extend(index.locations(kind, &id)?.into_iter().map(|place| place.pack));
        Ok(())
    };
    let walked = reach(&opened, tree, &[], &mut |met| {
        if let Met::Blob { kind, id } = met {
            add(kind, id)?;
        }
        Ok(true)
    });
    match walked {
        Ok(()) => Ok(packs),
        Err(ReachError::Repository(error)) => Err(error.into()),
        Err(error) => Err(VaultError::BadSnapshot {
            snapshot: format!("with the tree {tree}"),
            reason: error.to_string(),
        }),
    }
}
