//! Asking an authority for a certificate: keys that never leave their host, and the request (PKCS #10)
//! that proves that its sender has them.
//!
//! A request says which key is to be certified, and nothing else that counts: role, name, grants and
//! hosts are the decision of whoever issues.

use std::io;
use std::path::PathBuf;

use outlast_types::Random;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use crate::authorities::Authorities;
use crate::identity::{Identity, InvalidIdentity};
use crate::key::{KeyKind, PublicKey};
use crate::sealed_key::{BoxKey, BoxPublicKey, InvalidBoxKey};

/// The longest request, in bytes of DER.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// Why a request for a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    #[error("no request for a certificate (PKCS #10) in PEM form")]
    NoPem,
    #[error("the request for a certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("the request's key is of the kind {0}, and not P-256, P-384 or Ed25519")]
    Algorithm(String),
    #[error("the request is not signed by the key that it names, with the hash that goes with it")]
    Forged,
}

/// A request whose sender has the private key: signed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    key: PublicKey,
}

impl CertificateRequest {
    pub fn from_pem(pem: &str) -> Result<Self, InvalidRequest> {
        if pem.len() > 2 * REQUEST_BYTES_MAX {
            return Err(InvalidRequest::Unreadable("it is too long".to_owned()));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
        Self::from_der(&der.map_err(|_| InvalidRequest::NoPem)?)
    }

    pub fn from_der(der: &[u8]) -> Result<Self, InvalidRequest> {
        let unreadable = |text: String| InvalidRequest::Unreadable(text);
        if der.len() > REQUEST_BYTES_MAX {
            return Err(unreadable("it is too long".to_owned()));
        }
        let request = match X509CertificationRequest::from_der(der) {
            Ok(([], request)) => request,
            Ok(_) => return Err(unreadable("bytes follow its end".to_owned())),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let asked = &request.certification_request_info;
        let key = PublicKey::of(&asked.subject_pki).map_err(InvalidRequest::Algorithm)?;
        let signed_with = &request.signature_algorithm.algorithm;
        let fits = match key.kind {
            KeyKind::P256 => *signed_with == oid::OID_SIG_ECDSA_WITH_SHA256,
            KeyKind::P384 => *signed_with == oid::OID_SIG_ECDSA_WITH_SHA384,
            KeyKind::Ed25519 => *signed_with == oid::OID_SIG_ED25519,
        };
        let signature = &request.signature_value;
        if !fits || signature.unused_bits != 0 || !key.has_signed(asked.raw, &signature.data) {
            return Err(InvalidRequest::Forged);
        }
        Ok(Self { key })
    }

    pub fn key_kind(&self) -> KeyKind {
        self.key.kind
    }

    /// The uncompressed point, or the 32 bytes of an Ed25519 key.
    pub(crate) fn key_bytes(&self) -> &[u8] {
        &self.key.bytes
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// New keys, for which a certificate is asked.
pub struct PendingIdentity {
    key: KeyPair,
    box_key: BoxKey,
}

/// Why keys cannot be made, or what was kept of them not be read.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot make a key: {0}")]
    Make(rcgen::Error),
    #[error("these are no keys that wait for a certificate: {0}")]
    Key(rcgen::Error),
    #[error("these are no keys that wait for a certificate: {0}")]
    BoxKey(#[from] InvalidBoxKey),
}

impl PendingIdentity {
    pub fn generate(random: &dyn Random) -> Result<Self, PendingError> {
        let key = KeyPair::generate().map_err(PendingError::Make)?;
        Ok(Self { key, box_key: BoxKey::generate(random) })
    }

    /// The request, in PEM.
    pub fn request_pem(&self) -> Result<String, PendingError> {
        let mut params = CertificateParams::default();
        // Whatever it said, the authority would not listen.
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params.serialize_request(&self.key).map_err(PendingError::Make)?;
        request.pem().map_err(PendingError::Make)
    }

    /// The key to which others will seal for us.
    pub fn box_public_key(&self) -> BoxPublicKey {
        self.box_key.public()
    }

    /// Both keys as text, to be kept (mode 0600) until the answer is there: who asks again with the
    /// same keys can be given the same answer.
    pub fn to_text(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(self.key.serialize_pem());
        Zeroizing::new(format!("{}{}", *self.box_key.to_text(), *key))
    }

    /// The inverse of [`to_text`](Self::to_text).
    pub fn from_text(text: &str) -> Result<Self, PendingError> {
        let (box_key, key) = text.split_once('\n').unwrap_or((text, ""));
        let box_key = BoxKey::from_text(box_key.as_bytes())?;
        Ok(Self { key: KeyPair::from_pem(key).map_err(PendingError::Key)?, box_key })
    }

    /// The identity, with the certificate that the authority gave: the chain, the holder's own first,
    /// and the authorities that it is to believe.
    pub fn certified(
        self,
        chain_pem: &str,
        authorities: Authorities,
    ) -> Result<Identity, InvalidIdentity> {
        let key_pem = Zeroizing::new(self.key.serialize_pem());
        Identity::from_parts(chain_pem.to_owned(), key_pem, authorities, self.box_key)
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    fn request_of(key: &KeyPair) -> Vec<u8> {
        let params = CertificateParams::new(vec!["vault.example".to_owned()]).unwrap();
        params.serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn a_request_proves_that_its_sender_has_the_key() {
        for (algorithm, kind) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, KeyKind::P256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, KeyKind::P384),
            (&rcgen::PKCS_ED25519, KeyKind::Ed25519),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let der = request_of(&key);
            assert_eq!(CertificateRequest::from_der(&der).unwrap().key_kind(), kind);
            let mut longer = der.clone();
            longer.push(0);
            assert!(CertificateRequest::from_der(&longer).is_err());
            // Any change: the signature does not fit, or it cannot be read.
            for at in (0..der.len()).step_by(7) {
                let mut changed = der.clone();
                changed[at] ^= 1;
                assert!(CertificateRequest::from_der(&changed).is_err(), "{kind} {at}");
            }
        }
    }

    #[test]
    fn somebody_elses_key_and_keys_of_other_kinds_are_refused() {
        /// Says that it is another key than the one that signs.
        struct Forger<'a>(&'a KeyPair, PublicKey);
        impl rcgen::PublicKeyData for Forger<'_> {
            fn der_bytes(&self) -> &[u8] {
                &self.1.bytes
            }
            fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
                self.0.algorithm()
            }
        }
        impl rcgen::SigningKey for Forger<'_> {
            fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
                rcgen::SigningKey::sign(self.0, message)
            }
        }
        use rcgen::PublicKeyData as _;
        let (mine, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let key = PublicKey { kind: KeyKind::P256, bytes: theirs.der_bytes().to_vec() };
        let forged = CertificateParams::default().serialize_request(&Forger(&mine, key)).unwrap();
        assert_eq!(CertificateRequest::from_der(forged.der()), Err(InvalidRequest::Forged));

        struct Rsa;
        impl rcgen::PublicKeyData for Rsa {
            fn der_bytes(&self) -> &[u8] {
                &[0x30, 6, 2, 1, 0x7f, 2, 1, 3]
            }
            fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
                &rcgen::PKCS_RSA_SHA256
            }
        }
        impl rcgen::SigningKey for Rsa {
            fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
                Ok(vec![0; 256])
            }
        }
        let rsa = CertificateParams::default().serialize_request(&Rsa).unwrap();
        let refused = CertificateRequest::from_der(rsa.der()).unwrap_err();
        assert_eq!(refused, InvalidRequest::Algorithm("RSA".to_owned()));
    }

    #[test]
    fn keys_that_wait_survive_a_crash() {
        let pending = PendingIdentity::generate(&SystemRandom).unwrap();
        let again = PendingIdentity::from_text(&pending.to_text()).unwrap();
        assert_eq!(again.box_public_key(), pending.box_public_key());
        let key = |pending: &PendingIdentity| {
            CertificateRequest::from_pem(&pending.request_pem().unwrap()).unwrap()
        };
        assert_eq!(key(&again), key(&pending));
        assert!(PendingIdentity::from_text("").is_err());
    }
}
