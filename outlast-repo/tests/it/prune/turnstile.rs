//! A turnstile before a store: several processes, of whose calls one goes through at a time, and
//! somebody who says whose.
//!
//! What a process does between two calls, nobody else sees. So all that can happen when several
//! work at once is an order of their calls.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use outlast_store::{Kind, MemoryStore, Object, Store, StoreError};

/// The last calls that are shown when something went wrong.
const TRACE_MAX: usize = 4000;

/// What the turnstile knows of a process.
#[derive(Debug, Default, Clone)]
struct Process {
    name: String,
    /// Its threads that stand before the turnstile.
    waiting: u32,
    /// Whether one of its calls may pass.
    may_pass: bool,
    /// Whether one is in the store.
    inside: bool,
    killed: bool,
    ended: bool,
    /// Whether it has made a snapshot and not looked again since.
    publishes: bool,
}

impl Process {
    /// Nothing happens before somebody lets it pass.
    fn rests(&self) -> bool {
        self.ended || (!self.killed && self.waiting > 0 && !self.may_pass && !self.inside)
    }
}

#[derive(Debug, Default)]
struct State {
    processes: Vec<Process>,
    trace: VecDeque<String>,
}

#[derive(Debug, Default)]
pub(super) struct Turnstile {
    state: Mutex<State>,
    changed: Condvar,
}

impl Turnstile {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// A further process, and its way to the store.
    pub(super) fn door(self: &Arc<Self>, name: String, store: &Arc<MemoryStore>) -> Arc<Door> {
        let mut state = self.lock();
        state.processes.push(Process { name, ..Process::default() });
        let number = state.processes.len() - 1;
        Arc::new(Door { turnstile: Arc::clone(self), number, store: Arc::clone(store) })
    }

    /// Waits until all stand still; the processes that have not ended.
    pub(super) fn standing(&self) -> Vec<usize> {
        let mut state = self.lock();
        while !state.processes.iter().all(Process::rests) {
            state = self.wait(state);
        }
        let all = state.processes.iter().enumerate();
        all.filter(|(_, process)| !process.ended).map(|(number, _)| number).collect()
    }

    /// Lets one call of a process through.
    pub(super) fn let_pass(&self, number: usize) {
        self.lock().processes[number].may_pass = true;
        self.changed.notify_all();
    }

    /// Kills a process where it stands; false if it publishes just now, which is spared.
    pub(super) fn kill(&self, number: usize) -> bool {
        let mut state = self.lock();
        if state.processes[number].publishes {
            return false;
        }
        state.processes[number].killed = true;
        let name = state.processes[number].name.clone();
        state.tell(format!("{name} is killed"));
        self.changed.notify_all();
        true
    }

    pub(super) fn is_killed(&self, number: usize) -> bool {
        self.lock().processes[number].killed
    }

    /// Notes what happens beside the calls.
    pub(super) fn tell(&self, what: String) {
        self.lock().tell(what);
    }

    /// What happened, for people.
    pub(super) fn story(&self) -> String {
        self.lock().trace.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

impl State {
    fn tell(&mut self, what: String) {
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(what);
    }
}

/// The way of one process to the store.
pub(super) struct Door {
    turnstile: Arc<Turnstile>,
    number: usize,
    store: Arc<MemoryStore>,
}

impl Door {
    /// The process has ended; also when it panics.
    pub(super) fn end(self: &Arc<Self>) -> impl Drop + use<> {
        Ended(Arc::clone(self))
    }

    fn pass<T>(
        &self,
        verb: &str,
        what: &str,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.turnstile.lock();
        state.processes[self.number].waiting += 1;
        self.turnstile.changed.notify_all();
        let killed = loop {
            let process = &state.processes[self.number];
            // A call that is in the store goes on, but nothing after it.
            if process.killed || (process.may_pass && !process.inside) {
                break process.killed;
            }
            state = self.turnstile.wait(state);
        };
        let process = &mut state.processes[self.number];
        process.waiting -= 1;
        if killed {
            let source = io::Error::new(io::ErrorKind::PermissionDenied, "killed");
            return Err(StoreError::Open { location: what.to_owned(), source });
        }
        (process.may_pass, process.inside) = (false, true);
        let line = format!("{}: {verb} {what}", process.name);
        state.tell(line);
        drop(state);
        let result = call();
        let mut state = self.turnstile.lock();
        state.processes[self.number].inside = false;
        self.turnstile.changed.notify_all();
        result
    }

    fn publishes(&self, publishes: bool) {
        self.turnstile.lock().processes[self.number].publishes = publishes;
    }
}

/// Says so when it is dropped.
struct Ended(Arc<Door>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.turnstile.lock().processes[self.0.number].ended = true;
        self.0.turnstile.changed.notify_all();
    }
}

impl Store for Door {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        self.pass("create", &object.to_string(), || {
            self.publishes(matches!(object, Object::Snapshot(_)));
            self.store.create(object, content)
        })
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.pass("read", &object.to_string(), || self.store.read(object))
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let what = object.to_string();
        self.pass("read", &what, || self.store.read_range(object, offset, length))
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.pass("size", &object.to_string(), || self.store.size(object))
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        self.pass("list", &format!("{kind:?}"), || self.store.list(kind))
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.pass("remove", &object.to_string(), || self.store.remove(object))
    }
}
