//! A directory with everything that a tree's text has rules for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// Names that need quoting, escaping or neither.
pub(crate) const NAMES: [&[u8]; 12] = [
    b"plain",
    b"two\nlines\tand \"quotes\" \\ back",
    b"<html> & 'entities'",
    b"not utf-8 \xff\xfe\xc3(",
    "separators \u{2028}\u{2029} nbsp \u{a0} bom \u{feff}".as_bytes(),
    "emoji 😀 flags 🇳🇵 family 👨‍👩‍👧".as_bytes(),
    "combining e\u{301} \u{301} private \u{e000} \u{10fffd}".as_bytes(),
    "日本語 العربية हिन्दी".as_bytes(),
    b"\x01\x02\x07\x08\x0b\x0c\x1b\x7f",
    b" leading and trailing ",
    b"-rf *",
    &[b'n'; 255],
];

pub(crate) fn fill(root: &Path) {
    for (i, name) in NAMES.iter().enumerate() {
        file(&root.join(OsStr::from_bytes(name)), format!("content {i}").as_bytes());
    }
    file(&root.join("empty"), b"");
    file(&root.join("large"), &vec![b'x'; 3 << 20]);
    fs::create_dir_all(root.join("directory/deeper/still")).unwrap();
    file(&root.join("directory/deeper/file"), b"deep");
    fs::create_dir(root.join("sticky")).unwrap();
    mode(&root.join("sticky"), 0o1777);
    // No permission at all is left out of the JSON; only root can read such a file.
    let secret = if rustix::process::geteuid().is_root() { 0o000 } else { 0o400 };
    for (name, bits) in [("setuid", 0o4755), ("setgid", 0o2755), ("secret", secret)] {
        file(&root.join(name), b"x");
        mode(&root.join(name), bits);
    }
    fs::hard_link(root.join("plain"), root.join("hard link")).unwrap();
    symlink("plain", root.join("link")).unwrap();
    symlink("no <where> & \"nothing\"\u{2028}", root.join("dangling")).unwrap();
    rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    for (name, seconds, nanos) in
        [("before 1970", -86_401, 123_456_789), ("after 2038", 4_000_000_000, 500_000_000)]
    {
        file(&root.join(name), b"");
        let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, root.join(name), &times, AtFlags::empty()).unwrap();
    }
    xattrs(&root.join("large"));
    // Only root may make device nodes; without them the tree is still worth its test.
    let device = rustix::fs::makedev(1, 3);
    let _ =
        rustix::fs::mknodat(CWD, root.join("null"), FileType::CharacterDevice, Mode::RUSR, device);
    let device = rustix::fs::makedev(7, 250);
    let _ = rustix::fs::mknodat(CWD, root.join("loop"), FileType::BlockDevice, Mode::RUSR, device);
}

/// Some file systems have none.
fn xattrs(path: &Path) {
    for (name, value) in
        [("user.text", b"value".as_slice()), ("user.empty", b""), ("user.<&>", b"\xff\0")]
    {
        let _ = rustix::fs::setxattr(path, name, value, XattrFlags::CREATE);
    }
}

fn file(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
}
