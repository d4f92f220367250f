//! Names every difference between two trees that a restore should have made equal.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use outlast_fs::entry::show;
use outlast_fs::walk::Walk;
use outlast_fs::{Entry, EntrySource, Kind, SourceError};

/// How many differences are worth reading.
const DIFFERENCES_MAX: usize = 50;

/// Compares everything below `expected` with everything below `actual`: names, kinds, contents,
/// permission bits, owners, modification times to the nanosecond, extended attributes, link
/// targets, and which names are one file. The two directories themselves are not compared.
///
/// Returns one line for each difference, the first 50; none when the trees are equal.
pub fn compare_trees(expected: &Path, actual: &Path) -> Vec<String> {
    let mut differences = Vec::new();
    let (Some(mut wanted), Some(mut found)) =
        (entries(expected, &mut differences), entries(actual, &mut differences))
    else {
        return differences;
    };
    for (path, entry) in &mut wanted {
        if differences.len() >= DIFFERENCES_MAX {
            break;
        }
        match found.remove(path) {
            None => differences.push(format!("{} is missing", show(path))),
            Some(other) => {
                let name = Path::new(OsStr::from_bytes(path));
                let contents = || same_content(&expected.join(name), &actual.join(name));
                differences.extend(
                    differences_of(entry, &other, contents)
                        .into_iter()
                        .map(|what| format!("{}: {what}", show(path))),
                );
            }
        }
    }
    differences.extend(found.keys().map(|path| format!("{} should not be there", show(path))));
    differences.truncate(DIFFERENCES_MAX);
    differences
}

/// The bytes that a file takes on its disk, which a hole does not.
pub fn allocated_bytes(path: &Path) -> io::Result<u64> {
    Ok(path.symlink_metadata()?.blocks() * 512)
}

/// All entries below `root` by their path from there.
fn entries(root: &Path, differences: &mut Vec<String>) -> Option<BTreeMap<Vec<u8>, Entry>> {
    let mut entries = BTreeMap::new();
    let mut fail = |error: SourceError| differences.push(format!("{}: {error}", root.display()));
    let depth = root.components().count() - 1;
    let mut walk = Walk::new(&[root.to_owned()]).map_err(&mut fail).ok()?;
    loop {
        match walk.next_entry() {
            Ok(None) => return Some(entries),
            Ok(Some(mut entry)) => {
                let below = |names: &[Vec<u8>]| names[depth.min(names.len())..].join(&b'/');
                let path = below(entry.path.names());
                if let Kind::HardLink { target } = &mut entry.kind
                    && let Ok(inside) = outlast_fs::EntryPath::parse(&below(target.names()))
                {
                    *target = inside;
                }
                if !path.is_empty() {
                    entries.insert(path, entry);
                }
            }
            Err(error @ SourceError::Entry { .. }) => fail(error),
            Err(error) => {
                fail(error);
                return None;
            }
        }
    }
}

fn differences_of(
    expected: &Entry,
    actual: &Entry,
    same_content: impl FnOnce() -> io::Result<bool>,
) -> Vec<String> {
    let mut differences = Vec::new();
    let mut check = |what: &str, wanted: String, found: String| {
        if wanted != found {
            differences.push(format!("{what} should be {wanted} and is {found}"));
        }
    };
    check("kind", format!("{:?}", expected.kind), format!("{:?}", actual.kind));
    let (wanted, found) = (&expected.metadata, &actual.metadata);
    // A symbolic link's own permissions mean nothing on Linux.
    if !matches!(expected.kind, Kind::Symlink { .. }) {
        check("mode", format!("{:04o}", wanted.mode), format!("{:04o}", found.mode));
    }
    check(
        "owner",
        format!("{}:{}", wanted.uid, wanted.gid),
        format!("{}:{}", found.uid, found.gid),
    );
    check("time", format!("{:?}", wanted.modified), format!("{:?}", found.modified));
    let sorted = |xattrs: &[(Vec<u8>, Vec<u8>)]| {
        let mut sorted: Vec<_> = xattrs.iter().map(|(n, v)| (show(n), show(v))).collect();
        sorted.sort();
        format!("{sorted:?}")
    };
    check("attributes", sorted(&wanted.xattrs), sorted(&found.xattrs));
    if matches!((&expected.kind, &actual.kind), (Kind::File { .. }, Kind::File { .. })) {
        match same_content() {
            Ok(true) => {}
            Ok(false) => differences.push("content differs".to_owned()),
            Err(error) => differences.push(format!("content cannot be compared: {error}")),
        }
    }
    differences
}

fn same_content(left: &Path, right: &Path) -> io::Result<bool> {
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    let (mut ours, mut theirs) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    loop {
        let length = read_through(&mut left, &mut ours)?;
        if read_through(&mut right, &mut theirs)? != length || ours[..length] != theirs[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

/// Reads until `buffer` is full or the file ends; how much that was.
pub fn read_through(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
