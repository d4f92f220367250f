//! Why a media server does not start, or does not do what it was told.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use outlast_spool::SpoolError;
use outlast_wire::AddressError;
use outlast_wire::identity::IdentityError;
use outlast_wire::tls::TlsError;

/// A media server that cannot be opened, or cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}: {source}; is another program using the port?")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the media server cannot serve with the identity in {}: {source}", directory.display())]
    Tls { directory: PathBuf, source: TlsError },
    #[error(
        "{} is the identity of {peer}; a media server needs one with the role media",
        directory.display()
    )]
    WrongRole { directory: PathBuf, peer: String },
    #[error("{} is of version {version}, which is newer than this program", path.display())]
    Newer { path: PathBuf, version: u32 },
    #[error("{}, which the media server keeps, cannot be understood: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
}

impl MediaError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
