//! Where a repository's objects live.
//!
//! One trait, [`Store`], is the only door to storage. What a store must guarantee is written on
//! the trait and checked by one suite that every implementation runs ([`conformance`]). Retrying,
//! a limit to the rate of reading, injected faults and recording are wrappers around any store.

mod object;
mod verb;

pub mod conformance;
pub mod directory;
pub mod faulty;
pub mod memory;
pub mod paced;
pub mod record;
pub mod retry;

pub use directory::{DirectoryStore, StagedObject};
pub use faulty::Faulty;
pub use memory::MemoryStore;
pub use object::{InvalidObjectName, Kind, Object};
pub use paced::Paced;
pub use record::Recording;
pub use retry::Retrying;
pub use verb::Verb;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use outlast_types::Timestamp;

/// An object store with the few verbs that a repository needs.
///
/// Contract, for every implementation:
/// - `create` is atomic and exclusive: a reader sees the whole object or none, and of two creators
///   of one object at most one succeeds; the other gets [`StoreError::AlreadyExists`] and the
///   stored bytes are untouched. When it returns `Ok`, the object is durable.
/// - A `create` that failed, timed out or was killed may be repeated; it leaves nothing that
///   `list` shows unless the object is complete.
/// - `read_range` returns exactly the asked bytes, or an error: never fewer.
/// - `list` may miss objects created while it runs, never those created before.
/// - All methods may be called from many threads at once.
pub trait Store: Send + Sync {
    /// Where this is, for messages: a path or URL without secrets.
    fn location(&self) -> String;

    /// Stores a new object.
    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError>;

    /// The whole object.
    fn read(&self, object: &Object) -> Result<Bytes, StoreError>;

    /// `length` bytes from `offset`.
    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError>;

    /// As many bytes from `offset` as `buffer` has room for, as [`read_range`](Self::read_range)
    /// gives them. For a caller that keeps its buffer from one call to the next: a store that can
    /// fill it without a vector of its own does so. On an error its content is any.
    fn read_range_into(
        &self,
        object: &Object,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), StoreError> {
        let content = self.read_range(object, offset, buffer.len())?;
        buffer.copy_from_slice(&content);
        Ok(())
    }

    /// The object's size in bytes.
    fn size(&self, object: &Object) -> Result<u64, StoreError>;

    /// All objects of a kind with their sizes in bytes, in no order.
    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError>;

    /// When an object was written, by the store's own time; `None` if this store does not tell.
    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        let _ = object;
        Ok(None)
    }

    /// Removes an object for good; [`StoreError::NotFound`] if it is not there.
    fn remove(&self, object: &Object) -> Result<(), StoreError>;
}

/// A time and the present, both by the clock of a store. What somebody wrote into an object says
/// when *he* thinks it was; this is what the receiver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub at: Timestamp,
    pub now: Timestamp,
}

impl Written {
    /// How long ago; nothing for what is from the future.
    pub fn age(&self) -> Duration {
        self.now.since(self.at)
    }
}

/// Stores an object whose name is the hash of its content. One that is there already serves as well,
/// if it is as long: a name alone says nothing of an object that was cut off.
pub fn create_or_find(
    store: &dyn Store,
    object: &Object,
    content: Bytes,
) -> Result<(), StoreError> {
    let expected = content.len() as u64;
    match store.create(object, content) {
        Err(StoreError::AlreadyExists { location, .. }) => match store.size(object)? {
            size if size == expected => Ok(()),
            size => Err(StoreError::OtherSize { object: *object, location, size, expected }),
        },
        result => result,
    }
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{object} is not in {location}")]
    NotFound { object: Object, location: String },
    #[error("{object} is already in {location}")]
    AlreadyExists { object: Object, location: String },
    /// What has the name of the object that was to be stored is not that object.
    #[error(
        "{object} is in {location} already, but with {size} bytes instead of {expected}: writing it \
         was interrupted, or it was cut off since"
    )]
    OtherSize { object: Object, location: String, size: u64, expected: u64 },
    /// The store refuses this verb to this identity; trying again cannot help.
    #[error("{location} refuses to {verb} {object}: {reason}")]
    Refused { verb: &'static str, object: Object, location: String, reason: String },
    /// No room; `location` names what is full.
    #[error("cannot {verb} {object}: {location} is full; free space there, then run it again")]
    Full { verb: &'static str, object: Object, location: String },
    /// A passing fault of disk or network; trying again may help.
    #[error("cannot {verb} {object} in {location}: {source}")]
    Io { verb: &'static str, object: Object, location: String, source: io::Error },
    /// A listing failed.
    #[error("cannot list {kind} in {location}: {source}")]
    List { kind: Kind, location: String, source: io::Error },
    /// The store as a whole cannot be used.
    #[error("cannot use {location} as a store: {source}")]
    Open { location: String, source: io::Error },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        let (Self::Io { source, .. } | Self::List { source, .. }) = self else { return false };
        !matches!(
            source.kind(),
            // What is stored is not what was expected; asking again gives the same answer.
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::InvalidData
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::Unsupported
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
        )
    }
}
