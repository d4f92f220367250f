//! The restic repository format, pure: bytes in, values out.
//!
//! Versions 1 and 2, as `doc/design.rst` of the restic project describes them and as restic 0.14
//! and later write them. Nothing here reads a file, the clock or randomness: callers hand in
//! bytes, [`outlast_types::Random`] and times. Every parser takes hostile bytes: it answers with a
//! [`FormatError`], within memory bounded by its input or by a limit named in its module.
//!
//! From the outside in: a sealed object ([`crypto`]) holds an [`unpacked`] JSON document
//! ([`config`], [`index`], [`snapshot`], [`lock`]) or is one blob inside a [`pack`] ([`tree`] or data); the
//! repository [`crypto::Key`] lies in a [`key_file`] under a password. [`chunker`] cuts content
//! into blobs, [`compress`] makes them smaller, and [`go`] knows how Go's standard library writes
//! text, because trees that differ in one byte are different trees.

pub mod chunker;
pub mod compress;
pub mod config;
pub mod crypto;
pub mod error;
pub mod go;
pub mod id;
pub mod index;
pub mod key_file;
pub mod lock;
pub mod pack;
pub mod snapshot;
pub mod tree;
pub mod unpacked;

pub use error::FormatError;
pub use id::{Sha256, Sha256Id, sha256};
pub use outlast_types::{BlobId, IndexId, KeyId, LockId, PackId, RepositoryId, SnapshotId};
