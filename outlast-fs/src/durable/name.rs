//! Names in a directory: temporary ones, given for good, and made durable.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::fault;

/// The beginning of every temporary name; no object, drop or configuration is called so.
const TEMPORARY_PREFIX: &[u8] = b".outlast-tmp-";
/// Temporary names that are tried: leftovers of a killed process with the same number have some,
/// and so may a process of another host on the same share.
const NAMES_MAX: u32 = 10_000;

/// Whether a name is that of a temporary file, left behind if its writer was killed.
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_bytes().starts_with(TEMPORARY_PREFIX)
}

/// Makes a file in `directory` under a temporary name that nobody else uses, for reading and writing.
pub(super) fn create_temporary(directory: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    for _ in 0..NAMES_MAX {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut name = OsString::from(OsStr::from_bytes(TEMPORARY_PREFIX));
        name.push(format!("{}-{count}", std::process::id()));
        let path = directory.join(name);
        match OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return Ok((path, created?)),
        }
    }
    Err(io::Error::other(format!("{NAMES_MAX} temporary names are taken, left by killed writers")))
}

/// Gives a file another name, which must be free.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems without RENAME_NOREPLACE (some FUSE and network ones) have links.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        result => Ok(result?),
    }
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    fault::point(|| path.to_owned());
    match File::open(path)?.sync_all() {
        // Some network and FUSE file systems have no fsync for directories; there, creation is
        // durable at the server when the call returns (NFS) or there is nothing more to ask for.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        result => result,
    }
}

/// The directory that holds `path`; the current one for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leftover_is_known_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let (path, _) = create_temporary(directory.path(), 0o600).unwrap();
        assert!(is_temporary(path.file_name().unwrap()));
        assert!(!is_temporary(OsStr::new("config")));
    }

    /// A process with the same number was killed here before, and used the names that come next.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "what is left behind need not be durable")]
    fn names_that_leftovers_have_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let (first, _) = create_temporary(directory.path(), 0o600).unwrap();
        let name = first.file_name().unwrap().to_str().unwrap();
        let (stem, count) = name.rsplit_once('-').unwrap();
        let count: u64 = count.parse().unwrap();
        for later in count + 1..count + 200 {
            std::fs::write(directory.path().join(format!("{stem}-{later}")), b"left").unwrap();
        }
        let (mine, _) = create_temporary(directory.path(), 0o600).unwrap();
        assert_eq!(std::fs::read(mine).unwrap(), b"");
        let left = std::fs::read(directory.path().join(format!("{stem}-{}", count + 1))).unwrap();
        assert_eq!(left, b"left");
    }
}
