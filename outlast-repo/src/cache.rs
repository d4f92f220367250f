//! Where this host keeps what it knows about repositories: `DIRECTORY/<repository id>/<table>/`.
//!
//! Everything there can be made anew from the repository, so it may be removed whenever nobody uses
//! it. What nobody opened for long is removed here.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use outlast_format::RepositoryId;
use outlast_fs::{DirectoryLock, durable, lock};

use crate::open_store::OpenStore;
use crate::sorted::{self, Place};

/// The context that keeps this apart from all other uses of the repository's key.
const DERIVE_CONTEXT: &str = "outlast 2026-11 sorted tables of the local cache";
/// The file that was last changed when somebody last looked for tables to remove.
const LOOKED: &str = "looked";
/// How often that is done.
const LOOK_SECONDS: i64 = 24 * 60 * 60;
/// Tables that were not opened for so long are removed.
const UNUSED_SECONDS_MAX: i64 = 60 * 24 * 60 * 60;

/// Where a repository's tables are.
#[derive(Debug, Clone, Default)]
pub(crate) enum Cache {
    /// On the heap.
    #[default]
    Heap,
    /// In nameless files in this directory.
    Scratch(PathBuf),
    /// Below this directory, which is that of all repositories.
    Kept(PathBuf),
}

/// The tables of a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Table {
    Index,
    ChunkIds,
    ChunkHistory,
}

impl Table {
    const ALL: [Self; 3] = [Self::Index, Self::ChunkIds, Self::ChunkHistory];

    fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::ChunkIds => "chunks",
            Self::ChunkHistory => "trail",
        }
    }
}

impl Cache {
    /// The place for a table of the repository, and the key under which its pages are checked.
    pub(crate) fn table(&self, opened: &OpenStore, table: Table) -> (Place, [u8; 32]) {
        let id = opened.config().id;
        let place = match self {
            Self::Heap => Place::Memory,
            Self::Scratch(directory) => Place::Scratch(directory.clone()),
            Self::Kept(root) => Place::Kept(root.join(id.to_string()).join(table.name())),
        };
        let mut hasher = blake3::Hasher::new_derive_key(DERIVE_CONTEXT);
        hasher.update(&opened.key().to_bytes()).update(&id.0).update(table.name().as_bytes());
        (place, *hasher.finalize().as_bytes())
    }

    /// Removes the tables of repositories that nobody opened for long, at most once in a day. Needs
    /// no clock: the table of this repository was opened just now. A failure costs room and is
    /// tried again.
    pub(crate) fn remove_unused(&self, opened: &OpenStore) {
        let Self::Kept(root) = self else { return };
        let own = root.join(opened.config().id.to_string()).join(Table::Index.name());
        let Ok(now) = lock::last_asked(&own, sorted::LOCK) else { return };
        let looked = root.join(LOOKED);
        if fs::metadata(&looked).is_ok_and(|last| now - last.mtime() < LOOK_SECONDS)
            || durable::replace(&looked, b"", 0o600).is_err()
        {
            return;
        }
        let Ok(entries) = fs::read_dir(root) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_none_or(|name| name.parse::<RepositoryId>().is_err()) {
                continue;
            }
            if let Err(error) = empty_if_unused(&entry.path(), now - UNUSED_SECONDS_MAX)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(%error, "cannot remove what is unused in {}", entry.path().display());
            }
        }
    }
}

/// Removes the tables of a repository whose index was not opened since `limit`: whoever uses any of
/// them opens that first. Locks stay, so that whoever opens it at the same time and this have one
/// and the same lock.
fn empty_if_unused(tables: &Path, limit: i64) -> io::Result<()> {
    let index = tables.join(Table::Index.name());
    let Some(_lock) = DirectoryLock::take_unused(&index, sorted::LOCK, limit)? else {
        return Ok(());
    };
    for table in Table::ALL {
        let files = match fs::read_dir(tables.join(table.name())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            files => files?,
        };
        for file in files {
            let path = file?.path();
            if path.file_name().is_some_and(|name| name != sorted::LOCK) {
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}
