//! Mutual TLS: both sides show a certificate of an authority that the other believes.
//!
//! The cryptography provider is passed to every configuration; none is installed for the process.

mod clients;
mod servers;
mod stranger;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use self::clients::Clients;
use self::servers::Unrevoked;
use crate::believed::Believed;
use crate::certificate::{self, InvalidCertificate};
use crate::identity::Identity;
use crate::identity_handle::{Derived, IdentityHandle};
use crate::key::InvalidKey;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate of the authority is not usable: {0}")]
    Authority(#[from] InvalidCertificate),
    #[error("the identity is not usable for TLS: {0}")]
    Key(#[from] InvalidKey),
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// For a server: shows `identity`. It asks clients for a certificate that its authorities lead to, and
/// lets those without one in, and those whose certificate has ended not long ago: what they may do is
/// judged at each request ([`Trust`](crate::trust::Trust)).
pub fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, TlsError> {
    // Its authorities must be usable, or nobody could come.
    roots(identity.ca_pem())?;
    let clients = Clients::new(identity.ca_pem(), &provider());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .with_client_cert_verifier(Arc::new(clients))
        .with_single_cert(
            certificate::chain(identity.certificate_pem())?,
            certificate::tls_key(identity.key_pem())?,
        )
        .map_err(setup)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same for each next connection, of the identity that is in force then.
pub fn server_configs(
    identity: &IdentityHandle,
) -> Result<impl Fn() -> Arc<ServerConfig> + Send + Sync + use<>, TlsError> {
    let made = Derived::new(identity, server_config)?;
    Ok(move || made.get())
}

/// For a client: shows `identity` and accepts only servers that its authority certified.
pub fn client_config(identity: &Identity) -> Result<ClientConfig, TlsError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .with_root_certificates(roots(identity.ca_pem())?)
        .with_client_auth_cert(
            certificate::chain(identity.certificate_pem())?,
            certificate::tls_key(identity.key_pem())?,
        )
        .map_err(setup)
}

/// The same for one who hears of revocations: no server is accepted that is revoked at that moment.
pub(crate) fn heeding_client_config(
    identity: &Identity,
    handle: &IdentityHandle,
) -> Result<ClientConfig, TlsError> {
    let servers = Unrevoked::new(roots(identity.ca_pem())?, handle, provider())
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_client_auth_cert(
            certificate::chain(identity.certificate_pem())?,
            certificate::tls_key(identity.key_pem())?,
        )
        .map_err(setup)
}

/// For a client without an identity, such as of a plain rest-server: accepts servers certified by
/// the authority in `ca_pem`.
pub fn anonymous_client_config(ca_pem: &str) -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .with_root_certificates(roots(ca_pem)?)
        .with_no_client_auth())
}

/// For a client of servers of others: accepts those that any of these authorities certified.
pub(crate) fn believing_client_config(believed: &Believed) -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .with_root_certificates(believed.store())
        .with_no_client_auth())
}

/// For a client that asks somebody whom it does not believe yet, and believes nothing that comes back but
/// what proves itself.
pub(crate) fn stranger_client_config() -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(stranger::Anybody(provider())))
        .with_no_client_auth())
}

/// For a client that uses plain http only: a configuration that trusts nobody.
pub(crate) fn no_trust_config() -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn roots(ca_pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificate::chain(ca_pem)? {
        let certificate: CertificateDer<'static> = certificate;
        roots.add(certificate).map_err(setup)?;
    }
    Ok(roots)
}

fn setup(error: rustls::Error) -> TlsError {
    TlsError::Setup(error.to_string())
}
