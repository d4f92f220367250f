//! Drills: what is remembered of them, and when the next one is due.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use outlast_format::BlobId;
use outlast_promise::{DrillLevel, DrillPick, DrillRule, DrillTrouble, due_within, overdue_after};
use outlast_repo::Repository;
use outlast_types::{ContentKind, Interrupt, Owner, SnapshotId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

const FOLDER: &str = "drills";
const VERSION: u32 = 1;
const RECORD_BYTES_MAX: u64 = 8 << 20;
/// Drills of one workload that are kept at hand; the audit log has all.
const KEPT_MAX: usize = 50;
/// Drills that may wait at one time.
const WAITING_MAX: usize = 64;
/// Of a backup's size, what it takes to load it, as long as nobody measured it.
const FACTOR_FIRST: u64 = 300;
/// What a measured factor is raised by: the next backup is a little larger.
const FACTOR_MARGIN: u64 = 25;
/// What failed is tried again after so long.
const RETRY_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is said of the drills of a class or of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrillPart {
    pub every: Option<Duration>,
    pub level: Option<DrillLevel>,
    pub pick: Option<DrillPick>,
    pub recipe: Option<String>,
    pub command: Option<Vec<String>>,
    pub check: Option<String>,
}

impl DrillPart {
    /// The rule `below`, with what is said here in the place of what it says. What is done with a backup is said
    /// as a whole, by a recipe or by a command.
    fn over(&self, below: DrillRule) -> DrillRule {
        let (recipe, command) = match (&self.recipe, &self.command) {
            (None, None) => (below.recipe, below.command),
            (recipe, command) => (recipe.clone(), command.clone().unwrap_or_default()),
        };
        DrillRule {
            every: self.every.or(below.every),
            level: self.level.unwrap_or(below.level),
            pick: self.pick.unwrap_or(below.pick),
            recipe,
            command,
            check: self.check.clone().or(below.check),
        }
    }
}

/// What policy wants of drills.
#[derive(Debug, Clone)]
pub struct DrillPolicy {
    pub default: DrillRule,
    /// What is said of classes, by their names.
    pub classes: BTreeMap<String, DrillPart>,
    pub workloads: BTreeMap<WorkloadName, DrillPart>,
    /// Bytes that are read for them in a second, at most.
    pub rate: Option<std::num::NonZeroU64>,
}

impl Default for DrillPolicy {
    fn default() -> Self {
        let rate = std::num::NonZeroU64::new(64 << 20);
        let (classes, workloads) = (BTreeMap::new(), BTreeMap::new());
        Self { default: DrillRule::default(), classes, workloads, rate }
    }
}

impl DrillPolicy {
    /// What holds for a workload of a class: its own word, else its class's, else what holds for all.
    pub(crate) fn rule(&self, workload: &WorkloadName, class: Option<&str>) -> DrillRule {
        let class = class.and_then(|class| self.classes.get(class));
        let below = class.map_or_else(|| self.default.clone(), |it| it.over(self.default.clone()));
        match self.workloads.get(workload) {
            Some(own) => own.over(below),
            None => below,
        }
    }

    /// Whether policy wants drills of anything.
    pub(crate) fn wants_any(&self) -> bool {
        self.default.every.is_some() || self.parts().any(|part| part.every.is_some())
    }

    /// Whether policy wants any by themselves that load what they bring back.
    pub fn wants_loads(&self) -> bool {
        let loads = |every: Option<Duration>, level: Option<DrillLevel>| {
            every.or(self.default.every).is_some()
                && level.unwrap_or(self.default.level) == DrillLevel::Load
        };
        loads(None, None) || self.parts().any(|part| loads(part.every, part.level))
    }

    fn parts(&self) -> impl Iterator<Item = &DrillPart> {
        self.classes.values().chain(self.workloads.values())
    }

    /// As often as it is looked what is due.
    pub(crate) fn look_every(&self) -> Duration {
        let all = self.parts().map(|part| part.every).chain([self.default.every]);
        let shortest = all.flatten().min();
        let every = shortest.map_or(Duration::from_secs(10), |shortest| shortest / 16);
        every.clamp(Duration::from_millis(500), Duration::from_secs(10))
    }
}

/// Where drills are done.
pub(crate) trait Ground: Send + Sync {
    /// Why a load is not possible now, if it is not.
    fn lowered(&self, task: &Task<'_>) -> Option<String>;

    /// Reads, verifies and parses.
    fn stream(&self, task: &Task<'_>) -> Outcome;

    /// Restores, loads and asks.
    fn load(&self, task: &Task<'_>) -> Outcome;
}

/// What is to be brought back.
pub(crate) struct Task<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) tree: BlobId,
    /// Of its content.
    pub(crate) size: u64,
    /// What it is, by who looked at it when it came.
    pub(crate) kind: ContentKind,
    /// What loading takes, in percent of its size.
    pub(crate) factor_percent: u64,
    pub(crate) rule: &'a DrillRule,
    pub(crate) stop: &'a Interrupt,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) level: DrillLevel,
    /// Why it was only read after all, if so.
    pub(crate) lowered: Option<String>,
    pub(crate) recipe: String,
    pub(crate) isolation: Option<String>,
    pub(crate) phases: Vec<Phase>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) scratch_bytes: u64,
    pub(crate) failure: Option<Failure>,
}

impl Outcome {
    pub(crate) fn new(level: DrillLevel) -> Self {
        Self {
            level,
            lowered: None,
            recipe: "none".to_owned(),
            isolation: None,
            phases: Vec::new(),
            counts: BTreeMap::new(),
            scratch_bytes: 0,
            failure: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) milliseconds: u64,
    #[serde(default)]
    pub(crate) bytes: u64,
}

impl Phase {
    pub(crate) fn new(name: &str, took: Duration, bytes: u64) -> Self {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self { name: name.to_owned(), milliseconds, bytes }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) phase: String,
    pub(crate) why: String,
    pub(crate) owner: Owner,
}

/// How a drill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DrillState {
    Waiting,
    Running,
    Good,
    Failed,
    /// The vault ended meanwhile: it says nothing of the backup.
    Aborted,
}

impl DrillState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Good => "good",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// One drill, as it is remembered, and as the audit log tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DrillRecord {
    pub(crate) number: u64,
    pub(crate) snapshot: SnapshotId,
    pub(crate) by: String,
    pub(crate) began: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    pub(crate) state: DrillState,
    pub(crate) wanted: DrillLevel,
    pub(crate) level: DrillLevel,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lowered: Option<String>,
    pub(crate) recipe: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<String>,
    pub(crate) phases: Vec<Phase>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) content_bytes: u64,
    pub(crate) scratch_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
}

impl DrillRecord {
    /// Whether it did what policy wants.
    pub(crate) fn satisfies(&self, level: DrillLevel) -> bool {
        self.state == DrillState::Good
            && (self.level == DrillLevel::Load || level == DrillLevel::Stream)
    }

    /// How long a restore took until it answered; none of what was not loaded.
    pub(crate) fn rto_milliseconds(&self) -> Option<u64> {
        let is_loaded = self.state == DrillState::Good && self.level == DrillLevel::Load;
        is_loaded.then(|| self.phases.iter().map(|phase| phase.milliseconds).sum())
    }
}

/// All that is remembered of one workload's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct DrillRecords {
    version: u32,
    /// The newest last.
    pub(crate) drills: Vec<DrillRecord>,
}

impl DrillRecords {
    pub(crate) fn newest(&self) -> Option<&DrillRecord> {
        self.drills.last()
    }

    /// The last one that did what is wanted.
    pub(crate) fn last_good(&self, level: DrillLevel) -> Option<&DrillRecord> {
        self.drills.iter().rev().find(|drill| drill.satisfies(level))
    }

    /// The last one that came to an end.
    fn last_ended(&self) -> Option<&DrillRecord> {
        let is_ended =
            |drill: &&DrillRecord| matches!(drill.state, DrillState::Good | DrillState::Failed);
        self.drills.iter().rev().find(is_ended)
    }

    /// What loading takes, in percent of the size, by what it took the last time.
    pub(crate) fn factor_percent(&self) -> u64 {
        let measured =
            self.drills.iter().rev().find(|it| it.scratch_bytes > 0 && it.content_bytes > 0);
        measured.filter(|drill| drill.state == DrillState::Good).map_or(FACTOR_FIRST, |drill| {
            let percent = drill.scratch_bytes.saturating_mul(100).div_ceil(drill.content_bytes);
            percent.saturating_add(FACTOR_MARGIN)
        })
    }

    /// When the next one is to be done, of a workload whose oldest backup came at `first`.
    pub(crate) fn due(&self, rule: &DrillRule, first: Timestamp, lot: u64) -> Option<Timestamp> {
        let every = rule.every?;
        let good = self.last_good(rule.level).map_or(first, |drill| drill.began);
        let due = due_within(every, good, lot);
        let retry = self
            .newest()
            .filter(|newest| !newest.satisfies(rule.level))
            .map(|newest| newest.began.saturating_add((every / 4).min(RETRY_MAX)));
        Some(due.max(retry.unwrap_or(due)))
    }

    /// What is to be told of them.
    pub(crate) fn trouble(
        &self,
        rule: &DrillRule,
        first: Timestamp,
        now: Timestamp,
    ) -> Option<DrillTrouble> {
        let ended = self.last_ended();
        if let Some(DrillRecord { failure: Some(failure), began, snapshot, .. }) = ended {
            let Failure { phase, why, owner } = failure.clone();
            let (at, snapshot) = (*began, *snapshot);
            return Some(DrillTrouble::Failed { at, snapshot, phase, why, owner });
        }
        let every = rule.every?;
        let last = self.last_good(rule.level).map(|drill| drill.began);
        let is_overdue = overdue_after(every, last.unwrap_or(first)) <= now;
        let why = ended.and_then(|drill| drill.lowered.clone());
        let why = why.map(|why| format!("it was only read, not loaded: {why}"));
        is_overdue.then_some(DrillTrouble::Overdue { every, last, why })
    }
}

/// A drill that waits for its turn.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) workload: WorkloadName,
    pub(crate) number: u64,
}

/// The drills of all workloads.
pub(crate) struct Drills {
    policy: RwLock<Arc<DrillPolicy>>,
    pub(crate) ground: Option<Arc<dyn Ground>>,
    storage: Storage,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) known: BTreeMap<WorkloadName, DrillRecords>,
    pub(crate) waiting: VecDeque<Waiting>,
    /// What the promises heard last.
    pub(crate) told: BTreeMap<WorkloadName, Option<DrillTrouble>>,
}

impl Drills {
    /// What was under way when the vault ended says nothing.
    pub(crate) fn open(
        storage: &Storage,
        policy: DrillPolicy,
        ground: Option<Arc<dyn Ground>>,
    ) -> Result<Self, VaultError> {
        let cannot = StorageError::of(&**storage, "list", FOLDER);
        let names = storage.list(FOLDER).map_err(cannot)?;
        let mut known = BTreeMap::new();
        for name in names.iter().filter_map(|name| name.strip_suffix(".json")) {
            let Ok(workload) = WorkloadName::new(name) else { continue };
            let content = storage.read(&key_of(&workload), RECORD_BYTES_MAX).ok().flatten();
            let parsed = content.and_then(|it| serde_json::from_slice::<DrillRecords>(&it).ok());
            match parsed.filter(|records| records.version <= VERSION) {
                Some(mut records) => {
                    for drill in &mut records.drills {
                        if matches!(drill.state, DrillState::Running | DrillState::Waiting) {
                            drill.state = DrillState::Aborted;
                        }
                    }
                    known.insert(workload, records);
                }
                // The audit log has them; the next one is due as if there had been none.
                None => tracing::warn!(%workload, "what was noted of its drills is damaged"),
            }
        }
        let state = Mutex::new(State { known, ..State::default() });
        let policy = RwLock::new(Arc::new(policy));
        Ok(Self { policy, ground, storage: Storage::clone(storage), state })
    }

    /// What policy wants of drills.
    pub(crate) fn policy(&self) -> Arc<DrillPolicy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another policy holds from the next drill on; one that is under way goes on by its own.
    pub(crate) fn adopt(&self, policy: DrillPolicy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of one workload's, the newest last.
    pub(crate) fn of(&self, workload: &WorkloadName) -> DrillRecords {
        self.lock().known.get(workload).cloned().unwrap_or_default()
    }

    /// Whether there is room for one more that waits, of this workload.
    pub(crate) fn may_wait(&self, workload: &WorkloadName) -> bool {
        let state = self.lock();
        let is_under_way =
            state.known.get(workload).and_then(DrillRecords::newest).is_some_and(|newest| {
                matches!(newest.state, DrillState::Running | DrillState::Waiting)
            });
        !is_under_way && state.waiting.len() < WAITING_MAX
    }

    /// Notes how a drill stands.
    pub(crate) fn note(
        &self,
        workload: &WorkloadName,
        record: &DrillRecord,
    ) -> Result<(), VaultError> {
        let content = {
            let mut state = self.lock();
            let records = state.known.entry(workload.clone()).or_default();
            records.version = VERSION;
            records.drills.retain(|known| known.number != record.number);
            records.drills.push(record.clone());
            if records.drills.len() > KEPT_MAX {
                records.drills.remove(0);
            }
            serde_json::to_vec(&*records)
        };
        let key = key_of(workload);
        let cannot = || StorageError::of(&*self.storage, "write", &key);
        let content = content.map_err(|error| cannot()(error.into()))?;
        Ok(self.storage.replace(&key, &content, Durability::Durable).map_err(cannot())?)
    }
}

fn key_of(workload: &WorkloadName) -> String {
    format!("{FOLDER}/{workload}.json")
}

#[cfg(test)]
mod tests;
