//! The two hashes that a drop may be proved with.

use std::fmt;
use std::str::FromStr;

use outlast_types::{ContentHash, Sha256Hash, hex};
use ring::digest;

/// Which hash. BLAKE3 is what our writer uses; SHA-256 is what a shell script has at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Blake3,
    Sha256,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        })
    }
}

/// A hash with its algorithm; `blake3:<64 hex digits>` as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Digest {
    Blake3(ContentHash),
    Sha256(Sha256Hash),
}

impl Digest {
    /// The hash of `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Which hash this is.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Blake3(_) => Algorithm::Blake3,
            Self::Sha256(_) => Algorithm::Sha256,
        }
    }

    /// The digits of the hash, without its algorithm.
    pub fn digits(self) -> hex::Digits {
        match self {
            Self::Blake3(hash) => hex::encode_32(&hash.0),
            Self::Sha256(hash) => hex::encode_32(&hash.0),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.digits())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not blake3: or sha256: followed by 64 lower-case hex digits")]
pub struct InvalidDigest;

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let (algorithm, hash) = text.split_once(':').ok_or(InvalidDigest)?;
        let hash = hex::decode_32(hash).ok_or(InvalidDigest)?;
        match algorithm {
            "blake3" => Ok(Self::Blake3(ContentHash(hash))),
            "sha256" => Ok(Self::Sha256(Sha256Hash(hash))),
            _ => Err(InvalidDigest),
        }
    }
}

/// Hashes a stream.
#[derive(Clone)]
pub enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(Box<digest::Context>),
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Blake3 => Self::Blake3(Box::default()),
            Algorithm::Sha256 => Self::Sha256(Box::new(digest::Context::new(&digest::SHA256))),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// The hash of everything taken.
    pub fn finish(self) -> Digest {
        match self {
            Self::Blake3(hasher) => Digest::Blake3(ContentHash(*hasher.finalize().as_bytes())),
            Self::Sha256(hasher) => {
                let mut octets = [0; 32];
                octets.copy_from_slice(hasher.finish().as_ref());
                Digest::Sha256(Sha256Hash(octets))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_standard_ones_and_survive_their_text() {
        let empty = Digest::of(Algorithm::Sha256, b"");
        assert_eq!(
            empty.to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let empty = Digest::of(Algorithm::Blake3, b"");
        assert_eq!(
            empty.to_string(),
            "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
        assert_eq!(empty.to_string().parse(), Ok(empty));
        for bad in ["", "blake3", "md5:00", "sha256:AF", "sha256:"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
