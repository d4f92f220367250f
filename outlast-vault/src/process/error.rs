//! Why a vault does not start.

use std::io;
use std::path::PathBuf;

use outlast_catalog::CatalogError;
use outlast_fs::LockError;
use outlast_wire::ca::CaError;
use outlast_wire::identity::IdentityError;
use outlast_wire::tls::TlsError;

use crate::core::error::VaultError;

/// A vault that cannot be opened, or cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "another vault uses {}: stop it first, or give this one a directory of its own",
        dir.display()
    )]
    InUse { dir: PathBuf },
    #[error(
        "another vault works on the repositories in {}: two on one set would undo each other's work. If it \
         was moved or brought back, stop the one before for good; else give this vault repositories of \
         its own",
        dir.display()
    )]
    RepositoriesInUse { dir: PathBuf },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("there is no vault in {}; is its disk mounted, and is the path right?", dir.display())]
    NoVault { dir: PathBuf },
    #[error(
        "a vault is being brought back in {}, and that was broken off: finish it first, by the same \
         command again",
        dir.display()
    )]
    BeingRecovered { dir: PathBuf },
    #[error("cannot listen on {address}: {source}; is another program using the port?")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the vault cannot serve with the identity in {}: {source}", directory.display())]
    Tls { directory: PathBuf, source: TlsError },
    #[error(
        "{} is the identity of {peer}; a vault needs one with the role vault",
        directory.display()
    )]
    WrongRole { directory: PathBuf, peer: String },
    #[error("the vault cannot issue certificates: {0}")]
    Issuer(#[from] CaError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl StartError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
