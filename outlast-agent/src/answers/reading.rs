//! Bringing one answer to the share, on a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use outlast_drop::asking::Desk as Place;
use outlast_drop::{Share, ShareError};
use outlast_format::config::Version;
use outlast_fs::durable;
use outlast_repo::copy::copy;
use outlast_repo::{Hindrance, RepoError, Repository};
use outlast_store::{Kind, StoreError};
use outlast_types::{Environment, Monitor};
use outlast_wire::statement::Statement;

use super::grants::Grants;
use super::hatch::Hatch;
use super::kept::Answer;
use super::store::AnswerStore;
use crate::Shutdown;
use crate::upstream::UpstreamError;

/// While drops are shipped, an answer rests three times as long as it worked, and no longer than this.
const REST_TIMES: u32 = 3;
const REST_MAX: Duration = Duration::from_secs(2);

const SCRATCH_MODE: u32 = 0o700;

/// How a reading ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// It was told to end.
    Stopped,
    /// The vault does not let it read any more; it is to be asked again.
    NoGrant,
    /// Something was in the way that may pass.
    Later(String),
    /// The share has no room.
    Full(String),
    /// It will not come.
    Failed(String),
}

/// What a reading works with.
pub(super) struct Job {
    pub(super) share: Share,
    pub(super) answer: Answer,
    pub(super) ticket: Statement,
    pub(super) vault: Arc<dyn Grants>,
    pub(super) hatch: Arc<Hatch>,
    pub(super) environment: Environment,
    /// Where indexes of repositories lie, without names.
    pub(super) scratch: PathBuf,
}

/// A reading that is under way.
pub(super) struct Reading {
    pub(super) answer: String,
    stop: Shutdown,
    bytes: Arc<Bytes>,
    thread: JoinHandle<End>,
}

/// Bytes of content that lie on the share.
#[derive(Default)]
struct Bytes(AtomicU64);

impl Monitor for Bytes {
    fn advance(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn problem(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

impl Reading {
    pub(super) fn start(job: Job) -> std::io::Result<Self> {
        let (stop, bytes) = (Shutdown::default(), Arc::new(Bytes::default()));
        let answer = job.answer.name.clone();
        let (heard, counted) = (stop.clone(), Arc::clone(&bytes));
        let thread = thread::Builder::new()
            .name("answer".to_owned())
            .spawn(move || job.run(&heard, &counted).unwrap_or_else(|end| end))?;
        Ok(Self { answer, stop, bytes, thread })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.0.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Asks it to end soon.
    pub(super) fn stop(&self) {
        self.stop.request();
    }

    /// Waits for its end.
    pub(super) fn end(self) -> End {
        let broken = "the reading ended in a panic; see the agent's log".to_owned();
        self.thread.join().unwrap_or(End::Failed(broken))
    }
}

impl Job {
    fn run(&self, stop: &Shutdown, bytes: &Bytes) -> Result<End, End> {
        let Answer { workload, backup, key, name, .. } = &self.answer;
        durable::create_directories(&self.scratch, SCRATCH_MODE)
            .map_err(|error| End::Later(format!("{}: {error}", self.scratch.display())))?;
        let source = self
            .vault
            .open(workload, &self.ticket, stop)
            .map_err(|error| of_upstream(&error, stop))?
            .scratch_in(&self.scratch);
        let place = Place::of_answers(&self.share, workload).map_err(|error| of_share(&error))?;
        let store = AnswerStore::new(place.make_answer(name).map_err(|error| of_share(&error))?);
        let random = &*self.environment.random;
        let failed = |error: RepoError| of_target(&error);
        let target = Repository::keyed(Arc::new(store), key.clone(), Version::V2, random);
        let target = target.map_err(failed)?.scratch_in(&self.scratch);
        clear(&target).map_err(failed)?;
        let timer = &*self.environment.timer;
        let mut last = timer.elapsed();
        let mut go_on = |_: u64| {
            let worked = timer.elapsed().saturating_sub(last);
            if self.hatch.is_busy() {
                timer.pause((worked * REST_TIMES).min(REST_MAX), stop);
            }
            last = timer.elapsed();
            !stop.is_requested()
        };
        match copy(&source, backup.tree, &target, &mut go_on, random, bytes) {
            Ok(copied) if copied.is_whole => Ok(End::Whole),
            Ok(_) => Ok(End::Stopped),
            Err(_) if stop.is_requested() => Ok(End::Stopped),
            Err(error) => Err(of_copy(&error, &target.location())),
        }
    }
}

/// Removes packs that no index lists: a crash left them.
fn clear(target: &Repository) -> Result<(), RepoError> {
    let (store, index) = (target.store(), target.index()?);
    for (object, _) in store.list(Kind::Data)? {
        if object.pack().is_some_and(|pack| !index.has_pack(&pack)) {
            store.remove(&object)?;
        }
    }
    Ok(())
}

fn of_share(error: &ShareError) -> End {
    match error.is_full() {
        true => End::Full(error.to_string()),
        false => End::Later(error.to_string()),
    }
}

fn of_upstream(error: &UpstreamError, stop: &Shutdown) -> End {
    match stop.is_requested() {
        true => End::Stopped,
        // It was granted a moment ago: whatever this is, it is no verdict.
        false => End::Later(error.to_string()),
    }
}

/// What went wrong with the answer itself.
fn of_target(error: &RepoError) -> End {
    match error {
        RepoError::Store(StoreError::Full { .. }) => End::Full(error.to_string()),
        _ => End::Later(error.to_string()),
    }
}

/// What went wrong between the two.
fn of_copy(error: &RepoError, target: &str) -> End {
    let is_of_target = |location: &str| location == target;
    match error {
        RepoError::Store(StoreError::Full { location, .. }) if is_of_target(location) => {
            End::Full(error.to_string())
        }
        RepoError::Store(StoreError::Refused { .. }) => End::NoGrant,
        RepoError::NotCopied { because: Hindrance::Refused, .. } => End::NoGrant,
        // Not even another copy of it can be had, and the vault answers.
        RepoError::NotCopied { because: Hindrance::Damaged, .. } => End::Failed(error.to_string()),
        _ => End::Later(error.to_string()),
    }
}
