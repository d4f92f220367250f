//! Who somebody is: a role and a name, as a certificate says them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What somebody may do; [`access`](crate::access) says what exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Ships drops from a share: adds, never deletes, cannot read old data.
    Agent,
    /// Stores and forwards ciphertext.
    Media,
    /// Keeps the repositories.
    Vault,
    /// A person in charge.
    Operator,
    /// A person or program that reads and restores.
    Reader,
}

impl Role {
    pub const ALL: [Self; 5] =
        [Self::Agent, Self::Media, Self::Vault, Self::Operator, Self::Reader];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Media => "media",
            Self::Vault => "vault",
            Self::Operator => "operator",
            Self::Reader => "reader",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no role or no name of an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidPeer {
    text: String,
    expected: &'static str,
}

impl InvalidPeer {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

impl FromStr for Role {
    type Err = InvalidPeer;

    fn from_str(text: &str) -> Result<Self, InvalidPeer> {
        let expected = "a role (agent, media, vault, operator or reader)";
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| InvalidPeer::new(text, expected))
    }
}

/// The other side of a connection, or the signer of a receipt, as its certificate says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "PeerJson")]
pub struct Peer {
    role: Role,
    name: String,
}

/// A peer as data, before its name is looked at.
#[derive(Deserialize)]
struct PeerJson {
    role: Role,
    name: String,
}

impl TryFrom<PeerJson> for Peer {
    type Error = InvalidPeer;

    fn try_from(json: PeerJson) -> Result<Self, InvalidPeer> {
        Self::new(json.role, &json.name)
    }
}

const URI_SCHEME: &str = "outlast://";
const NAME_BYTES_MAX: usize = 64;

impl Peer {
    /// `name` is 1 to 64 characters of `a-z`, `0-9`, `.`, `_` and `-`.
    pub fn new(role: Role, name: &str) -> Result<Self, InvalidPeer> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
            let expected =
                "the name of an identity (1 to 64 characters of a-z, 0-9, '.', '_', '-')";
            return Err(InvalidPeer::new(name, expected));
        }
        Ok(Self { role, name: name.to_owned() })
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// How a certificate says it: `outlast://agent/eu-1`.
    pub fn uri(&self) -> String {
        format!("{URI_SCHEME}{}/{}", self.role, self.name)
    }

    /// Whether a URI is meant to say it.
    pub(crate) fn is_uri(uri: &str) -> bool {
        uri.starts_with(URI_SCHEME)
    }

    /// The inverse of [`uri`](Self::uri).
    pub fn from_uri(uri: &str) -> Result<Self, InvalidPeer> {
        let parts = uri.strip_prefix(URI_SCHEME).and_then(|rest| rest.split_once('/'));
        let expected = "an identity such as outlast://agent/eu-1";
        let (role, name) = parts.ok_or_else(|| InvalidPeer::new(uri, expected))?;
        Self::new(role.parse()?, name)
    }
}

/// As messages name it: `agent eu-1`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_survives_its_uri() {
        for role in Role::ALL {
            let peer = Peer::new(role, "eu-1.a_b").unwrap();
            assert_eq!(Peer::from_uri(&peer.uri()), Ok(peer));
        }
        for bad in [
            "",
            "outlast://",
            "outlast://agent",
            "outlast://agent/",
            "outlast://root/x",
            "outlast://agent/a/b",
            "outlast://agent/A",
            "https://agent/x",
            "outlast://agent/a b",
        ] {
            assert!(Peer::from_uri(bad).is_err(), "{bad}");
        }
    }
}
