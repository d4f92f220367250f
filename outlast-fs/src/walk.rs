//! Reading trees from the local file system.

mod ahead;
mod asked;
mod content;
mod visit;

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use rustix::fs::{CWD, FileType, OFlags, Stat};
use rustix::io::Errno;

use crate::entry::{Entry, EntryPath, EntrySource, Kind, SourceError, show};
use crate::metadata::{Names, XattrOwner, XattrReader, file_type, identity, metadata_of};
use ahead::{Ahead, Found, Met, Place};
use asked::Asked;
use content::Content;
use visit::{
    Directory, Inside, Name, Reach, Tools, Visited, Visitor, open_directory, sorted_names,
};

/// Threads that look ahead, at most: with them, a share that takes 2 ms for every call gives
/// thousands of small files a second.
const AHEAD_THREADS: usize = 16;

/// The most files whose further names are waited for, of about 200 bytes each. The names of
/// others are entries with content of their own, which a backup stores once and a restore links
/// by their device and inode number all the same.
const LINKED_MAX: usize = 16 << 10;

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
///
/// Entries are looked at, and small files read, on a few threads before it is their turn
/// ([`ahead`](Self::ahead)): what happens to them after that is not seen. It takes few megabytes of content
/// and some hundred descriptors at most.
pub struct Walk {
    frames: Vec<Frame>,
    /// Told with the next calls, because an entry went out with this one.
    problems: Vec<SourceError>,
    content: Option<Content>,
    /// Names of files with several, until all of their names were seen.
    linked: HashMap<(u64, u64), Linked>,
    visitor: Visitor,
    xattrs: XattrReader,
    threads: usize,
    /// Made with the first entry.
    ahead: Option<Ahead>,
    /// The directory whose entries are at the top, until they are taken up.
    top: Option<(Arc<Directory>, Vec<Name>)>,
}

/// A level of the walk.
enum Frame {
    /// On the way to paths that were asked for.
    Leading { path: Vec<Vec<u8>>, rest: vec::IntoIter<(Vec<u8>, Asked)> },
    /// Inside one of them.
    Listed {
        place: Place,
        path: Vec<Vec<u8>>,
        /// The next run, of so many.
        next: usize,
        runs: usize,
        /// What is left of the run before, and the number of its next entry.
        found: vec::IntoIter<Found>,
        number: usize,
    },
}

impl Frame {
    fn listed(place: Place, runs: usize, path: Vec<Vec<u8>>) -> Self {
        Self::Listed { place, path, next: 0, runs, found: Vec::new().into_iter(), number: 0 }
    }
}

struct Linked {
    first: EntryPath,
    /// Names that are still to come, if all are inside the tree.
    missing: u64,
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
            visitor: Visitor {
                names: Arc::new(Names::of_this_host()),
                excluded: Vec::new(),
                one_file_system: false,
            },
            xattrs: XattrReader::new(),
            threads: AHEAD_THREADS,
            ahead: None,
            top: None,
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
        self.visitor.one_file_system = only;
        self
    }

    /// How many threads may look at entries before it is their turn; with none, everything is
    /// looked at as late as possible.
    #[must_use]
    pub fn ahead(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Leaves out `path`, which must exist, and everything in it, under whatever name the walk
    /// comes upon it. So a share inside a tree never becomes a part of its own drops. To be called
    /// before the first entry.
    pub fn exclude(&mut self, path: &Path) -> io::Result<()> {
        let stat = rustix::fs::stat(path)?;
        self.visitor.excluded.push(identity(&stat));
        Ok(())
    }

    fn list_top(&mut self, top: &Path) -> io::Result<()> {
        let descriptor = open_directory(CWD, top.as_os_str(), OFlags::empty())?;
        let device = identity(&rustix::fs::fstat(&descriptor)?).0;
        let names = sorted_names(&mut Tools::new(), &descriptor, usize::MAX)?.unwrap_or_default();
        self.top = Some((Arc::new(Directory { descriptor, device }), names));
        Ok(())
    }

    fn looking(&mut self) -> &mut Ahead {
        let (visitor, threads) = (&self.visitor, self.threads);
        self.ahead.get_or_insert_with(|| Ahead::new(visitor.clone(), threads))
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
            let fail = |errno| entry_error(&real.display().to_string(), errno);
            let parent =
                open_directory(CWD, parent.unwrap_or(Path::new(".")).as_os_str(), OFlags::PATH)
                    .map_err(fail)?;
            let reach = Reach { content: false, names_max: usize::MAX };
            let asked = Name { bytes: name.as_slice().into(), kind: FileType::Unknown };
            let (visitor, tools) = self.looking().visitor();
            let found = visitor.visit(tools, &parent, &asked, None, reach).map_err(fail)?;
            path.push(name);
            let Some(found) = found else { return Ok(None) };
            return self.entry(path, found, None, 0);
        }
        path.push(name);
        let shown = asked.real().display().to_string();
        // Links are followed here: the user named what lies behind them.
        let stat = rustix::fs::stat(asked.real()).map_err(|errno| entry_error(&shown, errno))?;
        let entry_path =
            EntryPath::from_names(path.clone()).map_err(|error| invalid(&shown, error))?;
        let mut metadata = metadata_of(&stat, &self.visitor.names);
        if let Ok(directory) = open_directory(CWD, asked.real().as_os_str(), OFlags::NONBLOCK) {
            match self.xattrs.read(XattrOwner::Open(directory.as_fd())) {
                Ok(xattrs) => metadata.xattrs = xattrs,
                Err(error) => self.problems.push(attribute_error(&shown, error)),
            }
        }
        self.frames.push(Frame::Leading { path, rest: asked.into_below() });
        Ok(Some(Entry { path: entry_path, kind: Kind::Directory, metadata }))
    }

    /// The next entry of a level, if there is one.
    fn step(&mut self, frame: &mut Frame) -> Option<Result<Option<Entry>, SourceError>> {
        let (place, path, next, runs, found, number) = match frame {
            Frame::Leading { path, rest } => {
                let (name, asked) = rest.next()?;
                return Some(self.lead(path.clone(), name, asked));
            }
            Frame::Listed { place, path, next, runs, found, number } => {
                (place, path, next, runs, found, number)
            }
        };
        if found.as_slice().is_empty() {
            if next == runs {
                return None;
            }
            let run = [place.as_slice(), &[*next]].concat();
            let Some(visited) = self.looking().take(&run) else {
                let origin = show(&path.join(&b'/'));
                let source = io::Error::other("a thread that looked ahead broke");
                return Some(Err(SourceError::Ended { origin, source }));
            };
            (*found, *number, *next) = (visited.into_iter(), 0, *next + 1);
        }
        let entry = found.next()?;
        let place = [place.as_slice(), &[*next - 1, *number]].concat();
        *number += 1;
        Some(self.meet(path, place, entry))
    }

    /// The entry that a run came to, of the directory whose names are `above`.
    fn meet(
        &mut self,
        above: &[Vec<u8>],
        place: Place,
        (name, found): Found,
    ) -> Result<Option<Entry>, SourceError> {
        let names = [above, &[name.bytes.into_vec()]].concat();
        match found {
            // Deleted between the listing and now: as if it had been a moment earlier.
            Ok(None) | Err(Errno::NOENT) => Ok(None),
            Ok(Some(Met { entry, runs })) => self.entry(names, entry, Some(place), runs),
            Err(errno) => Err(entry_error(&show(&names.join(&b'/')), errno)),
        }
    }

    /// The entry of these names; `runs` of its members wait below `place`.
    fn entry(
        &mut self,
        names: Vec<Vec<u8>>,
        found: Visited,
        place: Option<Place>,
        runs: usize,
    ) -> Result<Option<Entry>, SourceError> {
        let path = EntryPath::from_names(names.clone())
            .map_err(|error| invalid(&show(&names.join(&b'/')), error))?;
        let Visited { stat, kind, metadata, attributes, content, inside } = found;
        if let Err(error) = attributes {
            // A file without its attributes is worth more than none.
            self.problems.push(attribute_error(&path.to_string(), error));
        }
        let kind = match self.linked(&path, &stat) {
            Some(target) => Kind::HardLink { target },
            None => kind,
        };
        if matches!(kind, Kind::File { .. }) {
            self.content = content;
        }
        let inside = match inside {
            Inside::Unlisted(directory) => self.list(place.clone(), directory),
            Inside::Listed(directory, listed) => {
                Ok(self.looking().enter(place.clone(), &directory, listed))
            }
            Inside::Nothing => Ok((place.unwrap_or_default(), runs)),
            Inside::Failed(errno) => Err(errno),
        };
        match inside {
            Ok((_, 0)) => {}
            Ok((place, runs)) => self.frames.push(Frame::listed(place, runs, names)),
            Err(errno) => self.problems.push(entry_error(&path.to_string(), errno)),
        }
        Ok(Some(Entry { path, kind, metadata }))
    }

    fn list(
        &mut self,
        place: Option<Place>,
        directory: Arc<Directory>,
    ) -> Result<(Place, usize), Errno> {
        let ahead = self.looking();
        let (_, tools) = ahead.visitor();
        let names = sorted_names(tools, &directory.descriptor, usize::MAX)?.unwrap_or_default();
        Ok(ahead.enter(place, &directory, names))
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
            if self.linked.len() < LINKED_MAX {
                let first = Linked { first: path.clone(), missing: links - 1 };
                self.linked.insert(key, first);
            }
            return None;
        };
        linked.missing = linked.missing.saturating_sub(1);
        let target = linked.first.clone();
        if linked.missing == 0 {
            self.linked.remove(&key);
        }
        Some(target)
    }
}

impl EntrySource for Walk {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        self.content = None;
        loop {
            if let Some(problem) = self.problems.pop() {
                return Err(problem);
            }
            if let Some((directory, names)) = self.top.take() {
                let (place, runs) = self.looking().enter(None, &directory, names);
                self.frames.push(Frame::listed(place, runs, Vec::new()));
            }
            let Some(mut frame) = self.frames.pop() else { return Ok(None) };
            let depth = self.frames.len();
            let found = match self.step(&mut frame) {
                None => continue,
                Some(found) => found,
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
        self.content.as_mut().map_or(Ok(0), |content| content.read(buffer))
    }

    /// It goes depth first, and its links come from the kernel's count.
    fn comes_back(&self) -> bool {
        false
    }

    fn extents(&mut self) -> io::Result<Option<Vec<(u64, u64)>>> {
        self.content.as_mut().map_or(Ok(None), Content::extents)
    }
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
