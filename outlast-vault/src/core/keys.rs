//! Keys of repositories, handed out sealed.

use outlast_types::WorkloadName;
use outlast_wire::access::{self, Call};
use outlast_wire::sealed_key::BoxPublicKey;
use outlast_wire::{Peer, sealed_key};
use zeroize::Zeroizing;

use super::audit::{AuditAction, Event};
use super::error::VaultError;
use super::vault::Vault;

/// A repository's key that only its receiver can open.
pub(crate) struct HandedOut {
    pub(crate) sealed_key: Vec<u8>,
    /// Of the repository's format.
    pub(crate) version: u64,
}

impl Vault {
    /// Seals the key of the workload's repository to `box_public_key`, which came in a request of
    /// `peer`. Who may have a repository made gets a new one.
    pub(crate) fn hand_out_key(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        box_public_key: &BoxPublicKey,
    ) -> Result<HandedOut, VaultError> {
        let event = || Event::by(peer, AuditAction::KeyHandedOut).workload(workload);
        let sealed = self.seal_key(peer, workload, box_public_key);
        let handed_out = sealed.inspect_err(|error| self.note_failure(event(), error))?;
        // First the entry, then the key.
        self.audit.record_repeated(event())?;
        tracing::info!(%peer, %workload, "handed out a repository key, sealed");
        Ok(handed_out)
    }

    fn seal_key(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        box_public_key: &BoxPublicKey,
    ) -> Result<HandedOut, VaultError> {
        // Only who brings data makes room for it: a reader's slip of the pen must not.
        let repository = match access::check(peer, Call::MakeRepository) {
            Ok(()) => self.open_or_make(peer, workload)?,
            Err(_) => self.repositories.get(workload)?,
        };
        let opened = repository.opened()?;
        let key = Zeroizing::new(opened.key().to_bytes());
        let info = sealed_key::repository_key_info(workload);
        let random = &*self.environment.random;
        let sealed_key = sealed_key::seal(box_public_key, &info, &*key, random)
            .map_err(|_| VaultError::BadBoxKey)?;
        Ok(HandedOut { sealed_key, version: opened.config().version.number() })
    }
}
