//! Why the local cache cannot be used.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the files in which the index lies on disk, the *cache*, cannot be used. They hold nothing
/// that the repository does not hold, too.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// The disk with the cache does not give or take bytes.
    #[error("cannot use the index on disk in {}: {source}", path.display())]
    Io { path: PathBuf, source: Arc<io::Error> },
    /// The bytes on disk are not those that were written there. The file was removed.
    #[error(
        "the index on disk in {} was damaged while it was in use; it was removed, so run the \
         command again: the index is then made anew from the repository, which is not affected",
        path.display()
    )]
    Damaged { path: PathBuf },
}
