//! Visits entries before it is their turn, on a few threads, so that a share that takes
//! milliseconds for every call is asked many things at once.
//!
//! The unit of work is a *run*: some names that follow each other in one directory. Runs wait in
//! the order of the walk; each thread takes the first. A directory that is found adds its own runs,
//! so the threads work their way down ahead of the walk. The walk takes runs in order: a finished
//! one as it is, a waiting one it visits itself, and only one that is under way makes it wait. So
//! nothing can block for ever, and where calls are quick the walk does most of its work alone.
//!
//! **Bounds**: [`ENTRIES_MAX`] entries, of which only so many may hold a descriptor as the
//! [`Allowance`] says, [`BYTES_MAX`] of content and [`NAMES_MAX`] of listed names ahead of the
//! walk. There is one thread at first; another is added whenever the walk had to wait for longer
//! than a local disk takes, so that threads which a disk does not need cost nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;

use super::directory::{Above, Allowance, Directory};
use super::visit::{Inside, Name, Reach, Tools, Visited, Visitor};

/// Names of one run.
const RUN_NAMES: usize = 8;
/// The longest directory that is listed before it is its turn.
pub(super) const LISTED_MAX: usize = 4096;
/// Entries that are visited ahead, in bytes of content as little as nothing.
const ENTRIES_MAX: usize = 256;
/// Bytes of content that is read ahead. Runs that began below it may go a mebibyte beyond, each.
const BYTES_MAX: usize = 4 << 20;
/// Names that wait in runs before directories are left unlisted until their turn.
const NAMES_MAX: usize = 32 << 10;
/// A run that takes longer than this comes from a share, or from a disk that seeks.
const LONG_WAIT: Duration = Duration::from_millis(4);

/// Where a run is in the order of the walk: for each level from the top, which run, and which of
/// its entries led further down.
pub(super) type Place = Vec<u32>;

/// An entry that a run came to.
pub(super) type Found = (Name, Sight);

/// The sight that a run had of an entry.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are met")]
pub(super) enum Sight {
    Met(Met),
    /// It is left out.
    Nothing,
    Failed(Errno),
    /// It was closed again, to be looked at in its turn.
    Closed,
}

impl Sight {
    /// Whether it holds a descriptor.
    pub(super) fn is_open(&self) -> bool {
        let Self::Met(met) = self else { return false };
        met.entry.content.as_ref().is_some_and(|content| content.file().is_some())
    }
}

/// An entry with the runs of its members, if it is a directory.
pub(super) struct Met {
    pub(super) entry: Visited,
    pub(super) runs: u32,
}

/// The runs that wait and those that were visited.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
    tools: Tools,
    /// Directories that the walk entered by itself, each the top of a tree of runs.
    tops: u32,
}

struct Shared {
    visitor: Visitor,
    state: Mutex<State>,
    /// There is work, or room for its results.
    work: Condvar,
    /// The run that the walk waits for is finished.
    finished: Condvar,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Place, Run>,
    done: HashMap<Place, Done>,
    wanted: Option<Place>,
    entries: usize,
    bytes: usize,
    descriptors: usize,
    descriptors_max: usize,
    names: usize,
    run_names: usize,
    idle: usize,
    /// The walk is gone.
    closed: bool,
    /// A thread broke, and its run with it.
    broken: bool,
}

struct Run {
    directory: Arc<Directory>,
    names: Vec<Name>,
}

/// A run that was finished ahead.
struct Done {
    found: Vec<Found>,
    /// Of content.
    bytes: usize,
    descriptors: usize,
}

impl State {
    fn has_room(&self) -> bool {
        self.entries < ENTRIES_MAX
            && self.bytes < BYTES_MAX
            && self.descriptors < self.descriptors_max
    }

    /// How many names of one more directory may be listed.
    fn names_max(&self) -> usize {
        if self.names < NAMES_MAX { LISTED_MAX } else { 0 }
    }

    /// Puts members of a directory in the queue, in runs that are numbered from `first` on; returns
    /// how many runs they are.
    fn enqueue(
        &mut self,
        place: &[u32],
        first: u32,
        directory: &Arc<Directory>,
        names: Vec<Name>,
    ) -> u32 {
        self.names += names.len();
        let mut names = names.into_iter();
        let mut runs = 0;
        while !names.as_slice().is_empty() {
            let place = [place, &[first + runs]].concat();
            let run: Vec<Name> = names.by_ref().take(self.run_names).collect();
            self.waiting.insert(place, Run { directory: Arc::clone(directory), names: run });
            runs += 1;
        }
        runs
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_one(&self, state: &State) {
        if state.idle > 0 && !state.waiting.is_empty() && state.has_room() {
            self.work.notify_one();
        }
    }

    /// The work of a thread until the walk is gone.
    fn work(&self) {
        let mut tools = Tools::new();
        let mut state = self.lock();
        while !state.closed {
            let run = if state.has_room() { state.waiting.pop_first() } else { None };
            let Some((place, run)) = run else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            state.names -= run.names.len();
            state.entries += run.names.len();
            let reach = Reach { content: true, names_max: state.names_max() };
            self.wake_one(&state);
            drop(state);
            let found = self.visit(&mut tools, run, reach);
            state = self.lock();
            let found = self.keep(&mut state, &place, found);
            let bytes = found.iter().map(|(_, sight)| held_bytes(sight)).sum();
            let descriptors = found.iter().filter(|(_, sight)| sight.is_open()).count();
            state.bytes += bytes;
            state.descriptors += descriptors;
            if state.wanted.as_ref() == Some(&place) {
                self.finished.notify_one();
            }
            state.done.insert(place, Done { found, bytes, descriptors });
        }
    }

    fn visit(&self, tools: &mut Tools, run: Run, reach: Reach) -> Vec<FoundEntry> {
        let parent = run.directory.open();
        let mut visit = |name: &Name| match &parent {
            Ok(parent) => {
                let above = Above::Directory(&run.directory);
                self.visitor.visit(tools, parent, above, name, reach)
            }
            Err(errno) => Err(*errno),
        };
        let mut found = Vec::with_capacity(run.names.len());
        for name in run.names {
            let entry = visit(&name);
            found.push((name, entry));
        }
        found
    }

    /// Puts what directories hold in the queue; returns what was found.
    fn keep(&self, state: &mut State, place: &[u32], found: Vec<FoundEntry>) -> Vec<Found> {
        let mut kept = Vec::with_capacity(found.len());
        for (number, (name, result)) in (0..).zip(found) {
            let sight = match result {
                Err(errno) => Sight::Failed(errno),
                Ok(None) => Sight::Nothing,
                Ok(Some(mut entry)) => {
                    let runs = match std::mem::replace(&mut entry.inside, Inside::Nothing) {
                        Inside::Listed(directory, names) => {
                            let place = [place, &[number]].concat();
                            let runs = state.enqueue(&place, 0, &directory, names);
                            // The walk wants to know whose members they are.
                            entry.inside = Inside::Queued(directory);
                            self.wake_one(state);
                            runs
                        }
                        other => {
                            entry.inside = other;
                            0
                        }
                    };
                    Sight::Met(Met { entry, runs })
                }
            };
            kept.push((name, sight));
        }
        kept
    }
}

/// Bytes of content that were read ahead.
fn held_bytes(sight: &Sight) -> usize {
    let Sight::Met(met) = sight else { return 0 };
    met.entry.content.as_ref().map_or(0, |content| content.held_bytes())
}

type FoundEntry = (Name, Result<Option<Visited>, Errno>);

impl Ahead {
    /// Nobody looks ahead until there is something to look at, and never more than `threads_max`.
    pub(super) fn new(visitor: Visitor, threads_max: usize, allowance: Allowance) -> Self {
        let run_names = if threads_max == 0 { 1 } else { RUN_NAMES };
        let descriptors_max = allowance.files;
        let shared = Shared {
            visitor,
            state: Mutex::new(State { run_names, descriptors_max, ..State::default() }),
            work: Condvar::new(),
            finished: Condvar::new(),
        };
        let (threads, tools) = (Vec::new(), Tools::new());
        let threads_max = threads_max.min(allowance.threads);
        Self { shared: Arc::new(shared), threads, threads_max, tools, tops: 0 }
    }

    /// The tools of a single visit.
    pub(super) fn visitor(&mut self) -> (&Visitor, &mut Tools) {
        (&self.shared.visitor, &mut self.tools)
    }

    /// A place of its own for a directory that the walk came to by itself.
    pub(super) fn top(&mut self) -> Place {
        self.tops += 1;
        vec![self.tops]
    }

    /// Whether enough names wait.
    pub(super) fn is_full(&self) -> bool {
        self.shared.lock().names >= NAMES_MAX
    }

    /// Takes in members of the directory at `place`, whose runs are numbered from `first` on;
    /// returns how many runs they are.
    pub(super) fn enter(
        &mut self,
        place: &[u32],
        first: u32,
        directory: &Arc<Directory>,
        names: Vec<Name>,
    ) -> u32 {
        let mut state = self.shared.lock();
        let runs = state.enqueue(place, first, directory, names);
        self.shared.wake_one(&state);
        runs
    }

    /// Looks at one entry by itself, in its turn.
    pub(super) fn look(&mut self, directory: &Arc<Directory>, name: &Name) -> Sight {
        let reach = Reach { content: false, names_max: LISTED_MAX };
        let found = directory.open().and_then(|parent| {
            let above = Above::Directory(directory);
            self.shared.visitor.visit(&mut self.tools, &parent, above, name, reach)
        });
        match found {
            Ok(Some(entry)) => Sight::Met(Met { entry, runs: 0 }),
            Ok(None) => Sight::Nothing,
            Err(errno) => Sight::Failed(errno),
        }
    }

    /// The entries of a run; `None` if the thread that visited it broke.
    pub(super) fn take(&mut self, place: &[u32]) -> Option<Vec<Found>> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            if let Some(Done { found, bytes, descriptors }) = state.done.remove(place) {
                state.wanted = None;
                state.entries -= found.len();
                state.bytes -= bytes;
                state.descriptors -= descriptors;
                // Not for every run: waking is dear.
                if state.entries <= ENTRIES_MAX / 2 && state.bytes <= BYTES_MAX / 2 {
                    shared.wake_one(&state);
                }
                return Some(found);
            }
            if state.broken {
                return None;
            }
            if let Some(run) = state.waiting.remove(place) {
                state.names -= run.names.len();
                if self.threads.is_empty() {
                    self.grow(&state);
                }
                let reach = Reach { content: false, names_max: state.names_max() };
                drop(state);
                let found = shared.visit(&mut self.tools, run, reach);
                state = shared.lock();
                return Some(shared.keep(&mut state, place, found));
            }
            state.wanted = Some(place.to_vec());
            let waited = shared.finished.wait_timeout(state, LONG_WAIT);
            let (locked, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = locked;
            if timeout.timed_out() && state.idle == 0 {
                self.grow(&state);
            }
        }
    }

    /// Adds a thread, if there is work for it.
    fn grow(&mut self, state: &State) {
        if state.waiting.is_empty() || self.threads.len() >= self.threads_max {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new().name("ahead".to_owned()).spawn(move || {
            let on_panic = BreakOnPanic(&shared);
            shared.work();
            drop(on_panic);
        });
        // Without threads the walk does everything itself.
        self.threads.extend(spawned);
    }
}

impl Drop for Ahead {
    /// Ends the threads, each after the entry that it is at.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.visitor.pool.patience.lose();
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A panic showed as a run that never came.
            let _ = thread.join();
        }
    }
}

/// A thread that breaks must not leave the walk waiting for it.
struct BreakOnPanic<'a>(&'a Shared);

impl Drop for BreakOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().broken = true;
            self.0.finished.notify_one();
        }
    }
}
