//! A directory that one process at a time works in.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

/// A directory is ours until this is dropped, or the process ends in any way.
///
/// The lock is a file of the directory. When it was last changed, somebody last asked for the
/// directory, by the clock of its file system.
#[derive(Debug)]
pub struct DirectoryLock(File);

/// Why nobody can tell whether a directory is in use.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot open {path}: {source}", path = path.display())]
    Open { path: PathBuf, source: io::Error },
    /// Such as on a file system that has no locks.
    #[error("cannot lock {path}: {source}", path = path.display())]
    Lock { path: PathBuf, source: io::Error },
}

impl DirectoryLock {
    /// Takes the lock `name` of `directory`, whose file is made if it is missing; none if somebody
    /// has it.
    pub fn take(directory: &Path, name: &str) -> Result<Option<Self>, LockError> {
        let path = directory.join(name);
        let opened = File::options().write(true).create(true).truncate(false).open(&path);
        // Before the lock is taken, so that nobody takes the directory for unused in between. It
        // takes no room, for a disk that is full.
        match opened.and_then(|file| touch(&file).map(|()| file)) {
            Ok(file) => Self::of(file).map_err(|source| LockError::Lock { path, source }),
            Err(source) => Err(LockError::Open { path, source }),
        }
    }

    /// Takes the lock `name` of `directory` if nobody has asked for it since `limit`, in seconds
    /// since 1970. The file must be there, and does not change.
    pub fn take_unused(directory: &Path, name: &str, limit: i64) -> io::Result<Option<Self>> {
        if last_asked(directory, name)? >= limit {
            return Ok(None);
        }
        let Some(lock) = Self::of(File::options().write(true).open(directory.join(name))?)? else {
            return Ok(None);
        };
        // Whoever asks changes the file before taking the lock, so this look is the last word.
        let is_unused = lock.0.metadata()?.mtime() < limit;
        Ok(is_unused.then_some(lock))
    }

    fn of(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(source),
        }
    }
}

/// When somebody last asked for the lock `name` of `directory`, in seconds since 1970.
pub fn last_asked(directory: &Path, name: &str) -> io::Result<i64> {
    fs::metadata(directory.join(name)).map(|metadata| metadata.mtime())
}

fn touch(file: &File) -> io::Result<()> {
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    Ok(rustix::fs::futimens(file, &times)?)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    const NAME: &str = "lock";

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path(), NAME).unwrap();
        assert!(first.is_some());
        assert!(DirectoryLock::take(directory.path(), NAME).unwrap().is_none());
        drop(first);
        assert!(DirectoryLock::take(directory.path(), NAME).unwrap().is_some());
        let missing = directory.path().join("missing");
        let error = DirectoryLock::take(&missing, NAME).unwrap_err();
        assert!(error.to_string().starts_with("cannot open "), "{error}");
    }

    #[test]
    fn a_directory_that_somebody_asked_for_or_has_is_not_unused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let unused = |limit| DirectoryLock::take_unused(path, NAME, limit).unwrap().is_some();
        assert!(DirectoryLock::take_unused(path, NAME, i64::MAX).is_err(), "it was never used");
        let owner = DirectoryLock::take(path, NAME).unwrap();
        assert!(!unused(i64::MAX), "it is in use");
        drop(owner);
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        File::options().write(true).open(path.join(NAME)).unwrap().set_modified(old).unwrap();
        assert_eq!(last_asked(path, NAME).unwrap(), 1000);
        assert!(!unused(1000));
        assert!(unused(1001));
        DirectoryLock::take(path, NAME).unwrap();
        assert!(!unused(1001), "somebody asked for it");
    }
}
