//! Why the engine could not do what it was asked.

use std::io;
use std::path::PathBuf;

use outlast_format::{FormatError, PackId, SnapshotId};
use outlast_fs::SourceError;
use outlast_fs::place::PlaceError;
use outlast_store::{Object, StoreError};

use crate::cache_error::CacheError;
use crate::found_lock::FoundLock;
use crate::read_error::{BlobError, ReadError, TreeError};

/// A failure of the engine. What fails for one file or one damaged object only is a *problem* of
/// the outcome instead, and the work goes on.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// There is no config object: never initialised, or the wrong place.
    #[error("{location} holds no repository")]
    NotARepository { location: String },
    /// A config object is there already.
    #[error("{location} already holds a repository, which was left as it is")]
    AlreadyInitialised { location: String },
    /// There is no config object, but other objects of a repository are there.
    #[error(
        "{location} holds {found}, but no config: a repository that lost its config, not an empty \
         place. Put the config back from a copy, or choose another place; nothing was changed"
    )]
    NotEmpty { location: String, found: Object },
    /// No key file opens with this password.
    #[error("wrong password for the repository in {location}: none of its {keys} keys opens")]
    WrongPassword { location: String, keys: usize },
    /// The key that was handed in does not open the config.
    #[error("the key does not belong to the repository in {location}")]
    WrongKey { location: String },
    /// The store failed; its message names the object and the place.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes of an object are not what its kind demands.
    #[error("{object} in {location} is damaged: {source}")]
    Damaged { object: Object, location: String, source: FormatError },
    /// The bytes of an object do not hash to its name.
    #[error("{object} in {location} is damaged: its content does not match its name")]
    HashMismatch { object: Object, location: String },
    /// Something new could not be brought into the format.
    #[error("cannot make the {what}: {source}")]
    Encode { what: &'static str, source: FormatError },
    /// The stream to back up ended with an error; nothing was published.
    #[error("cannot read {name}, so nothing was published: {source}")]
    Input { name: String, source: io::Error },
    /// The name for a stream is no file name.
    #[error("{name:?} cannot be the name of a stream: it must be one plain file name")]
    InputName { name: String },
    /// The tree to back up could not be read to its end; nothing was published.
    #[error("{0}; nothing was published")]
    Source(SourceError),
    /// The target of a restore cannot be used, or no more can be written to it.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The thing that was asked for cannot be found or read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An object that was there when the repository was opened is gone, or not what it was.
    #[error(
        "{object} is gone from {location}, about to go, or cut off: an older state of it was put \
         back, or something was removed; nothing was published; run the backup again, which looks \
         at it afresh"
    )]
    Outdated { object: Object, location: String },
    /// Something that snapshots need is missing or damaged.
    #[error(
        "nothing was removed, because {location} is not whole: {flaw}; a check tells all that is \
         wrong with it"
    )]
    NotWhole { location: String, flaw: Box<Flaw> },
    /// Somebody holds a lock that does not go with what was to be done.
    #[error(
        "{location} is locked {lock}; wait for its end, or, if its holder died, until it is half an \
         hour old"
    )]
    Locked { location: String, lock: Box<FoundLock> },
    /// The lock on a repository could not be kept.
    #[error(
        "this process slept for so long that others may have taken its lock on {location} for a \
         dead one's; run it again, it goes on where it was"
    )]
    LockExpired { location: String },
    /// The store refuses removal, to this identity or to everybody.
    #[error("{location} does not let anything be removed, so nothing was: {reason}")]
    NoRemoval { location: String, reason: String },
    /// The index on disk cannot be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// What is to be copied cannot be read whole.
    #[error("{location} does not give all that is to be copied: {reason}")]
    NotCopied { location: String, reason: String, because: Hindrance },
    /// A stage ended early without saying why.
    #[error("the backup ended before its tree was whole, so nothing was published; run it again")]
    Unfinished,
    /// The file that lets a check go on cannot be used.
    #[error("cannot use {} to remember what was checked: {source}", path.display())]
    CheckState { path: PathBuf, source: io::Error },
    /// The local journal cannot be used.
    #[error("cannot use the journal {}: {source}", path.display())]
    Journal { path: PathBuf, source: io::Error },
}

/// The kind of thing that keeps a copy from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// The store does not let it be read.
    Refused,
    /// The same may go well later.
    Passing,
    /// It is damaged, or gone.
    Damaged,
}

/// The flaw of a repository that is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// An index file or a snapshot cannot be read.
    #[error("{0}")]
    Object(RepoError),
    #[error("snapshot {snapshot:.8} cannot be read: {source}")]
    Tree { snapshot: SnapshotId, source: TreeError },
    #[error("a directory of snapshot {snapshot:.8} does not say where its content is")]
    NoTree { snapshot: SnapshotId },
    #[error("data/{pack}, which an index file lists, is missing")]
    MissingPack { pack: PackId },
    #[error("data/{pack} has {size} bytes instead of the {expected} that its blobs need")]
    PackSize { pack: PackId, size: u64, expected: u64 },
    #[error(transparent)]
    Blob(BlobError),
}

impl RepoError {
    pub(crate) fn not_whole(location: String, flaw: Flaw) -> Self {
        Self::NotWhole { location, flaw: Box::new(flaw) }
    }

    /// The object that is damaged, missing or out of reach, if the failure is about one.
    pub fn object(&self) -> Option<Object> {
        match self {
            Self::Damaged { object, .. }
            | Self::HashMismatch { object, .. }
            | Self::Outdated { object, .. }
            | Self::Store(
                StoreError::NotFound { object, .. }
                | StoreError::AlreadyExists { object, .. }
                | StoreError::Refused { object, .. }
                | StoreError::Full { object, .. }
                | StoreError::Io { object, .. },
            ) => Some(*object),
            _ => None,
        }
    }

    /// The failure of the local cache that it is, if it is one: it says nothing about the repository.
    pub fn cache(&self) -> Option<&CacheError> {
        let blob = match self {
            Self::Cache(error) => return Some(error),
            Self::Read(
                ReadError::Blob(blob)
                | ReadError::Tree { source: TreeError::Blob(blob) }
                | ReadError::Unanswered { source: blob },
            ) => blob,
            Self::Read(ReadError::Content { source, .. }) => source,
            _ => return None,
        };
        if let BlobError::Cache(error) = blob { Some(error) } else { None }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) => error.is_passing(),
            _ => false,
        }
    }
}
