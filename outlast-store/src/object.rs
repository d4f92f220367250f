//! Names of objects, as the restic REST protocol and directory layout know them.

use std::fmt;

use outlast_types::{IndexId, KeyId, LockId, PackId, SnapshotId, hex};

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

/// A text that is no object name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an object's name is 64 lower-case hex digits")]
pub struct InvalidObjectName;

/// Which object: a kind and, for all but the config, a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    Config,
    Key(KeyId),
    Lock(LockId),
    Snapshot(SnapshotId),
    Index(IndexId),
    Data(PackId),
}

impl Object {
    /// The object of `kind` called `name`; the config has no name and ignores it.
    pub fn new(kind: Kind, name: [u8; 32]) -> Self {
        match kind {
            Kind::Config => Self::Config,
            Kind::Key => Self::Key(KeyId(name)),
            Kind::Lock => Self::Lock(LockId(name)),
            Kind::Snapshot => Self::Snapshot(SnapshotId(name)),
            Kind::Index => Self::Index(IndexId(name)),
            Kind::Data => Self::Data(PackId(name)),
        }
    }

    /// The object of `kind` whose name has these digits.
    pub fn parse(kind: Kind, name: &str) -> Result<Self, InvalidObjectName> {
        hex::decode_32(name).map(|name| Self::new(kind, name)).ok_or(InvalidObjectName)
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

    /// Its name, the SHA-256 of its content; `None` for the config.
    pub fn name(&self) -> Option<[u8; 32]> {
        match *self {
            Self::Config => None,
            Self::Key(id) => Some(id.0),
            Self::Lock(id) => Some(id.0),
            Self::Snapshot(id) => Some(id.0),
            Self::Index(id) => Some(id.0),
            Self::Data(id) => Some(id.0),
        }
    }

    /// Its id if it is a pack.
    pub fn pack(&self) -> Option<PackId> {
        if let Self::Data(id) = *self { Some(id) } else { None }
    }

    /// Its id if it is an index.
    pub fn index(&self) -> Option<IndexId> {
        if let Self::Index(id) = *self { Some(id) } else { None }
    }

    /// Its id if it is a snapshot.
    pub fn snapshot(&self) -> Option<SnapshotId> {
        if let Self::Snapshot(id) = *self { Some(id) } else { None }
    }
}

/// As messages name it: `snapshots/4f0b…`, `config`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            None => f.write_str("config"),
            Some(name) => write!(f, "{}/{}", self.kind(), hex::encode_32(&name)),
        }
    }
}
