//! Files that are too large to be written in one piece.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use super::name;
use crate::fault;

/// A file that is written piece by piece under a temporary name and gets its own when it is whole.
/// If it never is, it is removed.
#[derive(Debug)]
pub struct Staged {
    file: File,
    temporary: Temporary,
    path: PathBuf,
}

impl Staged {
    /// A file that shall be called `path`, with permission bits `mode`.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        fault::point(|| path.to_owned());
        let (temporary, file) = name::create_temporary(name::parent(path), mode)?;
        Ok(Self { file, temporary: Temporary(temporary), path: path.to_owned() })
    }

    /// The file, for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the content durable and gives it its name, in place of a file that may have it.
    pub fn publish(self) -> io::Result<File> {
        self.publish_by(|temporary, path| Ok(rustix::fs::renameat(CWD, temporary, CWD, path)?))
    }

    /// Makes the content durable and gives it its name, which must be free.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken; then the file there is untouched.
    pub fn publish_new(self) -> io::Result<File> {
        self.publish_by(name::rename_new)
    }

    /// Makes the content durable and gives it another name of the same directory than the one it was
    /// made for, which must be free. The name is durable when the caller has synced the directory, as
    /// one may do for many files at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken; then the file there is untouched.
    pub fn publish_unsynced(self, path: &Path) -> io::Result<()> {
        fault::point(|| path.to_owned());
        self.file.sync_all()?;
        fault::point(|| path.to_owned());
        name::rename_new(&self.temporary.0, path)?;
        std::mem::forget(self.temporary);
        Ok(())
    }

    fn publish_by(self, rename: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<File> {
        fault::point(|| self.path.clone());
        self.file.sync_all()?;
        fault::point(|| self.path.clone());
        rename(&self.temporary.0, &self.path)?;
        // There is nothing to remove under the temporary name any more.
        std::mem::forget(self.temporary);
        name::sync_directory(name::parent(&self.path))?;
        Ok(self.file)
    }
}

/// A file without a name, for reading and writing: it is gone when it is closed, whatever happens.
pub fn create_unnamed(directory: &Path) -> io::Result<File> {
    let (temporary, file) = name::create_temporary(directory, 0o600)?;
    drop(Temporary(temporary));
    Ok(file)
}

/// A temporary name; what has it is removed in the end.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // A leftover is recognised by its name.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn a_staged_file_appears_when_it_is_whole_and_leaves_nothing_when_it_never_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run");
        let names = || std::fs::read_dir(directory.path()).unwrap().count();
        drop(Staged::create(&path, 0o600).unwrap());
        assert_eq!(names(), 0);
        let staged = Staged::create(&path, 0o600).unwrap();
        staged.file().write_all(b"whole").unwrap();
        assert!(!path.exists());
        staged.publish().unwrap();
        assert_eq!((std::fs::read(&path).unwrap().as_slice(), names()), (&b"whole"[..], 1));
    }

    #[test]
    fn a_staged_file_that_must_be_new_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("object");
        let stage = |content: &[u8]| {
            let staged = Staged::create(&path, 0o600).unwrap();
            staged.file().write_all(content).unwrap();
            staged.publish_new()
        };
        stage(b"first").unwrap();
        assert_eq!(stage(b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no leftover");
    }

    #[test]
    fn an_unnamed_file_can_be_used_and_is_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = create_unnamed(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        file.write_all(b"scratch").unwrap();
        file.rewind().unwrap();
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "scratch");
    }
}
