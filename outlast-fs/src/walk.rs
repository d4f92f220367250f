//! Reading trees from the local file system.

mod asked;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::vec;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use crate::entry::{Entry, EntryPath, EntrySource, Kind, SourceError, show};
use crate::metadata::{Names, XattrOwner, XattrReader, file_type, identity, metadata_of};
use asked::Asked;

/// Parts of a sparse file that are told one by one.
const EXTENTS_MAX: usize = 1 << 16;

/// Walks paths of the local file system, depth first, names in the order of their bytes.
///
/// A path appears under its full name without the leading `/`, below entries for the directories
/// that lead to it, as in stock restic: `/a/b` becomes `a`, `a/b` and what is in it. Relative paths
/// keep their names; `.` and `/` give what is in them.
///
/// Symbolic links are entries and never followed, except in the directories that lead to a path
/// that was asked for. The second and later names of one file become [`Kind::HardLink`].
///
/// Files are held by descriptor, not by name: what is renamed or replaced while it is read cannot
/// mix two files, and a name that becomes a symbolic link leads nowhere.
pub struct Walk {
    frames: Vec<Frame>,
    /// Told with the next calls, because an entry went out with this one.
    problems: Vec<SourceError>,
    content: Option<File>,
    /// Names of files with several, until all of their names were seen.
    linked: HashMap<(u64, u64), Linked>,
    excluded: Vec<(u64, u64)>,
    one_file_system: bool,
    names: Names,
    xattrs: XattrReader,
}

/// A level of the walk.
enum Frame {
    /// On the way to paths that were asked for.
    Leading { path: Vec<Vec<u8>>, rest: vec::IntoIter<(Vec<u8>, Asked)> },
    /// Inside one of them.
    Listed { directory: OwnedFd, path: Vec<Vec<u8>>, rest: vec::IntoIter<Vec<u8>>, device: u64 },
}

struct Linked {
    first: EntryPath,
    /// Names that are still to come, if all are inside the tree.
    missing: u64,
}

/// An entry that was opened, with the record that the kernel gave of exactly that.
struct Opened {
    stat: Stat,
    file: Option<OwnedFd>,
    /// Why the content cannot be had; for directories, which are entries all the same.
    unreadable: Option<Errno>,
}

impl Walk {
    /// A walk over `paths`, which must exist.
    ///
    /// # Errors
    /// If a path is missing, has a `..` in it, or two paths would get one name in the tree.
    pub fn new(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let asked = Asked::of(paths)?;
        let mut walk = Self {
            frames: Vec::new(),
            problems: Vec::new(),
            content: None,
            linked: HashMap::new(),
            excluded: Vec::new(),
            one_file_system: false,
            names: Names::of_this_host(),
            xattrs: XattrReader::new(),
        };
        if let Some(top) = asked.whole() {
            walk.list_top(top).map_err(|source| SourceError::Ended {
                origin: top.display().to_string(),
                source,
            })?;
        } else {
            walk.frames.push(Frame::Leading { path: Vec::new(), rest: asked.into_below() });
        }
        Ok(walk)
    }

    /// Whether to stay on the file systems of the paths that were asked for. What is mounted
    /// elsewhere appears as an empty directory then.
    #[must_use]
    pub fn one_file_system(mut self, only: bool) -> Self {
        self.one_file_system = only;
        self
    }

    /// Leaves out `path`, which must exist, and everything in it, under whatever name the walk
    /// comes upon it. So a share inside a tree never becomes a part of its own drops.
    pub fn exclude(&mut self, path: &Path) -> io::Result<()> {
        let stat = rustix::fs::stat(path)?;
        self.excluded.push(identity(&stat));
        Ok(())
    }

    fn list_top(&mut self, top: &Path) -> io::Result<()> {
        let directory = open_directory(CWD, top.as_os_str(), OFlags::empty())?;
        let device = identity(&rustix::fs::fstat(&directory)?).0;
        let rest = sorted_names(&directory)?;
        self.frames.push(Frame::Listed { directory, path: Vec::new(), rest, device });
        Ok(())
    }

    /// The next step on the way to paths that were asked for.
    fn lead(
        &mut self,
        mut path: Vec<Vec<u8>>,
        name: Vec<u8>,
        asked: Asked,
    ) -> Result<Option<Entry>, SourceError> {
        if asked.is_whole() {
            let real = asked.real();
            let parent = real.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent =
                open_directory(CWD, parent.unwrap_or(Path::new(".")).as_os_str(), OFlags::PATH)
                    .map_err(|errno| entry_error(&real.display().to_string(), errno))?;
            return self.visit(&parent, &path, name, None);
        }
        path.push(name);
        let shown = asked.real().display().to_string();
        // Links are followed here: the user named what lies behind them.
        let stat = rustix::fs::stat(asked.real()).map_err(|errno| entry_error(&shown, errno))?;
        let entry_path =
            EntryPath::from_names(path.clone()).map_err(|error| invalid(&shown, error))?;
        let mut metadata = metadata_of(&stat, &self.names);
        if let Ok(directory) = open_directory(CWD, asked.real().as_os_str(), OFlags::NONBLOCK) {
            match self.xattrs.read(XattrOwner::Open(directory.as_fd())) {
                Ok(xattrs) => metadata.xattrs = xattrs,
                Err(error) => self.problems.push(attribute_error(&shown, error)),
            }
        }
        self.frames.push(Frame::Leading { path, rest: asked.into_below() });
        Ok(Some(Entry { path: entry_path, kind: Kind::Directory, metadata }))
    }

    /// The entry `name` in a directory; `device` is that of the path that was asked for.
    fn visit(
        &mut self,
        parent: &OwnedFd,
        above: &[Vec<u8>],
        name: Vec<u8>,
        device: Option<u64>,
    ) -> Result<Option<Entry>, SourceError> {
        let names = [above, std::slice::from_ref(&name)].concat();
        let path = EntryPath::from_names(names.clone())
            .map_err(|error| invalid(&show(&names.join(&b'/')), error))?;
        let shown = path.to_string();
        let fail = |source| SourceError::Entry { path: shown.clone(), source };
        let Opened { stat, file, unreadable } = match open_entry(parent, &name) {
            Ok(opened) => opened,
            // Deleted between the listing and now: as if it had been a moment earlier.
            Err(Errno::NOENT) if device.is_some() => return Ok(None),
            Err(errno) => return Err(fail(errno.into())),
        };
        if self.excluded.contains(&identity(&stat)) {
            return Ok(None);
        }
        let mut metadata = metadata_of(&stat, &self.names);
        let owner = match &file {
            Some(file) => XattrOwner::Open(file.as_fd()),
            None => XattrOwner::Named(parent, &name),
        };
        match self.xattrs.read(owner) {
            Ok(xattrs) => metadata.xattrs = xattrs,
            // Without /proc there is no way to those of links and devices, which rarely have any.
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => {}
            // A file without its attributes is worth more than none.
            Err(error) => self.problems.push(attribute_error(&shown, error)),
        }
        let kind = match self.linked(&path, &stat) {
            Some(target) => Kind::HardLink { target },
            None => self.kind(parent, &name, &stat).map_err(|errno| fail(errno.into()))?,
        };
        match (&kind, file) {
            (Kind::File { .. }, Some(file)) => self.content = Some(File::from(file)),
            (Kind::Directory, Some(directory)) => {
                if let Err(errno) = self.enter(directory, names, device, &stat) {
                    self.problems.push(entry_error(&shown, errno));
                }
            }
            (Kind::Directory, None) => {
                self.problems.extend(unreadable.map(|errno| entry_error(&shown, errno)));
            }
            _ => {}
        }
        Ok(Some(Entry { path, kind, metadata }))
    }

    fn enter(
        &mut self,
        directory: OwnedFd,
        path: Vec<Vec<u8>>,
        device: Option<u64>,
        stat: &Stat,
    ) -> Result<(), Errno> {
        let own = identity(stat).0;
        let device = device.unwrap_or(own);
        if self.one_file_system && own != device {
            return Ok(());
        }
        let rest = sorted_names(&directory)?;
        self.frames.push(Frame::Listed { directory, path, rest, device });
        Ok(())
    }

    /// The first name of this file, if that was seen before; notes this one otherwise.
    fn linked(&mut self, path: &EntryPath, stat: &Stat) -> Option<EntryPath> {
        #[expect(clippy::unnecessary_cast, reason = "the kernel's types differ by processor")]
        let links = stat.st_nlink as u64;
        if links < 2 || file_type(stat) == FileType::Directory {
            return None;
        }
        let key = identity(stat);
        let Some(linked) = self.linked.get_mut(&key) else {
            let first = Linked { first: path.clone(), missing: links - 1 };
            self.linked.insert(key, first);
            return None;
        };
        linked.missing = linked.missing.saturating_sub(1);
        let target = linked.first.clone();
        if linked.missing == 0 {
            self.linked.remove(&key);
        }
        Some(target)
    }

    fn kind(&self, parent: &OwnedFd, name: &[u8], stat: &Stat) -> Result<Kind, Errno> {
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        Ok(match file_type(stat) {
            FileType::RegularFile => Kind::File { size: u64::try_from(stat.st_size).unwrap_or(0) },
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
                Kind::Symlink { target: target.into_bytes() }
            }
            FileType::CharacterDevice => Kind::CharDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::Unknown => return Err(Errno::NOTSUP),
        })
    }
}

impl EntrySource for Walk {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        self.content = None;
        loop {
            if let Some(problem) = self.problems.pop() {
                return Err(problem);
            }
            let Some(mut frame) = self.frames.pop() else { return Ok(None) };
            let depth = self.frames.len();
            let found = match &mut frame {
                Frame::Leading { path, rest } => match rest.next() {
                    None => continue,
                    Some((name, asked)) => self.lead(path.clone(), name, asked),
                },
                Frame::Listed { directory, path, rest, device } => match rest.next() {
                    None => continue,
                    Some(name) => self.visit(directory, path, name, Some(*device)),
                },
            };
            // Below the directory that this entry may have opened.
            self.frames.insert(depth, frame);
            match found {
                Ok(None) => {}
                found => return found,
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Some(file) => file.read(buffer),
            None => Ok(0),
        }
    }

    /// It goes depth first, and its links come from the kernel's count.
    fn comes_back(&self) -> bool {
        false
    }

    fn extents(&mut self) -> io::Result<Option<Vec<(u64, u64)>>> {
        let Some(file) = &self.content else { return Ok(None) };
        let extents = data_extents(file);
        rustix::fs::seek(file, SeekFrom::Start(0))?;
        Ok(extents?)
    }
}

/// The parts of a file that are no holes; `None` if there are none, too many, or the file system
/// cannot tell.
fn data_extents(file: &File) -> Result<Option<Vec<(u64, u64)>>, Errno> {
    let length = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    let mut extents = Vec::new();
    let mut at = 0;
    while at < length {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole from here to the end.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(begin))?.min(length);
        if end <= begin || extents.len() == EXTENTS_MAX {
            // Cut off meanwhile, or not worth the memory: zeroes are as right as a hole.
            return Ok(None);
        }
        extents.push((begin, end - begin));
        at = end;
    }
    let whole = length == 0 || extents == [(0, length)];
    Ok((!whole).then_some(extents))
}

/// Opens an entry so that its record and its content are of the same file. Links, devices and
/// pipes are not opened: that could wait for ever, or make a device do something.
fn open_entry(parent: &OwnedFd, name: &[u8]) -> Result<Opened, Errno> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = file_type(&stat);
    let opened = match kind {
        FileType::RegularFile => {
            // NONBLOCK in case a pipe has taken the place of the file since.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            Some(rustix::fs::openat(parent, name, flags | OFlags::NOCTTY, Mode::empty())?)
        }
        FileType::Directory => match open_directory(parent, name, OFlags::NOFOLLOW) {
            Ok(directory) => Some(directory),
            Err(errno) => return Ok(Opened { stat, file: None, unreadable: Some(errno) }),
        },
        _ => None,
    };
    let Some(file) = opened else { return Ok(Opened { stat, file: None, unreadable: None }) };
    let stat = rustix::fs::fstat(&file)?;
    if file_type(&stat) != kind {
        // Replaced between the two calls: later is as good as now, but not in this walk.
        return Err(Errno::STALE);
    }
    Ok(Opened { stat, file: Some(file), unreadable: None })
}

fn open_directory(
    parent: impl AsFd,
    name: impl rustix::path::Arg,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn sorted_names(directory: &OwnedFd) -> Result<vec::IntoIter<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names.into_iter())
}

fn entry_error(path: &str, errno: Errno) -> SourceError {
    SourceError::Entry { path: path.to_owned(), source: errno.into() }
}

fn attribute_error(path: &str, source: io::Error) -> SourceError {
    SourceError::Entry { path: format!("the extended attributes of {path}"), source }
}

fn invalid(path: &str, error: crate::InvalidPath) -> SourceError {
    let source = io::Error::new(io::ErrorKind::InvalidInput, error);
    SourceError::Entry { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
