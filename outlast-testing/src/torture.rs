//! One of everything that a file system can hold and that tools are known to lose.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, makedev,
    mknodat, utimensat,
};

use crate::chance::number;

/// What this host or file system did not let the builder make, one line each. A test prints it,
/// so that nobody takes a smaller tree for the whole one.
pub type Skipped = Vec<String>;

/// Builds the torture tree in the existing, empty directory `root`.
///
/// Everything in it is something that stock restic 0.14 keeps faithfully, so that restic can be
/// the judge; what only we keep comes from [`add_raw_link_targets`].
pub fn torture_tree(root: &Path) -> io::Result<Skipped> {
    let mut skipped = Skipped::new();
    names(&root.join("names"))?;
    contents(&root.join("contents"))?;
    sparse(&root.join("sparse"))?;
    links(&root.join("links"))?;
    symlinks(&root.join("symlinks"))?;
    many_and_deep(root)?;
    special(&root.join("special"), &mut skipped)?;
    xattrs(&root.join("xattrs"), &mut skipped)?;
    owners(&root.join("owners"), &mut skipped)?;
    // Last, because making entries changes the times and needs the modes of directories.
    modes(&root.join("modes"))?;
    times(&root.join("times"))?;
    Ok(skipped)
}

/// Adds symbolic links whose targets are not UTF-8: restic 0.14 spoils them, ours must not.
pub fn add_raw_link_targets(root: &Path) -> io::Result<()> {
    let directory = make(&root.join("raw-links"))?;
    symlink(OsStr::from_bytes(b"nowhere/\xff\xfe\n"), directory.join("raw"))?;
    symlink(OsStr::from_bytes(b"caf\xe9"), directory.join("latin1"))
}

/// `length` bytes that do not compress, always the same for one `seed`.
pub fn pseudo_random(seed: u64, length: usize) -> Vec<u8> {
    (0..length.div_ceil(8) as u64)
        .flat_map(|index| number(seed, index).to_le_bytes())
        .take(length)
        .collect()
}

fn make(path: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(path)?;
    Ok(path.to_owned())
}

fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    File::create_new(path)?.write_all(content)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn set_modified(path: &Path, seconds: i64, nanos: i64) -> io::Result<()> {
    let at = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: at, last_modification: at };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Names that need quoting, escaping or more than text.
fn names(directory: &Path) -> io::Result<()> {
    let directory = make(directory)?;
    let longest = "é".repeat(127) + "x";
    let names: [&[u8]; 30] = [
        b"new\nline",
        b"carriage\rreturn",
        b"tab\tbell\x07escape\x1b[31m",
        b"quo\"te and 'single'",
        b"back\\slash",
        b"\\n is not a newline",
        b"\\x41 \\u0041 \\101",
        b"\xff\xfe not UTF-8",
        b"latin1 \xe9t\xe9",
        b"cut off \xe2\x82",
        b"surrogate \xed\xa0\x80",
        "replacement \u{fffd}".as_bytes(),
        "emoji \u{1f980}\u{1f1e9}\u{1f1ea}".as_bytes(),
        "combining e\u{301}".as_bytes(),
        "composed \u{e9}".as_bytes(),
        "invisible \u{200b}\u{feff}\u{ad}".as_bytes(),
        "separators \u{2028}\u{2029}\u{85}\u{a0}".as_bytes(),
        "private \u{e000} last \u{10ffff}".as_bytes(),
        b"<html> & \"json\"",
        b"\x01\x7f control",
        b" leading space",
        b"trailing space ",
        b"-rf",
        b"~",
        b"...",
        b"* ? [a-z] {b,c} $HOME `id` ;|",
        b"CON",
        b"case",
        b"Case",
        longest.as_bytes(),
    ];
    for name in names {
        put(&directory.join(OsStr::from_bytes(name)), name)?;
    }
    put(&directory.join("n".repeat(255)), b"255 bytes")?;
    let nested = make(&directory.join(OsStr::from_bytes(b"directory \xff\n\"")))?;
    put(&nested.join("inside"), b"inside")
}

/// Contents around the limits of buffers, blobs and chunks.
fn contents(directory: &Path) -> io::Result<()> {
    let directory = make(directory)?;
    make(&directory.join("empty directory"))?;
    for size in [0, 1, 511, 4095, 4096, 4097, 65_536, 1 << 20] {
        put(&directory.join(format!("{size} bytes")), &pseudo_random(size as u64, size))?;
    }
    let large = pseudo_random(77, 9 << 20);
    put(&directory.join("large"), &large)?;
    put(&directory.join("the same again"), &large)?;
    put(&directory.join("repeats"), &large[..1 << 20].repeat(4))?;
    put(&directory.join("compressible"), &b"all work and no play ".repeat(100_000))?;
    put(&directory.join("zeroes without a hole"), &vec![0; 100_000])
}

/// Files with holes in the beginning, in the middle, at the end and nothing else.
fn sparse(directory: &Path) -> io::Result<()> {
    const MIB: u64 = 1 << 20;
    let directory = make(directory)?;
    let file = File::create_new(directory.join("islands"))?;
    file.set_len(24 * MIB)?;
    file.write_all_at(&pseudo_random(1, 10_000), 5 * MIB)?;
    file.write_all_at(&pseudo_random(2, 10_000), 17 * MIB + 123)?;
    let file = File::create_new(directory.join("ends in data"))?;
    file.write_all_at(b"end", 3 * MIB)?;
    let file = File::create_new(directory.join("begins with data"))?;
    file.write_all_at(b"begin", 0)?;
    file.set_len(3 * MIB)?;
    File::create_new(directory.join("nothing but a hole"))?.set_len(5 * MIB + 1)
}

fn links(directory: &Path) -> io::Result<()> {
    let directory = make(directory)?;
    let other = make(&directory.join("other"))?;
    put(&directory.join("one"), b"one file, three names")?;
    fs::hard_link(directory.join("one"), directory.join("two"))?;
    fs::hard_link(directory.join("one"), other.join("three"))?;
    put(&other.join("a"), b"")?;
    fs::hard_link(other.join("a"), directory.join("empty too"))?;
    put(&directory.join("twin of one"), b"one file, three names")
}

fn symlinks(directory: &Path) -> io::Result<()> {
    let directory = make(directory)?;
    put(&directory.join("file"), b"pointed at")?;
    symlink("file", directory.join("to a file"))?;
    symlink(".", directory.join("to its own directory"))?;
    symlink("itself", directory.join("itself"))?;
    symlink("no such thing", directory.join("dangling"))?;
    symlink("/etc/hostname", directory.join("absolute"))?;
    symlink("../../../../../../etc/passwd", directory.join("out of the tree"))?;
    symlink("quo\"te\\ new\nline \u{1f980} <&>", directory.join("strange target"))?;
    symlink("long/".repeat(400), directory.join("long target"))?;
    set_modified(&directory.join("dangling"), -86_400, 5)
}

fn many_and_deep(root: &Path) -> io::Result<()> {
    let many = make(&root.join("many"))?;
    for number in 0..400_u32 {
        put(&many.join(format!("file {number:03}")), &number.to_le_bytes().repeat(50))?;
    }
    let deep = (0..60).fold(root.join("deep"), |path, level| path.join(format!("level {level}")));
    put(&make(&deep)?.join("bottom"), b"at the bottom")
}

fn special(directory: &Path, skipped: &mut Skipped) -> io::Result<()> {
    let directory = make(directory)?;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
    mknodat(CWD, directory.join("fifo"), FileType::Fifo, mode, 0)?;
    let devices = [
        ("null", FileType::CharacterDevice, makedev(1, 3)),
        ("large numbers", FileType::CharacterDevice, makedev(511, 300_000)),
        ("loop", FileType::BlockDevice, makedev(7, 200)),
    ];
    for (name, kind, device) in devices {
        if let Err(error) = mknodat(CWD, directory.join(name), kind, mode, device) {
            skipped.push(format!("device node {name}: {error}"));
        }
    }
    Ok(())
}

/// The kernel's own form of an access control list: version 2, then tag, permissions and id of
/// each entry (linux/posix_acl_xattr.h).
fn acl(named_user: u32, named_group: u32) -> Vec<u8> {
    const NO_ID: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 6] = [
        (0x01, 6, NO_ID),
        (0x02, 5, named_user),
        (0x04, 4, NO_ID),
        (0x08, 6, named_group),
        (0x10, 6, NO_ID),
        (0x20, 0, NO_ID),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn xattrs(directory: &Path, skipped: &mut Skipped) -> io::Result<()> {
    let directory = make(directory)?;
    let inner = make(&directory.join("directory"))?;
    let file = directory.join("file");
    put(&file, b"has attributes")?;
    let program = directory.join("may bind low ports");
    put(&program, b"#!/bin/true\n")?;
    set_mode(&program, 0o755)?;
    // VFS_CAP_REVISION_2 with cap_net_bind_service permitted (linux/capability.h).
    let capability: Vec<u8> =
        [0x0200_0000_u32, 1 << 10, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect();
    let attributes: [(&Path, &str, &[u8]); 8] = [
        (&file, "user.text", b"plain"),
        (&file, "user.binary", b"\x00\xff\n\"\x00"),
        (&file, "user.empty", b""),
        (&file, "user.long", &pseudo_random(3, 1500)),
        (&file, "system.posix_acl_access", &acl(12_345, 54_321)),
        (&inner, "user.of a directory", b"yes"),
        (&inner, "system.posix_acl_default", &acl(1, 2)),
        (&program, "security.capability", &capability),
    ];
    for (path, name, value) in attributes {
        if let Err(error) = rustix::fs::setxattr(path, name, value, XattrFlags::empty()) {
            skipped.push(format!("extended attribute {name}: {error}"));
        }
    }
    Ok(())
}

fn owners(directory: &Path, skipped: &mut Skipped) -> io::Result<()> {
    let directory = make(directory)?;
    let inner = make(&directory.join("directory"))?;
    put(&directory.join("file"), b"somebody else's")?;
    put(&directory.join("setuid of somebody else"), b"#!/bin/true\n")?;
    symlink("file", directory.join("link"))?;
    let (user, group) = (Some(Uid::from_raw(12_345)), Some(Gid::from_raw(54_321)));
    for path in ["file", "link", "setuid of somebody else"].map(|name| directory.join(name)) {
        if let Err(error) = chownat(CWD, path, user, group, AtFlags::SYMLINK_NOFOLLOW) {
            skipped.push(format!("owner: {error}"));
        }
    }
    if let Err(error) = chownat(CWD, inner, user, None, AtFlags::SYMLINK_NOFOLLOW) {
        skipped.push(format!("owner of a directory: {error}"));
    }
    // After the owner, which clears it.
    set_mode(&directory.join("setuid of somebody else"), 0o6755)
}

fn modes(directory: &Path) -> io::Result<()> {
    let directory = make(directory)?;
    let files = [0o4755, 0o2755, 0o6711, 0o1644, 0o400, 0o777, 0o600, 0o444];
    for mode in files {
        let path = directory.join(format!("file {mode:04o}"));
        put(&path, format!("{mode:o}").as_bytes())?;
        set_mode(&path, mode)?;
    }
    for mode in [0o1777, 0o2775, 0o700, 0o500, 0o555] {
        let path = make(&directory.join(format!("directory {mode:04o}")))?;
        put(&path.join("inside"), b"inside")?;
        set_mode(&path, mode)?;
    }
    Ok(())
}

/// Times with nanoseconds before 1970 and after 2038.
fn times(directory: &Path) -> io::Result<()> {
    let directory = make(directory)?;
    let moments = [
        ("1901", -2_147_000_000, 1),
        ("the last nanosecond of 1969", -1, 999_999_999),
        ("the epoch", 0, 0),
        ("one nanosecond", 0, 1),
        ("2038", 2_147_483_648, 123_456_789),
        ("2100", 4_102_444_800, 999_999_999),
        // The year 2262 is where restic 0.14 ends: it counts nanoseconds since 1970.
        ("2261", 9_183_110_400, 500_000_000),
    ];
    for (name, seconds, nanos) in moments {
        let path = directory.join(name);
        put(&path, name.as_bytes())?;
        set_modified(&path, seconds, nanos)?;
        let path = make(&directory.join(format!("directory {name}")))?;
        put(&path.join("inside"), b"")?;
        set_modified(&path, seconds, nanos)?;
    }
    set_modified(&directory, 1_000_000_000, 987_654_321)
}
