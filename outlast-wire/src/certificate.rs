//! Reading certificates and PEM, for the modules that decide.

use std::time::Duration;

use outlast_types::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::peer::{InvalidPeer, Peer};

/// Why a certificate is of no use to us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    #[error("no certificate in PEM form")]
    NoPem,
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("the certificate names no Outlast identity: {0}")]
    NoPeer(#[from] InvalidPeer),
    #[error("the certificate names no Outlast identity, or several")]
    NotOnePeer,
    #[error("the certificate's key is not of the P-256 kind")]
    Algorithm,
    #[error("the certificate is not that of an authority")]
    NoAuthority,
    #[error("the certificate is not signed by our authority")]
    Stranger,
    #[error("the certificate is of our authority, and not for this use: {0}")]
    Unfit(String),
}

/// Why a private key is of no use to us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no P-256 private key that fits the certificate: {0}")]
pub struct InvalidKey(pub(crate) String);

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Validity {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Validity {
    /// Why it is not valid at `now`, if it is not; a clause that follows its name.
    pub fn trouble(&self, now: Timestamp) -> Option<String> {
        if now < self.from {
            let from = self.from;
            Some(format!("is valid from {from} only, and by this host's clock it is {now}"))
        } else if now > self.until {
            let until = self.until;
            Some(format!("was valid until {until}, and by this host's clock it is {now}"))
        } else {
            None
        }
    }
}

/// What we need to know of a certificate.
pub(crate) struct Facts {
    pub(crate) peer: Peer,
    pub(crate) validity: Validity,
    /// The uncompressed point.
    pub(crate) public_key: Vec<u8>,
}

pub(crate) fn facts_of_pem(pem: &str) -> Result<Facts, InvalidCertificate> {
    facts(&first(pem)?)
}

pub(crate) fn facts(der: &CertificateDer<'_>) -> Result<Facts, InvalidCertificate> {
    let certificate = parse(der)?;
    Ok(Facts {
        peer: peer_of(&certificate)?,
        validity: validity_of(&certificate),
        public_key: p256_key(&certificate)?.to_vec(),
    })
}

/// How long the first certificate in `pem` is valid.
pub(crate) fn validity_of_pem(pem: &str) -> Result<Validity, InvalidCertificate> {
    Ok(validity_of(&parse(&first(pem)?)?))
}

fn validity_of(certificate: &X509Certificate<'_>) -> Validity {
    let moment = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_unix(time.timestamp(), 0).unwrap_or(Timestamp::EPOCH)
    };
    let validity = certificate.validity();
    Validity { from: moment(validity.not_before), until: moment(validity.not_after) }
}

/// The identity in the one URI of ours among the subject's alternative names.
fn peer_of(certificate: &X509Certificate<'_>) -> Result<Peer, InvalidCertificate> {
    let names = certificate.subject_alternative_name().map_err(unreadable)?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(Peer::from_uri(uri)?),
        _ => Err(InvalidCertificate::NotOnePeer),
    }
}

/// The common name of the first certificate in `pem`.
pub(crate) fn authority_name_of_pem(pem: &str) -> Result<String, InvalidCertificate> {
    let der = first(pem)?;
    let certificate = parse(&der)?;
    let name = certificate.subject().iter_common_name().next();
    let name = name.and_then(|name| name.as_str().ok()).map(str::to_owned);
    name.ok_or_else(|| InvalidCertificate::Unreadable("it has no common name".to_owned()))
}

/// What follows the first certificate in `pem`.
pub(crate) fn without_first(pem: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_once(END).map_or_else(String::new, |(_, others)| others.trim_start().to_owned())
}

/// Checks that `pem` holds certificates of authorities, and nothing else.
pub(crate) fn check_authority(pem: &str) -> Result<(), InvalidCertificate> {
    for der in chain(pem)? {
        if !parse(&der)?.is_ca() {
            return Err(InvalidCertificate::NoAuthority);
        }
    }
    Ok(())
}

/// Checks that one of the authorities in `pem` issued the certificate, to somebody and not to another
/// authority, by the rules by which TLS judges. That it has ended since does not matter: it is judged
/// as of the first moment of its life.
pub(crate) fn check_issued_by_any(
    der: &CertificateDer<'_>,
    pem: &str,
) -> Result<(), InvalidCertificate> {
    check_authority(pem)?;
    let authorities = chain(pem)?;
    let anchors: Result<Vec<_>, _> =
        authorities.iter().map(webpki::anchor_from_trusted_cert).collect();
    let anchors = anchors.map_err(unreadable)?;
    let born = validity_of(&parse(der)?).from.unix_seconds();
    let born = Duration::from_secs(u64::try_from(born).unwrap_or(0));
    end_entity(der)?
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &[],
            UnixTime::since_unix_epoch(born),
            // Every identity of ours is a client, too.
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map(drop)
        .map_err(|error| match error {
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                InvalidCertificate::Stranger
            }
            other => InvalidCertificate::Unfit(other.to_string()),
        })
}

/// Whether the holder of the certificate's key signed `message`.
pub(crate) fn has_signed(
    der: &CertificateDer<'_>,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, InvalidCertificate> {
    let algorithm = webpki::ring::ECDSA_P256_SHA256;
    Ok(end_entity(der)?.verify_signature(algorithm, message, signature).is_ok())
}

fn end_entity<'a>(der: &'a CertificateDer<'_>) -> Result<EndEntityCert<'a>, InvalidCertificate> {
    EndEntityCert::try_from(der).map_err(unreadable)
}

/// The public key's point, if it is on P-256: 65 bytes that begin with 4.
fn p256_key<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a [u8], InvalidCertificate> {
    const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
    let key = certificate.public_key();
    let point: &[u8] = &key.subject_public_key.data;
    let fits = key.algorithm.algorithm.to_id_string() == EC_PUBLIC_KEY
        && point.len() == 65
        && point[0] == 4;
    if fits { Ok(point) } else { Err(InvalidCertificate::Algorithm) }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, InvalidCertificate> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(InvalidCertificate::Unreadable("bytes follow its end".to_owned())),
        Err(error) => Err(unreadable(error)),
    }
}

fn unreadable(error: impl std::fmt::Display) -> InvalidCertificate {
    InvalidCertificate::Unreadable(error.to_string())
}

/// The first certificate in `pem`.
pub(crate) fn first(pem: &str) -> Result<CertificateDer<'static>, InvalidCertificate> {
    chain(pem)?.into_iter().next().ok_or(InvalidCertificate::NoPem)
}

/// All certificates in `pem`, at least one.
pub(crate) fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, InvalidCertificate> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(InvalidCertificate::NoPem),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unreadable(error)),
    }
}

/// The PKCS #8 private key in `pem`.
pub(crate) fn key_der(pem: &str) -> Result<Zeroizing<Vec<u8>>, InvalidKey> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| InvalidKey(error.to_string()))?;
    Ok(Zeroizing::new(key.secret_pkcs8_der().to_vec()))
}

/// The same, as rustls takes it.
pub(crate) fn tls_key(pem: &str) -> Result<PrivateKeyDer<'static>, InvalidKey> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| InvalidKey(error.to_string()))
}

/// Splits a file that holds certificates and a private key, in any order.
pub(crate) fn split(both: &str) -> (String, Zeroizing<String>) {
    let mut certificates = String::new();
    let mut key = Zeroizing::new(String::new());
    let mut in_key = false;
    for line in both.lines() {
        if line.starts_with("-----BEGIN ") {
            in_key = line.contains("PRIVATE KEY");
        }
        let part: &mut String = if in_key { &mut key } else { &mut certificates };
        part.push_str(line);
        part.push('\n');
    }
    (certificates, key)
}
