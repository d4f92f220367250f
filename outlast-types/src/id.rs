//! Ids: of drops, of shares, of content, and of what the repository format names.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::{Clock, Random, Timestamp, hex};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidId {
    text: String,
    expected: &'static str,
}

fn invalid(text: &str, expected: &'static str) -> InvalidId {
    InvalidId { text: text.chars().take(80).collect(), expected }
}

/// The id of a drop: a UUID version 7 (RFC 9562), lower case with hyphens, so that ids sort by
/// the time their writers claim.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DropId(Uuid);

impl DropId {
    /// A new id from the writer's clock and randomness.
    pub fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
        let mut random_bytes = [0; 10];
        random.fill(&mut random_bytes);
        let millis = u64::try_from(clock.now().unix_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random_bytes).into_uuid())
    }

    /// When the drop was begun, as its writer claims (RFC 9562: the first 48 bits).
    pub fn claimed_time(self) -> Timestamp {
        let millis = u64::try_from(self.0.as_u128() >> 80).unwrap_or(0);
        Timestamp::EPOCH.saturating_add(Duration::from_millis(millis))
    }
}

impl FromStr for DropId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match canonical_uuid(text) {
            Some(id) if id.get_version_num() == 7 => Ok(Self(id)),
            _ => Err(invalid(text, "a drop id (a UUID of version 7 in lower case)")),
        }
    }
}

/// The id of a share, made once by `outlast share init`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShareId(Uuid);

impl ShareId {
    /// A new random id (UUID version 4).
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl FromStr for ShareId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        canonical_uuid(text).map(Self).ok_or_else(|| invalid(text, "a share id (a UUID)"))
    }
}

/// The id of a tenure: the time in which one agent serves a share, over all its restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenureId(Uuid);

impl TenureId {
    /// A new random id (UUID version 4).
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl FromStr for TenureId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        canonical_uuid(text).map(Self).ok_or_else(|| invalid(text, "the id of a tenure (a UUID)"))
    }
}

/// The id of a media server's spool: of its content, not of the server. Another one means that what
/// was in it is lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpoolId(Uuid);

impl SpoolId {
    /// A new random id (UUID version 4).
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl FromStr for SpoolId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        canonical_uuid(text).map(Self).ok_or_else(|| invalid(text, "the id of a spool (a UUID)"))
    }
}

/// The id of a request to bring a backup back to a share: a random UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(Uuid);

impl RequestId {
    /// A new random id (UUID version 4).
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl FromStr for RequestId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        canonical_uuid(text).map(Self).ok_or_else(|| invalid(text, "a request's id (a UUID)"))
    }
}

/// Only the one spelling that we write, so that an id names one directory everywhere.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.hyphenated().to_string() == text).then_some(id)
}

macro_rules! uuid_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

uuid_text!(DropId);
uuid_text!(ShareId);
uuid_text!(TenureId);
uuid_text!(RequestId);
uuid_text!(SpoolId);

macro_rules! hash_ids {
    ($decode:path, $expected:literal: $($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex::encode_32(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                hex::decode_32(text).map(Self).ok_or_else(|| invalid(text, $expected))
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(hex::encode_32(&self.0).as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Hex;

                impl de::Visitor<'_> for Hex {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $decode(text)
                            .map($name)
                            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
                    }
                }

                deserializer.deserialize_str(Hex)
            }
        }
    )*};
}

hash_ids! {
    hex::decode_32, "a hash (64 lower-case hex digits)":
    /// The BLAKE3 hash of content on a share: of segments and of seals.
    ContentHash;
    /// The SHA-256 hash of content on a share, where a script that wrote a drop has no BLAKE3.
    Sha256Hash;
}

// Documents of the repository format may have been written by Go, which reads either case.
hash_ids! {
    hex::decode_32_any_case, "an id (64 hexadecimal digits)":
    /// The id of a repository: random.
    RepositoryId;
    /// The id of a blob: the SHA-256 of its plaintext. A tree is a blob.
    BlobId;
    /// The id of a pack: the SHA-256 of the whole file.
    PackId;
    /// The id of an index: the SHA-256 of the sealed file.
    IndexId;
    /// The id of a snapshot: the SHA-256 of the sealed file.
    SnapshotId;
    /// The id of a key file: the SHA-256 of the file.
    KeyId;
    /// The id of a lock: the SHA-256 of the sealed file.
    LockId;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemClock, SystemRandom};

    #[test]
    fn a_drop_id_has_one_spelling_only() {
        let id = DropId::new(&SystemClock, &SystemRandom);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<DropId>().is_err());
        assert!(id.to_string().replace('-', "").parse::<DropId>().is_err());
        assert!("../../etc/passwd".parse::<DropId>().is_err());
        let v4 = ShareId::new(&SystemRandom).to_string();
        assert!(v4.parse::<DropId>().is_err(), "a version 4 id is not a drop id");
    }

    #[test]
    fn a_hash_has_one_spelling_only() {
        let hash = ContentHash(std::array::from_fn(|i| u8::try_from(i * 7).unwrap()));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(format!("{hash:.8}"), "00070e15");
        for bad in ["zz".repeat(32), "AB".repeat(32), "ab".repeat(31)] {
            assert!(bad.parse::<ContentHash>().is_err(), "{bad}");
            assert!(bad.parse::<PackId>().is_err(), "{bad}");
        }
    }
}
