//! The options of a repair, and its outcome.

use std::fmt;

use outlast_format::{FormatError, IndexId, PackId};
use outlast_store::{Object, StoreError};

use crate::RepoError;

/// How far a repair goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Read the header of every pack, and replace all index files.
    pub read_all_packs: bool,
    /// Find out what is to be done, and change nothing.
    pub dry_run: bool,
}

/// The work that was done, or would be.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Index files that were written; empty in a dry run.
    pub written: Vec<IndexId>,
    /// Index files that were replaced and removed.
    pub removed: Vec<Object>,
    /// Those of them that were damaged.
    pub damaged: Vec<RepoError>,
    /// Packs that index files listed and that are not there. What only they held is lost.
    pub missing: Vec<PackId>,
    /// Packs whose headers were read.
    pub headers_read: u64,
    /// Packs and blobs that the new index files list.
    pub packs: u64,
    pub blobs: u64,
    /// Packs that cannot be listed, because nothing says what is in them.
    pub unlisted: Vec<PackTrouble>,
    /// Packs that are not what they were, and what of them stays listed.
    pub remains: Vec<Remains>,
}

/// A pack with a damaged end, and what index files say of it that is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remains {
    pub pack: PackId,
    /// Blobs that stay listed.
    pub kept: usize,
    /// Blobs that are not there any more.
    pub lost: usize,
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pack, kept, lost } = self;
        write!(f, "data/{pack} is not what it was: ")?;
        match lost {
            0 => write!(
                f,
                "all {kept} blobs in it are sound and stay listed, but it does not end as a pack \
                 should; a prune copies them into one that does"
            ),
            _ => write!(
                f,
                "{kept} blobs in it are sound and stay listed, {lost} are lost; leave it where it \
                 is, and put back a whole copy of it or back up again what a check then names"
            ),
        }
    }
}

impl Outcome {
    /// Whether everything that is there is listed now, and nothing else, and nothing was lost.
    pub fn is_whole(&self) -> bool {
        self.unlisted.is_empty() && self.remains.iter().all(|remains| remains.lost == 0)
    }

    /// Whether there was nothing to do.
    pub fn is_unchanged(&self) -> bool {
        self.packs == 0 && self.removed.is_empty()
    }
}

/// Why a pack cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum PackTrouble {
    #[error(
        "the header of data/{pack} is damaged ({source}) and no index file lists it, so nobody can \
         say what is in it; leave it where it is, and put back a whole copy of it or back up again \
         what a check then names"
    )]
    Header { pack: PackId, source: FormatError },
    #[error(
        "data/{pack} cannot be read: {source}; leave it where it is, repair the disk, and run this \
         again"
    )]
    Unreadable { pack: PackId, source: Box<StoreError> },
}

impl PackTrouble {
    /// The pack.
    pub fn pack(&self) -> PackId {
        match self {
            Self::Header { pack, .. } | Self::Unreadable { pack, .. } => *pack,
        }
    }
}
