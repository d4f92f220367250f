//! Which servers a client accepts that hears of revocations.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::certificate;
use crate::identity_handle::IdentityHandle;

/// Judges as TLS does otherwise, and refuses who is revoked by what was learnt.
#[derive(Debug)]
pub(super) struct Unrevoked {
    usual: Arc<WebPkiServerVerifier>,
    handle: IdentityHandle,
}

impl Unrevoked {
    pub(super) fn new(
        roots: RootCertStore,
        handle: &IdentityHandle,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self { usual: usual.build()?, handle: handle.clone() })
    }
}

impl ServerCertVerifier for Unrevoked {
    fn verify_server_cert(
        &self,
        holder: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.usual.verify_server_cert(holder, others, name, stapled, now)?;
        // One that names nobody has signed nothing that counts, and cannot be revoked here.
        let facts = certificate::facts_by(holder, self.handle.names());
        let is_revoked =
            |facts: certificate::Facts| self.handle.revocations().of(&facts.certified).is_some();
        match facts.is_ok_and(is_revoked) {
            true => Err(Error::InvalidCertificate(CertificateError::Revoked)),
            false => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
