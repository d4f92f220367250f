//! Secrets sealed to one reader: HPKE (RFC 9180), base mode, with DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! The vault seals a repository's key to the agent that may write to it, so that whatever carries
//! the answer sees ciphertext only. Sealed bytes are the encapsulated key (32) and the ciphertext.

use std::convert::Infallible;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use outlast_types::Random;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// The public half: whoever has it can seal. 32 bytes, base64 as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BoxPublicKey([u8; KEY_BYTES]);

/// The secret half: only its holder can open.
#[derive(Clone)]
pub struct BoxKey {
    secret: Zeroizing<[u8; KEY_BYTES]>,
    public: BoxPublicKey,
}

/// A text or file that is no box key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a box key is 32 bytes of X25519 in base64")]
pub struct InvalidBoxKey;

/// What was sealed cannot be opened: it is for another key, another purpose, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed key cannot be opened: it was sealed to another key or is damaged")]
pub struct CannotOpen;

impl BoxKey {
    pub fn generate(random: &dyn Random) -> Self {
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        random.fill(&mut *seed);
        let (secret, public) = X25519HkdfSha256::derive_keypair(&*seed);
        Self {
            secret: Zeroizing::new(secret.to_bytes().into()),
            public: BoxPublicKey(public.to_bytes().into()),
        }
    }

    pub fn public(&self) -> BoxPublicKey {
        self.public
    }

    /// Opens what [`seal`] made for this key with the same `info`.
    pub fn open(&self, info: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        let (encapsulated, ciphertext) = sealed.split_at_checked(KEY_BYTES).ok_or(CannotOpen)?;
        let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&*self.secret);
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated);
        let (Ok(secret), Ok(encapsulated)) = (secret, encapsulated) else {
            return Err(CannotOpen);
        };
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &secret,
            &encapsulated,
            info,
            ciphertext,
            &[],
        )
        .map(Zeroizing::new)
        .map_err(|_| CannotOpen)
    }

    /// The same of what [`seal_text`] made.
    pub fn open_text(&self, info: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        self.open(info, &STANDARD.decode(sealed).map_err(|_| CannotOpen)?)
    }

    /// As a file such as `box.key` holds it.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.secret) + "\n")
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    pub fn from_text(text: &[u8]) -> Result<Self, InvalidBoxKey> {
        let bytes = STANDARD.decode(text.trim_ascii()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| InvalidBoxKey)?;
        let secret = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map(Zeroizing::new);
        let secret = secret.map_err(|_| InvalidBoxKey)?;
        let key = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&*secret);
        let public = X25519HkdfSha256::sk_to_pk(&key.map_err(|_| InvalidBoxKey)?);
        Ok(Self { secret, public: BoxPublicKey(public.to_bytes().into()) })
    }
}

/// Shows the public half only.
impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxKey({})", self.public)
    }
}

/// Seals `plaintext` so that only the holder of `reader`'s secret half can open it, and only for
/// the purpose that `info` names.
pub fn seal(
    reader: &BoxPublicKey,
    info: &[u8],
    plaintext: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>, InvalidBoxKey> {
    let reader = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&reader.0);
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &reader.map_err(|_| InvalidBoxKey)?,
            info,
            plaintext,
            &[],
            &mut Generator(random),
        )
        // A public key of low order is the only way to fail.
        .map_err(|_| InvalidBoxKey)?;
    let mut sealed = encapsulated.to_bytes().to_vec();
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

/// The same, in base64.
pub fn seal_text(
    reader: &BoxPublicKey,
    info: &[u8],
    plaintext: &[u8],
    random: &dyn Random,
) -> Result<String, InvalidBoxKey> {
    Ok(STANDARD.encode(seal(reader, info, plaintext, random)?))
}

impl fmt::Display for BoxPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl TryFrom<String> for BoxPublicKey {
    type Error = InvalidBoxKey;

    fn try_from(text: String) -> Result<Self, InvalidBoxKey> {
        let bytes = STANDARD.decode(text).map_err(|_| InvalidBoxKey)?;
        bytes.try_into().map(Self).map_err(|_| InvalidBoxKey)
    }
}

impl From<BoxPublicKey> for String {
    fn from(key: BoxPublicKey) -> Self {
        key.to_string()
    }
}

/// Our door to randomness in the shape that the HPKE library wants.
struct Generator<'a>(&'a dyn Random);

impl TryRng for Generator<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(buffer);
        Ok(())
    }
}

impl TryCryptoRng for Generator<'_> {}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    #[test]
    fn only_the_reader_opens_and_only_for_the_purpose() {
        let reader = BoxKey::generate(&SystemRandom);
        let sealed = seal(&reader.public(), b"purpose", b"secret", &SystemRandom).unwrap();
        assert_eq!(*reader.open(b"purpose", &sealed).unwrap(), b"secret");
        assert!(reader.open(b"other", &sealed).is_err());
        assert!(BoxKey::generate(&SystemRandom).open(b"purpose", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[index] ^= 1;
            assert!(reader.open(b"purpose", &damaged).is_err(), "byte {index}");
            assert!(reader.open(b"purpose", &sealed[..index]).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_box_key_survives_its_file() {
        let key = BoxKey::generate(&SystemRandom);
        let again = BoxKey::from_text(key.to_text().as_bytes()).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(BoxKey::from_text(b"AAAA").is_err());
        assert!(BoxKey::from_text(b"").is_err());
        let text = String::from(key.public());
        assert_eq!(BoxPublicKey::try_from(text), Ok(key.public()));
    }

    #[test]
    fn nothing_is_sealed_to_a_worthless_key() {
        let worthless = BoxPublicKey([0; KEY_BYTES]);
        assert!(seal(&worthless, b"", b"secret", &SystemRandom).is_err());
    }
}
