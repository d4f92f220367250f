//! The local file system.
//!
//! Beside the plain words for file trees ([`entry`]) it holds the crafts that every other crate
//! must not repeat: writing durably ([`durable`]), having a directory to oneself ([`lock`]),
//! reading a tree with everything that belongs to it ([`walk`]), and placing entries inside a
//! target directory that hostile names and links can never leave ([`place`]).

pub mod accounts;
pub mod durable;
pub mod entry;
pub mod exclude;
pub mod fault;
pub mod lock;
mod metadata;
pub mod place;
pub mod walk;

pub use entry::{
    Entry, EntryPath, EntrySource, FileTime, Interrupter, InvalidPath, Kind, Metadata, SourceError,
};
pub use exclude::{Excludes, InvalidPattern};
pub use lock::{DirectoryLock, LockError};
