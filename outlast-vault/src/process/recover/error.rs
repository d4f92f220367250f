//! Why a vault cannot be brought back.

use std::io;
use std::path::{Path, PathBuf};

use outlast_fs::LockError;
use outlast_store::StoreError;
use outlast_types::Timestamp;

use crate::core::error::VaultError;
use crate::process::error::StartError;
use crate::process::kit::KitError;

/// So many names are told in one sentence.
const NAMED_MAX: usize = 10;

/// Why a vault cannot be brought back.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Kit(#[from] KitError),
    #[error(transparent)]
    Vault(#[from] StartError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("there are no repositories in {}: is their disk mounted, and is the path right?", from.display())]
    NoRepositories { from: PathBuf },
    #[error("a vault is running on the repositories in {}: stop it first", from.display())]
    InUse { from: PathBuf },
    #[error(
        "there is something in {} already, so no vault is brought back there: name a new directory",
        dir.display()
    )]
    Occupied { dir: PathBuf },
    #[error("a vault was brought back in {} already: start it, if that is what you want", dir.display())]
    AlreadyBack { dir: PathBuf },
    #[error(
        "this kit ({kit}, of {vault}, made {made}) opens none of the repositories in {}: it is of another \
         vault, or a newer kit has made it worthless",
        from.display()
    )]
    OtherVault { from: PathBuf, kit: String, vault: String, made: Timestamp },
    #[error("what the vault saved of itself is not in {}: {reason}", from.display())]
    NoState { from: PathBuf, reason: String },
    #[error("{} of the repositories do not fit this kit: {}", names.len(), named(names))]
    Misfits { names: Vec<String> },
    #[error("of the repositories that the vault knew, {} are not in {}: {}", names.len(), from.display(), named(names))]
    Missing { from: PathBuf, names: Vec<String> },
    #[error("what the vault saved of itself cannot be put back: {reason}")]
    State { reason: String },
}

impl RecoverError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl From<VaultError> for RecoverError {
    fn from(error: VaultError) -> Self {
        StartError::from(error).into()
    }
}

impl From<StoreError> for RecoverError {
    fn from(error: StoreError) -> Self {
        VaultError::from(error).into()
    }
}

fn named(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
