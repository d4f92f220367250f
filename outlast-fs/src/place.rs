//! Placing entries inside a target directory that nothing can lead out of.
//!
//! Every step from the target down is one `openat` that refuses symbolic links, so neither a
//! hostile path (`EntryPath` cannot hold `..`) nor a link that an earlier entry made can lead
//! outside. What an entry is made of (owner, attributes, mode, times) is set through the open file
//! or relative to its open directory, in an order in which each step keeps the one before:
//! owner, extended attributes, mode (a change of owner clears setuid), times.

mod attributes;
mod file;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::durable;
use crate::entry::{Entry, EntryPath, Kind, Metadata};

use attributes::Privilege;
pub use file::PlacedFile;

/// Permissions of a directory until its own entry's are set at the end: nobody else looks into a
/// restore that is not finished.
const UNFINISHED_DIRECTORY: Mode = Mode::RWXU;

/// A directory below which entries are placed, from several threads at once.
pub struct Target {
    path: PathBuf,
    root: Arc<OwnedFd>,
    overwrite: bool,
    privilege: Privilege,
    /// The directory used last: neighbours come one after the other.
    last: Mutex<Option<LastUsed>>,
    /// Directories that have been placed; their attributes are set by `finish`, because placing
    /// what is in them changes their times, and their modes may forbid it.
    directories: Mutex<Vec<(EntryPath, Metadata)>>,
    problems: Mutex<Vec<PlaceError>>,
}

/// A directory by its names below the target, open.
type LastUsed = (Vec<Vec<u8>>, Arc<OwnedFd>);

/// Why an entry could not be placed as it was.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error(
        "{path} is not empty: choose an empty or new directory, or allow overwriting what is there"
    )]
    NotEmpty { path: PathBuf },
    #[error("cannot use {path} as the target: {source}")]
    Target { path: PathBuf, source: io::Error },
    /// Something on the way to the entry is no directory: a link, or an earlier entry's file.
    #[error(
        "{entry} is refused: {target}/{blocked} is not a directory, and links are not followed"
    )]
    Blocked { entry: EntryPath, blocked: EntryPath, target: PathBuf },
    #[error("cannot {action} {target}/{entry}: {source}")]
    Io { action: &'static str, entry: EntryPath, target: PathBuf, source: io::Error },
}

impl PlaceError {
    /// The fault that the file system reported, if it was one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } | Self::Target { source, .. } => Some(source),
            Self::NotEmpty { .. } | Self::Blocked { .. } => None,
        }
    }
}

impl Target {
    /// Opens the directory `path`, made if it is missing.
    ///
    /// # Errors
    /// [`PlaceError::NotEmpty`] if there is anything in it and `overwrite` is not set.
    pub fn open(path: &Path, overwrite: bool) -> Result<Self, PlaceError> {
        let failed = |source| PlaceError::Target { path: path.to_owned(), source };
        durable::create_directories(path, 0o700).map_err(failed)?;
        if !overwrite && std::fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(PlaceError::NotEmpty { path: path.to_owned() });
        }
        // The user names the target, so links on the way to it are the user's own.
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| failed(io::Error::from(errno)))?;
        Ok(Self {
            path: path.to_owned(),
            root: Arc::new(root),
            overwrite,
            privilege: Privilege::of_this_process(),
            last: Mutex::default(),
            directories: Mutex::default(),
            problems: Mutex::default(),
        })
    }

    /// Places an entry; the directories above it are made if they are missing. A file gives back
    /// where its content goes; everything else is complete but for directories, whose modes and
    /// times come with [`finish`](Self::finish).
    pub fn place(&self, entry: &Entry) -> Result<Option<PlacedFile>, PlaceError> {
        let parent = self.parent_of(&entry.path)?;
        let name = OsStr::from_bytes(entry.path.name());
        if let Kind::Directory = entry.kind {
            self.place_directory(entry, &parent, name)?;
            return Ok(None);
        }
        if self.overwrite {
            self.clear(entry, &parent, name)?;
        }
        let make = |action, result: rustix::io::Result<()>| {
            result.map_err(|errno| self.failed(action, &entry.path, errno.into()))
        };
        match &entry.kind {
            Kind::File { .. } => return self.place_file(entry, parent, name).map(Some),
            Kind::Directory => {}
            Kind::HardLink { target } => {
                return self.link(entry, target, &parent, name).map(|()| None);
            }
            Kind::Symlink { target } => make(
                "make the symbolic link",
                rustix::fs::symlinkat(OsStr::from_bytes(target), &*parent, name),
            )?,
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                let kind = match entry.kind {
                    Kind::CharDevice { .. } => FileType::CharacterDevice,
                    _ => FileType::BlockDevice,
                };
                let device = rustix::fs::makedev(*major, *minor);
                make(
                    "make the device (that needs root)",
                    rustix::fs::mknodat(&*parent, name, kind, file::UNFINISHED_FILE, device),
                )?;
            }
            Kind::Fifo | Kind::Socket => {
                let kind = match entry.kind {
                    Kind::Fifo => FileType::Fifo,
                    _ => FileType::Socket,
                };
                make(
                    "make the fifo or socket",
                    rustix::fs::mknodat(&*parent, name, kind, file::UNFINISHED_FILE, 0),
                )?;
            }
        }
        let link = matches!(entry.kind, Kind::Symlink { .. });
        attributes::set_at(&parent, name, link, &entry.metadata, self.privilege)
            .map_err(|source| self.failed("set the attributes of", &entry.path, source))?;
        Ok(None)
    }

    /// Opens a file that was placed, to read it again.
    pub fn open_file(&self, path: &EntryPath) -> Result<File, PlaceError> {
        let parent = self.parent_of(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(&*parent, OsStr::from_bytes(path.name()), flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| self.failed("open", path, errno.into()))
    }

    /// Gives what was placed at `from` another name; fails if that is taken.
    pub fn rename(&self, from: &EntryPath, to: &EntryPath) -> Result<(), PlaceError> {
        let (old, new) = (self.parent_of(from)?, self.parent_of(to)?);
        let name = |path: &EntryPath| OsStr::from_bytes(path.name()).to_owned();
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&*old, name(from), &*new, name(to), flags)
            .map_err(|errno| self.failed("rename", from, errno.into()))
    }

    /// Sets the attributes of all placed directories, deepest first, and makes everything durable.
    /// Gives what could not be set, which did not stop the work.
    pub fn finish(self) -> Result<Vec<PlaceError>, PlaceError> {
        let mut directories = std::mem::take(&mut *lock(&self.directories));
        directories.sort_by_key(|(path, _)| std::cmp::Reverse(path.names().len()));
        for (path, metadata) in directories {
            let set = self.directory(path.names(), &path).and_then(|directory| {
                attributes::set_open(&directory, &metadata, self.privilege)
                    .map_err(|source| self.failed("set the attributes of", &path, source))
            });
            if let Err(problem) = set {
                lock(&self.problems).push(problem);
            }
        }
        // One sync of the file system instead of one of every file and directory.
        rustix::fs::syncfs(&*self.root).map_err(|errno| PlaceError::Target {
            path: self.path.clone(),
            source: errno.into(),
        })?;
        Ok(std::mem::take(&mut *lock(&self.problems)))
    }

    fn place_directory(
        &self,
        entry: &Entry,
        parent: &OwnedFd,
        name: &OsStr,
    ) -> Result<(), PlaceError> {
        match rustix::fs::mkdirat(parent, name, UNFINISHED_DIRECTORY) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                // An entry below it may have come first; anything but a directory is in the way.
                if self.kind_at(parent, name) != Some(FileType::Directory) {
                    if !self.overwrite {
                        return Err(self.failed(
                            "make the directory",
                            &entry.path,
                            Errno::EXIST.into(),
                        ));
                    }
                    self.clear(entry, parent, name)?;
                    rustix::fs::mkdirat(parent, name, UNFINISHED_DIRECTORY).map_err(|errno| {
                        self.failed("make the directory", &entry.path, errno.into())
                    })?;
                }
            }
            Err(errno) => return Err(self.failed("make the directory", &entry.path, errno.into())),
        }
        lock(&self.directories).push((entry.path.clone(), entry.metadata.clone()));
        Ok(())
    }

    fn place_file(
        &self,
        entry: &Entry,
        parent: Arc<OwnedFd>,
        name: &OsStr,
    ) -> Result<PlacedFile, PlaceError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*parent, name, flags, file::UNFINISHED_FILE)
            .map_err(|errno| self.failed("create", &entry.path, errno.into()))?;
        Ok(PlacedFile::new(File::from(file), entry, self.path.clone(), self.privilege))
    }

    /// Another name for a regular file that was placed before; never for anything else, since a
    /// link to a link could be made to point outside.
    fn link(
        &self,
        entry: &Entry,
        target: &EntryPath,
        parent: &OwnedFd,
        name: &OsStr,
    ) -> Result<(), PlaceError> {
        let from = self.parent_of(target)?;
        let old = OsStr::from_bytes(target.name());
        if self.kind_at(&from, old) != Some(FileType::RegularFile) {
            let source = io::Error::other(format!(
                "{target}, which it is a link to, is not there as a file"
            ));
            return Err(self.failed("make the hard link", &entry.path, source));
        }
        rustix::fs::linkat(&*from, old, parent, name, AtFlags::empty())
            .map_err(|errno| self.failed("make the hard link", &entry.path, errno.into()))
    }

    /// Removes what is in the way of an entry; a directory only if it is empty.
    fn clear(&self, entry: &Entry, parent: &OwnedFd, name: &OsStr) -> Result<(), PlaceError> {
        let flags = match self.kind_at(parent, name) {
            None => return Ok(()),
            Some(FileType::Directory) => AtFlags::REMOVEDIR,
            Some(_) => AtFlags::empty(),
        };
        rustix::fs::unlinkat(parent, name, flags)
            .map_err(|errno| self.failed("replace", &entry.path, errno.into()))
    }

    fn kind_at(&self, parent: &OwnedFd, name: &OsStr) -> Option<FileType> {
        let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(FileType::from_raw_mode(found.st_mode))
    }

    fn parent_of(&self, path: &EntryPath) -> Result<Arc<OwnedFd>, PlaceError> {
        self.directory(&path.names()[..path.names().len() - 1], path)
    }

    /// The directory at `names`, made where it is missing, without following any link.
    fn directory(&self, names: &[Vec<u8>], entry: &EntryPath) -> Result<Arc<OwnedFd>, PlaceError> {
        if names.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        let (mut depth, mut directory) = match &*lock(&self.last) {
            Some((last, directory)) if names.starts_with(last) => {
                (last.len(), Arc::clone(directory))
            }
            _ => (0, Arc::clone(&self.root)),
        };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        while depth < names.len() {
            let name = OsStr::from_bytes(&names[depth]);
            let opened = match rustix::fs::openat(&*directory, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&*directory, name, UNFINISHED_DIRECTORY) {
                        Ok(()) | Err(Errno::EXIST) => {
                            rustix::fs::openat(&*directory, name, flags, Mode::empty())
                        }
                        Err(errno) => Err(errno),
                    }
                }
                result => result,
            };
            directory = match opened {
                Ok(opened) => Arc::new(opened),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(self.blocked(entry, &names[..=depth]));
                }
                Err(errno) => {
                    return Err(self.failed("make the directory above", entry, errno.into()));
                }
            };
            depth += 1;
        }
        *lock(&self.last) = Some((names.to_vec(), Arc::clone(&directory)));
        Ok(directory)
    }

    fn blocked(&self, entry: &EntryPath, names: &[Vec<u8>]) -> PlaceError {
        let blocked = EntryPath::from_names(names.to_vec()).unwrap_or_else(|_| entry.clone());
        PlaceError::Blocked { entry: entry.clone(), blocked, target: self.path.clone() }
    }

    fn failed(&self, action: &'static str, entry: &EntryPath, source: io::Error) -> PlaceError {
        PlaceError::Io { action, entry: entry.clone(), target: self.path.clone(), source }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
