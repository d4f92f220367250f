//! The file of a running vault in which its policy stands, for who lets another one hold by a call.

use std::sync::{Arc, Mutex, PoisonError};

use super::config::{ConfigFile, NewConfig, VaultConfig};
use crate::core::error::VaultError;
use crate::core::policy::Policy;
use crate::core::storage::StorageError;
use crate::core::vault::{NewPolicy, PolicyFile, TakePolicy};

/// That of a vault at work, which knows by what it goes.
pub(super) struct PolicyOf {
    known: Arc<Mutex<VaultConfig>>,
    one_at_a_time: Mutex<()>,
}

impl PolicyOf {
    pub(super) fn new(known: &Arc<Mutex<VaultConfig>>) -> Self {
        Self { known: Arc::clone(known), one_at_a_time: Mutex::default() }
    }

    /// The vault's file, and what it would be with a policy.
    fn read(&self, name: &str, text: &str) -> Result<(Arc<dyn ConfigFile>, NewConfig), VaultError> {
        let bad = |reason: String| VaultError::BadPolicy { reason };
        let file = self.known.lock().unwrap_or_else(PoisonError::into_inner).file.clone();
        let file = file.ok_or_else(|| bad("this vault goes by no file".to_owned()))?;
        let new = file.with_policy(name, text).map_err(bad)?;
        Ok((file, new))
    }
}

impl PolicyFile for PolicyOf {
    fn apply(
        &self,
        name: &str,
        text: &str,
        take: &mut TakePolicy<'_>,
    ) -> Result<Vec<String>, VaultError> {
        let _one_at_a_time = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, new) = self.read(name, text)?;
        // The file may say more than holds: of one that was refused when it was read, for example.
        if new.changes.is_empty() {
            take(policy_of(&new.config), &[])?;
            let mut known = known();
            *known = VaultConfig { listen: known.listen, ..new.config };
            return Ok(Vec::new());
        }
        let write = |text: &str| {
            let cannot = |source| {
                let (action, location) = ("write", file.location());
                VaultError::from(StorageError { action, location, source })
            };
            file.write(text).map_err(cannot)
        };
        write(&new.text)?;
        let taken = take(policy_of(&new.config), &new.changes);
        if let Err(error) = taken {
            write(&new.before)?;
            return Err(error);
        }
        let mut known = known();
        *known = VaultConfig { listen: known.listen, ..new.config };
        Ok(new.changes)
    }

    fn judge(&self, name: &str, text: &str) -> Result<Vec<String>, VaultError> {
        Ok(self.read(name, text)?.1.changes)
    }
}

/// What a configuration says of promises, agents, content, keeping, limits and drills.
pub(super) fn policy_of(config: &VaultConfig) -> NewPolicy {
    let policy = Policy::new(config.agents.clone(), config.sanity.clone())
        .letting_fetch(config.fetch.clone())
        .keeping(config.retention.clone());
    let (limits, drills) = (config.limits.clone(), config.drills.clone());
    NewPolicy { settings: config.settings(), policy, limits, drills }
}
