//! The kernel's record of an entry, beside its content.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::accounts;
use crate::entry::{FileTime, Metadata};

/// The most that the kernel gives as a list of names or as one value (`XATTR_SIZE_MAX`).
const XATTR_BYTES_MAX: usize = 64 << 10;

/// The names of users and groups on this host, as far as its files tell them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// Reads `/etc/passwd` and `/etc/group`. Names that only a directory service knows stay
    /// empty: asking it takes the C library, and may take for ever.
    pub(crate) fn of_this_host() -> Self {
        Self {
            users: read_database(Path::new("/etc/passwd")),
            groups: read_database(Path::new("/etc/group")),
        }
    }
}

fn read_database(path: &Path) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for (name, id) in accounts::rows(path) {
        // As the C library does: of several names for one number, the first counts.
        names.entry(id).or_insert(name);
    }
    names
}

/// Metadata from an entry's kernel record, without its extended attributes.
#[expect(clippy::unnecessary_cast, reason = "the kernel's types differ between processors")]
pub(crate) fn metadata_of(stat: &Stat, names: &Names) -> Metadata {
    let time = |seconds, nanos: u64| FileTime { seconds, nanos: u32::try_from(nanos).unwrap_or(0) };
    let name = |names: &HashMap<u32, String>, id| names.get(&id).cloned().unwrap_or_default();
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        user: name(&names.users, stat.st_uid),
        group: name(&names.groups, stat.st_gid),
        modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        accessed: Some(time(stat.st_atime as i64, stat.st_atime_nsec as u64)),
        changed: Some(time(stat.st_ctime as i64, stat.st_ctime_nsec as u64)),
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        links: stat.st_nlink as u64,
        xattrs: Vec::new(),
    }
}

pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The identity by which two names are one file.
#[expect(clippy::unnecessary_cast, reason = "the kernel's types differ between processors")]
pub(crate) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// The path under which the kernel gives access to what a descriptor stands for, whatever happens
/// to its name meanwhile. The only way to attributes of what cannot be opened for reading.
pub(crate) fn by_descriptor(descriptor: impl AsFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd())
}

/// Reads extended attributes; keeps its buffers from one entry to the next.
pub(crate) struct XattrReader {
    list: Vec<u8>,
    value: Vec<u8>,
}

/// The extended attributes of an entry, as far as they can be had.
#[derive(Debug, Default)]
pub(crate) struct Xattrs {
    pub(crate) read: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) failed: Vec<XattrFailure>,
}

/// An extended attribute that cannot be read, or all of an entry if there is no name.
#[derive(Debug)]
pub(crate) struct XattrFailure {
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) errno: Errno,
}

/// Where extended attributes are read from.
#[derive(Clone, Copy)]
pub(crate) enum XattrOwner<'a> {
    Open(BorrowedFd<'a>),
    /// The entry of that name in a directory, itself if it is a symbolic link.
    Named(&'a OwnedFd, &'a [u8]),
}

impl XattrReader {
    pub(crate) fn new() -> Self {
        Self { list: vec![0; XATTR_BYTES_MAX], value: vec![0; XATTR_BYTES_MAX] }
    }

    /// All attributes, ordered by name; none where the file system has no such thing. What cannot be
    /// read is named, and the others are there all the same.
    pub(crate) fn read(&mut self, owner: XattrOwner<'_>) -> Xattrs {
        let path = match owner {
            XattrOwner::Open(_) => Vec::new(),
            XattrOwner::Named(directory, name) => {
                [by_descriptor(directory).as_bytes(), b"/", name].concat()
            }
        };
        let listed = match owner {
            XattrOwner::Open(file) => rustix::fs::flistxattr(file, &mut self.list[..]),
            XattrOwner::Named(..) => rustix::fs::llistxattr(&path[..], &mut self.list[..]),
        };
        let mut xattrs = Xattrs::default();
        let length = match listed {
            Ok(length) => length,
            Err(Errno::NOTSUP | Errno::NOSYS) => return xattrs,
            Err(errno) => {
                xattrs.failed.push(XattrFailure { name: None, errno });
                return xattrs;
            }
        };
        for name in self.list[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            let value = match owner {
                XattrOwner::Open(file) => rustix::fs::fgetxattr(file, name, &mut self.value[..]),
                XattrOwner::Named(..) => {
                    rustix::fs::lgetxattr(&path[..], name, &mut self.value[..])
                }
            };
            let value = match value {
                // A repository has such names as text.
                Ok(_) if std::str::from_utf8(name).is_err() => Err(Errno::ILSEQ),
                value => value,
            };
            match value {
                Ok(length) => xattrs.read.push((name.to_vec(), self.value[..length].to_vec())),
                // Removed meanwhile, or listed but with no value to read (some network systems).
                Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(errno) => {
                    xattrs.failed.push(XattrFailure { name: Some(name.to_vec()), errno });
                }
            }
        }
        xattrs.read.sort();
        xattrs
    }
}
