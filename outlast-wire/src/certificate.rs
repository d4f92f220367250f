//! Reading certificates and PEM, for the modules that decide.

mod fingerprint;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use outlast_types::{Timestamp, hex};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use serde::{Deserialize, Serialize};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::asn1_rs::{Oid, ToDer as _, Utf8String};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::grants::{Grants, InvalidGrants, WorkloadPattern};
use crate::key::{InvalidKey, PublicKey};
use crate::names::{Names, names_in};
use crate::peer::{InvalidPeer, Peer};

pub use self::fingerprint::{Fingerprint, InvalidFingerprint};

/// The extension that lists the workloads which a certificate grants: a SEQUENCE of UTF8String, one
/// for each pattern; without it, all are granted. It is not critical, since other programs need not
/// know it. The arcs spell "Outl", "ast"; Go, and with it restic, refuses certificates with one
/// beyond 31 bits, which leaves no room for the 128 of a UUID.
pub(crate) const GRANTS_OID: [u64; 5] = [2, 25, 0x4f75_746c, 0x61_7374, 1];

/// The most certificates in a chain, the holder's own with them. Ours have two.
const CHAIN_LENGTH_MAX: usize = 6;

/// Why a certificate is of no use to us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    #[error("no certificate in PEM form")]
    NoPem,
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("the certificate names no Outlast identity: {0}")]
    NoPeer(#[from] InvalidPeer),
    #[error("the certificate names several Outlast identities")]
    NotOnePeer,
    #[error("the certificate names no Outlast identity, and nothing says whom {names} means")]
    Nobody { names: String },
    #[error("the certificate's grants cannot be read: {0}")]
    Grants(String),
    #[error("the certificate's key is of the kind {0}, and not P-256, P-384 or Ed25519")]
    Algorithm(String),
    #[error("the certificate is not that of an authority")]
    NoAuthority,
    #[error("the certificate is not signed by our authority")]
    Stranger,
    #[error("the certificate's time is over, or has not begun")]
    OutOfTime,
    #[error("the certificate comes with a chain of {0}, and {CHAIN_LENGTH_MAX} are the most")]
    LongChain(usize),
    #[error("the certificate is of our authority, and not for this use: {0}")]
    Unfit(String),
}

impl From<InvalidGrants> for InvalidCertificate {
    fn from(error: InvalidGrants) -> Self {
        Self::Grants(error.to_string())
    }
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// What a certificate says of its holder, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    pub peer: Peer,
    pub grants: Grants,
    #[serde(flatten)]
    pub validity: Validity,
    /// As its authority numbered it, in hexadecimal digits: what people call it by.
    pub serial: String,
    pub fingerprint: Fingerprint,
    /// The name of who issued it, for people to read; unknown in records of before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer: String,
}

/// A certificate's holder, and the key.
pub(crate) struct Facts {
    pub(crate) certified: Certified,
    pub(crate) key: PublicKey,
}

pub(crate) fn facts_of_pem(pem: &str) -> Result<Facts, InvalidCertificate> {
    facts(&first(pem)?)
}

pub(crate) fn facts(der: &CertificateDer<'_>) -> Result<Facts, InvalidCertificate> {
    facts_by(der, &Names::default())
}

/// The same, where certificates that name nobody of ours may mean somebody by `names`.
pub(crate) fn facts_by(
    der: &CertificateDer<'_>,
    names: &Names,
) -> Result<Facts, InvalidCertificate> {
    let certificate = parse(der)?;
    let (peer, grants) = match peer_of(&certificate)? {
        Some(peer) => (peer, grants_of(&certificate)?),
        None => {
            let named = names.of(&certificate).ok_or_else(|| nobody(&certificate))?;
            (named.peer.clone(), named.grants.clone())
        }
    };
    let certified = Certified {
        peer,
        grants,
        validity: validity_of(&certificate),
        serial: hex::encode(&certificate.tbs_certificate.serial.to_bytes_be()),
        fingerprint: Fingerprint::of(der),
        issuer: shown(certificate.issuer().to_string()),
    };
    let key = PublicKey::of(certificate.public_key()).map_err(InvalidCertificate::Algorithm)?;
    Ok(Facts { certified, key })
}

/// How long the first certificate in `pem` is valid.
pub(crate) fn validity_of_pem(pem: &str) -> Result<Validity, InvalidCertificate> {
    Ok(validity_of(&parse(&first(pem)?)?))
}

pub(crate) fn validity(der: &CertificateDer<'_>) -> Result<Validity, InvalidCertificate> {
    Ok(validity_of(&parse(der)?))
}

fn validity_of(certificate: &X509Certificate<'_>) -> Validity {
    let moment = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_unix(time.timestamp(), 0).unwrap_or(Timestamp::EPOCH)
    };
    let validity = certificate.validity();
    Validity { from: moment(validity.not_before), until: moment(validity.not_after) }
}

/// The identity in the one URI of ours among the subject's alternative names, if there is one.
fn peer_of(certificate: &X509Certificate<'_>) -> Result<Option<Peer>, InvalidCertificate> {
    let names = certificate.subject_alternative_name().map_err(unreadable)?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) if Peer::is_uri(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(Some(Peer::from_uri(uri)?)),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(InvalidCertificate::NotOnePeer),
    }
}

/// That a certificate means nobody, with the names that could be given a meaning.
fn nobody(certificate: &X509Certificate<'_>) -> InvalidCertificate {
    let names: Vec<String> =
        names_in(certificate).iter().take(4).map(ToString::to_string).collect();
    let names = match names.is_empty() {
        true => "a certificate without a name".to_owned(),
        false => shown(names.join(" or ")),
    };
    InvalidCertificate::Nobody { names }
}

/// The workloads in the extension of ours; all, without it.
fn grants_of(certificate: &X509Certificate<'_>) -> Result<Grants, InvalidCertificate> {
    let unreadable = |text: &str| InvalidCertificate::Grants(text.to_owned());
    let oid = Oid::from(&GRANTS_OID).map_err(|_| unreadable("no such extension"))?;
    let found = certificate.get_extension_unique(&oid).map_err(|_| unreadable("several lists"))?;
    let Some(extension) = found else { return Ok(Grants::all()) };
    let parsed: Result<(&[u8], Vec<Utf8String<'_>>), _> =
        FromDer::<x509_parser::asn1_rs::Error>::from_der(extension.value);
    let Ok(([], texts)) = parsed else { return Err(unreadable("not a list of texts")) };
    let patterns: Result<Vec<_>, _> =
        texts.iter().map(|text| WorkloadPattern::new(text.as_ref())).collect();
    Ok(Grants::of(patterns.map_err(InvalidGrants::from)?)?)
}

/// The content of that extension; `None` if all workloads are granted.
pub(crate) fn grants_content(grants: &Grants) -> Option<Vec<u8>> {
    let texts: Vec<_> =
        grants.patterns()?.iter().map(|pattern| Utf8String::new(pattern.as_str())).collect();
    // Writing to memory does not fail; and if it did, nothing would be granted.
    Some(texts.to_der_vec().unwrap_or_else(|_| vec![0x30, 0]))
}

/// The name of whom the first certificate in `pem` is, as [`Certified::issuer`] shows it.
pub(crate) fn subject_of_pem(pem: &str) -> Result<String, InvalidCertificate> {
    let der = first(pem)?;
    Ok(shown(parse(&der)?.subject().to_string()))
}

/// A name that comes from others, and goes to logs and terminals.
fn shown(name: String) -> String {
    name.chars().take(200).flat_map(char::escape_debug).collect()
}

/// The common name of the first certificate in `pem`.
pub(crate) fn authority_name_of_pem(pem: &str) -> Result<String, InvalidCertificate> {
    let der = first(pem)?;
    let certificate = parse(&der)?;
    let name = certificate.subject().iter_common_name().next();
    let name = name.and_then(|name| name.as_str().ok()).map(str::to_owned);
    name.ok_or_else(|| InvalidCertificate::Unreadable("it has no common name".to_owned()))
}

/// The certificates in `pem`, each as a PEM of its own.
pub(crate) fn each_pem(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let ended = pem.split_inclusive(END).filter(|piece| piece.ends_with(END));
    ended.map(|piece| format!("{}\n", piece.trim())).collect()
}

/// Which certificate is the first in `pem`.
pub(crate) fn fingerprint_of_pem(pem: &str) -> Result<Fingerprint, InvalidCertificate> {
    Ok(Fingerprint::of(&first(pem)?))
}

/// Which certificates are in `pem`.
pub(crate) fn fingerprints(pem: &str) -> Result<Vec<Fingerprint>, InvalidCertificate> {
    Ok(chain(pem)?.iter().map(Fingerprint::of).collect())
}

/// Checks that `key` is that of the first certificate in `pem`, which may certify others.
pub(crate) fn check_issuer(
    pem: &str,
    key: &impl rcgen::PublicKeyData,
) -> Result<(), InvalidCertificate> {
    let der = first(pem)?;
    let certificate = parse(&der)?;
    if !certificate.is_ca() {
        return Err(InvalidCertificate::NoAuthority);
    }
    may_issue(&certificate)?;
    if certificate.public_key().raw != key.subject_public_key_info() {
        let text = "its private key belongs to another certificate".to_owned();
        return Err(InvalidCertificate::Unfit(text));
    }
    Ok(())
}

/// Whether the issuer of a chain's first certificate signed `message`: the one that follows in the
/// chain, or else one of the authorities in `pem`.
pub(crate) fn issuer_has_signed(
    chain: &[CertificateDer<'_>],
    pem: &str,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, InvalidCertificate> {
    let authorities = self::chain(pem)?;
    let issuers = match chain.get(1) {
        Some(issuer) => std::slice::from_ref(issuer),
        None => authorities.as_slice(),
    };
    for issuer in issuers {
        let issuer = parse(issuer)?;
        let key = PublicKey::of(issuer.public_key()).map_err(InvalidCertificate::Algorithm)?;
        if key.has_signed(message, signature) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The host names and IP addresses for which the first certificate in `pem` is.
pub(crate) fn hosts_of_pem(pem: &str) -> Result<Vec<String>, InvalidCertificate> {
    let der = first(pem)?;
    let certificate = parse(&der)?;
    let names = certificate.subject_alternative_name().map_err(unreadable)?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
        },
        _ => None,
    };
    Ok(names.iter().filter_map(host).collect())
}

/// The certificate in `pem` of the authority that certified the first one in `issuer`; the first, if
/// that is one of them itself.
pub(crate) fn authority_of(issuer: &str, pem: &str) -> Result<String, InvalidCertificate> {
    let der = first(issuer)?;
    let issuer = parse(&der)?;
    for one in each_pem(pem) {
        let der = first(&one)?;
        if parse(&der)?.subject().as_raw() == issuer.issuer().as_raw() {
            return Ok(one);
        }
    }
    Err(InvalidCertificate::Stranger)
}

/// The authority in `pem` to which a chain leads, if one does and is not in the chain itself.
pub(crate) fn root_of(chain_pem: &str, pem: &str) -> Option<String> {
    let chain = chain(chain_pem).ok()?;
    let is_root = |one: &String| {
        check_issued(&chain, one).is_ok() && first(one).is_ok_and(|root| !chain.contains(&root))
    };
    each_pem(pem).into_iter().find(is_root)
}

/// The certificate in `pem` with this fingerprint, if it is an authority's.
pub(crate) fn authority_by(pem: &str, fingerprint: &Fingerprint) -> Option<String> {
    let is_meant = |one: &String| {
        fingerprint_of_pem(one).is_ok_and(|it| it == *fingerprint) && check_authority(one).is_ok()
    };
    each_pem(pem).into_iter().find(is_meant)
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

/// Checks that a chain leads from the holder's certificate, the first, to one of the authorities in
/// `pem`, which issued it to somebody and not to another authority: by the rules by which TLS judges,
/// and as of `at`. That an authority in `pem` has ended since does not matter, as in TLS.
pub(crate) fn check_chain(
    chain: &[CertificateDer<'_>],
    pem: &str,
    at: Timestamp,
) -> Result<(), InvalidCertificate> {
    let Some((holder, others)) = chain.split_first() else {
        return Err(InvalidCertificate::NoPem);
    };
    if chain.len() > CHAIN_LENGTH_MAX {
        return Err(InvalidCertificate::LongChain(chain.len()));
    }
    check_authority(pem)?;
    let authorities = self::chain(pem)?;
    let anchors: Result<Vec<_>, _> =
        authorities.iter().map(webpki::anchor_from_trusted_cert).collect();
    let anchors = anchors.map_err(unreadable)?;
    let seconds = Duration::from_secs(u64::try_from(at.unix_seconds()).unwrap_or(0));
    let end_entity = EndEntityCert::try_from(holder).map_err(unreadable)?;
    let path = end_entity
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            others,
            UnixTime::since_unix_epoch(seconds),
            // Every identity of ours is a client, too.
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map_err(|error| match error {
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                InvalidCertificate::Stranger
            }
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                InvalidCertificate::OutOfTime
            }
            other => InvalidCertificate::Unfit(other.to_string()),
        })?;
    for between in path.intermediate_certificates() {
        may_issue(&parse(&between.der())?)?;
    }
    Ok(())
}

/// The same of the moment at which the certificate began: whether it has ended since does not
/// matter.
pub(crate) fn check_issued(
    chain: &[CertificateDer<'_>],
    pem: &str,
) -> Result<(), InvalidCertificate> {
    let mut born = Timestamp::EPOCH;
    // A clock that was set back may have made an authority's certificate the younger one.
    for certificate in chain.iter().take(CHAIN_LENGTH_MAX) {
        born = born.max(validity_of(&parse(certificate)?).from);
    }
    check_chain(chain, pem, born)
}

/// Checks that an authority between holder and root may sign certificates, which TLS's library leaves
/// out.
fn may_issue(certificate: &X509Certificate<'_>) -> Result<(), InvalidCertificate> {
    match certificate.key_usage().map_err(unreadable)? {
        Some(usage) if !usage.value.key_cert_sign() => {
            let text = "an authority in its chain may not sign certificates".to_owned();
            Err(InvalidCertificate::Unfit(text))
        }
        _ => Ok(()),
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, InvalidCertificate> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(InvalidCertificate::Unreadable("bytes follow its end".to_owned())),
        Err(error) => Err(unreadable(error)),
    }
}

fn unreadable(error: impl fmt::Display) -> InvalidCertificate {
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
