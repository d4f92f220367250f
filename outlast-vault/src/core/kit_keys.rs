//! Looking after the key files by which recovery kits open repositories.

use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use super::audit::{AuditAction, Event};
use super::error::VaultError;
use super::jobs::Progress;
use super::kit::{self, KeptKeys, KitSecret};
use super::storage::{Storage, StorageError};
use super::vault::Vault;

/// Left to others between two repositories.
const PACE: Duration = Duration::from_millis(50);

const MADE_FOLDER: &str = "recovery/kits";
const MADE_BYTES_MAX: u64 = 64 << 10;

/// A kit that somebody made beside a vault, until its audit log has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MadeKit {
    pub(crate) kit: String,
    pub(crate) at: Timestamp,
    /// Of the secret that it holds.
    pub(crate) generation: u64,
    /// Whether kits of earlier secrets are to be made worthless.
    pub(crate) replaces: bool,
    /// The user of the host who made it.
    pub(crate) by: String,
}

impl MadeKit {
    pub(crate) fn key(&self) -> String {
        format!("{MADE_FOLDER}/{}.json", self.kit)
    }
}

impl Vault {
    /// Sees to it that the newest secret for kits, and no earlier one, opens every repository, and tells
    /// the audit log of kits that were made. What was seen to once is not looked at again before the next
    /// start.
    pub(crate) fn keep_kit_keys(&self, progress: &Progress) -> Result<String, VaultError> {
        self.note_kits()?;
        let secrets = kit::secrets(&*self.storage)?;
        let Some(newest) = secrets.last() else { return Ok("there is no secret".to_owned()) };
        let workloads = self.repositories.workloads()?;
        let due = self.opened_by_kits.lacking(newest.generation, workloads);
        let (mut added, mut absent) = (0, 0);
        progress.each(due, PACE, |workload| {
            match self.keep_kit_key(workload, &secrets)? {
                Some(kept) => added += u64::from(kept.added.is_some()),
                None => absent += 1,
            }
            Ok(())
        })?;
        // What is missing may come back with key files of before.
        if absent == 0
            && secrets.len() > 1
            && !progress.is_stopped()
            && self.own_state_follows(newest)
        {
            for KitSecret { generation, .. } in &secrets[..secrets.len() - 1] {
                kit::remove(&*self.storage, *generation)?;
                tracing::info!(generation, "kits of this generation open nothing any more");
            }
        }
        Ok(format!("kits open {added} more repositories; {absent} are not there"))
    }

    /// The same of one repository; `None` if it is not there.
    fn keep_kit_key(
        &self,
        workload: &WorkloadName,
        secrets: &[KitSecret],
    ) -> Result<Option<KeptKeys>, VaultError> {
        let Some(repository) = self.repositories.present(workload)? else { return Ok(None) };
        let opened = repository.opened()?;
        let kept = kit::keep_key(opened, workload.as_str(), secrets, &self.environment)?;
        if let Some(key) = kept.added {
            let added = Event::by_vault(AuditAction::KeyAdded).workload(workload);
            self.audit
                .record(added.object(format!("keys/{key}")).detail("for", "recovery kits"))?;
        }
        for object in &kept.removed {
            let removed = Event::by_vault(AuditAction::KeyRemoved).workload(workload);
            self.audit.record(removed.object(object).detail("for", "recovery kits of before"))?;
        }
        if let Some(newest) = secrets.last() {
            self.opened_by_kits.note(newest.generation, workload);
        }
        Ok(Some(kept))
    }

    /// Tells the audit log of kits that were made. First the entry: a kill in between tells of one twice.
    pub(crate) fn note_kits(&self) -> Result<(), VaultError> {
        for (key, made) in made_kits(&self.storage)? {
            if let Some(MadeKit { kit, at, generation, replaces, by }) = made {
                tracing::info!(kit, by, "a recovery kit was made");
                let event = Event::by_vault(AuditAction::KitMade).object(kit).detail("made_at", at);
                let event = event.detail("made_by", by).detail("generation", generation);
                self.audit.record(event.detail("replaces_others", replaces))?;
            }
            self.storage.remove(&key).map_err(StorageError::of(&*self.storage, "remove", &key))?;
        }
        Ok(())
    }
}

/// The kits that the audit log does not know yet, and what is no word of one.
fn made_kits(storage: &Storage) -> Result<Vec<(String, Option<MadeKit>)>, StorageError> {
    let names = storage.list(MADE_FOLDER);
    let names = names.map_err(StorageError::of(&**storage, "list", MADE_FOLDER))?;
    let mut made = Vec::new();
    for name in names {
        let key = format!("{MADE_FOLDER}/{name}");
        let content = storage.read(&key, MADE_BYTES_MAX);
        let content = content.map_err(StorageError::of(&**storage, "read", &key))?;
        made.push((key, content.and_then(|content| serde_json::from_slice(&content).ok())));
    }
    Ok(made)
}
