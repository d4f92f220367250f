//! Access to what we make on a share: the same as with the directory that it is in.
//!
//! Many users write to one share, and whoever comes first must not shut the others out. So nothing
//! depends on a umask, which belongs to whoever happens to write: what we make gets its
//! permissions and group from the directory above it, in the end from `w/`, which whoever runs the
//! share has set up.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{Gid, Mode, Stat, fchmod, fchown, fgetxattr_query, fstat};
use rustix::io::Errno;

/// Where Linux keeps the access control list that a directory gives to what is made in it.
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// The permissions and the group with which things are made in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    mode: u32,
    group: u32,
}

impl Access {
    #[expect(clippy::unnecessary_cast, reason = "the kernel's types differ between processors")]
    pub(super) fn below(directory: &Stat) -> Self {
        Self { mode: (directory.st_mode & 0o3777) as u32, group: directory.st_gid }
    }

    /// The permissions.
    pub fn mode(self) -> u32 {
        self.mode
    }

    /// The same, and open for reading to whoever comes as far as the directory above.
    #[must_use]
    pub fn readable(self) -> Self {
        Self { mode: self.mode | 0o555, ..self }
    }

    /// The mode of a directory.
    pub(super) fn of_directory(self) -> u32 {
        self.mode | 0o700
    }

    /// The mode of a file: read by whoever may read its directory, written by its owner alone.
    pub(super) fn of_file(self) -> u32 {
        self.mode & 0o444 | 0o600
    }

    /// Gives `made`, which has just been made in `above`, our group and `mode`, whatever the
    /// umask has left of it.
    pub(super) fn give(self, made: impl AsFd, mode: u32, above: BorrowedFd<'_>) -> io::Result<()> {
        let is = fstat(&made)?;
        if is.st_mode & 0o7777 == mode && is.st_gid == self.group {
            return Ok(());
        }
        // Whoever set up a default list has said it more exactly than a mode can; with one, there
        // is no umask.
        if fgetxattr_query(above, DEFAULT_ACL).is_ok() {
            return Ok(());
        }
        if is.st_gid != self.group {
            allowed(fchown(&made, None, Some(Gid::from_raw(self.group))))?;
        }
        allowed(fchmod(&made, Mode::from_raw_mode(mode)))
    }
}

/// Not every file system has owners and modes, and not every one lets us set them: then it is as
/// the file system wants it, and whoever is shut out by that is told so.
fn allowed(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::NOTSUP | Errno::INVAL) => Ok(()),
        result => Ok(result?),
    }
}

/// A thing that is not allowed, and who can change that: the text of an error.
#[derive(Debug)]
pub(super) struct Denied {
    directory: PathBuf,
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Denied {
    /// The error for something that was not allowed in `directory`.
    #[expect(clippy::unnecessary_cast, reason = "the kernel's types differ between processors")]
    pub(super) fn error(directory: PathBuf, stat: &Stat) -> io::Error {
        let mode = (stat.st_mode & 0o7777) as u32;
        let denied = Self { directory, uid: stat.st_uid, gid: stat.st_gid, mode };
        io::Error::new(io::ErrorKind::PermissionDenied, denied)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directory, uid, gid, mode } = self;
        let own = rustix::process::geteuid();
        write!(
            f,
            "permission denied: this program runs as uid {own}, groups {groups}; {directory} \
             belongs to uid {uid}, group {gid}, with mode {mode:04o}; that uid, or root on the \
             file server, can open it to this one (docs/share-permissions.md says how)",
            groups = own_groups(),
            directory = directory.display(),
        )
    }
}

impl std::error::Error for Denied {}

fn own_groups() -> String {
    let mut groups = vec![rustix::process::getegid().as_raw()];
    groups.extend(rustix::process::getgroups().unwrap_or_default().iter().map(|g| g.as_raw()));
    groups.sort_unstable();
    groups.dedup();
    groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
