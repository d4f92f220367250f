//! Descriptors of entries: how they are opened, and one way to the attributes of what is open and of
//! what can only be named by a descriptor.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use crate::metadata::by_descriptor;

/// The most that the kernel gives as a list of names or as one value (`XATTR_LIST_MAX`).
const XATTR_BYTES_MAX: usize = 64 << 10;

/// Flags for a directory that is opened by its own name and may not be a link.
pub(super) const OPEN_DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub(super) enum Handle<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A descriptor that only stands for an entry (`O_PATH`), and the kernel's path to it.
    Path(BorrowedFd<'a>, String),
}

impl<'a> Handle<'a> {
    pub(super) fn path(descriptor: BorrowedFd<'a>) -> Self {
        Self::Path(descriptor, by_descriptor(descriptor))
    }

    pub(super) fn chown(&self, uid: Option<Uid>, gid: Option<Gid>) -> Result<(), Errno> {
        match self {
            Self::Open(file) => rustix::fs::fchown(file, uid, gid),
            Self::Path(entry, _) => rustix::fs::chownat(entry, c"", uid, gid, AtFlags::EMPTY_PATH),
        }
    }

    pub(super) fn chmod(&self, mode: Mode) -> Result<(), Errno> {
        match self {
            Self::Open(file) => rustix::fs::fchmod(file, mode),
            Self::Path(_, path) => rustix::fs::chmod(path, mode),
        }
    }

    pub(super) fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(file) => rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()),
            Self::Path(_, path) => rustix::fs::setxattr(path, name, value, XattrFlags::empty()),
        }
    }

    pub(super) fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(file) => rustix::fs::fremovexattr(file, name),
            Self::Path(_, path) => rustix::fs::removexattr(path, name),
        }
    }

    pub(super) fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0; XATTR_BYTES_MAX];
        let length = match self {
            Self::Open(file) => rustix::fs::fgetxattr(file, name, &mut value[..]),
            Self::Path(_, path) => rustix::fs::getxattr(path, name, &mut value[..]),
        }?;
        value.truncate(length);
        Ok(value)
    }

    pub(super) fn has_xattr(&self, name: &[u8]) -> Result<bool, Errno> {
        let asked = match self {
            Self::Open(file) => rustix::fs::fgetxattr_query(file, name),
            Self::Path(_, path) => rustix::fs::getxattr_query(path, name),
        };
        match asked {
            Ok(_) => Ok(true),
            Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// The names of all extended attributes, each with a NUL behind it.
    pub(super) fn xattr_names(&self) -> Result<Vec<u8>, Errno> {
        let mut names = vec![0; XATTR_BYTES_MAX];
        let length = match self {
            Self::Open(file) => rustix::fs::flistxattr(file, &mut names[..]),
            Self::Path(_, path) => rustix::fs::listxattr(path, &mut names[..]),
        }?;
        names.truncate(length);
        Ok(names)
    }
}
