//! Directories and files of a share, opened without ever following a symbolic link.
//!
//! Everybody who may write to a share could plant links in it. So each step from its root down is
//! an `openat` with `O_NOFOLLOW`, and files are looked at through the descriptor that is read.
//! What we make, fill, sync and remove, we do through the open directory, too: a path would be
//! looked up again each time, and may lead elsewhere by then. Nothing else in this crate touches
//! a file system, which `cargo xtask tidy` checks.
//!
//! A reply may get lost on its way, and a client then asks again and hears that the name exists
//! already, or is gone. A network file system may let a signal interrupt any call. Neither is an
//! error here.

mod access;
mod holes;
mod kind;
mod made;
mod meter;
mod writers;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use outlast_fs::fault;
use outlast_types::Timestamp;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, fchmod, fchown, fstat, openat, statat,
    unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

pub use access::Access;
use access::Denied;
pub use kind::FileSystem;
pub use meter::{Count, Gauge, Meter};
pub use writers::Writers;

/// The most names that are read of a directory at once: a share is input from strangers.
pub const NAMES_MAX: usize = 1_000_000;

/// About as many names come of one call that lists a directory.
const NAMES_OF_A_CALL: usize = 512;

/// A directory of a share, held open.
#[derive(Debug)]
pub struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
    meter: Meter,
}

/// The facts about a file that are known without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileFacts {
    pub size: u64,
    /// Bytes that the file system says it has allocated for it. Not every one tells the truth: see
    /// [`Directory::bytes_held`].
    pub allocated: u64,
    /// By the clock of whoever keeps the file system; seconds and nanoseconds.
    pub modified: (i64, u32),
    /// When anything about it changed, its name and permissions, too.
    pub changed: (i64, u32),
    /// How many names it has.
    pub links: u64,
    pub is_file: bool,
    pub is_directory: bool,
}

impl FileFacts {
    #[expect(clippy::unnecessary_cast, reason = "the kernel's types differ between processors")]
    fn of(stat: &Stat) -> Self {
        let kind = FileType::from_raw_mode(stat.st_mode);
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
            modified: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            changed: (stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(0)),
            links: stat.st_nlink as u64,
            is_file: kind == FileType::RegularFile,
            is_directory: kind == FileType::Directory,
        }
    }

    /// The modification time, if it is one that we can represent.
    pub fn modified_at(&self) -> Option<Timestamp> {
        Timestamp::from_unix(self.modified.0, self.modified.1)
    }
}

impl Directory {
    /// Opens `path`. Its own last component may be a link: whoever named it trusts it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_metered(path, Meter::default())
    }

    /// The same; `meter` hears of this call, and of all that are made through this directory.
    pub fn open_metered(path: &Path, meter: Meter) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        meter.call(path);
        let descriptor = retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))?;
        Ok(Self { descriptor, path: path.to_owned(), meter })
    }

    /// Opens the directory `name` inside this one, if it is one and not a link.
    pub fn directory(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(name);
        self.meter.call(&path);
        let opened = retry_on_intr(|| openat(&self.descriptor, name, flags, Mode::empty()));
        let descriptor = opened.map_err(|error| {
            let denied = || statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW).ok();
            match error {
                Errno::ACCESS => {
                    denied().map_or(error.into(), |stat| Denied::error(self.path.join(name), &stat))
                }
                _ => error.into(),
            }
        })?;
        Ok(Self { descriptor, path, meter: self.meter.clone() })
    }

    /// The permissions and the group for what is made in this directory.
    pub fn access(&self) -> io::Result<Access> {
        Ok(Access::below(&fstat(&self.descriptor)?))
    }

    /// Who may write into it, root aside.
    pub fn writers(&self) -> io::Result<Writers> {
        self.meter.call(&self.path);
        Ok(Writers::below(&fstat(&self.descriptor)?))
    }

    /// Opens this directory to others: what is made in it from now on is open to the same.
    pub fn open_to(&self, mode: Option<u32>, group: Option<u32>) -> io::Result<()> {
        if let Some(group) = group {
            fchown(&self.descriptor, None, Some(Gid::from_raw(group)))
                .map_err(|error| self.explain(error))?;
        }
        // Afterwards, because a change of the group may take away bits of the mode.
        if let Some(mode) = mode {
            fchmod(&self.descriptor, Mode::from_raw_mode(mode))
                .map_err(|error| self.explain(error))?;
        }
        Ok(())
    }

    /// Creates the file `name` exclusively, for writing. It is durable once it is synced, and then
    /// this directory.
    pub fn create_file(&self, name: &str, access: Access) -> io::Result<File> {
        fault::point(|| self.path.join(name));
        self.meter.call(&self.path);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = access.of_file();
        let mode_bits = Mode::from_raw_mode(mode);
        let file = retry_on_intr(|| openat(&self.descriptor, name, flags, mode_bits))
            .map_err(|error| self.explain(error))?;
        access.give(&file, mode, self.descriptor.as_fd())?;
        Ok(file.into())
    }

    /// The same in a directory in which nobody else makes files. So an empty one that is there already
    /// is the one that was asked for, by a request whose reply was lost.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if something else is there.
    pub fn create_own_file(&self, name: &str, access: Access) -> io::Result<File> {
        let taken = match self.create_file(name, access) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => error,
            result => return result,
        };
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = retry_on_intr(|| openat(&self.descriptor, name, flags, Mode::empty()));
        let file = match opened {
            Ok(file) => file,
            Err(error) if is_later(&error.into()) => return Err(error.into()),
            Err(_) => return Err(taken),
        };
        let is = fstat(&file)?;
        // Another name of it could be somebody else's file.
        if !FileFacts::of(&is).is_file || is.st_size != 0 || is.st_nlink != 1 {
            return Err(taken);
        }
        access.give(&file, access.of_file(), self.descriptor.as_fd())?;
        Ok(file.into())
    }

    /// Creates the file `name` exclusively and fills it; durable when this returns. Not atomic:
    /// what may be seen half-written must prove itself.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken; then nothing was changed.
    pub fn create_new(&self, name: &str, content: &[u8], access: Access) -> io::Result<()> {
        let file = self.create_file(name, access)?;
        self.fill(file, name, content)
    }

    /// The same in a directory in which nobody else makes files: see [`Self::create_own_file`].
    pub fn create_own(&self, name: &str, content: &[u8], access: Access) -> io::Result<()> {
        let file = self.create_own_file(name, access)?;
        self.fill(file, name, content)
    }

    fn fill(&self, mut file: File, name: &str, content: &[u8]) -> io::Result<()> {
        self.meter.call(&self.path);
        file.write_all(content)?;
        fault::point(|| self.path.join(name));
        self.meter.call(&self.path);
        // After a good fsync nothing is left that the close could fail to write.
        file.sync_all()?;
        self.sync()
    }

    /// Opens the directory at the end of `names`, one step after the other.
    pub fn descend(&self, names: &[String]) -> io::Result<Self> {
        let (first, rest) = names.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        rest.iter().try_fold(self.directory(first)?, |directory, name| directory.directory(name))
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in it, for messages.
    pub fn path_of(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }

    /// All names in it but `.` and `..`, sorted bytewise; an error if there are more than
    /// [`NAMES_MAX`].
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        match self.names_up_to(NAMES_MAX)? {
            (names, true) => Ok(names),
            (_, false) => Err(io::Error::other(format!("it holds more than {NAMES_MAX} names"))),
        }
    }

    /// As many names as `max`, sorted bytewise, and whether these are all.
    pub fn names_up_to(&self, max: usize) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let mut names = Vec::new();
        let is_whole = self.each_name(max, |name| names.push(name.to_vec()))?;
        names.sort();
        Ok((names, is_whole))
    }

    /// Shows as many names as `max` to `see`, in any order and without keeping them; whether these
    /// are all.
    pub fn each_name(&self, max: usize, mut see: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut seen = 0;
        self.meter.listing(&self.path);
        // To open it for reading, and for the first names.
        self.meter.call(&self.path);
        self.meter.call(&self.path);
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if seen == max {
                return Ok(false);
            }
            see(name);
            seen += 1;
            if seen % NAMES_OF_A_CALL == 0 {
                self.meter.call(&self.path);
            }
        }
        Ok(true)
    }

    /// How many bytes of the plain file `name` the share really holds, without reading them; `None`
    /// if the file system does not say so.
    pub fn bytes_held(&self, name: &[u8]) -> io::Result<Option<u64>> {
        let (file, facts) = self.file(name)?;
        Ok(holes::bytes_held(&file, facts.size, facts.allocated))
    }

    /// The facts about `name`; a link is looked at itself.
    pub fn facts(&self, name: &[u8]) -> io::Result<FileFacts> {
        self.meter.call(&self.path);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = retry_on_intr(|| statat(&self.descriptor, name, flags))?;
        Ok(FileFacts::of(&stat))
    }

    /// The kind of file system that it is on, where that is known.
    pub fn file_system(&self) -> Option<FileSystem> {
        FileSystem::of(&self.descriptor)
    }

    /// The facts about the directory itself.
    pub fn own_facts(&self) -> io::Result<FileFacts> {
        self.meter.call(&self.path);
        Ok(FileFacts::of(&fstat(&self.descriptor)?))
    }

    /// Opens a plain file for reading; `InvalidInput` if it is something else.
    pub fn file(&self, name: &[u8]) -> io::Result<(File, FileFacts)> {
        // O_NONBLOCK, since opening a fifo would wait for a writer for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.meter.call(&self.path);
        let opened = retry_on_intr(|| openat(&self.descriptor, name, flags, Mode::empty()));
        let descriptor = opened.map_err(not_plain)?;
        let facts = FileFacts::of(&fstat(&descriptor)?);
        if !facts.is_file {
            return Err(not_plain(Errno::LOOP));
        }
        Ok((File::from(descriptor), facts))
    }

    /// Reads a plain file of at most `max` bytes; `FileTooLarge` if it is longer.
    pub fn read_bounded(&self, name: &str, max: u64) -> io::Result<Vec<u8>> {
        let (file, facts) = self.file(name.as_bytes())?;
        if facts.size > max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut content = Vec::new();
        self.meter.call(&self.path);
        file.take(max.saturating_add(1)).read_to_end(&mut content)?;
        if content.len() as u64 > max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(content)
    }

    /// Removes the file `name`; fine if it is gone.
    pub fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        fault::point(|| self.path_of(name));
        self.meter.call(&self.path);
        let removed = retry_on_intr(|| unlinkat(&self.descriptor, name, AtFlags::empty()));
        self.gone_is_fine(removed)
    }

    /// Removes the empty directory `name`; fine if it is gone.
    pub fn remove_directory(&self, name: &str) -> io::Result<()> {
        fault::point(|| self.path.join(name));
        self.meter.call(&self.path);
        let removed = retry_on_intr(|| unlinkat(&self.descriptor, name, AtFlags::REMOVEDIR));
        self.gone_is_fine(removed)
    }

    fn gone_is_fine(&self, result: rustix::io::Result<()>) -> io::Result<()> {
        match result {
            Err(Errno::NOENT) => Ok(()),
            result => result.map_err(|error| self.explain(error)),
        }
    }

    /// An error of making or removing something in this directory: one about permissions says
    /// whose they are.
    fn explain(&self, error: Errno) -> io::Error {
        match (error, fstat(&self.descriptor)) {
            (Errno::ACCESS | Errno::PERM, Ok(stat)) => Denied::error(self.path.clone(), &stat),
            _ => error.into(),
        }
    }

    /// Makes the names in it durable.
    pub fn sync(&self) -> io::Result<()> {
        fault::point(|| self.path.clone());
        self.meter.call(&self.path);
        match retry_on_intr(|| rustix::fs::fsync(&self.descriptor)) {
            // Some network and FUSE file systems have no fsync for directories.
            Err(Errno::INVAL) => Ok(()),
            result => Ok(result?),
        }
    }
}

fn not_plain(error: Errno) -> io::Error {
    match error {
        // A link, a device without driver, a socket.
        Errno::LOOP | Errno::NXIO | Errno::NODEV => {
            io::Error::new(io::ErrorKind::InvalidInput, "not a plain file")
        }
        error => error.into(),
    }
}

/// Whether an error says something about the network or the server rather than about the file:
/// to be tried again in a while, and no verdict about a drop.
pub fn is_later(error: &io::Error) -> bool {
    let later = [
        Errno::STALE,
        Errno::IO,
        Errno::TIMEDOUT,
        Errno::AGAIN,
        Errno::BUSY,
        Errno::INTR,
        Errno::NOTCONN,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::CONNREFUSED,
        Errno::CONNRESET,
        Errno::REMOTEIO,
        Errno::NFILE,
        Errno::MFILE,
        Errno::NOMEM,
    ];
    error.raw_os_error().is_some_and(|code| later.iter().any(|e| e.raw_os_error() == code))
}

/// Whether an error says that the name is not a directory, or a link.
pub fn is_not_a_directory(error: &io::Error) -> bool {
    let codes = [Errno::NOTDIR, Errno::LOOP].map(|e| Some(e.raw_os_error()));
    codes.contains(&error.raw_os_error())
}
