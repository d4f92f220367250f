//! Walking local paths with everything that belongs to them.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::entry::{Entry, EntryPath, EntrySource, FileTime, Kind, Metadata, SourceError};
use crate::owners::Owners;
use crate::xattr;

/// A walk over local paths as a tree, depth first, names in byte order.
///
/// Symbolic links are entries, never followed. An absolute path `/a/b` appears as `a/b` below its
/// parents `a`, as restic does; a relative one under the names given. The second name of a file
/// with several becomes a [`Kind::HardLink`] to the first.
pub struct Walk {
    /// Paths that are still to be begun, last one first.
    roots: Vec<Root>,
    /// Directories that are being walked, outermost first.
    open: Vec<Listing>,
    current: Option<Current>,
    /// Directories above the roots that have been given already.
    parents: HashSet<EntryPath>,
    /// Entries found ahead of their turn: the directories above a root.
    ready: Vec<Entry>,
    /// First names of files that have several, by device and inode.
    linked: HashMap<(u64, u64), EntryPath>,
    excluded: HashSet<(u64, u64)>,
    owners: Owners,
}

struct Root {
    path: PathBuf,
    /// `None`: what is in the directory comes at the top of the tree (`/` and `.`).
    at: Option<EntryPath>,
}

/// A directory whose names are read; the next name is the last one.
struct Listing {
    path: PathBuf,
    at: Option<EntryPath>,
    names: Vec<OsString>,
}

/// The file whose content may be read now.
struct Current {
    path: PathBuf,
    identity: (u64, u64),
    file: Option<File>,
}

impl Walk {
    /// Begins a walk over `paths`; their order does not matter.
    ///
    /// # Errors
    /// A path that leads through `..`, or that cannot be a path inside a tree.
    pub fn new(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let mut roots = paths.iter().map(|path| Root::new(path)).collect::<Result<Vec<_>, _>>()?;
        roots.sort_by(|a, b| a.at.cmp(&b.at));
        // What lies below another root is met there.
        roots.dedup_by(|inner, outer| inner.is_below(outer));
        roots.reverse();
        Ok(Self {
            roots,
            open: Vec::new(),
            current: None,
            parents: HashSet::new(),
            ready: Vec::new(),
            linked: HashMap::new(),
            excluded: HashSet::new(),
            owners: Owners::default(),
        })
    }

    /// Leaves out the file or directory at `path` under whatever name it is met, for example the
    /// share that the walk is being written to.
    pub fn exclude(&mut self, path: &Path) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        self.excluded.insert((metadata.dev(), metadata.ino()));
        Ok(())
    }

    /// Begins the next root: the directories above it, then itself.
    fn begin(&mut self, root: Root) -> Result<Option<Entry>, SourceError> {
        let Some(at) = root.at else {
            self.list(root.path, None)?;
            return Ok(None);
        };
        let mut above = root.path.clone();
        let mut parent = at.parent();
        let mut chain = Vec::new();
        while let Some(path) = parent {
            above.pop();
            parent = path.parent();
            if self.parents.insert(path.clone()) {
                chain.push((above.clone(), path));
            }
        }
        for (path, at) in chain {
            // Innermost first, so that `ready` gives the outermost first. A parent may itself be
            // a symbolic link on this host; inside the tree it has to be a directory.
            match fs::metadata(&path).and_then(|found| self.metadata(&path, &found)) {
                Ok(metadata) => {
                    self.ready.push(Entry { path: at, kind: Kind::Directory, metadata });
                }
                Err(error) => return Err(entry_error(&path, error)),
            }
        }
        let entry = self.visit(root.path, at)?;
        // The root's turn comes after the directories above it.
        if !self.ready.is_empty()
            && let Some(entry) = entry
        {
            self.ready.insert(0, entry);
            return Ok(self.ready.pop());
        }
        Ok(entry)
    }

    /// Looks at one path; `None` if it is to be left out.
    fn visit(&mut self, path: PathBuf, at: EntryPath) -> Result<Option<Entry>, SourceError> {
        let found = fs::symlink_metadata(&path).map_err(|error| entry_error(&path, error))?;
        let identity = (found.dev(), found.ino());
        if self.excluded.contains(&identity) {
            return Ok(None);
        }
        let kind = self.kind(&path, &found, &at).map_err(|error| entry_error(&path, error))?;
        let metadata = self.metadata(&path, &found).map_err(|error| entry_error(&path, error))?;
        match kind {
            Kind::Directory => {
                // Its own entry is given even if its names cannot be read; that error comes next.
                self.open.push(Listing { path, at: Some(at.clone()), names: Vec::new() });
                self.pending_listing();
            }
            Kind::File { .. } => self.current = Some(Current { path, identity, file: None }),
            _ => {}
        }
        Ok(Some(Entry { path: at, kind, metadata }))
    }

    /// Marks the innermost listing as not read yet: a name that no file can have.
    fn pending_listing(&mut self) {
        if let Some(listing) = self.open.last_mut() {
            listing.names.push(OsString::from_vec(b"/".to_vec()));
        }
    }

    fn list(&mut self, path: PathBuf, at: Option<EntryPath>) -> Result<(), SourceError> {
        let names = read_names(&path).map_err(|error| entry_error(&path, error))?;
        self.open.push(Listing { path, at, names });
        Ok(())
    }

    fn kind(&mut self, path: &Path, found: &fs::Metadata, at: &EntryPath) -> io::Result<Kind> {
        let kind = found.file_type();
        let device = || (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
        Ok(if kind.is_file() {
            if found.nlink() > 1 {
                let identity = (found.dev(), found.ino());
                if let Some(target) = self.linked.get(&identity) {
                    return Ok(Kind::HardLink { target: target.clone() });
                }
                self.linked.insert(identity, at.clone());
            }
            Kind::File { size: found.len() }
        } else if kind.is_dir() {
            Kind::Directory
        } else if kind.is_symlink() {
            Kind::Symlink { target: fs::read_link(path)?.into_os_string().into_vec() }
        } else if kind.is_char_device() {
            let (major, minor) = device();
            Kind::CharDevice { major, minor }
        } else if kind.is_block_device() {
            let (major, minor) = device();
            Kind::BlockDevice { major, minor }
        } else if kind.is_fifo() {
            Kind::Fifo
        } else {
            Kind::Socket
        })
    }

    fn metadata(&self, path: &Path, found: &fs::Metadata) -> io::Result<Metadata> {
        let time =
            |seconds, nanos: i64| FileTime { seconds, nanos: u32::try_from(nanos).unwrap_or(0) };
        Ok(Metadata {
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
            user: self.owners.user(found.uid()),
            group: self.owners.group(found.gid()),
            modified: time(found.mtime(), found.mtime_nsec()),
            accessed: Some(time(found.atime(), found.atime_nsec())),
            changed: Some(time(found.ctime(), found.ctime_nsec())),
            device: found.dev(),
            inode: found.ino(),
            links: found.nlink(),
            xattrs: xattr::read(path)?,
        })
    }

    /// The open file of the current entry; opened at its first use.
    fn content(&mut self) -> io::Result<&mut File> {
        let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "no file is being read");
        let current = self.current.as_mut().ok_or_else(no_file)?;
        if current.file.is_none() {
            // NONBLOCK: the file may have become a fifo since it was seen, which must not hang us.
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
            let flags = i32::try_from(flags.bits()).unwrap_or(0);
            let file = OpenOptions::new().read(true).custom_flags(flags).open(&current.path)?;
            let found = file.metadata()?;
            if !found.is_file() || (found.dev(), found.ino()) != current.identity {
                return Err(io::Error::other("it was replaced while it was being read"));
            }
            current.file = Some(file);
        }
        current.file.as_mut().ok_or_else(no_file)
    }
}

impl EntrySource for Walk {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        loop {
            if let Some(entry) = self.ready.pop() {
                return Ok(Some(entry));
            }
            self.current = None;
            if let Some(listing) = self.open.last_mut() {
                match listing.names.pop() {
                    None => {
                        self.open.pop();
                    }
                    Some(name) if name.as_bytes() == b"/" => {
                        listing.names = read_names(&listing.path)
                            .map_err(|error| entry_error(&listing.path, error))?;
                    }
                    Some(name) => {
                        let path = listing.path.join(&name);
                        let at = join(listing.at.as_ref(), &name, &path)?;
                        if let Some(entry) = self.visit(path, at)? {
                            return Ok(Some(entry));
                        }
                    }
                }
            } else if let Some(root) = self.roots.pop() {
                if let Some(entry) = self.begin(root)? {
                    return Ok(Some(entry));
                }
            } else {
                return Ok(None);
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.content()?;
        loop {
            match file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn extents(&mut self) -> io::Result<Option<Vec<(u64, u64)>>> {
        let file = self.content()?;
        let result = data_extents(file);
        rustix::fs::seek(&*file, SeekFrom::Start(0))?;
        result
    }
}

/// The parts of a file that are no holes; `None` if the file system cannot tell or there are none.
fn data_extents(file: &File) -> io::Result<Option<Vec<(u64, u64)>>> {
    let length = file.metadata()?.len();
    let mut extents = Vec::new();
    let mut at = 0;
    while at < length {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // No data from here to the end.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(begin))?.min(length);
        if end <= begin {
            break;
        }
        extents.push((begin, end - begin));
        at = end;
    }
    let whole = extents == [(0, length)] || length == 0;
    Ok((!whole).then_some(extents))
}

impl Root {
    fn new(path: &Path) -> Result<Self, SourceError> {
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name.as_bytes().to_vec()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => {
                    let advice = "it leads through '..': name it by its absolute path";
                    return Err(entry_error(path, io::Error::other(advice)));
                }
            }
        }
        let at = if names.is_empty() {
            None
        } else {
            let at = EntryPath::from_names(names);
            Some(at.map_err(|error| entry_error(path, io::Error::other(error)))?)
        };
        Ok(Self { path: path.to_owned(), at })
    }

    fn is_below(&self, outer: &Self) -> bool {
        let names = |root: &Self| root.at.as_ref().map_or(Vec::new(), |at| at.names().to_vec());
        names(self).starts_with(&names(outer))
            && self.path.is_absolute() == outer.path.is_absolute()
    }
}

/// The names in a directory, last one first.
fn read_names(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
    Ok(names)
}

fn join(at: Option<&EntryPath>, name: &OsStr, path: &Path) -> Result<EntryPath, SourceError> {
    let joined = match at {
        Some(at) => at.join(name.as_bytes()),
        None => EntryPath::from_names(vec![name.as_bytes().to_vec()]),
    };
    joined.map_err(|error| entry_error(path, io::Error::other(error)))
}

fn entry_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Entry { path: crate::entry::show(path.as_os_str().as_bytes()), source }
}

#[cfg(test)]
mod tests;
