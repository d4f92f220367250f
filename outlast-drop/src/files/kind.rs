//! Kinds of file systems, as far as it matters that a share is on the same as before.

use std::fmt;
use std::os::fd::AsFd;

use rustix::fs::fstatfs;

/// The kind of a file system, by the number that Linux gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem(u64);

const NAMES: [(u64, &str); 9] = [
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb3"),
    (0x6573_5546, "fuse"),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlay"),
];

impl FileSystem {
    #[expect(clippy::cast_sign_loss, reason = "the kernel's types differ between processors")]
    pub(super) fn of(file: impl AsFd) -> Option<Self> {
        // The upper half of a number that was a signed word once says nothing.
        fstatfs(file).ok().map(|facts| Self(facts.f_type as u64 & 0xffff_ffff))
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "a file system of type {:#x}", self.0),
        }
    }
}
