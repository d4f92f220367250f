//! Why an authority cannot be made, opened or asked; and the reading of its files.

use std::io;
use std::path::{Path, PathBuf};

use outlast_fs::durable;
use zeroize::Zeroizing;

use crate::authorities::AuthoritiesError;
use crate::certificate::InvalidCertificate;
use crate::identity::InvalidIdentity;
use crate::peer::Peer;

const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why an authority cannot be made, opened or asked.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("there is already a certificate authority in {}", directory.display())]
    AlreadyExists { directory: PathBuf },
    #[error("there is no certificate authority in {}", directory.display())]
    Missing { directory: PathBuf },
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Certificate { path: PathBuf, source: InvalidCertificate },
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    #[error("{} holds no usable private key: {source}", path.display())]
    Key { path: PathBuf, source: rcgen::Error },
    #[error("{host:?} is neither a host name nor an IP address")]
    Host { host: String },
    #[error("cannot make a certificate for {peer}: {source}")]
    Issue { peer: Peer, source: rcgen::Error },
    #[error("the certificate just made for {peer} is not usable: {source}")]
    Unusable { peer: Peer, source: InvalidIdentity },
}

/// The text of a file of an authority.
pub(super) fn read(directory: &Path, name: &str) -> Result<Zeroizing<String>, CaError> {
    let path = directory.join(name);
    match durable::read_bounded(&path, FILE_BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(Zeroizing::new(text)),
        Ok(Err(error)) => {
            let source = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
            Err(CaError::File { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(CaError::Missing { directory: directory.to_owned() })
        }
        Err(source) => Err(CaError::File { path, source }),
    }
}
