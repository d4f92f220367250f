//! Jobs: work that is done again and again, at a pace, and can be looked at.
//!
//! The work of a job may be done at any time and any number of times: what was broken off by a stop or
//! a kill is simply done anew. Each job has a thread of its own, so that one that hangs on a disk keeps
//! no other from running. What fails, or panics, is told, and tried again after a pause that doubles
//! up to the job's own.
//!
//! The last run of a job that is rare is kept in `jobs/<job>.json`, by the vault's clock: a vault that is
//! started often does not do it at each start, and one that is seldom up does not miss it. A record
//! that is lost costs one more run. Jobs of every few seconds keep none: a start does their work.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_types::{Backoff, Environment, Interrupt, Timer, Timestamp};
use outlast_wire::api::ErrorCode;
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

/// Jobs that are done as seldom as this, or more so, have a record.
const RECORDED_FROM: Duration = Duration::from_secs(600);
/// How long a rare job that failed for the first time is left alone, at most.
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// Which job, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// A word of `[a-z-]`.
    pub(crate) name: &'static str,
    /// From the end of a run to the next.
    pub(crate) every: Duration,
}

/// The jobs of a vault, and how they are doing.
pub(crate) struct Jobs {
    storage: Storage,
    environment: Environment,
    lines: Mutex<BTreeMap<&'static str, Line>>,
}

/// How a job is doing.
struct Line {
    every: Duration,
    running: Option<(Timestamp, Progress)>,
    last: Option<Run>,
    /// In a row.
    failures: u32,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) started: Timestamp,
    pub(crate) ended: Timestamp,
    /// `None` if it did all its work.
    pub(crate) error: Option<ErrorCode>,
    /// What it did, or why not; may be empty. Errors may name places of this host.
    pub(crate) result: String,
    #[serde(flatten)]
    pub(crate) count: Count,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) done: u64,
    /// `None` if the job does not count.
    pub(crate) total: Option<u64>,
}

/// A job as it is seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobStatus {
    pub(crate) name: &'static str,
    pub(crate) every: Duration,
    /// Since when it runs, and how far it is.
    pub(crate) running: Option<(Timestamp, Count)>,
    /// The newest run that ended, perhaps before this start of the vault.
    pub(crate) last: Option<Run>,
    /// How often it failed in a row, since this start of the vault.
    pub(crate) failures: u32,
}

/// One run, as its work sees it: tells how far it is, and learns whether to end.
#[derive(Clone)]
pub(crate) struct Progress {
    count: Arc<Mutex<Count>>,
    timer: Arc<dyn Timer>,
    stop: Interrupt,
}

impl Progress {
    pub(crate) fn new(environment: &Environment, stop: &Interrupt) -> Self {
        let timer = Arc::clone(&environment.timer);
        Self { count: Arc::default(), timer, stop: stop.clone() }
    }

    /// Whether the end was asked for.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_requested()
    }

    /// What the end is asked for by.
    pub(crate) fn stop(&self) -> &Interrupt {
        &self.stop
    }

    /// Does `work` for each of `items`, with a pause in between, until the end is asked for. One that
    /// fails keeps the others from nothing; in the end it is an error.
    pub(crate) fn each<T: fmt::Display>(
        &self,
        items: Vec<T>,
        pause: Duration,
        mut work: impl FnMut(&T) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let total = items.len();
        *self.count() = Count { done: 0, total: Some(total as u64) };
        let (mut failed, mut first) = (0, None);
        for (number, item) in items.into_iter().enumerate() {
            let is_paced = number > 0 && !pause.is_zero();
            if is_paced && self.timer.pause(pause, &self.stop) || self.is_stopped() {
                break;
            }
            if let Err(error) = work(&item) {
                tracing::error!(of = %item, %error, "a part of a job could not be done");
                failed += 1;
                first.get_or_insert(error);
            }
            self.count().done += 1;
        }
        first.map_or(Ok(()), |first| Err(VaultError::Partly { failed, total, first: first.into() }))
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    pub(crate) fn open(storage: &Storage, environment: &Environment) -> Self {
        let (storage, environment) = (Storage::clone(storage), environment.clone());
        Self { storage, environment, lines: Mutex::default() }
    }

    /// How all jobs are doing, by name.
    pub(crate) fn statuses(&self) -> Vec<JobStatus> {
        let status = |(name, line): (&&'static str, &Line)| JobStatus {
            name,
            every: line.every,
            running: line.running.as_ref().map(|(since, progress)| (*since, *progress.count())),
            last: line.last.clone(),
            failures: line.failures,
        };
        self.lines().iter().map(status).collect()
    }

    /// Does a job whenever it is due, until the end is asked for; nothing else ends it. `work` says in
    /// a sentence what it did.
    pub(crate) fn keep_doing(
        &self,
        schedule: Schedule,
        stop: &Interrupt,
        mut work: impl FnMut(&Progress) -> Result<String, VaultError>,
    ) {
        let Schedule { name, every } = schedule;
        let Environment { timer, random, .. } = &self.environment;
        let last = schedule.is_recorded().then(|| self.recorded(name)).flatten();
        let mut pause = schedule.first_pause(last.as_ref(), self.environment.clock.now());
        self.lines().insert(name, Line { every, running: None, last, failures: 0 });
        let mut backoff = Backoff::default();
        while !timer.pause(pause, stop) {
            let Some(run) = self.run(name, stop, &mut work) else { break };
            match &run.error {
                None if schedule.is_recorded() || backoff.failures() > 0 => {
                    tracing::info!(job = name, result = run.result, "did a job");
                }
                None => {}
                // An error each time: nobody must believe that what is not done is done.
                Some(_) => tracing::error!(job = name, error = run.result, "cannot do a job"),
            }
            pause = if run.error.is_none() {
                backoff.succeeded();
                every
            } else {
                backoff.failed(timer.elapsed(), every.min(RETRY_FIRST), every, &**random)
            };
            if schedule.is_recorded()
                && let Err(error) = self.record(name, &run)
            {
                tracing::error!(job = name, %error, "cannot record that a job was done");
            }
            self.with_line(name, |line| {
                line.last = Some(run);
                line.failures = backoff.failures();
            });
        }
    }

    /// Does a job once; `None` if the end was asked for meanwhile.
    fn run(
        &self,
        name: &'static str,
        stop: &Interrupt,
        work: &mut impl FnMut(&Progress) -> Result<String, VaultError>,
    ) -> Option<Run> {
        let started = self.environment.clock.now();
        let progress = Progress::new(&self.environment, stop);
        self.with_line(name, |line| line.running = Some((started, progress.clone())));
        // A panic rolls the catalog back and leaves the ledger at facts that are true.
        let result = catch_unwind(AssertUnwindSafe(|| work(&progress)));
        self.with_line(name, |line| line.running = None);
        let (error, result) = match result {
            Ok(Ok(said)) => (None, said),
            Ok(Err(error)) => (Some(error.code()), error.to_string()),
            Err(_) => (Some(ErrorCode::Internal), "it failed badly".to_owned()),
        };
        let (ended, count) = (self.environment.clock.now(), *progress.count());
        // Perhaps not all was done; as after a kill, it is due again at the next start.
        (!stop.is_requested()).then_some(Run { started, ended, error, result, count })
    }

    /// The last run that was recorded. What cannot be read is as good as lost.
    fn recorded(&self, name: &str) -> Option<Run> {
        let key = key_of(name);
        let content = match self.storage.read(&key, RECORD_BYTES_MAX) {
            Ok(content) => content?,
            Err(error) => {
                tracing::warn!(job = name, %error, "cannot read when a job was done last");
                return None;
            }
        };
        let parsed = serde_json::from_slice(&content);
        parsed
            .inspect_err(|error| tracing::warn!(job = name, %error, "a job's record is damaged"))
            .ok()
    }

    fn record(&self, name: &str, run: &Run) -> Result<(), StorageError> {
        let key = key_of(name);
        let content = serde_json::to_vec(run).map_err(std::io::Error::from);
        let replace = |content: Vec<u8>| self.storage.replace(&key, &content, Durability::Durable);
        content.and_then(replace).map_err(StorageError::of(&*self.storage, "write", &key))
    }

    fn with_line(&self, name: &str, change: impl FnOnce(&mut Line)) {
        if let Some(line) = self.lines().get_mut(name) {
            change(line);
        }
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<&'static str, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    fn is_recorded(&self) -> bool {
        self.every >= RECORDED_FROM
    }

    /// How long the first run after a start has to wait.
    fn first_pause(&self, last: Option<&Run>, now: Timestamp) -> Duration {
        match last {
            _ if !self.is_recorded() => self.every,
            Some(last) if last.error.is_none() && last.ended <= now => {
                self.every.saturating_sub(now.since(last.ended))
            }
            // Never, in vain, or by a clock that was wrong.
            _ => Duration::ZERO,
        }
    }
}

fn key_of(name: &str) -> String {
    format!("jobs/{name}.json")
}

#[cfg(test)]
mod tests;
