//! Reading trees from the local file system.

mod ahead;
mod asked;
mod content;
mod directory;
mod links;
mod listing;
mod open;
mod patterns;
mod trouble;
mod visit;

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;

use rustix::fs::{CWD, FileType, OFlags};
use rustix::io::Errno;

use crate::entry::{Entry, EntryPath, EntrySource, Interrupter, Kind, SourceError, show};
use crate::exclude::Excludes;
use crate::metadata::{Names, XattrFailure, XattrOwner, file_type, identity, metadata_of};
use ahead::{Ahead, Found, Met, Place, Sight};
use asked::Asked;
use content::Content;
use directory::{Above, Allowance, Directory, Pool};
use links::{Links, Sameness, Sighted};
use listing::Listing;
use open::open_directory;
use patterns::Patterns;
use trouble::{entry_error, invalid};
use visit::{Inside, Name, Reach, Visitor, names_of_cache};

/// Threads that look ahead, at most: with them, a share that takes 2 ms for every call gives
/// thousands of small files a second.
const AHEAD_THREADS: usize = 16;

/// Names of a long directory that are put in the queue at once.
const WINDOW_NAMES: usize = 2048;
/// The same where the queue is long already, so that depth does not multiply it.
const SMALL_WINDOW_NAMES: usize = 64;
/// Runs that wait before more are put in the queue.
const WINDOW_RUNS: u32 = 128;

/// Walks paths of the local file system, depth first, names in the order of their bytes.
///
/// A path appears under its full name without the leading `/`, below entries for the directories
/// that lead to it, as in stock restic: `/a/b` becomes `a`, `a/b` and what is in it. Relative paths
/// keep their names; `.` and `/` give what is in them.
///
/// Symbolic links are entries and never followed, except in the directories that lead to a path
/// that was asked for. The second and later names of one file become [`Kind::HardLink`].
///
/// A file is held by descriptor, not by name: what is renamed or replaced while it is read cannot
/// mix two files, and a name that becomes a symbolic link leads nowhere. A directory whose
/// descriptor had to make room for others is found again by its name, or is a problem.
///
/// Reading changes nothing, the time of the last access included where the kernel allows that. A
/// file on which another program has a lease is waited for; [`interrupter`](EntrySource::interrupter)
/// ends such a wait.
///
/// Entries are looked at, and small files read, on a few threads before it is their turn
/// ([`ahead`](Self::ahead)): what happens to them after that is not seen. However deep or long
/// directories are, it takes a few megabytes of content, some of names, and a third of the
/// descriptors that the process may have.
pub struct Walk {
    frames: Vec<Frame>,
    /// From the top down to where the walk is: names, and the place among the runs.
    names: Vec<Vec<u8>>,
    place: Place,
    /// Whether the names begin at `/`, and not at the current directory.
    absolute: bool,
    /// Descriptors of files in frames below the last one.
    held: usize,
    /// Told with the next calls, because an entry went out with this one; the last one first.
    problems: Vec<SourceError>,
    content: Option<Content>,
    links: Links,
    visitor: Visitor,
    allowance: Allowance,
    threads: usize,
    /// Made with the first entry.
    ahead: Option<Ahead>,
    /// The directory whose entries are at the top, until they are taken up.
    top: Option<Arc<Directory>>,
    watch: WalkWatch,
}

/// Tells what became of a walk that somebody else goes through.
#[derive(Debug, Clone, Default)]
pub struct WalkWatch(Arc<AtomicU64>);

impl WalkWatch {
    /// How many entries without content could be had so far: links, devices, and directories whose
    /// names could be read, but for those that only lead to what was asked for.
    pub fn others(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level of the walk.
enum Frame {
    /// On the way to paths that were asked for, below so many names.
    Leading { depth: usize, rest: vec::IntoIter<(Vec<u8>, Asked)> },
    /// Inside one of them.
    Listed(Box<Level>),
}

struct Level {
    directory: Arc<Directory>,
    /// How much of the walk's names and place is this directory's.
    depth: usize,
    place: usize,
    /// The next run, of so many.
    next: u32,
    runs: u32,
    /// Names that are in no run yet, of a long directory.
    rest: Option<Listing>,
    /// The rest of the run before, and the number of its next entry.
    found: vec::IntoIter<Found>,
    number: u32,
    /// Descriptors in that, as far as they count.
    held: usize,
}

impl Walk {
    /// A walk over `paths`. One that cannot be had is the first problem, and the others are walked.
    ///
    /// # Errors
    /// If there is none of the paths, one has a `..` in it, or two would get one name in the tree.
    pub fn new(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let (asked, missing) = Asked::of(paths)?;
        let allowance = Allowance::of_this_process();
        let mut walk = Self {
            frames: Vec::new(),
            names: Vec::new(),
            place: Place::new(),
            absolute: false,
            held: 0,
            problems: missing.into_iter().rev().collect(),
            content: None,
            links: Links::default(),
            visitor: Visitor {
                names: Arc::new(Names::of_this_host()),
                excluded: Vec::new(),
                patterns: Arc::default(),
                one_file_system: false,
                pool: Arc::new(Pool::new(allowance.directories)),
            },
            allowance,
            threads: AHEAD_THREADS,
            ahead: None,
            top: None,
            watch: WalkWatch::default(),
        };
        if let Some(top) = asked.whole() {
            walk.list_top(top).map_err(|source| SourceError::Ended {
                origin: top.display().to_string(),
                source,
            })?;
        } else {
            walk.frames.push(Frame::Leading { depth: 0, rest: asked.into_below() });
        }
        Ok(walk)
    }

    /// The handle that tells how the walk went, when somebody else has it.
    pub fn watch(&self) -> WalkWatch {
        self.watch.clone()
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
        self.visitor.excluded.push((identity(&stat), file_type(&stat)));
        Ok(())
    }

    /// Leaves out what `excludes` says. To be called before the first entry.
    ///
    /// # Errors
    /// If nobody can tell the current directory, and so the full paths that patterns are about.
    pub fn leave_out(&mut self, excludes: Excludes) -> io::Result<()> {
        let current = std::env::current_dir()?;
        self.visitor.patterns = Arc::new(Patterns { excludes, current });
        Ok(())
    }

    fn list_top(&mut self, top: &Path) -> io::Result<()> {
        let pool = &self.visitor.pool;
        let descriptor = open_directory(CWD, top.as_os_str(), OFlags::empty(), &pool.patience)?;
        let stat = rustix::fs::fstat(&descriptor)?;
        self.absolute = top.is_absolute();
        self.top = Some(Directory::new(Above::Nothing(top), b"", descriptor, &stat, pool));
        Ok(())
    }

    fn looking(&mut self) -> &mut Ahead {
        let (visitor, threads, allowance) = (&self.visitor, self.threads, self.allowance);
        self.ahead.get_or_insert_with(|| Ahead::new(visitor.clone(), threads, allowance))
    }

    /// The next step on the way to paths that were asked for.
    fn lead(&mut self, name: Vec<u8>, asked: Asked) -> Result<Option<Entry>, SourceError> {
        let real = asked.real();
        let shown = real.display().to_string();
        let fail = |errno| entry_error(&shown, errno);
        let pool = Arc::clone(&self.visitor.pool);
        let open =
            |path: &Path, flags| open_directory(CWD, path.as_os_str(), flags, &pool.patience);
        if asked.is_whole() {
            self.absolute = real.is_absolute();
            let parent = real.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = open(parent.unwrap_or(Path::new(".")), OFlags::PATH).map_err(fail)?;
            let reach = Reach { content: false, names_max: ahead::LISTED_MAX };
            let asked = Name { bytes: name.as_slice().into(), kind: FileType::Unknown };
            let (visitor, tools) = self.looking().visitor();
            let found = visitor.visit(tools, &parent, Above::Nothing(real), &asked, reach);
            let Some(entry) = found.map_err(fail)? else { return Ok(None) };
            self.names.push(name);
            self.place = self.looking().top();
            return self.entry(Met { entry, runs: 0 });
        }
        self.names.push(name);
        // Links are followed here: the user named what lies behind them.
        let stat = rustix::fs::stat(real).map_err(fail)?;
        let path = EntryPath::from_names(self.names.clone()).map_err(|e| invalid(&shown, e))?;
        let mut metadata = metadata_of(&stat, &self.visitor.names);
        if let Ok(directory) = open(real, OFlags::NONBLOCK) {
            let (_, tools) = self.looking().visitor();
            let xattrs = tools.xattrs.read(XattrOwner::Open(directory.as_fd()));
            metadata.xattrs = xattrs.read;
            self.attribute_problems(&path, xattrs.failed);
        }
        let depth = self.names.len();
        self.frames.push(Frame::Leading { depth, rest: asked.into_below() });
        Ok(Some(Entry { path, kind: Kind::Directory, metadata }))
    }

    /// The next entry of a level, if there is one.
    fn step(&mut self, frame: &mut Frame) -> Option<Result<Option<Entry>, SourceError>> {
        let level = match frame {
            Frame::Leading { depth, rest } => {
                let (name, asked) = rest.next()?;
                self.names.truncate(*depth);
                return Some(self.lead(name, asked));
            }
            Frame::Listed(level) => level,
        };
        self.names.truncate(level.depth);
        self.place.truncate(level.place);
        self.held -= std::mem::take(&mut level.held);
        let broken = |walk: &Self, source| {
            let origin = show(&walk.names.join(&b'/'));
            Some(Err(SourceError::Ended { origin, source }))
        };
        if level.found.as_slice().is_empty() {
            if let Err(errno) = self.queue(level) {
                level.rest = None;
                return Some(Err(entry_error(&show(&self.names.join(&b'/')), errno)));
            }
            if level.next == level.runs {
                return None;
            }
            let run = [self.place.as_slice(), &[level.next]].concat();
            let Some(visited) = self.looking().take(&run) else {
                return broken(self, io::Error::other("a thread that looked ahead broke"));
            };
            (level.found, level.number, level.next) = (visited.into_iter(), 0, level.next + 1);
        }
        let (name, sight) = level.found.next()?;
        let sight = match sight {
            Sight::Closed => self.looking().look(&level.directory, &name),
            sight => sight,
        };
        self.place.extend([level.next - 1, level.number]);
        level.number += 1;
        self.names.push(name.bytes.into_vec());
        Some(match sight {
            // Deleted between the listing and now: as if it had been a moment earlier.
            Sight::Nothing | Sight::Closed | Sight::Failed(Errno::NOENT) => Ok(None),
            Sight::Met(met) => self.entry(met),
            Sight::Failed(errno) => Err(entry_error(&show(&self.names.join(&b'/')), errno)),
        })
    }

    /// Puts more names of a long directory in the queue, if few of its runs are left.
    fn queue(&mut self, level: &mut Level) -> Result<(), Errno> {
        while let Some(listing) = &mut level.rest
            && level.runs - level.next < WINDOW_RUNS
        {
            let descriptor = level.directory.open()?;
            let ahead = self.looking();
            let window = if ahead.is_full() { SMALL_WINDOW_NAMES } else { WINDOW_NAMES };
            let (_, tools) = ahead.visitor();
            let names = listing.take(window, &descriptor, &mut tools.listing)?;
            if names.is_empty() {
                level.rest = None;
                break;
            }
            let mut held = listing.held_bytes();
            for frame in self.frames.iter_mut().rev() {
                let Frame::Listed(level) = frame else { continue };
                let Some(listing) = &mut level.rest else { continue };
                held += listing.held_bytes();
                if held > listing::KEPT_BYTES {
                    listing.forget();
                }
            }
            let place = std::mem::take(&mut self.place);
            level.runs += self.looking().enter(&place, level.runs, &level.directory, names);
            self.place = place;
        }
        Ok(())
    }

    /// The entry of the names at which the walk is; so many runs of its members wait.
    fn entry(&mut self, Met { entry, runs }: Met) -> Result<Option<Entry>, SourceError> {
        let path = EntryPath::from_names(self.names.clone())
            .map_err(|error| invalid(&show(&self.names.join(&b'/')), error))?;
        let (mut kind, mut metadata) = (entry.kind, entry.metadata);
        let name = Sighted {
            path: &path,
            absolute: self.absolute,
            kind: &kind,
            metadata: &metadata,
            file: entry.content.as_ref().and_then(Content::file),
        };
        match self.links.see(&name, &self.visitor.pool.patience) {
            Sameness::First => {}
            Sameness::Link(target) => kind = Kind::HardLink { target },
            // Whoever restores must not take it for the one that had the number before.
            Sameness::Reused => (metadata.device, metadata.inode) = (0, 0),
        }
        let mut other = !matches!(kind, Kind::File { .. });
        if !other {
            self.content = entry.content;
        }
        match entry.inside {
            Inside::Nothing => {}
            Inside::Queued(directory) => self.descend(directory, runs, None),
            Inside::Listed(directory, names) => {
                let place = std::mem::take(&mut self.place);
                let runs = self.looking().enter(&place, 0, &directory, names);
                self.place = place;
                self.descend(directory, runs, None);
            }
            Inside::Unlisted(directory) => {
                self.descend(directory, 0, Some(Listing::new(listing::KEPT_BYTES)));
            }
            Inside::Failed(errno) => {
                other = false;
                self.problems.push(entry_error(&path.to_string(), errno));
            }
        }
        // A file without its attributes is worth more than none.
        self.attribute_problems(&path, entry.attributes);
        self.watch.0.fetch_add(u64::from(other), Ordering::Relaxed);
        Ok(Some(Entry { path, kind, metadata }))
    }

    /// Begins with what is in the directory that was asked for.
    fn enter_top(&mut self, directory: Arc<Directory>) {
        // One that cannot be opened any more says so when it is listed.
        let patterns = &self.visitor.patterns;
        if !directory.open().is_ok_and(|open| patterns.is_cache(&open)) {
            self.descend(directory, 0, Some(Listing::new(listing::KEPT_BYTES)));
            return;
        }
        let place = std::mem::take(&mut self.place);
        let runs = self.looking().enter(&place, 0, &directory, names_of_cache());
        self.place = place;
        self.descend(directory, runs, None);
    }

    /// Goes on with what is in a directory.
    fn descend(&mut self, directory: Arc<Directory>, runs: u32, rest: Option<Listing>) {
        let (depth, place, found) = (self.names.len(), self.place.len(), Vec::new().into_iter());
        let level =
            Level { directory, depth, place, next: 0, runs, rest, found, number: 0, held: 0 };
        self.frames.push(Frame::Listed(Box::new(level)));
    }

    /// Leaves a level for one below it: what is open in it stays open only if there is room.
    fn hold(&mut self, frame: &mut Frame) {
        let Frame::Listed(level) = frame else { return };
        let open = level.found.as_slice().iter().filter(|(_, sight)| sight.is_open()).count();
        if self.held + open <= self.allowance.files {
            level.held = open;
            self.held += open;
            return;
        }
        let close = |(name, sight): Found| {
            let sight = if sight.is_open() { Sight::Closed } else { sight };
            (name, sight)
        };
        let found = std::mem::take(&mut level.found);
        level.found = found.map(close).collect::<Vec<_>>().into_iter();
    }

    fn attribute_problems(&mut self, path: &EntryPath, failures: Vec<XattrFailure>) {
        for XattrFailure { name, errno } in failures.into_iter().rev() {
            let path = match name {
                None => format!("the extended attributes of {path}"),
                Some(name) => format!("the extended attribute {} of {path}", show(&name)),
            };
            let source = match errno {
                Errno::ILSEQ => io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8"),
                errno => errno.into(),
            };
            self.problems.push(SourceError::Entry { path, source });
        }
    }
}

impl EntrySource for Walk {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        self.content = None;
        loop {
            if let Some(problem) = self.problems.pop() {
                return Err(problem);
            }
            if let Some(directory) = self.top.take() {
                self.place = self.looking().top();
                self.enter_top(directory);
            }
            let Some(mut frame) = self.frames.pop() else { return Ok(None) };
            let depth = self.frames.len();
            let found = match self.step(&mut frame) {
                None => continue,
                Some(found) => found,
            };
            if self.frames.len() > depth {
                self.hold(&mut frame);
            }
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

    fn skip(&mut self, length: u64) -> io::Result<()> {
        self.content.as_mut().map_or(Ok(()), |content| content.skip(length))
    }

    fn length(&mut self) -> Option<u64> {
        let file = self.content.as_ref()?.file()?;
        u64::try_from(rustix::fs::fstat(file).ok()?.st_size).ok()
    }

    fn interrupter(&self) -> Interrupter {
        let pool = Arc::clone(&self.visitor.pool);
        Box::new(move || pool.patience.lose())
    }
}

#[cfg(test)]
mod tests;
