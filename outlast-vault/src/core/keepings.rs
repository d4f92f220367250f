//! What is decided of single snapshots: who holds them, which are forgotten, what two operators agreed on.
//!
//! One record for each workload lies beside the repositories, where it goes with them to another host; each
//! change of it is an entry of the audit log, too. It is replaced as a whole, and counts its changes; the
//! last count is noted in the vault's own directory as well. So a record that is lost, or put back from an
//! older copy, is not taken for one in which nobody holds anything: it is an error, and nothing is forgotten
//! while there is one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlast_promise::Keep;
use outlast_types::{SnapshotId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::former::FormerNames;
use super::storage::{Durability, Storage, StorageError};

/// Beside the repositories, under a name that no workload has.
const FOLDER: &str = "repos/.keeping";
/// Where the counts are noted: with what the vault saves of itself.
const NOTES: &str = "keeping";
const VERSION: u32 = 1;
const RECORD_BYTES_MAX: u64 = 16 << 20;
const NOTE_BYTES_MAX: u64 = 64;

/// What is decided of the snapshots of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keeping {
    version: u32,
    pub(crate) workload: WorkloadName,
    /// How often it was changed.
    number: u64,
    /// The last number that a hold or request got.
    last_id: u64,
    #[serde(default)]
    pub(crate) holds: Vec<Hold>,
    #[serde(default)]
    pub(crate) forgotten: Vec<Forgotten>,
    #[serde(default)]
    pub(crate) requests: Vec<Request>,
    /// The first rules under which the vault looked at this workload, and since when: what came before rules
    /// were recorded is kept by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<Base>,
    /// What two operators agreed on: what came before that moment is kept by these rules, and no longer by
    /// those of when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shortened: Option<Base>,
    /// The pause or retirement that is in force, so that it is known where the repository is, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) standing: Option<Standing>,
    /// When what no snapshot needs is to be looked for, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prune_due: Option<Timestamp>,
}

/// An order of operators that stands until its end, or until another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Of the order, in the list of all.
    pub(crate) number: u64,
    /// `pause` or `retire`.
    pub(crate) order: String,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) until: Timestamp,
}

/// Rules, and a moment at which they were taken down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    pub(crate) keep: Keep,
    pub(crate) at: Timestamp,
}

/// Nothing of it goes, whatever policy and operators say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) id: u64,
    pub(crate) reason: String,
    /// Who wants it, in the company's own words.
    pub(crate) person: String,
    /// Whose certificate it came with.
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// Of which snapshots; of all if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) snapshots: Vec<SnapshotId>,
}

/// A snapshot that is hidden, and will be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    pub(crate) snapshot: SnapshotId,
    pub(crate) at: Timestamp,
    /// When it goes for good.
    pub(crate) until: Timestamp,
    /// `vault`, or who asked for it.
    pub(crate) by: String,
    pub(crate) why: String,
    /// Whether the rules let it go; else two operators agreed on it.
    pub(crate) by_rules: bool,
}

/// Something before its time that takes two operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) what: Wanted,
    pub(crate) reason: String,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<Approval>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Wanted {
    /// To forget snapshots that rules keep.
    Forget { snapshots: Vec<SnapshotId> },
    /// To let the rules of then hold for all that is here.
    Shorten { keep: Keep },
    /// To destroy the repository of a retired workload with all that is in it.
    Destroy,
}

impl Wanted {
    /// What is asked, as the end of a sentence about a workload.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Forget { snapshots } => {
                format!("{} of its snapshots be forgotten before their time", snapshots.len())
            }
            Self::Shorten { keep } => format!("all that is here be kept by {keep} only"),
            Self::Destroy => "the repository be destroyed before its time".to_owned(),
        }
    }

    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Forget { .. } => "forget",
            Self::Shorten { .. } => "shorten",
            Self::Destroy => "destroy",
        }
    }
}

/// Another operator's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    /// When it is done.
    pub(crate) due: Timestamp,
}

impl Keeping {
    fn new(workload: &WorkloadName) -> Self {
        Self {
            version: VERSION,
            workload: workload.clone(),
            number: 0,
            last_id: 0,
            holds: Vec::new(),
            forgotten: Vec::new(),
            requests: Vec::new(),
            base: None,
            shortened: None,
            standing: None,
            prune_due: None,
        }
    }

    /// A number for a hold or request.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Whether somebody holds a snapshot at `now`.
    pub(crate) fn holds(&self, snapshot: SnapshotId, now: Timestamp) -> bool {
        self.holds.iter().any(|hold| {
            hold.is_in_force(now)
                && (hold.snapshots.is_empty() || hold.snapshots.contains(&snapshot))
        })
    }

    /// Whether somebody holds anything of the workload.
    pub(crate) fn holds_any(&self, now: Timestamp) -> bool {
        self.holds.iter().any(|hold| hold.is_in_force(now))
    }

    pub(crate) fn is_forgotten(&self, snapshot: SnapshotId) -> bool {
        self.forgotten.iter().any(|forgotten| forgotten.snapshot == snapshot)
    }
}

impl Hold {
    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// The records of all workloads.
pub(crate) struct Keepings {
    storage: Storage,
    /// Records from before a workload was renamed say its former name.
    names: FormerNames,
    /// As they were last read or written. Held by who changes one.
    known: Mutex<BTreeMap<WorkloadName, Arc<Keeping>>>,
}

impl Keepings {
    pub(crate) fn open(storage: &Storage, names: &FormerNames) -> Self {
        Self { storage: Storage::clone(storage), names: names.clone(), known: Mutex::default() }
    }

    /// What is decided of a workload's snapshots.
    pub(crate) fn get(&self, workload: &WorkloadName) -> Result<Arc<Keeping>, VaultError> {
        let mut known = self.lock();
        if let Some(keeping) = known.get(workload) {
            return Ok(Arc::clone(keeping));
        }
        let keeping = Arc::new(self.read(workload)?);
        known.insert(workload.clone(), Arc::clone(&keeping));
        Ok(keeping)
    }

    /// The same as it is on disk now.
    pub(crate) fn read_again(&self, workload: &WorkloadName) -> Result<Arc<Keeping>, VaultError> {
        self.lock().remove(workload);
        self.get(workload)
    }

    /// Changes what is decided. It is on disk when this returns; if `change` fails, nothing happened.
    pub(crate) fn change<T>(
        &self,
        workload: &WorkloadName,
        change: impl FnOnce(&mut Keeping) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let mut known = self.lock();
        let before = self.read(workload)?;
        let mut keeping = before.clone();
        let result = change(&mut keeping)?;
        if keeping == before {
            return Ok(result);
        }
        keeping.number += 1;
        known.remove(workload);
        self.write(&keeping)?;
        known.insert(workload.clone(), Arc::new(keeping));
        Ok(result)
    }

    /// The workload's repository is destroyed: nothing is left to be decided.
    pub(crate) fn remove(&self, workload: &WorkloadName) -> Result<(), VaultError> {
        let mut known = self.lock();
        known.remove(workload);
        // The note first: one that is left would make a new workload of this name look as if its
        // record were lost.
        for key in [note_of(workload), key_of(workload)] {
            self.storage.remove(&key).map_err(StorageError::of(&*self.storage, "remove", &key))?;
        }
        Ok(())
    }

    fn read(&self, workload: &WorkloadName) -> Result<Keeping, VaultError> {
        let key = key_of(workload);
        let bad = |reason: String| VaultError::BadKeeping {
            workload: workload.clone(),
            location: self.storage.location(&key),
            reason,
        };
        let content = self.storage.read(&key, RECORD_BYTES_MAX);
        let content = content.map_err(|error| bad(error.to_string()))?;
        let mut keeping = match content {
            None => Keeping::new(workload),
            Some(content) => serde_json::from_slice::<Keeping>(&content)
                .map_err(|error| bad(error.to_string()))?,
        };
        if keeping.version > VERSION {
            return Err(bad(format!("version {} is newer than this program", keeping.version)));
        }
        if self.names.present(&keeping.workload) != workload {
            return Err(bad(format!("it is of workload {}", keeping.workload)));
        }
        keeping.workload.clone_from(workload);
        let noted = self.noted(workload).map_err(|error| bad(error.to_string()))?;
        if noted > keeping.number {
            let reason = match keeping.number {
                0 => format!("it is gone, after {noted} changes"),
                number => format!("it has {number} changes, and there were {noted}"),
            };
            return Err(bad(reason));
        }
        Ok(keeping)
    }

    fn noted(&self, workload: &WorkloadName) -> io::Result<u64> {
        let Some(note) = self.storage.read(&note_of(workload), NOTE_BYTES_MAX)? else {
            return Ok(0);
        };
        let number = std::str::from_utf8(&note).ok().and_then(|text| text.trim().parse().ok());
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "its count cannot be read");
        number.ok_or_else(invalid)
    }

    fn write(&self, keeping: &Keeping) -> Result<(), VaultError> {
        let key = key_of(&keeping.workload);
        let cannot = StorageError::of(&*self.storage, "write", &key);
        let content = serde_json::to_vec(keeping).map_err(io::Error::from);
        let written =
            content.and_then(|content| self.storage.replace(&key, &content, Durability::Durable));
        written.map_err(cannot)?;
        // Killed before, the record is newer than its note, which takes nothing back.
        let note = note_of(&keeping.workload);
        let text = format!("{}\n", keeping.number);
        let written = self.storage.replace(&note, text.as_bytes(), Durability::Durable);
        Ok(written.map_err(StorageError::of(&*self.storage, "write", &note))?)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkloadName, Arc<Keeping>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(workload: &WorkloadName) -> String {
    format!("{FOLDER}/{workload}/keeping.json")
}

fn note_of(workload: &WorkloadName) -> String {
    format!("{NOTES}/{workload}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::storage::memory::MemoryStorage;

    fn shop() -> WorkloadName {
        WorkloadName::new("shop-db").unwrap()
    }

    fn hold(keepings: &Keepings) {
        let changed = keepings.change(&shop(), |keeping| {
            let id = keeping.next_id();
            keeping.holds.push(Hold {
                id,
                reason: "a case".into(),
                person: "legal".into(),
                by: "operator eu-1".into(),
                at: Timestamp::EPOCH,
                until: None,
                snapshots: Vec::new(),
            });
            Ok(())
        });
        changed.unwrap();
    }

    #[test]
    fn what_is_decided_outlives_a_restart_and_its_loss_is_no_release() {
        let storage: Storage = Arc::new(MemoryStorage::default());
        let keepings = Keepings::open(&storage, &FormerNames::default());
        assert!(!keepings.get(&shop()).unwrap().holds_any(Timestamp::EPOCH));
        hold(&keepings);
        let older = storage.read(&key_of(&shop()), RECORD_BYTES_MAX).unwrap().unwrap();
        hold(&keepings);
        let again = Keepings::open(&storage, &FormerNames::default());
        assert_eq!(again.get(&shop()).unwrap().holds.len(), 2);
        let spoilt: [Option<&[u8]>; 4] = [None, Some(&older), Some(b"{"), Some(b"{\"version\":2}")];
        for content in spoilt {
            match content {
                None => drop(storage.remove(&key_of(&shop())).unwrap()),
                Some(content) => {
                    storage.replace(&key_of(&shop()), content, Durability::Durable).unwrap();
                }
            }
            let error = Keepings::open(&storage, &FormerNames::default()).get(&shop()).unwrap_err();
            assert!(matches!(error, VaultError::BadKeeping { .. }), "{error}");
            let error = again.change(&shop(), |_| Ok(())).unwrap_err();
            assert!(matches!(error, VaultError::BadKeeping { .. }), "nothing is written over it");
        }
        again.remove(&shop()).unwrap();
        assert_eq!(again.get(&shop()).unwrap().holds.len(), 0);
    }

    #[test]
    fn a_hold_ends_by_itself_and_may_be_of_single_snapshots() {
        let at = |seconds| Timestamp::from_unix(seconds, 0).unwrap();
        let mut keeping = Keeping::new(&shop());
        keeping.holds.push(Hold {
            id: 1,
            reason: "a case".into(),
            person: "legal".into(),
            by: "operator eu-1".into(),
            at: at(0),
            until: Some(at(10)),
            snapshots: vec![SnapshotId([1; 32])],
        });
        assert!(keeping.holds(SnapshotId([1; 32]), at(9)));
        assert!(!keeping.holds(SnapshotId([1; 32]), at(10)));
        assert!(!keeping.holds(SnapshotId([2; 32]), at(9)));
        assert!(keeping.holds_any(at(9)) && !keeping.holds_any(at(10)));
    }
}
