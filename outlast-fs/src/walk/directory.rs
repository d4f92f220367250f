//! Directories that are open only while they are used, so that depth costs no descriptors.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{CWD, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::open::{Patience, open_directory};
use crate::metadata::identity;

/// The files that a process may have open where the kernel sets no limit.
const UNLIMITED: u64 = 1024;

/// A directory of the walk. Its descriptor may be closed to make room for others; then it is found
/// again by its name in the directory above, and must be the same one.
pub(super) struct Directory {
    above: Option<Arc<Directory>>,
    /// In the directory above; of a top, the path that was asked for.
    name: Box<[u8]>,
    identity: (u64, u64),
    /// That of the path that was asked for above it.
    pub(super) device: u64,
    open: Mutex<Weak<OwnedFd>>,
    pool: Arc<Pool>,
}

/// Where a directory lies.
#[derive(Clone, Copy)]
pub(super) enum Above<'a> {
    /// It was asked for, under this path.
    Nothing(&'a Path),
    Directory(&'a Arc<Directory>),
}

impl Directory {
    /// The directory called `name` that was just opened.
    pub(super) fn new(
        above: Above<'_>,
        name: &[u8],
        descriptor: OwnedFd,
        stat: &Stat,
        pool: &Arc<Pool>,
    ) -> Arc<Self> {
        let identity = identity(stat);
        let (above, name, device) = match above {
            Above::Nothing(path) => (None, path.as_os_str().as_encoded_bytes(), identity.0),
            Above::Directory(above) => (Some(Arc::clone(above)), name, above.device),
        };
        let open = Mutex::new(pool.keep(Arc::new(descriptor)));
        Arc::new(Self { above, name: name.into(), identity, device, open, pool: Arc::clone(pool) })
    }

    /// The open directory. It stays open at least as long as the answer is kept.
    ///
    /// # Errors
    /// `STALE` if another one has taken its place meanwhile.
    pub(super) fn open(&self) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        // From the nearest one above that is open; a path may have thousands of names.
        let mut closed = vec![self];
        let mut above = self.above.as_deref();
        let mut base = None;
        while let Some(directory) = above {
            base = directory.opened();
            if base.is_some() {
                break;
            }
            closed.push(directory);
            above = directory.above.as_deref();
        }
        let mut last = closed.pop().unwrap_or(self).reopen(base.as_ref())?;
        while let Some(directory) = closed.pop() {
            last = directory.reopen(Some(&last))?;
        }
        Ok(last)
    }

    /// Puts the names that lead to it before `path`, the last one first; the first is the path that was
    /// asked for.
    pub(super) fn name_backwards<'a>(&'a self, path: &mut Vec<&'a [u8]>) {
        let mut directory = Some(self);
        while let Some(at) = directory {
            path.push(&at.name);
            directory = at.above.as_deref();
        }
    }

    fn opened(&self) -> Option<Arc<OwnedFd>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn reopen(&self, base: Option<&Arc<OwnedFd>>) -> Result<Arc<OwnedFd>, Errno> {
        let patience = &self.pool.patience;
        let descriptor = match base {
            Some(base) => open_directory(base, &*self.name, OFlags::NOFOLLOW, patience)?,
            None => open_directory(CWD, &*self.name, OFlags::empty(), patience)?,
        };
        if identity(&rustix::fs::fstat(&descriptor)?) != self.identity {
            return Err(Errno::STALE);
        }
        let descriptor = Arc::new(descriptor);
        let open = self.pool.keep(Arc::clone(&descriptor));
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
        Ok(descriptor)
    }
}

/// The directories that were opened last; older ones are closed when nobody uses them.
pub(super) struct Pool {
    recent: Mutex<VecDeque<Arc<OwnedFd>>>,
    max: usize,
    pub(super) patience: Patience,
}

impl Pool {
    pub(super) fn new(max: usize) -> Self {
        Self { recent: Mutex::default(), max, patience: Patience::default() }
    }

    fn keep(&self, descriptor: Arc<OwnedFd>) -> Weak<OwnedFd> {
        let weak = Arc::downgrade(&descriptor);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back(descriptor);
        let oldest = if recent.len() > self.max { recent.pop_front() } else { None };
        // Closing may take its time on a share.
        drop(recent);
        drop(oldest);
        weak
    }
}

/// How many descriptors a walk holds at once, by what the process may have open: a quarter or a
/// bit more, the rest is for everybody else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) directories: usize,
    /// Of files that were opened before their turn.
    pub(super) files: usize,
    /// Each may have a few open besides.
    pub(super) threads: usize,
}

impl Allowance {
    pub(super) fn of_this_process() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED);
        let part = |divisor, least, most| {
            usize::try_from(limit / divisor).unwrap_or(usize::MAX).clamp(least, most)
        };
        Self { directories: part(8, 4, 128), files: part(8, 4, 128), threads: part(32, 1, 16) }
    }
}
