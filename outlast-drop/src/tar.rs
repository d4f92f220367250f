//! Trees as tar: POSIX pax archives, written from any source of entries and read as one.
//!
//! What is written can be read by GNU tar, bsdtar and busybox, and what they write (ustar, GNU and
//! pax form, all forms of sparse files) can be read here. An archive on a share is input from
//! strangers: names that would leave the target, ways through symbolic links, and archives that
//! unfold into more than they declare are refused.

mod acl;
mod number;
mod pax;
mod read;
mod sparse;
mod write;

use std::io;

pub(crate) use number::parse_field;
pub(crate) use pax::Records;
pub use read::{TarSource, TarWatch};
pub use write::{TreeSummary, write_tree};

/// The unit of a tar archive, in bytes.
pub(crate) const BLOCK: usize = 512;

/// The most that an archive may ask for.
#[derive(Debug, Clone)]
pub struct TarLimits {
    /// Entries in one archive. Entries without data cost next to nothing once compressed.
    pub entries_max: u64,
    /// Bytes of one extended header or long name.
    pub header_bytes_max: u64,
    /// Names in one path.
    pub depth_max: usize,
    /// Pieces of one sparse file.
    pub sparse_pieces_max: usize,
    /// Bytes of all holes of sparse files together, which cost nothing in an archive.
    pub hole_bytes_max: u64,
}

impl Default for TarLimits {
    fn default() -> Self {
        Self {
            entries_max: 100_000_000,
            header_bytes_max: 4 << 20,
            depth_max: 1000,
            sparse_pieces_max: 1_000_000,
            hole_bytes_max: 4 << 40,
        }
    }
}

/// Why a tar archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("the tree cannot be read on: {0}")]
    Source(outlast_fs::SourceError),
    #[error("the archive cannot be written: {0}")]
    Write(io::Error),
    #[error("the archive cannot be read: {0}")]
    Read(io::Error),
    #[error("the archive is cut off")]
    CutOff,
    #[error("there is no valid tar header where one must be")]
    NoHeader,
    #[error("entry {path}: {reason}")]
    Entry { path: String, reason: String },
    #[error("an extended header is not of the form that POSIX asks for: {reason}")]
    ExtendedHeader { reason: &'static str },
    #[error("a header of {size} bytes is longer than {max} bytes")]
    HeaderTooLong { size: u64, max: u64 },
    #[error("the archive has more than {max} entries")]
    TooManyEntries { max: u64 },
    #[error("the holes of its sparse files add up to more than {max} bytes")]
    TooManyHoles { max: u64 },
    #[error("it has an entry of the unknown type {flag:?}")]
    UnknownType { flag: char },
}

impl TarError {
    /// Whether the archive itself is bad, rather than what it was read from.
    fn is_verdict(&self) -> bool {
        !matches!(self, Self::Read(_) | Self::Write(_) | Self::Source(_))
    }
}

#[cfg(test)]
mod tests;
