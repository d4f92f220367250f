//! Durable writes on a local disk or share: the only place where files are created or replaced.
//!
//! The order is always the same: write, fsync the file, publish under its name, fsync the
//! directory. When a function returns `Ok`, what it did survives a power cut; when
//! it is killed half-way, at most a temporary file is left, which [`is_temporary`] recognises.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

pub use staged::{Staged, create_unnamed};

mod staged;

/// What every temporary name begins with; no object, drop or configuration is called so.
const TEMPORARY_PREFIX: &[u8] = b".outlast-tmp-";

/// Creates `path` exclusively and fills it, with permission bits `mode`.
///
/// Needs neither rename nor link, so it works on every share. It is not atomic: a reader, or a
/// crash, may see the file empty or cut off. Use it where the content proves itself.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the name is taken; then nothing was changed.
pub fn create_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write_new_file(path, content, mode)?;
    sync_directory(parent(path))
}

/// Publishes a new file atomically: a reader sees all of it or nothing, and of two publishers at
/// most one succeeds.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the name is taken; then the file there is untouched.
pub fn publish_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    with_temporary(path, content, mode, |temporary| rename_new(temporary, path))
}

/// Gives a file another name, which must be free.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems without RENAME_NOREPLACE (some FUSE and network ones) have links.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        result => Ok(result?),
    }
}

/// Writes a file atomically under `path`, in place of one that may be there.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    with_temporary(path, content, mode, |temporary| {
        Ok(rustix::fs::renameat(CWD, temporary, CWD, path)?)
    })
}

/// Gives a file or directory another name beside its own, for good. Nothing is replaced.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the name is taken; then nothing was changed.
pub fn rename_beside(path: &Path, name: &OsStr) -> io::Result<()> {
    let to = path.with_file_name(name);
    match rustix::fs::renameat_with(CWD, path, CWD, &to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.symlink_metadata().is_ok() => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            rustix::fs::renameat(CWD, path, CWD, &to)?;
        }
        result => result?,
    }
    sync_directory(parent(path))
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some network and FUSE file systems have no fsync for directories; there, creation is
        // durable at the server when the call returns (NFS) or there is nothing more to ask for.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        result => result,
    }
}

/// Creates the directory and those above it that are missing, each durable in its parent. One
/// that is there already keeps its permissions.
pub fn create_directories(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    if above != path {
        create_directories(above, mode)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        // Another process was quicker; that serves as well.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(above),
    }
}

/// Removes a file for good.
pub fn remove_file(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)?;
    sync_directory(parent(path))
}

/// Removes an empty directory for good.
pub fn remove_directory(path: &Path) -> io::Result<()> {
    std::fs::remove_dir(path)?;
    sync_directory(parent(path))
}

/// The content of a file that may be hostile: never more than `bytes_max`.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`] if it is longer.
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {bytes_max} bytes"),
        ));
    }
    Ok(content)
}

/// Whether a name is that of a temporary file, left behind if its writer was killed.
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_bytes().starts_with(TEMPORARY_PREFIX)
}

fn with_temporary(
    path: &Path,
    content: &[u8],
    mode: u32,
    publish: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = path.with_file_name(temporary_name());
    let result = write_new_file(&temporary, content, mode).and_then(|()| publish(&temporary));
    if let Err(error) = result {
        // The first error is the one to tell; a leftover is recognised by its name.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(parent(path))
}

/// A name that no other process or thread on this disk uses: time and process make it unique
/// between processes, the counter within one; a collision would fail on O_EXCL, not overwrite.
fn temporary_name() -> OsString {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.unwrap_or_default().as_nanos();
    let mut name = OsString::from(OsStr::from_bytes(TEMPORARY_PREFIX));
    name.push(format!("{}-{nanos:x}-{count}", std::process::id()));
    name
}

fn write_new_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    // NFS reports lost writes at close(2), whose result std drops; after a successful fsync nothing
    // is left that close could lose.
    file.sync_all()
}

/// The directory that holds `path`; the current one for a bare name.
fn parent(path: &Path) -> &Path {
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
    fn of_two_publishers_one_wins_and_the_other_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("object");
        publish_new(&path, b"first", 0o600).unwrap();
        let error = publish_new(&path, b"second", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read_bounded(&path, 10).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no leftover");
    }

    #[test]
    fn replacing_leaves_the_new_content_and_no_leftover() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(read_bounded(&path, 3).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_longer_than_the_bound_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        create_new(&path, b"12345", 0o600).unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert_eq!(read_bounded(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn missing_directories_are_made_and_present_ones_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/c");
        create_directories(&path, 0o700).unwrap();
        create_directories(&path, 0o755).unwrap();
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_leftover_is_known_by_its_name() {
        assert!(is_temporary(&temporary_name()));
        assert!(!is_temporary(OsStr::new("config")));
    }
}
