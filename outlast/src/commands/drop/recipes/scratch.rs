//! Room for what has to lie whole on this host's disk before it can be a drop.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use outlast_fs::lock::DirectoryLock;
use outlast_fs::walk::Walk;
use outlast_fs::{Entry, EntryPath, EntrySource, Interrupter, Kind, SourceError};
use outlast_types::{Clock, SystemClock, human};
use tempfile::TempDir;

use super::super::room::free_bytes;
use super::advice::refused;

/// What scratch directories are called, and the file by which their owner holds them.
const PREFIX: &str = "outlast-drop-";
const LOCK: &str = "lock";
const CONTENT: &str = "content";

/// Leftovers are this old at least before they are removed: what is younger may be about to be
/// locked.
const LEFTOVER_SECONDS: i64 = 60;

/// Where scratch directories are made.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ScratchArgs {
    /// The directory in which copies are made before they go to the share; they are removed after
    /// it [default: TMPDIR, or /var/tmp]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// The room that must be free there, if you know better than we [default: what the databases
    /// take on the server]
    #[arg(long, value_name = "SIZE", value_parser = human::parse_bytes)]
    scratch_room: Option<u64>,
}

/// A directory of our own, readable by this user only, and removed in the end. What a killed
/// process left is removed by the next one.
pub(super) struct Scratch {
    // Before its directory goes.
    _lock: DirectoryLock,
    directory: TempDir,
}

impl ScratchArgs {
    /// Makes a directory, if there is room for as much as is `needed`.
    pub(super) fn make(&self, needed: u64) -> Result<Scratch> {
        let parent = match &self.scratch {
            Some(parent) => parent.clone(),
            None => std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from),
        };
        // Names in the drop are told apart from it by what it really is.
        let parent = parent
            .canonicalize()
            .with_context(|| format!("cannot use the scratch directory {}", parent.display()))?;
        clean(&parent, SystemClock.now().unix_seconds() - LEFTOVER_SECONDS);
        let needed = self.scratch_room.unwrap_or(needed);
        let free = free_bytes(&parent)?;
        if free < needed {
            return Err(refused(
                format_args!(
                    "the copy needs about {} in {}, where {} are free",
                    human::bytes(needed),
                    parent.display(),
                    human::bytes(free)
                ),
                Some(
                    "--scratch names a directory with more room, such as one on a data disk; if the \
                     copy is smaller than that, --scratch-room says how large it is.",
                ),
            ));
        }
        let made = || format!("cannot make a scratch directory in {}", parent.display());
        let directory =
            tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent).with_context(made)?;
        let lock = DirectoryLock::take(directory.path(), LOCK)?;
        let lock = lock.context("somebody else holds a directory that was just made")?;
        fs::create_dir(directory.path().join(CONTENT)).with_context(made)?;
        Ok(Scratch { _lock: lock, directory })
    }
}

impl Scratch {
    /// Where the copy is made.
    pub(super) fn content(&self) -> PathBuf {
        self.directory.path().join(CONTENT)
    }

    /// The copy as a tree, in which nothing tells where it lay.
    pub(super) fn tree(&self) -> Result<Box<dyn EntrySource>> {
        let content = self.content();
        let depth = content.components().count() - 1;
        let walk = Walk::new(&[content])?;
        Ok(Box::new(Below { walk, depth }))
    }
}

/// Removes what processes of this user left in `parent`, that were killed, and whose lock nobody
/// has asked for since `limit`.
fn clean(parent: &Path, limit: i64) {
    let own = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.path().symlink_metadata().is_ok_and(|it| it.is_dir() && it.uid() == own);
        if !is_ours {
            continue;
        }
        // Held while it is removed. One that cannot be removed is tried again by the next.
        if let Ok(Some(_lock)) = DirectoryLock::take_unused(&entry.path(), LOCK, limit) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A walk over one directory, with the names that its entries have in it.
struct Below {
    walk: Walk,
    /// Names that lead to it.
    depth: usize,
}

impl Below {
    fn inner(&self, path: &EntryPath) -> Option<EntryPath> {
        let names = path.names().get(self.depth..).filter(|names| !names.is_empty())?;
        EntryPath::from_names(names.to_vec()).ok()
    }
}

impl EntrySource for Below {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        loop {
            let Some(mut entry) = self.walk.next_entry()? else { return Ok(None) };
            if let Kind::HardLink { target } = &mut entry.kind
                && let Some(inner) = self.inner(target)
            {
                *target = inner;
            }
            // What leads there, and the directory itself, is no part of it.
            if let Some(inner) = self.inner(&entry.path) {
                entry.path = inner;
                return Ok(Some(entry));
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.walk.read(buffer)
    }

    fn extents(&mut self) -> std::io::Result<Option<Vec<(u64, u64)>>> {
        self.walk.extents()
    }

    fn skip(&mut self, length: u64) -> std::io::Result<()> {
        self.walk.skip(length)
    }

    fn length(&mut self) -> Option<u64> {
        self.walk.length()
    }

    fn interrupter(&self) -> Interrupter {
        self.walk.interrupter()
    }

    fn comes_back(&self) -> bool {
        self.walk.comes_back()
    }
}

#[cfg(test)]
mod tests {
    use outlast_fs::durable;

    use super::*;

    fn arguments(parent: &Path) -> ScratchArgs {
        ScratchArgs { scratch: Some(parent.to_owned()), scratch_room: None }
    }

    #[test]
    fn a_copy_is_a_tree_without_a_trace_of_where_it_lay_and_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = arguments(parent.path()).make(0).unwrap();
        fs::create_dir(scratch.content().join("shop")).unwrap();
        durable::create_new(&scratch.content().join("shop/toc.dat"), b"toc", 0o600).unwrap();
        fs::hard_link(scratch.content().join("shop/toc.dat"), scratch.content().join("zz"))
            .unwrap();
        let mut tree = scratch.tree().unwrap();
        let mut names = Vec::new();
        while let Some(entry) = tree.next_entry().unwrap() {
            let target = match &entry.kind {
                Kind::HardLink { target } => format!(" = {target}"),
                _ => String::new(),
            };
            names.push(format!("{}{target}", entry.path));
        }
        assert_eq!(names, ["shop", "shop/toc.dat", "zz = shop/toc.dat"]);
        drop((tree, scratch));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let in_use = arguments(parent.path()).make(0).unwrap();
        let left = parent.path().join(format!("{PREFIX}left"));
        fs::create_dir_all(left.join(CONTENT)).unwrap();
        drop(DirectoryLock::take(&left, LOCK).unwrap());
        fs::create_dir(parent.path().join("other")).unwrap();
        clean(parent.path(), i64::MAX);
        assert!(
            !left.exists() && in_use.content().exists() && parent.path().join("other").exists()
        );
    }

    #[test]
    fn without_room_nothing_begins() {
        let parent = tempfile::tempdir().unwrap();
        let Err(error) = arguments(parent.path()).make(u64::MAX) else { panic!("there was room") };
        assert!(error.to_string().contains("are free; nothing was sealed"), "{error}");
        let known = ScratchArgs { scratch_room: Some(1), ..arguments(parent.path()) };
        assert!(known.make(u64::MAX).is_ok());
    }
}
