//! Why a kit cannot be made or read.

use std::io;
use std::path::{Path, PathBuf};

use outlast_fs::LockError;
use outlast_repo::RepoError;
use outlast_store::StoreError;

use crate::core::error::VaultError;
use crate::core::storage::StorageError;
use crate::process::error::StartError;

/// Why a kit cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    #[error(transparent)]
    Vault(#[from] StartError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("somebody else is making a kit of the vault in {}: wait for the end of it", dir.display())]
    Busy { dir: PathBuf },
    #[error("{} is not empty: a kit is made in a new directory", place.display())]
    NotEmpty { place: PathBuf },
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is too large for a kit: is it the right directory?", path.display())]
    TooLarge { path: PathBuf },
    #[error("the vault changed its secret meanwhile, so this kit is worthless: make it again")]
    Changed,
    #[error("there is no recovery kit in {}", place.display())]
    NotAKit { place: PathBuf },
    #[error("the passphrase does not open the recovery kit in {}", place.display())]
    WrongPassphrase { place: PathBuf },
    #[error(
        "the recovery kit in {} is damaged ({reason}): take another copy of it",
        place.display()
    )]
    Damaged { place: PathBuf, reason: String },
    #[error(
        "the recovery kit in {} was made by a newer release: use that",
        place.display()
    )]
    Newer { place: PathBuf },
}

impl KitError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl From<VaultError> for KitError {
    fn from(error: VaultError) -> Self {
        StartError::from(error).into()
    }
}

impl From<StorageError> for KitError {
    fn from(error: StorageError) -> Self {
        VaultError::from(error).into()
    }
}

impl From<RepoError> for KitError {
    fn from(error: RepoError) -> Self {
        VaultError::from(error).into()
    }
}

impl From<StoreError> for KitError {
    fn from(error: StoreError) -> Self {
        VaultError::from(error).into()
    }
}
