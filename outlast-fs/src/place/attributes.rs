//! Owner, extended attributes, mode and times, in the order in which each keeps the one before.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::entry::{FileTime, Metadata};

/// What this process may do with files of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Privilege {
    root: bool,
    uid: u32,
    gid: u32,
}

impl Privilege {
    pub(super) fn of_this_process() -> Self {
        let uid = rustix::process::geteuid();
        Self { root: uid.is_root(), uid: uid.as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    /// Who gets to own an entry: its recorded owner, or us where we may not give files away.
    fn owner(self, metadata: &Metadata) -> (u32, u32) {
        if self.root { (metadata.uid, metadata.gid) } else { (self.uid, self.gid) }
    }

    /// The mode that is safe to set: setuid and setgid only for the owner they were meant for.
    fn mode(self, metadata: &Metadata) -> Mode {
        let meant = self.owner(metadata) == (metadata.uid, metadata.gid);
        Mode::from_raw_mode(metadata.mode & if meant { 0o7777 } else { 0o1777 })
    }
}

/// Sets everything on an open file or directory.
pub(super) fn set_open(
    file: impl AsFd,
    metadata: &Metadata,
    privilege: Privilege,
) -> io::Result<()> {
    if privilege.root {
        let (uid, gid) = privilege.owner(metadata);
        rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    let attributes = set_xattrs(metadata, privilege, |name, value| {
        rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty())
    });
    rustix::fs::fchmod(&file, privilege.mode(metadata))?;
    rustix::fs::futimens(&file, &times(metadata))?;
    attributes
}

/// Sets everything on the entry `name` of the open directory `parent`, which may be a link itself.
pub(super) fn set_at(
    parent: impl AsFd,
    name: &OsStr,
    link: bool,
    metadata: &Metadata,
    privilege: Privilege,
) -> io::Result<()> {
    if privilege.root {
        let (uid, gid) = privilege.owner(metadata);
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    // There is no setxattrat before Linux 6.13; this path leads through the open directory, and
    // the call does not follow its last name.
    let path = PathBuf::from(format!("/proc/self/fd/{}", parent.as_fd().as_raw_fd())).join(name);
    let attributes = set_xattrs(metadata, privilege, |name, value| {
        rustix::fs::lsetxattr(&path, name, value, XattrFlags::empty())
    });
    if !link {
        rustix::fs::chmodat(&parent, name, privilege.mode(metadata), AtFlags::empty())?;
    }
    rustix::fs::utimensat(&parent, name, &times(metadata), AtFlags::SYMLINK_NOFOLLOW)?;
    attributes
}

/// Sets the extended attributes; the first error, after all have been tried.
fn set_xattrs(
    metadata: &Metadata,
    privilege: Privilege,
    set: impl Fn(&OsStr, &[u8]) -> rustix::io::Result<()>,
) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let mut first = Ok(());
    for (name, value) in &metadata.xattrs {
        match set(OsStr::from_bytes(name), value) {
            Ok(()) => {}
            // Attributes of the system belong to root, as owners do.
            Err(Errno::PERM) if !privilege.root && !name.starts_with(b"user.") => {}
            Err(errno) => {
                let text = format!(
                    "the attribute {} cannot be set: {}",
                    crate::entry::show(name),
                    io::Error::from(errno)
                );
                first = first.and(Err(io::Error::new(io::Error::from(errno).kind(), text)));
            }
        }
    }
    first
}

fn times(metadata: &Metadata) -> Timestamps {
    let time = |at: FileTime| Timespec { tv_sec: at.seconds, tv_nsec: i64::from(at.nanos) };
    let modified = time(metadata.modified);
    Timestamps {
        last_access: metadata.accessed.map_or(modified, time),
        last_modification: modified,
    }
}
