//! Whom to believe of those whom we do not know.

use std::path::{Path, PathBuf};

use outlast_fs::durable;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Where systems keep the certificates of the authorities that they believe.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// More than any of them is.
const BUNDLE_BYTES_MAX: u64 = 16 << 20;

/// The authorities that are believed of a server of others, as DER.
#[derive(Debug, Clone)]
pub struct Believed {
    certificates: Vec<CertificateDer<'static>>,
}

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
pub enum NoRoots {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("no certificate of an authority is in {path}")]
    Empty { path: PathBuf },
    #[error(
        "the system keeps no certificates of authorities where they are looked for, such as in {}: install \
         its package, ca-certificates",
        BUNDLES[0]
    )]
    NoBundle,
}

impl Believed {
    /// Those in a file, or those of the system.
    pub fn read(file: Option<&Path>) -> Result<Self, NoRoots> {
        let system = || BUNDLES.iter().map(Path::new).find(|bundle| bundle.exists());
        let path = file.or_else(system).ok_or(NoRoots::NoBundle)?;
        let failed = |source| NoRoots::Read { path: path.to_owned(), source };
        let pem = durable::read_bounded(path, BUNDLE_BYTES_MAX).map_err(failed)?;
        // A bundle may hold what we cannot read beside what we can.
        let read = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        let mut store = RootCertStore::empty();
        let certificates = read.filter(|der| store.add(der.clone()).is_ok()).collect::<Vec<_>>();
        if certificates.is_empty() {
            return Err(NoRoots::Empty { path: path.to_owned() });
        }
        Ok(Self { certificates })
    }

    pub(crate) fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.certificates.iter().cloned());
        store
    }

    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}
