//! Owners, extended attributes, permissions and times.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use super::PlaceError;
use super::handle::Handle;
use super::report::Remarks;
use crate::entry::{EntryPath, FileTime, Metadata, show};

/// Permissions of files that run with the rights of their owner or group.
const SPECIAL_BITS: u32 = 0o6000;
const SPECIAL: &str = "setuid or setgid permission";

const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
pub(super) const DEFAULT_LIST: &[u8] = b"system.posix_acl_default";

/// Makes the attributes of entries what they are described as: they get what is missing, and lose
/// what they should not have.
///
/// The order is the only one that works. The owner comes first, because a change of owner clears
/// setuid and capabilities; then extended attributes, whose access lists change the permissions;
/// then the permissions; and last the times, which all of that would change. Up to the permissions
/// nobody but the owner can open the entry, so that it is never more readable than it should be.
///
/// Unless `privileged`, what would give rights on this host is withheld: whoever wrote a file into
/// a backup need not be somebody whom the one who restores trusts as much as root.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    uid: u32,
    gid: u32,
    privileged: bool,
}

/// A placed thing that is to be made equal to its description.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) path: &'a EntryPath,
    pub(super) metadata: &'a Metadata,
    pub(super) shape: Shape,
    /// Whether it has nothing but what it was made with: it is new, and inherited nothing.
    pub(super) is_bare: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    File,
    Directory,
    Symlink,
    /// Devices, pipes, sockets.
    Node,
}

impl Attributes {
    pub(super) fn of_this_process() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            privileged: false,
        }
    }

    pub(super) fn privileged(self, privileged: bool) -> Self {
        Self { privileged, ..self }
    }

    pub(super) fn is_privileged(self) -> bool {
        self.privileged
    }

    /// Whether `uid` is the user that this process writes as.
    pub(super) fn is_of_this_process(self, uid: u32) -> bool {
        self.uid == uid
    }

    /// Makes everything equal on an open file or directory.
    pub(super) fn set(self, file: impl AsFd, wanted: Wanted<'_>, remarks: &Remarks) {
        let file = file.as_fd();
        let missed = Missed { path: wanted.path, remarks };
        self.set_all(&Handle::Open(file), wanted, &missed);
        missed.note("times", rustix::fs::futimens(file, &times(wanted.metadata)));
    }

    /// Makes everything equal on what has just been made and cannot be opened: a link, device,
    /// pipe or socket.
    pub(super) fn set_by_name(self, parent: &OwnedFd, wanted: Wanted<'_>, remarks: &Remarks) {
        let name = wanted.path.name();
        let missed = Missed { path: wanted.path, remarks };
        // A handle on this very entry, so that nothing that takes its name can be meant instead.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(errno) => {
                missed.note("attributes", Err(errno));
                return;
            }
        };
        self.set_all(&Handle::path(handle.as_fd()), wanted, &missed);
        let times = times(wanted.metadata);
        let set = rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW);
        missed.note("times", set);
    }

    /// Everything but the times.
    fn set_all(self, handle: &Handle<'_>, wanted: Wanted<'_>, missed: &Missed<'_>) {
        let Wanted { metadata, shape, .. } = wanted;
        let (uid, gid) = ids(metadata);
        let owner = missed.note("owner", self.owner(|| handle.chown(uid, gid)));
        let closed = !wanted.is_bare && !self.strip(handle, wanted, missed);
        for (name, value) in &metadata.xattrs {
            if self.withholds(name) {
                missed.remarks.withheld(&format!("attribute {}", show(name)), wanted.path);
                continue;
            }
            let set = handle.set_xattr(name, value);
            if set.is_err() {
                missed.note(&format!("extended attribute {}", show(name)), set);
            }
        }
        if shape == Shape::Symlink {
            return;
        }
        let mut mode = self.mode(metadata, owner);
        let special = shape == Shape::File && !self.privileged && metadata.mode & SPECIAL_BITS > 0;
        if special {
            missed.remarks.withheld(SPECIAL, wanted.path);
            mode &= !SPECIAL_BITS;
        }
        if closed {
            // It has a list that it should not have and that stays. Nobody gets in through it.
            mode &= 0o7700;
        }
        missed.note("permissions", handle.chmod(Mode::from_raw_mode(mode)));
    }

    /// Takes away the extended attributes that the entry should not have. False if an access list
    /// is among them and stays.
    fn strip(self, handle: &Handle<'_>, wanted: Wanted<'_>, missed: &Missed<'_>) -> bool {
        if wanted.shape == Shape::Symlink {
            return true;
        }
        let names = match handle.xattr_names() {
            Ok(names) => names,
            Err(Errno::NOTSUP | Errno::NOSYS) => return true,
            Err(errno) => {
                missed.note("list of extended attributes", Err(errno));
                return false;
            }
        };
        let mut stripped = true;
        for name in names.split(|&byte| byte == 0).filter(|name| is_content(name)) {
            let stays = |(kept, _): &(Vec<u8>, Vec<u8>)| kept == name && !self.withholds(name);
            if wanted.metadata.xattrs.iter().any(stays) {
                continue;
            }
            match handle.remove_xattr(name) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(errno) => {
                    stripped &= name != ACCESS_LIST;
                    let path = wanted.path.clone();
                    let source = errno.into();
                    let attribute = show(name);
                    missed.remarks.problem(PlaceError::Extra { attribute, path, source });
                }
            }
        }
        stripped
    }

    /// Lets nobody into a directory that was there before whom its description keeps out, while
    /// entries are placed in it. What fails shows when it is given its attributes.
    pub(super) fn tighten(self, directory: &OwnedFd, stat: &Stat, metadata: &Metadata) {
        let handle = Handle::path(directory.as_fd());
        if self.uid == 0 && (stat.st_uid, stat.st_gid) != (metadata.uid, metadata.gid) {
            let (uid, gid) = ids(metadata);
            let _ = handle.chown(uid, gid);
        }
        let mut mode = stat.st_mode & 0o7000 | stat.st_mode & metadata.mode & 0o777 | 0o700;
        if self.has_other_list(&handle, metadata) {
            // The bits of the group are the most that a list gives.
            mode &= !0o070;
        }
        if mode != stat.st_mode & 0o7777 {
            let _ = handle.chmod(Mode::from_raw_mode(mode));
        }
    }

    /// The same for a file that an earlier run left, which will be written to. False if it stays
    /// open to others.
    pub(super) fn tighten_file(self, file: &OwnedFd, stat: &Stat, metadata: &Metadata) -> bool {
        let handle = Handle::Open(file.as_fd());
        let more = stat.st_mode & 0o7777 & !(metadata.mode | 0o600);
        if more == 0 && stat.st_mode & SPECIAL_BITS == 0 && !self.has_other_list(&handle, metadata)
        {
            return true;
        }
        handle.chmod(Mode::RUSR | Mode::WUSR).is_ok()
    }

    fn has_other_list(self, handle: &Handle<'_>, metadata: &Metadata) -> bool {
        let wanted = metadata.xattrs.iter().find(|(name, _)| name == ACCESS_LIST);
        match handle.xattr(ACCESS_LIST) {
            Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => false,
            Ok(there) => wanted.is_none_or(|(_, value)| *value != there),
            Err(_) => true,
        }
    }

    /// Only root can give files away; that others cannot is nothing to complain of.
    fn owner(self, chown: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        if self.uid == 0 { chown() } else { Ok(()) }
    }

    /// The permissions; without those to run as its owner or group, if they are not those that
    /// the entry had: a program must not gain the rights of whoever restores it.
    fn mode(self, metadata: &Metadata, owner_set: bool) -> u32 {
        let mut mode = metadata.mode & 0o7777;
        let is_root = self.uid == 0;
        if is_root && !owner_set || !is_root && metadata.uid != self.uid {
            mode &= !0o4000;
        }
        if is_root && !owner_set || !is_root && metadata.gid != self.gid {
            mode &= !0o2000;
        }
        mode
    }

    /// Whether an extended attribute would give rights, or mean something to the kernel or to
    /// programs that trust it because only root can set it. Access lists are permissions.
    fn withholds(self, name: &[u8]) -> bool {
        let is_list = name.starts_with(b"system.posix_acl_") || name == b"system.nfs4_acl";
        let is_system = name.starts_with(b"system.") && !is_list;
        let is_special = name.starts_with(b"security.") || name.starts_with(b"trusted.");
        !self.privileged && (is_system || is_special)
    }
}

/// Whether an extended attribute belongs to what an entry holds. The others are this host's own:
/// its labels (`security.selinux`), its signatures, what a file system makes up.
pub(super) fn is_content(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || [ACCESS_LIST, DEFAULT_LIST, b"security.capability"].contains(&name)
}

struct Missed<'a> {
    path: &'a EntryPath,
    remarks: &'a Remarks,
}

impl Missed<'_> {
    /// Whether it was done; tells what was not.
    fn note(&self, attribute: &str, result: Result<(), Errno>) -> bool {
        if let Err(errno) = result {
            self.remarks.problem(PlaceError::Attribute {
                attribute: attribute.to_owned(),
                path: self.path.clone(),
                source: errno.into(),
            });
        }
        result.is_ok()
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
