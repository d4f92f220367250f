//! Visits entries before it is their turn, on a few threads, so that a share that takes
//! milliseconds for every call is asked many things at once.
//!
//! The unit of work is a *run*: some names that follow each other in one directory. Runs wait in
//! the order of the walk; each thread takes the first. A directory that is found adds its own runs,
//! so the threads work their way down ahead of the walk. The walk takes runs in order: a finished
//! one as it is, a waiting one it visits itself, and only one that is under way makes it wait. So
//! nothing can block for ever, and where calls are quick the walk does most of its work alone.
//!
//! **Bounds**: [`ENTRIES_MAX`] entries (each may hold a descriptor), [`BYTES_MAX`] of content and
//! [`NAMES_MAX`] of listed names ahead of the walk. There is one thread at first; another is added
//! whenever the walk had to wait for longer than a local disk takes, so that threads which a disk
//! does not need cost nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;

use super::visit::{Directory, Inside, Name, Reach, Tools, Visited, Visitor};

/// Names of one run.
const RUN_NAMES: usize = 8;
/// The longest directory that is listed before it is its turn.
const LISTED_MAX: usize = 4096;
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
pub(super) type Place = Vec<usize>;

/// An entry that a run came to: what it is, or why it cannot be had. `None` if it is left out.
pub(super) type Found = (Name, Result<Option<Met>, Errno>);

/// An entry with the runs of its members, if it is a directory.
pub(super) struct Met {
    pub(super) entry: Visited,
    pub(super) runs: usize,
}

/// A run that was visited: what it found, with its place.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
    tools: Tools,
    /// Directories that the walk entered by itself, each the top of a tree of runs.
    tops: usize,
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
    /// Finished ahead, with bytes of content.
    done: HashMap<Place, (Vec<Found>, usize)>,
    wanted: Option<Place>,
    entries: usize,
    bytes: usize,
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

impl State {
    fn has_room(&self) -> bool {
        self.entries < ENTRIES_MAX && self.bytes < BYTES_MAX
    }

    /// How many names of one more directory may be listed.
    fn names_max(&self) -> usize {
        if self.names < NAMES_MAX { LISTED_MAX } else { 0 }
    }

    /// Puts the members of a directory in the queue; returns how many runs they are.
    fn enqueue(&mut self, place: &[usize], directory: &Arc<Directory>, names: Vec<Name>) -> usize {
        self.names += names.len();
        let mut names = names.into_iter();
        let mut runs = 0;
        while !names.as_slice().is_empty() {
            let place = [place, &[runs]].concat();
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

    /// What a thread does until the walk is gone.
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
            let (found, bytes) = self.keep(&mut state, &place, found);
            state.bytes += bytes;
            if state.wanted.as_ref() == Some(&place) {
                self.finished.notify_one();
            }
            state.done.insert(place, (found, bytes));
        }
    }

    fn visit(&self, tools: &mut Tools, run: Run, reach: Reach) -> Vec<FoundEntry> {
        let device = Some(run.directory.device);
        let visit = |name: Name| {
            let parent = &run.directory.descriptor;
            let found = self.visitor.visit(tools, parent, &name, device, reach);
            (name, found)
        };
        run.names.into_iter().map(visit).collect()
    }

    /// Puts what directories hold in the queue; returns what was found, and its bytes of content.
    fn keep(
        &self,
        state: &mut State,
        place: &Place,
        found: Vec<FoundEntry>,
    ) -> (Vec<Found>, usize) {
        let mut bytes = 0;
        let mut kept = Vec::with_capacity(found.len());
        for (number, (name, result)) in found.into_iter().enumerate() {
            let met = result.map(|entry| {
                entry.map(|mut entry| {
                    bytes += entry.content.as_ref().map_or(0, |content| content.held_bytes());
                    let runs = match std::mem::replace(&mut entry.inside, Inside::Nothing) {
                        Inside::Listed(directory, names) => {
                            let runs =
                                state.enqueue(&[&place[..], &[number]].concat(), &directory, names);
                            self.wake_one(state);
                            runs
                        }
                        other => {
                            entry.inside = other;
                            0
                        }
                    };
                    Met { entry, runs }
                })
            });
            kept.push((name, met));
        }
        (kept, bytes)
    }
}

type FoundEntry = (Name, Result<Option<Visited>, Errno>);

impl Ahead {
    /// Nobody looks ahead until there is something to look at, and never more than `threads_max`.
    pub(super) fn new(visitor: Visitor, threads_max: usize) -> Self {
        let run_names = if threads_max == 0 { 1 } else { RUN_NAMES };
        let shared = Shared {
            visitor,
            state: Mutex::new(State { run_names, ..State::default() }),
            work: Condvar::new(),
            finished: Condvar::new(),
        };
        let (threads, tools) = (Vec::new(), Tools::new());
        Self { shared: Arc::new(shared), threads, threads_max, tools, tops: 0 }
    }

    /// What a single visit needs.
    pub(super) fn visitor(&mut self) -> (&Visitor, &mut Tools) {
        (&self.shared.visitor, &mut self.tools)
    }

    /// Takes in a directory that the walk came to by itself, at `place` or at a new top; returns
    /// where its runs are and how many.
    pub(super) fn enter(
        &mut self,
        place: Option<Place>,
        directory: &Arc<Directory>,
        names: Vec<Name>,
    ) -> (Place, usize) {
        let place = place.unwrap_or_else(|| {
            self.tops += 1;
            vec![self.tops]
        });
        let mut state = self.shared.lock();
        let runs = state.enqueue(&place, directory, names);
        self.shared.wake_one(&state);
        (place, runs)
    }

    /// What is found in a run; `None` if the thread that visited it broke.
    pub(super) fn take(&mut self, place: &Place) -> Option<Vec<Found>> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            if let Some((found, bytes)) = state.done.remove(place) {
                state.wanted = None;
                state.entries -= found.len();
                state.bytes -= bytes;
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
                return Some(shared.keep(&mut state, place, found).0);
            }
            state.wanted = Some(place.clone());
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
