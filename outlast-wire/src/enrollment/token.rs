//! A token: one line of text by which a host without a certificate gets its first one.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use outlast_types::{Random, hex};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::certificate::Fingerprint;

/// The kind and version of the text.
const PREFIX: &str = "outlast-token-";
const VERSION: &str = "1";
/// Far more than any token has.
pub(super) const TEXT_BYTES_MAX: usize = 16 << 10;
const CHECK_BYTES: usize = 4;
const SECRET_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const PROOF_KEY: &[u8] = b"outlast enroll proof key v1";
/// The most addresses in a token; a host tries each.
pub const ADDRESSES_MAX: usize = 16;

/// Names a token where it can be listed, logged and revoked: no secret. 16 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId([u8; ID_BYTES]);

/// A text that is no id of a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the id of a token is 16 hexadecimal digits")]
pub struct InvalidTokenId;

impl TokenId {
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; ID_BYTES];
        random.fill(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenId {
    type Err = InvalidTokenId;

    fn from_str(text: &str) -> Result<Self, InvalidTokenId> {
        let bytes = hex::decode(text).ok_or(InvalidTokenId)?;
        bytes.try_into().map(Self).map_err(|_| InvalidTokenId)
    }
}

impl TryFrom<String> for TokenId {
    type Error = InvalidTokenId;

    fn try_from(text: String) -> Result<Self, InvalidTokenId> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

/// What is kept of a token's secret to check proofs. The token cannot be made of it again; requests can,
/// so it is kept like a key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProofKey(Zeroizing<[u8; SECRET_BYTES]>);

/// A text that is no key of proofs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key of proofs is 32 bytes in base64")]
pub struct InvalidProofKey;

impl ProofKey {
    fn of(secret: &[u8; SECRET_BYTES]) -> Self {
        let derived = hmac::sign(&hmac_key(secret), PROOF_KEY);
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        bytes.copy_from_slice(derived.as_ref());
        Self(bytes)
    }

    pub(super) fn prove(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac_key(&*self.0), message).as_ref().to_vec()
    }

    /// In constant time.
    pub(super) fn has_proved(&self, message: &[u8], proof: &[u8]) -> bool {
        hmac::verify(&hmac_key(&*self.0), message, proof).is_ok()
    }
}

/// Shows nothing of it.
impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey")
    }
}

impl TryFrom<String> for ProofKey {
    type Error = InvalidProofKey;

    fn try_from(text: String) -> Result<Self, InvalidProofKey> {
        let text = Zeroizing::new(text);
        let bytes = STANDARD.decode(&*text).map(Zeroizing::new).map_err(|_| InvalidProofKey)?;
        let bytes = <[u8; SECRET_BYTES]>::try_from(bytes.as_slice());
        bytes.map(|bytes| Self(Zeroizing::new(bytes))).map_err(|_| InvalidProofKey)
    }
}

impl From<ProofKey> for String {
    fn from(key: ProofKey) -> Self {
        STANDARD.encode(*key.0)
    }
}

/// A token: who has it may ask for a certificate. The secret in it never travels.
pub struct Token {
    id: TokenId,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    authority: Fingerprint,
    addresses: Vec<String>,
}

/// A text that is no token, or not a whole one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("this is no token of outlast: one begins with {PREFIX}{VERSION}.")]
    NoToken,
    #[error("this token is of a newer release than this program")]
    Newer,
    #[error("this token was not copied whole, or has a typing mistake in it")]
    Mistyped,
    #[error("this token cannot be read: {0}")]
    Malformed(String),
}

#[derive(Serialize, Deserialize)]
struct TokenJson {
    id: TokenId,
    secret: String,
    authority: Fingerprint,
    vaults: Vec<String>,
}

impl Drop for TokenJson {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Token {
    /// A new one, for the authority with this fingerprint, which is found at these addresses.
    pub fn new(authority: Fingerprint, addresses: Vec<String>, random: &dyn Random) -> Self {
        let id = TokenId::new(random);
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        random.fill(&mut *secret);
        Self { id, secret, authority, addresses }
    }

    pub fn id(&self) -> TokenId {
        self.id
    }

    pub fn authority(&self) -> Fingerprint {
        self.authority
    }

    /// Where vaults, or media servers that lead to one, are found.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The same token, for a vault that is found elsewhere.
    #[must_use]
    pub fn at(&self, addresses: Vec<String>) -> Self {
        let secret = Zeroizing::new(*self.secret);
        Self { id: self.id, secret, authority: self.authority, addresses }
    }

    /// What is to be kept of it to check its proofs.
    pub fn proof_key(&self) -> ProofKey {
        ProofKey::of(&self.secret)
    }

    /// The one line that is given to a host.
    pub fn to_text(&self) -> Zeroizing<String> {
        let json = TokenJson {
            id: self.id,
            secret: STANDARD.encode(*self.secret),
            authority: self.authority,
            vaults: self.addresses.clone(),
        };
        // Texts and numbers only, which are always JSON.
        let json = Zeroizing::new(serde_json::to_vec(&json).unwrap_or_default());
        let payload = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*json));
        let head = Zeroizing::new(format!("{PREFIX}{VERSION}.{}", *payload));
        Zeroizing::new(format!("{}.{}", *head, check(&head)))
    }

    /// The inverse of [`to_text`](Self::to_text); white space around it does not matter.
    pub fn from_text(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(InvalidToken::NoToken);
        }
        let rest = text.strip_prefix(PREFIX).ok_or(InvalidToken::NoToken)?;
        let (version, rest) = rest.split_once('.').ok_or(InvalidToken::Mistyped)?;
        if version != VERSION {
            let is_version = version.parse::<u32>().is_ok();
            return Err(if is_version { InvalidToken::Newer } else { InvalidToken::NoToken });
        }
        let (payload, _) = rest.rsplit_once('.').ok_or(InvalidToken::Mistyped)?;
        let (head, found) = text.rsplit_once('.').ok_or(InvalidToken::Mistyped)?;
        if check(head) != found {
            return Err(InvalidToken::Mistyped);
        }
        let malformed = |reason: &str| InvalidToken::Malformed(reason.to_owned());
        let json = URL_SAFE_NO_PAD.decode(payload).map(Zeroizing::new);
        let json = json.map_err(|_| malformed("its middle is not base64"))?;
        // What the parser would quote may be of the secret.
        let json: TokenJson =
            serde_json::from_slice(&json).map_err(|_| malformed("it lacks something"))?;
        let secret = STANDARD.decode(&json.secret).map(Zeroizing::new);
        let secret = secret.map_err(|_| malformed("its secret is not base64"))?;
        let secret = <[u8; SECRET_BYTES]>::try_from(secret.as_slice()).map(Zeroizing::new);
        let secret = secret.map_err(|_| malformed("its secret is not of 32 bytes"))?;
        if json.vaults.is_empty() || json.vaults.len() > ADDRESSES_MAX {
            return Err(malformed("it names no vault, or too many"));
        }
        Ok(Self { id: json.id, secret, authority: json.authority, addresses: json.vaults.clone() })
    }
}

/// The first digits of a SHA-256: for mistakes of hands, not of attackers.
fn check(head: &str) -> String {
    hex::encode(&digest::digest(&digest::SHA256, head.as_bytes()).as_ref()[..CHECK_BYTES])
}

/// Names it, never its secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

fn hmac_key(bytes: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, bytes)
}
