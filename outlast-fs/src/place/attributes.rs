//! Owners, extended attributes, permissions and times.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::PlaceError;
use crate::entry::{EntryPath, FileTime, Metadata, show};
use crate::metadata::by_descriptor;

/// Problems that are kept; more of them are only counted.
const PROBLEMS_MAX: usize = 1000;

/// What did not stop the work, gathered from all threads.
#[derive(Clone, Default)]
pub(super) struct Problems(Arc<Mutex<(Vec<PlaceError>, u64)>>);

impl Problems {
    pub(super) fn push(&self, problem: PlaceError) {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.0.len() < PROBLEMS_MAX {
            problems.0.push(problem);
        } else {
            problems.1 += 1;
        }
    }

    pub(super) fn take(&self) -> Vec<PlaceError> {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut list, count) = std::mem::take(&mut *problems);
        if count > 0 {
            list.push(PlaceError::More { count });
        }
        list
    }
}

/// Sets attributes in the only order that works: the owner first, because a change of owner
/// clears setuid and capabilities; then extended attributes, whose access lists change the
/// permissions; then the permissions; and last the times, which all of that would change.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    uid: u32,
    gid: u32,
}

impl Attributes {
    pub(super) fn of_this_process() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    /// Whether `uid` is the user that this process writes as.
    pub(super) fn is_of_this_process(self, uid: u32) -> bool {
        self.uid == uid
    }

    /// Sets everything on an open file or directory.
    pub(super) fn set(
        self,
        file: impl AsFd,
        path: &EntryPath,
        metadata: &Metadata,
        problems: &Problems,
    ) {
        let file = file.as_fd();
        let missed = Missed { path, problems };
        let (uid, gid) = ids(metadata);
        let owner = missed.note("owner", self.owner(|| rustix::fs::fchown(file, uid, gid)));
        for (name, value) in &metadata.xattrs {
            let set = rustix::fs::fsetxattr(file, &name[..], value, XattrFlags::empty());
            missed.xattr(name, set);
        }
        let mode = self.mode(metadata, owner);
        missed.note("permissions", rustix::fs::fchmod(file, mode));
        missed.note("times", rustix::fs::futimens(file, &times(metadata)));
    }

    /// Sets everything on what has just been made and cannot be opened: a link, device, pipe or
    /// socket.
    pub(super) fn set_by_name(
        self,
        parent: &OwnedFd,
        path: &EntryPath,
        metadata: &Metadata,
        is_link: bool,
        problems: &Problems,
    ) {
        let name = path.name();
        let missed = Missed { path, problems };
        // A handle on this very entry, so that nothing that takes its name can be meant instead.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(errno) => {
                missed.note("attributes", Err(errno));
                return;
            }
        };
        let (uid, gid) = ids(metadata);
        let chown = || rustix::fs::chownat(&handle, c"", uid, gid, AtFlags::EMPTY_PATH);
        let owner = missed.note("owner", self.owner(chown));
        let real = by_descriptor(&handle);
        for (name, value) in &metadata.xattrs {
            let set = rustix::fs::setxattr(&real, &name[..], value, XattrFlags::empty());
            missed.xattr(name, set);
        }
        if !is_link {
            missed.note("permissions", rustix::fs::chmod(&real, self.mode(metadata, owner)));
        }
        let times = times(metadata);
        let set = rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW);
        missed.note("times", set);
    }

    /// Only root can give files away; that others cannot is nothing to complain of.
    fn owner(self, chown: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        if self.uid == 0 { chown() } else { Ok(()) }
    }

    /// The permissions; without those to run as its owner or group, if they are not those that
    /// the entry had: a program must not gain the rights of whoever restores it.
    fn mode(self, metadata: &Metadata, owner_set: bool) -> Mode {
        let mut mode = metadata.mode & 0o7777;
        let is_root = self.uid == 0;
        if is_root && !owner_set || !is_root && metadata.uid != self.uid {
            mode &= !0o4000;
        }
        if is_root && !owner_set || !is_root && metadata.gid != self.gid {
            mode &= !0o2000;
        }
        Mode::from_raw_mode(mode)
    }
}

struct Missed<'a> {
    path: &'a EntryPath,
    problems: &'a Problems,
}

impl Missed<'_> {
    /// Whether it was done; tells what was not.
    fn note(&self, attribute: &str, result: Result<(), Errno>) -> bool {
        if let Err(errno) = result {
            self.problems.push(PlaceError::Attribute {
                attribute: attribute.to_owned(),
                path: self.path.clone(),
                source: errno.into(),
            });
        }
        result.is_ok()
    }

    fn xattr(&self, name: &[u8], result: Result<(), Errno>) {
        if result.is_err() {
            self.note(&format!("extended attribute {}", show(name)), result);
        }
    }
}

fn ids(metadata: &Metadata) -> (Option<Uid>, Option<Gid>) {
    // The highest number means "leave it" to the kernel and is nobody's.
    let uid = (metadata.uid != u32::MAX).then(|| Uid::from_raw(metadata.uid));
    let gid = (metadata.gid != u32::MAX).then(|| Gid::from_raw(metadata.gid));
    (uid, gid)
}

fn times(metadata: &Metadata) -> Timestamps {
    let timespec = |time: FileTime| Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanos.min(999_999_999).into(),
    };
    Timestamps {
        last_access: metadata
            .accessed
            .map_or(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, timespec),
        last_modification: timespec(metadata.modified),
    }
}
