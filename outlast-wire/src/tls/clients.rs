//! Which certificates of clients TLS lets in.

use outlast_types::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::certificate::{self, InvalidCertificate};
use crate::trust::RENEWABLE;

/// Judges as TLS does otherwise, but for two things: a client may have no certificate, and one that has
/// ended not long ago is judged as of its last moment.
#[derive(Debug)]
pub(super) struct Clients {
    ca_pem: String,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    pub(super) fn new(ca_pem: &str, provider: &CryptoProvider) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { ca_pem: ca_pem.to_owned(), algorithms }
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Any: clients have one.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        holder: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refused = |error: InvalidCertificate, until: Timestamp, now: Timestamp| {
            Error::InvalidCertificate(match error {
                InvalidCertificate::Stranger => CertificateError::UnknownIssuer,
                InvalidCertificate::OutOfTime if now > until => CertificateError::Expired,
                InvalidCertificate::OutOfTime => CertificateError::NotValidYet,
                InvalidCertificate::Unreadable(_) => CertificateError::BadEncoding,
                _ => CertificateError::ApplicationVerificationFailure,
            })
        };
        let now = i64::try_from(now.as_secs()).ok().and_then(|now| Timestamp::from_unix(now, 0));
        let now = now.unwrap_or(Timestamp::EPOCH);
        let validity = certificate::validity(holder);
        let until = validity.map_err(|error| refused(error, now, now))?.until;
        let is_renewable = now > until && now.since(until) <= RENEWABLE;
        let at = if is_renewable { until } else { now };
        let chain: Vec<_> = [holder].into_iter().chain(others).cloned().collect();
        certificate::check_chain(&chain, &self.ca_pem, at)
            .map_err(|error| refused(error, until, now))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
