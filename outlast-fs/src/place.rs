//! Placing entries into a directory that no entry can leave.

mod attributes;
mod error;
mod file;
mod handle;
mod link;
mod parents;
mod report;

pub use error::PlaceError;
pub use file::PlacedFile;
pub use report::{Deviation, Report};

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, makedev};
use rustix::io::Errno;

use crate::entry::{Entry, EntryPath, Kind, Metadata};
use crate::metadata::file_type;
use attributes::{Attributes, Shape, Wanted};
use handle::OPEN_DIRECTORY;
use parents::{Above, Parents};
use report::Remarks;

/// Permissions of what is being made, until it is complete.
const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A directory that entries are written into and that none of them can leave.
///
/// Every name on the way to an entry is opened by itself, as a directory and without following a
/// symbolic link, starting from the target's own descriptor; an [`EntryPath`] has no `..`. So
/// neither what an entry is called, nor a link that an earlier entry made or that was there
/// before, leads out of the target. Nothing that exists is ever written to: an entry replaces what
/// has its name, other than a directory that is not empty.
///
/// What is placed is made equal to its entry: it has no extended attributes or access lists beside
/// those, wherever they would come from. Directories stay accessible to their owner only until
/// [`close`](Self::close) or [`finish`](Self::finish) gives them their attributes, the deepest
/// first. Entries may be placed from several threads.
///
/// Unless [`privileged`](Self::privileged), what would give rights on this host is withheld:
/// setuid and setgid of files, devices, and the attributes `security.*`, `trusted.*` and
/// `system.*` other than access lists.
pub struct Target {
    parents: Parents,
    path: PathBuf,
    /// Directories that were placed, to be given their attributes at the end; `None` if only
    /// implied so far.
    directories: Mutex<BTreeMap<EntryPath, Option<PlacedDirectory>>>,
    /// Copies of files that had as many names as a file can have, by the path of the first.
    copies: Mutex<HashMap<EntryPath, EntryPath>>,
    /// Names that one file may have, where the file system does not say so earlier.
    links_max: u64,
    attributes: Attributes,
    remarks: Remarks,
}

struct PlacedDirectory {
    metadata: Metadata,
    is_bare: bool,
}

impl Target {
    /// Opens the directory at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// [`PlaceError::NotEmpty`] if there is something in it and not `overwrite`.
    pub fn open(path: &Path, overwrite: bool) -> Result<Self, PlaceError> {
        let fail = |source| PlaceError::Target { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(fail)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| fail(errno.into()))?;
        let is_empty = is_empty(&root).map_err(|errno| fail(errno.into()))?;
        if !overwrite && !is_empty {
            return Err(PlaceError::NotEmpty { path: path.to_owned() });
        }
        Ok(Self {
            parents: Parents::new(root, is_empty),
            path: path.to_owned(),
            directories: Mutex::default(),
            copies: Mutex::default(),
            links_max: u64::MAX,
            attributes: Attributes::of_this_process(),
            remarks: Remarks::default(),
        })
    }

    /// The same, but if `privileged`, nothing is withheld. For what comes from somebody who is
    /// trusted with the rights of whoever restores.
    #[must_use]
    pub fn privileged(self, privileged: bool) -> Self {
        Self { attributes: self.attributes.privileged(privileged), ..self }
    }

    /// The directory's path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the entry, and the directories above it that are missing. A file is empty then, and
    /// is filled through the returned writer; everything else is complete, or will be by
    /// [`finish`](Self::finish).
    ///
    /// An attribute that cannot be set does not fail the entry; `finish` tells of it, and of an
    /// entry that is withheld.
    pub fn place(&self, entry: &Entry) -> Result<Option<PlacedFile>, PlaceError> {
        let Entry { path, kind, metadata } = entry;
        if self.withholds(kind) {
            self.remarks.withheld("device node", path);
            return Ok(None);
        }
        let parent = self.parent(path, true)?;
        match kind {
            Kind::Directory => {
                let is_new = self.directory(&parent, path, metadata)?;
                let is_bare = is_new && !parent.passes_on;
                let placed = PlacedDirectory { metadata: metadata.clone(), is_bare };
                lock(&self.directories).insert(path.clone(), Some(placed));
                return Ok(None);
            }
            Kind::HardLink { target } => {
                self.link(&parent, path, target)?;
                return Ok(None);
            }
            _ => {}
        }
        let name = path.name();
        match kind {
            Kind::File { .. } => return self.create(&parent, entry, self.attributes).map(Some),
            Kind::Symlink { target } => {
                let create = || rustix::fs::symlinkat(&target[..], &*parent, name);
                self.replacing(&parent, path, "create the symbolic link", create)?;
            }
            _ => {
                let (file_type, device) = node(kind);
                let create = || rustix::fs::mknodat(&*parent, name, file_type, FILE_MODE, device);
                self.replacing(&parent, path, "create the device, pipe or socket", create)?;
            }
        }
        let shape = match kind {
            Kind::Symlink { .. } => Shape::Symlink,
            _ => Shape::Node,
        };
        let wanted = Wanted { path, metadata, shape, is_bare: !parent.passes_on };
        self.attributes.set_by_name(&parent, wanted, &self.remarks);
        Ok(None)
    }

    /// Whether entries of this kind are withheld.
    pub fn withholds(&self, kind: &Kind) -> bool {
        let is_device = matches!(kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. });
        is_device && !self.attributes.is_privileged()
    }

    /// Makes an empty file.
    fn create(
        &self,
        parent: &Above,
        entry: &Entry,
        attributes: Attributes,
    ) -> Result<PlacedFile, PlaceError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW;
        let create = || rustix::fs::openat(parent, entry.path.name(), flags, FILE_MODE);
        let file = self.replacing(parent, &entry.path, "create", create)?;
        Ok(self.placed(file, entry, attributes, !parent.passes_on))
    }

    /// The file that an earlier run left at the place of `entry`, to be completed. `None` if there
    /// is none or it must not be touched: something else than a file, a file of another owner or
    /// with several names, of which one may lie outside.
    pub fn resume(&self, entry: &Entry) -> Option<PlacedFile> {
        let Entry { path, metadata, .. } = entry;
        let parent = self.parent(path, false).ok()?;
        let open = |access: OFlags| {
            let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::openat(&*parent, path.name(), flags, Mode::empty())
        };
        // Opening a device can do things, so it is not even opened.
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let there = rustix::fs::statat(&*parent, path.name(), flags).ok()?;
        if file_type(&there) != FileType::RegularFile {
            return None;
        }
        // A complete file may be read-only, and needs no writing.
        let (file, writable) = match open(OFlags::RDWR) {
            Ok(file) => (file, true),
            Err(Errno::ACCESS | Errno::TXTBSY) => (open(OFlags::RDONLY).ok()?, false),
            Err(_) => return None,
        };
        let stat = rustix::fs::fstat(&file).ok()?;
        let ours = stat.st_uid == metadata.uid || self.attributes.is_of_this_process(stat.st_uid);
        if file_type(&stat) != FileType::RegularFile || stat.st_nlink != 1 || !ours {
            return None;
        }
        let length = u64::try_from(stat.st_size).ok()?;
        if !self.attributes.tighten_file(&file, &stat, metadata) {
            return None;
        }
        let placed = self.placed(file, entry, self.attributes, false);
        Some(placed.resumed(length, writable))
    }

    fn placed(
        &self,
        file: OwnedFd,
        entry: &Entry,
        attributes: Attributes,
        is_bare: bool,
    ) -> PlacedFile {
        PlacedFile::new(
            File::from(file),
            entry.path.clone(),
            entry.metadata.clone(),
            attributes,
            self.remarks.clone(),
            is_bare,
        )
    }

    /// Opens a placed file for reading.
    pub fn open_file(&self, path: &EntryPath) -> Result<File, PlaceError> {
        let parent = self.parent(path, false)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*parent, path.name(), flags, Mode::empty())
            .map_err(|errno| PlaceError::io("open", path, errno))?;
        let stat =
            rustix::fs::fstat(&file).map_err(|errno| PlaceError::io("examine", path, errno))?;
        match file_type(&stat) {
            FileType::RegularFile => Ok(File::from(file)),
            _ => Err(PlaceError::io("read", path, Errno::INVAL)),
        }
    }

    /// Gives a placed file another name.
    ///
    /// # Errors
    /// With [`std::io::ErrorKind::AlreadyExists`] as its source if that name is taken.
    pub fn rename(&self, from: &EntryPath, to: &EntryPath) -> Result<(), PlaceError> {
        let (old, new) = (self.parent(from, false)?, self.parent(to, true)?);
        let (old_name, new_name) = (from.name(), to.name());
        let renamed =
            rustix::fs::renameat_with(&*old, old_name, &*new, new_name, RenameFlags::NOREPLACE);
        match renamed {
            // File systems without RENAME_NOREPLACE have links, as in `durable`.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                rustix::fs::linkat(&*old, old_name, &*new, new_name, AtFlags::empty())
                    .and_then(|()| rustix::fs::unlinkat(&*old, old_name, AtFlags::empty()))
            }
            result => result,
        }
        .map_err(|errno| PlaceError::io("rename", from, errno))
    }

    /// Gives the directory at `path` its attributes, because nothing will be placed in it any more.
    /// What is below it was closed before. One that no entry described stays as it was made.
    pub fn close(&self, path: &EntryPath) -> Result<(), PlaceError> {
        let placed = lock(&self.directories).remove(path).flatten();
        placed.map_or(Ok(()), |placed| self.settle(path, &placed))
    }

    /// Gives the directories that are not closed their attributes, and waits until everything is
    /// on the disk. Returns what did not stop the work. Owners are not even tried by any other
    /// user than root, as in tar.
    pub fn finish(self) -> Result<Report, PlaceError> {
        let mut directories: Vec<_> =
            std::mem::take(&mut *lock(&self.directories)).into_iter().collect();
        // Opening a directory takes the rights that its attributes may take away.
        directories.sort_by_key(|(path, _)| std::cmp::Reverse(path.names().len()));
        for (path, placed) in &directories {
            if let Some(placed) = placed {
                self.settle(path, placed)?;
            }
        }
        // One wait for all files costs less than one for each.
        rustix::fs::syncfs(self.parents.root()).map_err(|errno| PlaceError::Target {
            path: self.path.clone(),
            source: errno.into(),
        })?;
        Ok(self.remarks.take())
    }

    fn settle(&self, path: &EntryPath, placed: &PlacedDirectory) -> Result<(), PlaceError> {
        let parent = self.parent(path, false)?;
        match rustix::fs::openat(&*parent, path.name(), OPEN_DIRECTORY, Mode::empty()) {
            Ok(directory) => {
                let PlacedDirectory { metadata, is_bare } = placed;
                let shape = Shape::Directory;
                let wanted = Wanted { path, metadata, shape, is_bare: *is_bare };
                self.attributes.set(&directory, wanted, &self.remarks);
            }
            Err(errno) => self.remarks.problem(PlaceError::io("open", path, errno)),
        }
        Ok(())
    }

    /// Makes sure that there is a directory at `path` that we may write into, and that lets nobody
    /// in whom `metadata` keeps out. Whether it is new.
    fn directory(
        &self,
        parent: &Above,
        path: &EntryPath,
        metadata: &Metadata,
    ) -> Result<bool, PlaceError> {
        let failed = |errno| PlaceError::io("create the directory", path, errno);
        match rustix::fs::mkdirat(parent, path.name(), DIRECTORY_MODE) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let stat =
            rustix::fs::statat(parent, path.name(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if file_type(&stat) != FileType::Directory {
            self.clear(parent, path)?;
            rustix::fs::mkdirat(parent, path.name(), DIRECTORY_MODE).map_err(failed)?;
            return Ok(true);
        }
        // By descriptor, because a change by name would follow a link; if it fails, so does what is
        // placed in it, with a better message.
        let flags = OPEN_DIRECTORY | OFlags::PATH;
        if let Ok(opened) = rustix::fs::openat(parent, path.name(), flags, Mode::empty()) {
            self.attributes.tighten(&opened, &stat, metadata);
        }
        Ok(false)
    }

    /// Makes something new; what has its name is removed only if there is such a thing, which
    /// saves most entries a system call.
    fn replacing<T>(
        &self,
        parent: &Above,
        path: &EntryPath,
        action: &'static str,
        create: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, PlaceError> {
        match create() {
            Err(Errno::EXIST) => {
                self.clear(parent, path)?;
                create()
            }
            result => result,
        }
        .map_err(|errno| PlaceError::io(action, path, errno))
    }

    /// Removes what has the name of an entry to come.
    fn clear(&self, parent: &Above, path: &EntryPath) -> Result<(), PlaceError> {
        match rustix::fs::unlinkat(parent, path.name(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(errno) => return Err(PlaceError::io("replace", path, errno)),
        }
        match rustix::fs::unlinkat(parent, path.name(), AtFlags::REMOVEDIR) {
            Ok(()) => {
                lock(&self.directories).remove(path);
                self.parents.forget(path.names());
                Ok(())
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                Err(PlaceError::DirectoryInTheWay { path: path.clone() })
            }
            Err(errno) => Err(PlaceError::io("replace", path, errno)),
        }
    }

    /// Opens the directory that holds `path`; makes those that are missing if `create`.
    fn parent(&self, path: &EntryPath, create: bool) -> Result<Arc<Above>, PlaceError> {
        let names = path.names();
        let above = &names[..names.len().saturating_sub(1)];
        let make = |directory: &OwnedFd, depth: usize| {
            if !create {
                return Err(Errno::NOENT);
            }
            match rustix::fs::mkdirat(directory, &above[depth - 1][..], DIRECTORY_MODE) {
                // Another thread was quicker.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            if let Ok(made) = EntryPath::from_names(above[..depth].to_vec()) {
                lock(&self.directories).entry(made).or_insert(None);
            }
            Ok(())
        };
        self.parents.open(above, make).map_err(|(depth, errno)| match errno {
            Errno::NOTDIR | Errno::LOOP => PlaceError::ThroughLink {
                path: path.clone(),
                link: crate::entry::show(&above[..depth].join(&b'/')),
            },
            errno => PlaceError::io("reach", path, errno),
        })
    }
}

fn node(kind: &Kind) -> (FileType, u64) {
    match *kind {
        Kind::CharDevice { major, minor } => (FileType::CharacterDevice, makedev(major, minor)),
        Kind::BlockDevice { major, minor } => (FileType::BlockDevice, makedev(major, minor)),
        Kind::Socket => (FileType::Socket, 0),
        _ => (FileType::Fifo, 0),
    }
}

fn is_empty(directory: impl AsFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
