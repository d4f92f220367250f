//! Which names are one file.
//!
//! An inode number alone does not tell: once a file is gone, a new one gets its number, and some
//! file systems (FUSE, SMB, 9p) give one number to several files. Two names are one file if what
//! the kernel says of them is the same in all, the time of the last change of the inode included,
//! which nobody can set. Where numbers cannot be relied on, the content must be the same, too.
//! Whatever is in doubt is a file of its own: that costs room, and the other way costs data.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;

use super::open::{self, Patience};
use crate::entry::{EntryPath, Kind, Metadata};
use crate::metadata::identity;

/// The most files whose further names are waited for, of about 200 bytes each. The names of
/// others are entries with content of their own, which a backup stores once and a restore links
/// by their device and inode number all the same.
const LINKED_MAX: usize = 16 << 10;

/// The most numbers of files with all their names seen that are remembered, of 16 bytes each: who
/// has such a number now is another file.
const COMPLETE_MAX: usize = 128 << 10;

/// Bytes that are compared at once.
const COMPARED_BYTES: usize = 64 << 10;

/// File systems (`statfs`) on which no two files have one number at the same time.
const RELIABLE: [u64; 14] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683E, // Btrfs
    0x0102_1994, // tmpfs
    0x8584_58F6, // ramfs
    0x794C_7630, // overlayfs
    0x2FC1_2FC1, // ZFS
    0xF2F5_2010, // F2FS
    0xCA45_1A4E, // bcachefs
    0x6969,      // NFS
    0x00C3_6400, // CephFS
    0x0BD0_0BD0, // Lustre
    0x4750_4653, // GPFS
    0x7461_636F, // OCFS2
];

/// The file that a name turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sameness {
    /// The first name of a file, as far as is known.
    First,
    /// Another name of the file that came as this entry.
    Link(EntryPath),
    /// Another file, whose number stood for another one before.
    Reused,
}

/// Files with several names, until all of their names were seen.
#[derive(Default)]
pub(super) struct Links {
    known: HashMap<(u64, u64), Linked>,
    complete: HashSet<(u64, u64)>,
    /// Whether numbers are to be relied on, for each device.
    reliable: HashMap<u64, bool>,
}

struct Linked {
    first: EntryPath,
    /// Whether `first` is to be read from `/`, and not from the current directory.
    absolute: bool,
    sighting: u64,
    /// Names that are still to come, if all are inside the tree.
    missing: u64,
}

/// A name that is looked at.
pub(super) struct Sighted<'a> {
    pub(super) path: &'a EntryPath,
    pub(super) absolute: bool,
    pub(super) kind: &'a Kind,
    pub(super) metadata: &'a Metadata,
    /// The file, open and not read yet, if it is one.
    pub(super) file: Option<&'a File>,
}

impl Links {
    /// Whether the name is one of a file that was seen before. Only for what may have several:
    /// a call for everything else costs nothing.
    pub(super) fn see(&mut self, name: &Sighted<'_>, patience: &Patience) -> Sameness {
        let Metadata { device, inode, links, .. } = *name.metadata;
        if links < 2 || matches!(name.kind, Kind::Directory | Kind::Socket) {
            return Sameness::First;
        }
        let key = (device, inode);
        let sighting = sighting(name);
        let first = || Linked {
            first: name.path.clone(),
            absolute: name.absolute,
            sighting,
            missing: links - 1,
        };
        let room = self.known.len() < LINKED_MAX;
        let Some(linked) = self.known.get_mut(&key) else {
            if room {
                self.known.insert(key, first());
            }
            let reused = self.complete.contains(&key);
            return if reused { Sameness::Reused } else { Sameness::First };
        };
        let reliable = |file| {
            *self.reliable.entry(device).or_insert_with(|| is_reliable(file))
                || is_equal(file, linked, key, patience).unwrap_or(false)
        };
        if linked.sighting != sighting || !name.file.is_none_or(reliable) {
            *linked = first();
            return Sameness::Reused;
        }
        linked.missing = linked.missing.saturating_sub(1);
        let target = linked.first.clone();
        if linked.missing == 0 {
            self.known.remove(&key);
            if self.complete.len() < COMPLETE_MAX {
                self.complete.insert(key);
            }
        }
        Sameness::Link(target)
    }
}

/// Whether the file system that a file lies on is known for numbers that are one file's.
fn is_reliable(file: &File) -> bool {
    // The kernel's types differ between processors, and some of them have a sign.
    let bits = |kind: i128| u64::try_from(kind & 0xFFFF_FFFF).unwrap_or(0);
    rustix::fs::fstatfs(file).is_ok_and(|status| RELIABLE.contains(&bits(status.f_type.into())))
}

/// Everything that the kernel says of a name and that is the same for all names of a file.
fn sighting(name: &Sighted<'_>) -> u64 {
    let Metadata { mode, uid, gid, modified, changed, links, xattrs, .. } = name.metadata;
    let mut hasher = DefaultHasher::new();
    (mode, uid, gid, links, xattrs).hash(&mut hasher);
    (modified.seconds, modified.nanos).hash(&mut hasher);
    changed.map(|changed| (changed.seconds, changed.nanos)).hash(&mut hasher);
    match name.kind {
        Kind::File { size } => size.hash(&mut hasher),
        Kind::Symlink { target } => target.hash(&mut hasher),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            (major, minor).hash(&mut hasher);
        }
        Kind::HardLink { .. } | Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
    std::mem::discriminant(name.kind).hash(&mut hasher);
    hasher.finish()
}

/// Whether a file has the content of the one that was seen first, which must still be there.
fn is_equal(
    file: &File,
    linked: &Linked,
    key: (u64, u64),
    patience: &Patience,
) -> io::Result<bool> {
    let mut path = PathBuf::from(if linked.absolute { "/" } else { "" });
    path.push(std::ffi::OsString::from_vec(linked.first.to_bytes()));
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let first: OwnedFd = open::open(CWD, path.as_path(), flags, patience)?;
    let stat = rustix::fs::fstat(&first)?;
    if identity(&stat) != key
        || crate::metadata::file_type(&stat) != rustix::fs::FileType::RegularFile
    {
        return Err(Errno::STALE.into());
    }
    let first = File::from(first);
    let (mut ours, mut theirs) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    let mut at = 0;
    loop {
        let length = fill(&first, &mut theirs, at)?;
        if fill(file, &mut ours, at)? != length || ours[..length] != theirs[..length] {
            return Ok(false);
        }
        if length < COMPARED_BYTES {
            return Ok(true);
        }
        at += length as u64;
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::*;

    /// The numbers that a file system without reliable ones gives to all files.
    fn said(path: &Path) -> Metadata {
        let stat = path.metadata().unwrap();
        let (device, inode) = (stat.dev(), stat.ino());
        Metadata { device, inode, links: 2, ..Metadata::default() }
    }

    #[test]
    fn where_numbers_are_not_reliable_the_content_decides() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let long = vec![7; 3 * COMPARED_BYTES];
        for (name, content) in [("a", &long[..]), ("same", &long), ("b", &long[1..]), ("c", b"c")] {
            File::create(path(name)).unwrap().write_all(content).unwrap();
        }
        let metadata = said(&path("a"));
        let mut links = Links::default();
        let mut see = |name: &str, size| {
            let file = File::open(path(name)).unwrap();
            let entry = path(name);
            let names = entry.iter().skip(1).map(|name| name.as_encoded_bytes().to_vec());
            let path = EntryPath::from_names(names.collect()).unwrap();
            let kind = Kind::File { size };
            let file = Some(&file);
            let sighted =
                Sighted { path: &path, absolute: true, kind: &kind, metadata: &metadata, file };
            links.reliable.insert(metadata.device, false);
            links.see(&sighted, &Patience::default())
        };
        assert_eq!(see("a", 5), Sameness::First);
        assert!(matches!(see("same", 5), Sameness::Link(target) if target.name() == b"a"));
        // All names were seen. And nothing but what is read tells these apart.
        assert_eq!(see("a", 5), Sameness::Reused);
        assert_eq!(see("b", 5), Sameness::Reused);
        assert_eq!(see("a", 5), Sameness::Reused);
        assert_eq!(see("a", 6), Sameness::Reused, "the kernel says another size");
        fs::remove_file(path("a")).unwrap();
        assert_eq!(see("same", 6), Sameness::Reused, "there is nothing to compare with");
    }
}
