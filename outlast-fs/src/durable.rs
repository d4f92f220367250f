//! Durable writes on a local disk or share: the only place where files are created or replaced.
//!
//! The order is always the same: write, fsync the file, publish under its name, fsync the
//! directory. When a function returns `Ok`, what it did survives a power cut; when
//! it is killed half-way, at most a temporary file is left, which [`is_temporary`] recognises.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::fault;

mod name;
mod staged;

pub use name::{is_temporary, sync_directory};
pub use staged::{Staged, create_unnamed};

use name::parent;

/// Creates `path` exclusively and fills it, with permission bits `mode`.
///
/// Needs neither rename nor link, so it works on every share. It is not atomic: a reader, or a
/// crash, may see the file empty or cut off. Use it where the content proves itself.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the name is taken; then nothing was changed.
pub fn create_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    fault::point(|| path.to_owned());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    fault::point(|| path.to_owned());
    // NFS reports lost writes at close(2), whose result std drops; after a successful fsync nothing
    // is left that close could lose.
    file.sync_all()?;
    sync_directory(parent(path))
}

/// Publishes a new file atomically: a reader sees all of it or nothing, and of two publishers at
/// most one succeeds.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the name is taken; then the file there is untouched.
pub fn publish_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    staged(path, content, mode)?.publish_new().map(drop)
}

/// Writes a file atomically under `path`, in place of one that may be there.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    staged(path, content, mode)?.publish().map(drop)
}

fn staged(path: &Path, content: &[u8], mode: u32) -> io::Result<Staged> {
    let staged = Staged::create(path, mode)?;
    staged.file().write_all(content)?;
    Ok(staged)
}

/// Gives a file or directory another name beside its own, for good. Nothing is replaced.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the name is taken; then nothing was changed.
pub fn rename_beside(path: &Path, name: &OsStr) -> io::Result<()> {
    let to = path.with_file_name(name);
    fault::point(|| to.clone());
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

/// Gives a file or directory another path of the same file system, for good. Nothing is replaced.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the name is taken; then nothing was changed.
pub fn move_new(from: &Path, to: &Path) -> io::Result<()> {
    move_unsynced(from, to)?;
    sync_directory(parent(to))?;
    sync_directory(parent(from))
}

/// Gives a file another path of the same file system, in place of one that may be there, for good.
pub fn move_over(from: &Path, to: &Path) -> io::Result<()> {
    fault::point(|| to.to_owned());
    rustix::fs::renameat(CWD, from, CWD, to)?;
    sync_directory(parent(to))
}

/// [`move_new`], durable when the caller has synced both directories: for one who must be quick.
pub fn move_unsynced(from: &Path, to: &Path) -> io::Result<()> {
    fault::point(|| to.to_owned());
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.symlink_metadata().is_ok() => {
            Err(io::ErrorKind::AlreadyExists.into())
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            Ok(rustix::fs::renameat(CWD, from, CWD, to)?)
        }
        result => Ok(result?),
    }
}

/// Creates the directory and those above it that are missing, each durable in its parent. One
/// that is there already keeps its permissions, and is made durable, too: whoever made it may have
/// died before that, or not come to it yet.
pub fn create_directories(path: &Path, mode: u32) -> io::Result<()> {
    let above = parent(path);
    if path.is_dir() {
        return match sync_directory(above) {
            // Somebody else's, where we make nothing.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            result => result,
        };
    }
    if above != path {
        create_directories(above, mode)?;
    }
    fault::point(|| path.to_owned());
    match DirBuilder::new().mode(mode).create(path) {
        // Another process was quicker; that serves as well.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        result => result?,
    }
    sync_directory(above)
}

/// Makes everything durable that was written to the file system of `path`.
pub fn sync_file_system(path: &Path) -> io::Result<()> {
    fault::point(|| path.to_owned());
    Ok(rustix::fs::syncfs(File::open(path)?)?)
}

/// Removes a file for good.
pub fn remove_file(path: &Path) -> io::Result<()> {
    fault::point(|| path.to_owned());
    std::fs::remove_file(path)?;
    sync_directory(parent(path))
}

/// Removes an empty directory for good.
pub fn remove_directory(path: &Path) -> io::Result<()> {
    fault::point(|| path.to_owned());
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
}
