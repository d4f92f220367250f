//! The directories on the way to entries, held open.

use std::collections::HashMap;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::attributes::DEFAULT_LIST;
use super::handle::{Handle, OPEN_DIRECTORY};

/// How many directories are kept open. Entries come directory by directory, and of the directories
/// on the way most are the same; a process may commonly have 1024 files open.
const OPEN_MAX: usize = 64;

/// A directory that entries are placed in.
pub(super) struct Above {
    directory: OwnedFd,
    /// Whether what is made in it gets an access list from it.
    pub(super) passes_on: bool,
}

impl Deref for Above {
    type Target = OwnedFd;

    fn deref(&self) -> &OwnedFd {
        &self.directory
    }
}

impl AsFd for Above {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Opens directories below a root name by name, and remembers those that were used lately, so that
/// an entry costs one lookup instead of one for every name of its path.
pub(super) struct Parents {
    root: Arc<Above>,
    /// Whether a directory may pass on access lists: one that was there before, or inherited them.
    /// If none can, none is asked.
    may_pass_on: bool,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    directories: HashMap<Vec<Vec<u8>>, Kept>,
    /// Counts uses, to tell which directory was not used for longest.
    uses: u64,
}

struct Kept {
    directory: Arc<Above>,
    used: u64,
}

impl Parents {
    /// `is_empty` says that there is nothing below `root` yet.
    pub(super) fn new(root: OwnedFd, is_empty: bool) -> Self {
        let passes_on = passes_on(&Handle::Open(root.as_fd()));
        let root = Arc::new(Above { directory: root, passes_on });
        Self { root, may_pass_on: passes_on || !is_empty, open: Mutex::default() }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// The directory at `names`, opened step by step from the nearest that is open. `missing` may
    /// make one that is not there: it gets the directory above and how many names lead to the new
    /// one. An error comes with the number of names that lead to where it happened.
    pub(super) fn open(
        &self,
        names: &[Vec<u8>],
        missing: impl Fn(&OwnedFd, usize) -> Result<(), Errno>,
    ) -> Result<Arc<Above>, (usize, Errno)> {
        let (mut directory, known) = self.nearest(names);
        for depth in known + 1..=names.len() {
            let name = &names[depth - 1];
            let next = match open_below(&directory, name) {
                Err(Errno::NOENT) => {
                    missing(&directory, depth).and_then(|()| open_below(&directory, name))
                }
                result => result,
            };
            let next = next.map_err(|errno| (depth, errno))?;
            let passes_on = self.may_pass_on && passes_on(&Handle::path(next.as_fd()));
            directory = Arc::new(Above { directory: next, passes_on });
            // Those further up would have made room again before the last one is reached.
            if depth + OPEN_MAX > names.len() {
                self.keep(&names[..depth], &directory);
            }
        }
        Ok(directory)
    }

    /// Forgets the directory at `names`, which is removed, and what was below it.
    pub(super) fn forget(&self, names: &[Vec<u8>]) {
        self.lock().directories.retain(|kept, _| !kept.starts_with(names));
    }

    /// The lowest directory on the way to `names` that is open, and how many names lead to it.
    fn nearest(&self, names: &[Vec<u8>]) -> (Arc<Above>, usize) {
        let mut open = self.lock();
        open.uses += 1;
        let used = open.uses;
        for depth in (1..=names.len()).rev() {
            if let Some(kept) = open.directories.get_mut(&names[..depth]) {
                kept.used = used;
                return (Arc::clone(&kept.directory), depth);
            }
        }
        (Arc::clone(&self.root), 0)
    }

    fn keep(&self, names: &[Vec<u8>], directory: &Arc<Above>) {
        let mut open = self.lock();
        if open.directories.len() >= OPEN_MAX {
            let oldest = open.directories.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(oldest) = oldest.map(|(names, _)| names.clone()) {
                open.directories.remove(&oldest);
            }
        }
        let kept = Kept { directory: Arc::clone(directory), used: open.uses };
        open.directories.insert(names.to_vec(), kept);
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens one name as a directory, whatever its read permission, and never through a link.
fn open_below(directory: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(directory, name, OPEN_DIRECTORY | OFlags::PATH, Mode::empty())
}

/// Whether what is made in a directory inherits an access list. If that cannot be told, it may.
fn passes_on(directory: &Handle<'_>) -> bool {
    directory.has_xattr(DEFAULT_LIST).unwrap_or(true)
}
