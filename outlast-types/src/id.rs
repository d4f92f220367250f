//! Ids: of drops, of shares, of content.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Clock, Random, Timestamp};

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

/// A BLAKE3 hash of content, 32 bytes; 64 lower-case hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(pub [u8; 32]);

impl FromStr for ContentHash {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected = "a hash (64 lower-case hex digits)";
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return Err(invalid(text, expected));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            match (digit(pair[0]), digit(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(invalid(text, expected)),
            }
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

impl TryFrom<String> for ContentHash {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
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
    fn a_hash_survives_its_text() {
        let hash = ContentHash(std::array::from_fn(|i| u8::try_from(i * 7).unwrap()));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("zz".repeat(32).parse::<ContentHash>().is_err());
    }
}
