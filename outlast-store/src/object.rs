//! Names of objects, as the restic REST protocol and directory layout know them.

use std::fmt;
use std::str::FromStr;

/// The kinds of objects in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The one configuration object.
    Config,
    Key,
    Lock,
    Snapshot,
    Index,
    /// Pack files; `data` in paths and addresses.
    Data,
}

impl Kind {
    /// Every kind that has many objects.
    pub const LISTED: [Self; 5] = [Self::Key, Self::Lock, Self::Snapshot, Self::Index, Self::Data];

    /// Its directory in a repository and its segment in a REST address; `config` for the config.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Lock => "locks",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Data => "data",
        }
    }

    /// The kind that [`directory`](Self::directory) names.
    pub fn from_directory(name: &str) -> Option<Self> {
        Self::LISTED.into_iter().chain([Self::Config]).find(|kind| kind.directory() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.directory())
    }
}

/// The name of an object: the SHA-256 of its content, 32 bytes; 64 lower-case hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(pub [u8; 32]);

/// A text that is no object name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an object's name is 64 lower-case hex digits")]
pub struct InvalidObjectName;

impl FromStr for ObjectName {
    type Err = InvalidObjectName;

    fn from_str(text: &str) -> Result<Self, InvalidObjectName> {
        // The ground floor knows the one spelling of 32 bytes.
        let hash: outlast_types::ContentHash = text.parse().map_err(|_| InvalidObjectName)?;
        Ok(Self(hash.0))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        outlast_types::ContentHash(self.0).fmt(f)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which object: a kind and, for all but the config, a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    Config,
    Key(ObjectName),
    Lock(ObjectName),
    Snapshot(ObjectName),
    Index(ObjectName),
    Data(ObjectName),
}

impl Object {
    /// The object of `kind` called `name`; the config has no name and ignores it.
    pub fn new(kind: Kind, name: ObjectName) -> Self {
        match kind {
            Kind::Config => Self::Config,
            Kind::Key => Self::Key(name),
            Kind::Lock => Self::Lock(name),
            Kind::Snapshot => Self::Snapshot(name),
            Kind::Index => Self::Index(name),
            Kind::Data => Self::Data(name),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Config => Kind::Config,
            Self::Key(_) => Kind::Key,
            Self::Lock(_) => Kind::Lock,
            Self::Snapshot(_) => Kind::Snapshot,
            Self::Index(_) => Kind::Index,
            Self::Data(_) => Kind::Data,
        }
    }

    /// Its name; `None` for the config.
    pub fn name(&self) -> Option<ObjectName> {
        match *self {
            Self::Config => None,
            Self::Key(name)
            | Self::Lock(name)
            | Self::Snapshot(name)
            | Self::Index(name)
            | Self::Data(name) => Some(name),
        }
    }
}

/// As messages name it: `snapshots/4f0b…`, `config`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            None => f.write_str("config"),
            Some(name) => write!(f, "{}/{name}", self.kind()),
        }
    }
}
