//! The kinds of keys that identities may have, and signing with one.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::oid_registry as oid;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

/// The kinds of keys that sign for an identity. Each goes with one way to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA over P-256 with SHA-256: what our own authority's identities have.
    P256,
    /// ECDSA over P-384 with SHA-384.
    P384,
    Ed25519,
}

/// A public key of one of the kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) kind: KeyKind,
    /// The uncompressed point, or the 32 bytes of an Ed25519 key.
    pub(crate) bytes: Vec<u8>,
}

/// A private key is of no use to us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no private key (P-256, P-384 or Ed25519) that fits the certificate: {0}")]
pub struct InvalidKey(pub(crate) String);

impl KeyKind {
    /// As messages name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Ed25519 => "Ed25519",
        }
    }

    pub(crate) fn of_certificates(self) -> &'static rcgen::SignatureAlgorithm {
        match self {
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PublicKey {
    /// The key in a certificate or a request for one; of another kind, that kind's name.
    pub(crate) fn of(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, String> {
        let algorithm = &info.algorithm;
        let bytes: &[u8] = &info.subject_public_key.data;
        let curve = algorithm.parameters.as_ref().and_then(|curve| curve.clone().oid().ok());
        let is_point = |length| bytes.len() == length && bytes[0] == 4;
        let kind = if algorithm.algorithm == oid::OID_SIG_ED25519 {
            (bytes.len() == 32).then_some(KeyKind::Ed25519)
        } else if algorithm.algorithm == oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
            match &curve {
                Some(curve) if *curve == oid::OID_EC_P256 => is_point(65).then_some(KeyKind::P256),
                Some(curve) if *curve == oid::OID_NIST_EC_P384 => {
                    is_point(97).then_some(KeyKind::P384)
                }
                _ => None,
            }
        } else {
            None
        };
        let kind = kind.ok_or_else(|| {
            if algorithm.algorithm == oid::OID_PKCS1_RSAENCRYPTION {
                "RSA".to_owned()
            } else {
                curve.as_ref().unwrap_or(&algorithm.algorithm).to_id_string()
            }
        })?;
        Ok(Self { kind, bytes: bytes.to_vec() })
    }

    /// Whether the holder of the private half signed `message`.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self.kind {
            KeyKind::P256 => &ECDSA_P256_SHA256_ASN1,
            KeyKind::P384 => &ECDSA_P384_SHA384_ASN1,
            KeyKind::Ed25519 => &ED25519,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).is_ok()
    }
}

impl rcgen::PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.kind.of_certificates()
    }
}

/// A private key, ready to sign.
pub(crate) enum SigningKey {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// The key in `pkcs8`, which must be the private half of `public`.
    pub(crate) fn new(pkcs8: &Zeroizing<Vec<u8>>, public: &PublicKey) -> Result<Self, InvalidKey> {
        let invalid = |error: ring::error::KeyRejected| InvalidKey(error.to_string());
        let ecdsa = |algorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &SystemRandom::new())
                .map(Self::Ecdsa)
                .map_err(invalid)
        };
        let key = match public.kind {
            KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
            KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
            // Other programs leave out the public half.
            KeyKind::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
                .map(Self::Ed25519)
                .map_err(invalid)?,
        };
        if key.public() != public.bytes {
            return Err(InvalidKey("it belongs to another certificate".to_owned()));
        }
        Ok(key)
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::Ecdsa(key) => key.public_key().as_ref(),
            Self::Ed25519(key) => key.public_key().as_ref(),
        }
    }

    #[expect(clippy::expect_used, reason = "signing fails only if the host has no randomness")]
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ecdsa(key) => {
                let signature = key.sign(&SystemRandom::new(), message);
                signature.expect("the system's random generator answers").as_ref().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }
}
