//! Whether agents may let go of what this vault holds: not yet, while it was just brought back.
//!
//! A vault that was brought back from repositories and a kit does not know what came last. Agents find
//! that out when they ask what is held, and ship again what is not. Until each agent that was known
//! before has reported, nothing is released or pruned: `recovery/withheld.json` says so, over restarts.
//! It ends by itself, by an operator's word, or when the time is over that policy gives; each of them is
//! an entry of the audit log, and an incident stays open meanwhile.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_promise::Event as PromiseEvent;
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

pub(crate) const KEY: &str = "recovery/withheld.json";
const VERSION: u32 = 1;
const RECORD_BYTES_MAX: u64 = 16 << 20;

/// Since when releases are withheld, and for whom is waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Withholding {
    version: u32,
    pub(crate) since: Timestamp,
    /// Then it ends in any case.
    pub(crate) until: Timestamp,
    /// The agents that were known before, and when each reported.
    pub(crate) agents: BTreeMap<String, Option<Timestamp>>,
}

impl Withholding {
    pub(crate) fn new(
        since: Timestamp,
        until: Timestamp,
        agents: impl IntoIterator<Item = String>,
    ) -> Self {
        let agents = agents.into_iter().map(|agent| (agent, None)).collect();
        Self { version: VERSION, since, until, agents }
    }

    /// The agents that did not report yet.
    pub(crate) fn waited_for(&self) -> Vec<String> {
        let silent = self.agents.iter().filter(|(_, reported)| reported.is_none());
        silent.map(|(agent, _)| agent.clone()).collect()
    }

    /// As the promise ledger hears it.
    pub(crate) fn event(&self) -> PromiseEvent {
        PromiseEvent::ReleasesWithheld { agents: self.waited_for(), until: Some(self.until) }
    }

    /// Writes it down, for good when this returns.
    pub(crate) fn write(&self, storage: &Storage) -> Result<(), StorageError> {
        let content = serde_json::to_vec(self).map_err(io::Error::from);
        let written =
            content.and_then(|content| storage.replace(KEY, &content, Durability::Durable));
        written.map_err(StorageError::of(&**storage, "write", KEY))
    }
}

/// As the promise ledger hears that releases are not withheld.
pub(crate) fn not_withheld() -> PromiseEvent {
    PromiseEvent::ReleasesWithheld { agents: Vec::new(), until: None }
}

/// Why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// All have reported.
    Answered,
    /// The time is over.
    TimedOut,
    /// An operator said so.
    Ordered { by: String, reason: String },
}

/// The withholding in force, if there is one.
pub(crate) struct Withheld {
    storage: Storage,
    state: Mutex<Option<Withholding>>,
}

impl Withheld {
    pub(crate) fn open(storage: &Storage) -> Result<Self, VaultError> {
        let cannot = |action| StorageError::of(&**storage, action, KEY);
        let content = storage.read(KEY, RECORD_BYTES_MAX).map_err(cannot("read"))?;
        let parse = |content: Vec<u8>| serde_json::from_slice::<Withholding>(&content);
        let state = content.map(parse).transpose();
        let state = state.map_err(|error| cannot("understand")(error.into()))?;
        if let Some(newer) = state.as_ref().filter(|state| state.version > VERSION) {
            let text = format!("version {} is newer than this program", newer.version);
            return Err(
                cannot("understand")(io::Error::new(io::ErrorKind::InvalidData, text)).into()
            );
        }
        Ok(Self { storage: Storage::clone(storage), state: Mutex::new(state) })
    }

    /// What is in force.
    pub(crate) fn get(&self) -> Option<Withholding> {
        self.lock().clone()
    }

    /// As the promise ledger hears it.
    pub(crate) fn event(&self) -> PromiseEvent {
        self.lock().as_ref().map_or_else(not_withheld, Withholding::event)
    }

    pub(crate) fn is_in_force(&self) -> bool {
        self.lock().is_some()
    }

    /// Notes that an agent reported; what is in force now, if that was news. It is on disk when this
    /// returns.
    pub(crate) fn reported(
        &self,
        agent: &str,
        now: Timestamp,
    ) -> Result<Option<Withholding>, VaultError> {
        let mut state = self.lock();
        let Some(in_force) = &mut *state else { return Ok(None) };
        let Some(reported @ None) = in_force.agents.get_mut(agent) else { return Ok(None) };
        *reported = Some(now);
        in_force.write(&self.storage)?;
        Ok(Some(in_force.clone()))
    }

    /// How it ended, if it has ended by itself.
    pub(crate) fn due(&self, now: Timestamp) -> Option<End> {
        let state = self.lock();
        let in_force = state.as_ref()?;
        if in_force.waited_for().is_empty() {
            Some(End::Answered)
        } else if now >= in_force.until {
            Some(End::TimedOut)
        } else {
            None
        }
    }

    /// Ends it for good.
    pub(crate) fn end(&self) -> Result<(), VaultError> {
        let mut state = self.lock();
        self.storage.remove(KEY).map_err(StorageError::of(&*self.storage, "remove", KEY))?;
        *state = None;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Withholding>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::core::storage::memory::MemoryStorage;

    #[test]
    fn releases_are_withheld_over_restarts_until_all_reported_or_the_time_is_over() {
        let storage: Storage = Arc::new(MemoryStorage::default());
        let at = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
        assert!(!Withheld::open(&storage).unwrap().is_in_force());
        let agents = ["eu-1".to_owned(), "us-1".to_owned()];
        Withholding::new(at(0), at(100), agents).write(&storage).unwrap();
        let withheld = Withheld::open(&storage).unwrap();
        assert_eq!((withheld.is_in_force(), withheld.due(at(99))), (true, None));
        assert_eq!(withheld.due(at(100)), Some(End::TimedOut));
        // A stranger's word changes nothing, and a second one of the same agent is no news.
        assert_eq!(withheld.reported("eu-9", at(1)).unwrap(), None);
        let left = withheld.reported("eu-1", at(1)).unwrap().unwrap();
        assert_eq!(left.waited_for(), ["us-1"]);
        assert_eq!(withheld.reported("eu-1", at(2)).unwrap(), None);

        let again = Withheld::open(&storage).unwrap();
        assert_eq!(again.get().unwrap(), left);
        again.reported("us-1", at(3)).unwrap().unwrap();
        assert_eq!(again.due(at(3)), Some(End::Answered));
        again.end().unwrap();
        assert!(!again.is_in_force() && !Withheld::open(&storage).unwrap().is_in_force());

        storage.replace(KEY, b"{}", Durability::Durable).unwrap();
        let error = Withheld::open(&storage).err().unwrap().to_string();
        assert!(error.contains(KEY), "{error}");
    }
}
