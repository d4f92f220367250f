//! Joining and staying: how a host without a certificate gets its first one, and how a running one is
//! renewed.
//!
//! **Enrolment.** An operator has a token made ([`Token`]) and brings it to the host. The token's secret
//! never travels after that: a request proves that its sender knows it, by an HMAC over all that the
//! request says. **Renewal.** A request is signed by the identity that is to be renewed, which may have
//! ended not long ago.
//!
//! The answer to both is signed by the authority itself, and says to which keys it was given. So whatever
//! carries request and answer can neither use nor change them: it knows no secret and no private key.

mod token;

use std::fmt;
use std::time::Duration;

use outlast_types::{Timestamp, hex};
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::api::Base64;
use crate::authorities::Authorities;
use crate::ca::CertificateAuthority;
use crate::certificate::{self, Certified, Fingerprint, InvalidCertificate};
use crate::identity::Identity;
use crate::request::{CertificateRequest, InvalidRequest, PendingError, PendingIdentity};
use crate::sealed_key::BoxPublicKey;

pub use self::token::{
    ADDRESSES_MAX, InvalidProofKey, InvalidToken, InvalidTokenId, ProofKey, Token, TokenId,
};

/// The version of requests and answers.
const VERSION: u32 = 1;
/// How long certificates last that are given on the grounds of a token, or of one before.
pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// What is proved and signed begins with these words, so that nothing can pass for something else.
const ENROLLMENT: &[u8] = b"outlast enroll request v1\0";
const RENEWAL: &[u8] = b"outlast renew request v1\0";
const ANSWER: &[u8] = b"outlast certificate answer v1\0";
const KEYS: &[u8] = b"outlast requested keys v1\0";

/// `GET /api/v1/enroll`: what a host can learn of a vault before it believes anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Introduction {
    /// The certificates of its authorities, in PEM. Whoever has a token knows one by its fingerprint.
    pub authorities: String,
    /// By the vault's clock.
    pub at: Timestamp,
}

impl Introduction {
    /// The authority with this fingerprint, in PEM.
    pub fn authority(&self, fingerprint: Fingerprint) -> Option<String> {
        authority_among(&self.authorities, fingerprint)
    }
}

fn authority_among(ca_pem: &str, fingerprint: Fingerprint) -> Option<String> {
    certificate::each_pem(ca_pem)
        .into_iter()
        .find(|one| certificate::fingerprint_of_pem(one) == Ok(fingerprint))
}

/// `POST /api/v1/enroll`: asks for a certificate on the grounds of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollmentRequest {
    version: u32,
    token: TokenId,
    /// The authority from which the certificate is to come.
    authority: Fingerprint,
    /// The request for a certificate (PKCS #10), in PEM.
    request: String,
    /// To which others will seal for the host.
    box_public_key: BoxPublicKey,
    proof: Base64,
}

impl EnrollmentRequest {
    /// Asks, with the right that `token` gives, for a certificate for the keys that wait.
    pub fn new(token: &Token, pending: &PendingIdentity) -> Result<Self, PendingError> {
        let mut request = Self {
            version: VERSION,
            token: token.id(),
            authority: token.authority(),
            request: pending.request_pem()?,
            box_public_key: pending.box_public_key(),
            proof: Base64(Vec::new()),
        };
        request.proof = Base64(token.proof_key().prove(&request.message()));
        Ok(request)
    }

    /// Which token it names. Whether its sender has it, [`is_proved_by`](Self::is_proved_by) says.
    pub fn token(&self) -> TokenId {
        self.token
    }

    pub fn authority(&self) -> Fingerprint {
        self.authority
    }

    /// Whether its sender knows the secret that goes with `key`, and nobody has changed it. Takes as
    /// long whatever the answer is.
    pub fn is_proved_by(&self, key: &ProofKey) -> bool {
        key.has_proved(&self.message(), &self.proof.0)
    }

    /// The keys for which it asks.
    pub fn asked(&self) -> Result<Asked, RequestError> {
        asked(self.version, &self.request, self.box_public_key)
    }

    fn message(&self) -> Vec<u8> {
        let (token, authority) = (self.token.to_string(), self.authority.to_string());
        let box_key = self.box_public_key.to_string();
        message(
            ENROLLMENT,
            self.version,
            &[&token, &authority, &self.request, &box_key].map(|text| text.as_bytes()),
        )
    }
}

/// `POST /api/v1/renew`: asks for a certificate in place of one, and says so with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalRequest {
    version: u32,
    request: String,
    box_public_key: BoxPublicKey,
    /// The chain that is to be renewed, in PEM.
    certificate: String,
    signature: Base64,
}

impl RenewalRequest {
    /// Asks as `identity` for a certificate for the keys that wait.
    pub fn new(identity: &Identity, pending: &PendingIdentity) -> Result<Self, PendingError> {
        let mut request = Self {
            version: VERSION,
            request: pending.request_pem()?,
            box_public_key: pending.box_public_key(),
            certificate: identity.certificate_pem().to_owned(),
            signature: Base64(Vec::new()),
        };
        request.signature = Base64(identity.sign(&request.message()));
        Ok(request)
    }

    /// The chain that is to be renewed.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// What is signed, to be judged with [`signature`](Self::signature).
    pub fn message(&self) -> Vec<u8> {
        let box_key = self.box_public_key.to_string();
        message(
            RENEWAL,
            self.version,
            &[&self.request, &box_key, &self.certificate].map(|text| text.as_bytes()),
        )
    }

    pub fn signature(&self) -> &[u8] {
        &self.signature.0
    }

    /// The keys for which it asks.
    pub fn asked(&self) -> Result<Asked, RequestError> {
        asked(self.version, &self.request, self.box_public_key)
    }
}

/// Why a request cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the request is of version {version}, which is newer than this program")]
    Newer { version: u32 },
    #[error(transparent)]
    Request(#[from] InvalidRequest),
}

/// The keys for which a certificate is asked, by somebody who has their private halves.
#[derive(Debug, Clone)]
pub struct Asked {
    pub request: CertificateRequest,
    pub keys: Keys,
}

impl Asked {
    /// The same of keys of our own.
    pub fn of_pending(pending: &PendingIdentity) -> Result<Self, RequestError> {
        let pem = pending.request_pem().map_err(|_| InvalidRequest::NoPem)?;
        asked(VERSION, &pem, pending.box_public_key())
    }
}

fn asked(version: u32, pem: &str, box_key: BoxPublicKey) -> Result<Asked, RequestError> {
    if version > VERSION {
        return Err(RequestError::Newer { version });
    }
    let request = CertificateRequest::from_pem(pem)?;
    let keys = Keys::of(&request, box_key);
    Ok(Asked { request, keys })
}

/// Which keys a certificate was asked for: both public keys of a host in one digest. Who asks again with
/// the same keys asks for the same certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Keys([u8; 32]);

/// A text that is no digest of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest of keys is 64 hexadecimal digits")]
pub struct InvalidKeys;

impl Keys {
    fn of(request: &CertificateRequest, box_key: BoxPublicKey) -> Self {
        let (kind, box_key) = (request.key_kind().to_string(), box_key.to_string());
        let parts = [kind.as_bytes(), request.key_bytes(), box_key.as_bytes()];
        let digest = digest::digest(&digest::SHA256, &message(KEYS, VERSION, &parts));
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// Those that wait for a certificate.
    pub fn of_pending(pending: &PendingIdentity) -> Result<Self, RequestError> {
        Ok(Asked::of_pending(pending)?.keys)
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&hex::encode_32(&self.0), f)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Keys {
    type Error = InvalidKeys;

    fn try_from(text: String) -> Result<Self, InvalidKeys> {
        hex::decode_32(&text).map(Self).ok_or(InvalidKeys)
    }
}

impl From<Keys> for String {
    fn from(keys: Keys) -> Self {
        keys.to_string()
    }
}

/// What an authority answers: a certificate, and whom to believe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    version: u32,
    /// For these keys, and for no others.
    pub keys: Keys,
    /// By the vault's clock.
    pub at: Timestamp,
    /// The chain of the new certificate, in PEM.
    pub certificate: String,
    pub authorities: Authorities,
}

impl Granted {
    pub fn new(keys: Keys, at: Timestamp, certificate: &str, authorities: Authorities) -> Self {
        Self { version: VERSION, keys, at, certificate: certificate.to_owned(), authorities }
    }
}

/// An answer that can be carried by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedGrant {
    /// A [`Granted`] in JSON: these very bytes are signed.
    text: String,
    signature: Base64,
}

/// Why an answer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    #[error("the answer is not of the form that was agreed: {0}")]
    Malformed(String),
    #[error("the answer is of version {version}, which is newer than this program")]
    Newer { version: u32 },
    #[error("the answer is for other keys than those that were asked for")]
    OtherKeys,
    #[error("the answer does not come from the authority that we believe")]
    OtherAuthority,
    #[error("the certificate in the answer is of no use: {0}")]
    Certificate(#[from] InvalidCertificate),
    #[error("the authority did not sign the answer: it was changed on its way")]
    Changed,
}

/// By whom an answer must be signed.
#[derive(Debug, Clone, Copy)]
pub enum Anchor<'a> {
    /// The authority with this fingerprint.
    Fingerprint(Fingerprint),
    /// One of those in this PEM.
    Authorities(&'a str),
}

impl SignedGrant {
    /// Signs `granted` as the authority that issued the certificate in it.
    pub fn sign(
        granted: &Granted,
        authority: &CertificateAuthority,
    ) -> Result<Self, SignGrantError> {
        let text = serde_json::to_string(granted).map_err(|error| error.to_string());
        let text = text.map_err(SignGrantError)?;
        let signed = authority.sign(&message(ANSWER, VERSION, &[text.as_bytes()]));
        let signature = signed.map_err(|error| SignGrantError(error.to_string()))?;
        Ok(Self { text, signature: Base64(signature) })
    }

    /// The answer, and what its certificate says, if it is for `keys` and the authority signed it.
    pub fn verify(
        &self,
        keys: &Keys,
        anchor: Anchor<'_>,
    ) -> Result<(Granted, Certified), GrantError> {
        let granted: Granted = serde_json::from_str(&self.text)
            .map_err(|error| GrantError::Malformed(error.to_string()))?;
        if granted.version > VERSION {
            return Err(GrantError::Newer { version: granted.version });
        }
        let authority = match anchor {
            Anchor::Fingerprint(fingerprint) => {
                authority_among(&granted.authorities.ca_pem, fingerprint)
                    .ok_or(GrantError::OtherAuthority)?
            }
            Anchor::Authorities(pem) => pem.to_owned(),
        };
        let chain = certificate::chain(&granted.certificate)?;
        certificate::check_issued(&chain, &authority).map_err(|error| match error {
            InvalidCertificate::Stranger => GrantError::OtherAuthority,
            other => other.into(),
        })?;
        let text = message(ANSWER, VERSION, &[self.text.as_bytes()]);
        if !certificate::issuer_has_signed(&chain, &authority, &text, &self.signature.0)? {
            return Err(GrantError::Changed);
        }
        certificate::check_authority(&granted.authorities.ca_pem)?;
        if granted.keys != *keys {
            return Err(GrantError::OtherKeys);
        }
        let facts = certificate::facts_of_pem(&granted.certificate)?;
        Ok((granted, facts.certified))
    }
}

/// An answer cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the authority cannot sign an answer: {0}")]
pub struct SignGrantError(String);

/// The host names and addresses for which the first certificate of a chain is.
pub fn hosts(chain_pem: &str) -> Result<Vec<String>, InvalidCertificate> {
    certificate::hosts_of_pem(chain_pem)
}

/// The bytes that are proved or signed: what they are, their version, and each part with its length, so
/// that no two messages are the same bytes.
fn message(context: &[u8], version: u32, parts: &[&[u8]]) -> Vec<u8> {
    let mut message = context.to_vec();
    message.extend_from_slice(&version.to_be_bytes());
    for part in parts {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part);
    }
    message
}

#[cfg(test)]
mod tests;
