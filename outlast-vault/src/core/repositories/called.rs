//! Whose repository it is that has another name than what is remembered.

use std::sync::Arc;

use outlast_repo::{Credential, RepoError, Repository};
use outlast_store::Store;
use outlast_types::WorkloadName;

use super::{Repositories, read_password};
use crate::core::error::VaultError;

impl Repositories {
    /// Whether the password that is known of `before` opens the repository of a workload: then it was called so.
    pub(crate) fn is_opened_as(
        &self,
        workload: &WorkloadName,
        before: &WorkloadName,
    ) -> Result<bool, VaultError> {
        let Some(password) = read_password(&*self.storage, before)? else { return Ok(false) };
        let store: Arc<dyn Store> = self.storage.open_repository(workload)?;
        match Repository::open(store, Credential::Password(password.as_bytes())) {
            Ok(_) => Ok(true),
            Err(RepoError::WrongPassword { .. }) => Ok(false),
            // What is wrong with it is told where it is taken in.
            Err(error) => {
                tracing::warn!(%workload, %error, "cannot see how it was called before");
                Ok(false)
            }
        }
    }
}
