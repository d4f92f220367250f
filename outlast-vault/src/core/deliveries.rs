//! What became of drops that agents handed over to backup products: a small record of each workload, with its newest
//! drops. What came of older ones is in the audit log.
//!
//! Agents free what a product alone has by this record, and tell it again where it has forgotten. So what was heard just now stays
//! for a while, however much it is: of a workload that drops each minute, a job a day confirms a thousand drops at once. And whatever
//! is told again of old ones, the newest points stay, by which a rebuilt vault judges freshness.
//!
//! The record is what freshness is rebuilt from when the catalog was lost, for workloads of which policy counts what a
//! product confirmed. It frees nothing: the vault never lets go of its own data for it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_promise::Measure;
use outlast_types::{DropId, DropIdentity, Sanity, Timestamp, WorkloadName};
use outlast_wire::Peer;
use outlast_wire::api::{Delivery, DeliveryState};
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

const FOLDER: &str = "deliveries";
const SUFFIX: &str = ".json";
const VERSION: u32 = 1;
const RECORD_BYTES_MAX: u64 = 8 << 20;
/// Drops of one workload that are remembered, of which was heard last.
const DROPS_MAX: usize = 100;
/// The same, if all was heard within [`FRESH`].
const FRESH_MAX: usize = 2000;
/// So long whoever told of a drop may come back to free it.
const FRESH: Duration = Duration::from_secs(3600);
/// The newest recovery points, which stay whenever something was heard of them.
const POINTS_MAX: usize = 50;

/// What became of one drop in one hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivered {
    pub(crate) drop: DropIdentity,
    pub(crate) handover: String,
    pub(crate) agent: Peer,
    /// The moment that it brings back, as it was believed when it was first told of.
    pub(crate) point: Timestamp,
    /// What the vault thinks of its content, of which it has but the agent's word: judged when it was first told
    /// of, if the vault did not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sanity: Option<Sanity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read: Option<Step>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirmed: Option<Step>,
    /// After that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) withdrawn: Option<Step>,
}

/// A step that it took, and when that was heard, by the vault's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) heard: Timestamp,
    pub(crate) told: Delivery,
}

impl Delivered {
    /// A drop of which nothing was told yet.
    pub(crate) fn new(
        drop: DropIdentity,
        (handover, agent): (String, Peer),
        point: Timestamp,
        sanity: Option<Sanity>,
    ) -> Self {
        let (read, confirmed, withdrawn) = (None, None, None);
        Self { drop, handover, agent, point, sanity, read, confirmed, withdrawn }
    }

    /// The product has it, by all that was told.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.is_some() && self.withdrawn.is_none()
    }

    /// What is thought of its content: by the vault, or else by its agent.
    pub(crate) fn sanity(&self) -> Sanity {
        let said = || self.last_told().and_then(|told| told.sanity.clone());
        self.sanity.clone().or_else(said).unwrap_or_default()
    }

    /// How much is in it.
    pub(crate) fn measure(&self) -> Measure {
        let bytes = self.last_told().map_or(0, |told| told.size);
        Measure { bytes, entries: self.sanity().entries }
    }

    fn last_told(&self) -> Option<&Delivery> {
        let steps = [&self.confirmed, &self.read, &self.withdrawn];
        steps.into_iter().flatten().next().map(|step| &step.told)
    }

    /// Takes in what is told; whether that is news. What was read or confirmed stays so if it is told again.
    pub(crate) fn take(&mut self, told: &Delivery, heard: Timestamp) -> bool {
        let is_same = |step: &Option<Step>| {
            step.as_ref().is_some_and(|step| {
                // When it was learnt, an agent that begins anew says otherwise.
                let Delivery { product, jobs, evidence, by, .. } = &step.told;
                (product, jobs, evidence, by)
                    == (&told.product, &told.jobs, &told.evidence, &told.by)
            })
        };
        let step = || Some(Step { heard, told: told.clone() });
        match told.state {
            DeliveryState::Read if self.read.is_some() || self.is_confirmed() => return false,
            DeliveryState::Read => self.read = step(),
            DeliveryState::Confirmed if self.is_confirmed() && is_same(&self.confirmed) => {
                return false;
            }
            DeliveryState::Confirmed => (self.confirmed, self.withdrawn) = (step(), None),
            // Of what was forgotten that it was confirmed, it is news all the same.
            DeliveryState::Withdrawn if self.withdrawn.is_some() => return false,
            DeliveryState::Withdrawn => self.withdrawn = step(),
        }
        true
    }

    fn last_heard(&self) -> Option<Timestamp> {
        let steps = [&self.read, &self.confirmed, &self.withdrawn].into_iter().flatten();
        steps.map(|step| step.heard).max()
    }
}

#[derive(Serialize, Deserialize)]
struct DeliveriesJson {
    version: u32,
    drops: Vec<Delivered>,
}

/// The records of all workloads.
pub(crate) struct Deliveries {
    storage: Storage,
    /// Held while a record is read and written.
    writing: Mutex<()>,
}

impl Deliveries {
    pub(crate) fn open(storage: &Storage) -> Self {
        Self { storage: Storage::clone(storage), writing: Mutex::default() }
    }

    /// Held by whoever changes a record.
    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a workload's drops, those first that were heard of first.
    pub(crate) fn of(&self, workload: &WorkloadName) -> Result<Vec<Delivered>, VaultError> {
        let key = key_of(workload);
        let cannot = || StorageError::of(&*self.storage, "read", &key);
        let content = self.storage.read(&key, RECORD_BYTES_MAX).map_err(cannot())?;
        let Some(content) = content else { return Ok(Vec::new()) };
        let record: DeliveriesJson =
            serde_json::from_slice(&content).map_err(|error| cannot()(error.into()))?;
        if record.version > VERSION {
            let newer = std::io::Error::other("it is of a newer release: use that");
            return Err(cannot()(newer).into());
        }
        Ok(record.drops)
    }

    /// Writes the record of a workload, without the drops that are too many.
    pub(crate) fn put(
        &self,
        workload: &WorkloadName,
        drops: Vec<Delivered>,
    ) -> Result<(), VaultError> {
        let key = key_of(workload);
        let cannot = || StorageError::of(&*self.storage, "write", &key);
        let content = written(remembered(drops)).map_err(|error| cannot()(error.into()))?;
        let written = self.storage.replace(&key, &content, Durability::Durable);
        Ok(written.map_err(cannot())?)
    }

    /// The workloads of which there is a record.
    pub(crate) fn workloads(&self) -> Result<Vec<WorkloadName>, VaultError> {
        let listed = self.storage.list(FOLDER);
        let listed = listed.map_err(StorageError::of(&*self.storage, "list", FOLDER))?;
        let names = listed.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok());
        Ok(names.collect())
    }
}

/// Those of a workload's drops that are remembered.
fn remembered(mut drops: Vec<Delivered>) -> Vec<Delivered> {
    drops.sort_by_key(Delivered::last_heard);
    // By what was heard last: the clock may have been set back since.
    let newest = drops.last().and_then(Delivered::last_heard);
    let is_fresh = |it: &Delivered| {
        newest.zip(it.last_heard()).is_some_and(|(newest, heard)| newest.since(heard) < FRESH)
    };
    let fresh = drops.iter().filter(|it| is_fresh(it)).count();
    let room = fresh.clamp(DROPS_MAX, FRESH_MAX);
    let beyond = drops.len().saturating_sub(room);
    if beyond == 0 {
        return drops;
    }
    let mut points: Vec<_> = drops.iter().filter(|it| it.is_confirmed()).collect();
    points.sort_by_key(|it| Reverse(it.point));
    let kept: BTreeSet<(String, DropId)> =
        points.into_iter().take(POINTS_MAX).map(|it| (it.handover.clone(), it.drop.drop)).collect();
    let mut left = beyond;
    drops.retain(|it| {
        let goes = left > 0 && !kept.contains(&(it.handover.clone(), it.drop.drop));
        left -= usize::from(goes);
        !goes
    });
    drops
}

/// A record that can be read again, however many words products have: jobs of older drops go first, then the drops of which was
/// heard longest ago.
fn written(drops: Vec<Delivered>) -> serde_json::Result<Vec<u8>> {
    let mut record = DeliveriesJson { version: VERSION, drops };
    let mut is_short = false;
    loop {
        let content = serde_json::to_vec(&record)?;
        if content.len() as u64 <= RECORD_BYTES_MAX || record.drops.is_empty() {
            return Ok(content);
        }
        if is_short {
            let quarter = record.drops.len().div_ceil(4);
            record.drops.drain(..quarter);
        }
        for it in &mut record.drops {
            let steps = [&mut it.read, &mut it.confirmed, &mut it.withdrawn];
            steps.into_iter().flatten().for_each(|step| step.told.jobs.truncate(1));
        }
        is_short = true;
    }
}

fn key_of(workload: &WorkloadName) -> String {
    format!("{FOLDER}/{workload}{SUFFIX}")
}

#[cfg(test)]
mod tests;
