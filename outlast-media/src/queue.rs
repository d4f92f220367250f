//! What is to be forwarded next, and what is on its way: whose turn it is, how long a slice is, how many go
//! at one time.

mod pick;

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_civil::Rate;
use outlast_spool::{Item, Spool, What};
use outlast_store::Object;
use outlast_types::{Backoff, Environment, Interrupt, WorkloadName};

use crate::line::{Line, Rounds};
use crate::link::{Away, Link};
use pick::{Lane, Look};

pub(crate) use pick::Job;

/// A slice, in bytes: at least, at most, and at first.
const SLICE_LEAST: u64 = 64 << 10;
const SLICE_MOST: u64 = 1 << 20;
const SLICE_FIRST: u64 = 256 << 10;
/// A slice that takes longer is made shorter, one that takes less is made longer.
const SLICE_LONG: Duration = Duration::from_millis(2500);
const SLICE_SHORT: Duration = Duration::from_millis(800);
/// Objects that are begun and not whole at one time: a vault keeps parts of not many more.
const BEGUN_MAX: usize = 24;
/// How long what failed is left alone, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// How long those who have nothing to do wait before they look again: for what was left alone.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long a workload waits before that is told as a problem.
const PATIENCE: Duration = Duration::from_secs(300);
/// Problems that are told at one time.
const PROBLEMS_MAX: usize = 10;

/// What is to be forwarded next, and what is on its way.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    rounds: Rounds,
    lanes: BTreeMap<WorkloadName, Lane>,
    slice: u64,
    /// Objects that may be on the line at one time, and those that are.
    streams: usize,
    streams_max: usize,
    busy: usize,
}

impl Queue {
    pub(crate) fn new(streams: usize) -> Self {
        let streams = streams.max(1);
        let state = State {
            rounds: Rounds::default(),
            lanes: BTreeMap::new(),
            slice: SLICE_FIRST,
            streams,
            streams_max: streams,
            busy: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Something of a workload is in the spool.
    pub(crate) fn wake(&self, workload: &WorkloadName) {
        self.lock().rounds.wake(workload);
        self.changed.notify_one();
    }

    /// Whether an item is on the line at this moment.
    pub(crate) fn is_on_the_line(&self, item: &Item) -> bool {
        let state = self.lock();
        state.lanes.get(&item.key.workload).is_some_and(|lane| lane.is_flying(item))
    }

    /// Wakes all who wait, to see that the end was asked for.
    pub(crate) fn wake_all(&self) {
        self.changed.notify_all();
    }

    /// Why workloads wait that the vault does not take.
    pub(crate) fn problems(&self, now: Duration) -> Vec<String> {
        let state = self.lock();
        let told = state.lanes.iter().filter_map(|(workload, lane)| {
            let trouble = lane.trouble(now, PATIENCE)?;
            Some(format!("what waits of {workload} cannot be forwarded: {trouble}"))
        });
        told.take(PROBLEMS_MAX).collect()
    }

    /// Waits for something to do; none if the end was asked for.
    pub(crate) fn next(
        &self,
        (spool, line, link): (&Spool, &Line, &Link),
        environment: &Environment,
        stop: &Interrupt,
    ) -> Option<(WorkloadName, Job)> {
        let mut state = self.lock();
        loop {
            if stop.is_requested() {
                return None;
            }
            let now = environment.timer.elapsed();
            let is_closed = line.allowed() == Rate::PerSecond(0);
            // One alone finds out whether a vault is back.
            let is_free = match link.away() {
                Some(_) => state.busy == 0 && link.left_alone().is_none(),
                None => state.busy < state.streams,
            };
            let is_away_for_long =
                |away: Away| environment.clock.now().since(away.since) >= PATIENCE;
            if is_closed || link.away().is_some_and(is_away_for_long) {
                // What waits may travel by disk meanwhile.
                state.lanes.values_mut().for_each(Lane::ask_again);
            }
            if is_free
                && !is_closed
                && let Some(found) = state.pick(spool, now)
            {
                return Some(found);
            }
            let waited = self.changed.wait_timeout(state, LOOK_AGAIN);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let now = environment.timer.elapsed();
            let State { rounds, lanes, .. } = &mut *state;
            // What was left alone is looked at again; what is empty is forgotten.
            lanes.retain(|workload, lane| lane.is_at_work(workload, spool));
            lanes
                .iter()
                .filter(|(_, lane)| lane.may_go_on(now))
                .for_each(|(it, _)| rounds.wake(it));
        }
    }

    /// A job has ended, after so long.
    pub(crate) fn done(
        &self,
        (workload, job): (&WorkloadName, &Job),
        outcome: Outcome,
        took: Duration,
        environment: &Environment,
    ) {
        let (now, random) = (environment.timer.elapsed(), &*environment.random);
        let mut state = self.lock();
        state.busy -= 1;
        if let (Job::Send { length, .. }, Outcome::Gone | Outcome::GoesOn { .. }) = (job, &outcome)
        {
            state.learn(*length, took);
        }
        let lane = state.lane(workload);
        lane.ended(job);
        match outcome {
            Outcome::Gone => lane.succeeded(job),
            Outcome::GoesOn { offset } => lane.goes_on(job, offset),
            Outcome::Away => lane.put_back(job),
            Outcome::ItWaits(reason) => {
                tracing::debug!(%workload, reason, "an object waits");
                lane.it_waits(job, |backoff: &mut Backoff| {
                    backoff.failed(now, RETRY_FIRST, RETRY_LONGEST, random);
                });
            }
            Outcome::AllWait(reason) => {
                lane.put_back(job);
                if lane.all_waits(reason.clone(), now) {
                    tracing::warn!(%workload, reason, "a workload waits");
                }
                lane.backoff.failed(now, RETRY_FIRST, RETRY_LONGEST, random);
            }
        }
        state.rounds.wake(workload);
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lane(&mut self, workload: &WorkloadName) -> &mut Lane {
        self.lanes.entry(workload.clone()).or_default()
    }

    /// Begins what is next.
    fn pick(&mut self, spool: &Spool, now: Duration) -> Option<(WorkloadName, Job)> {
        let Self { rounds, lanes, slice, .. } = self;
        let begun: usize = lanes.values().map(Lane::count).sum();
        let look = Look { spool, now, slice: *slice, may_begin: begun < BEGUN_MAX };
        let (workload, job) = rounds.next(*slice, |workload| {
            let job = lanes.entry(workload.clone()).or_default().next(workload, &look)?;
            let bytes = job.bytes();
            Some(((workload.clone(), job), bytes))
        })?;
        self.busy += 1;
        self.lane(&workload).begun(&job);
        Some((workload, job))
    }

    /// A slice of this length took so long: how long the next ones are, and how many go at one time.
    fn learn(&mut self, length: u64, took: Duration) {
        if took > SLICE_LONG {
            if self.slice > SLICE_LEAST {
                self.slice = (self.slice / 2).max(SLICE_LEAST);
            } else {
                self.streams = (self.streams / 2).max(1);
            }
        } else if took < SLICE_SHORT && length >= self.slice {
            if self.streams < self.streams_max {
                self.streams += 1;
            } else {
                self.slice = (self.slice * 2).min(SLICE_MOST);
            }
        }
    }
}

/// What became of a job.
pub(crate) enum Outcome {
    /// The object is at the vault, or will never be.
    Gone,
    /// It goes on there.
    GoesOn { offset: u64 },
    /// This one has to wait for others.
    ItWaits(String),
    /// All of the workload has to wait.
    AllWait(String),
    /// The vault is away; or the end was asked for.
    Away,
}

/// As the vault knows it.
pub(crate) fn object_of(item: &Item) -> Object {
    match item.key.what {
        What::Pack(pack) => Object::Data(pack),
        What::Index(index) => Object::Index(index),
    }
}
