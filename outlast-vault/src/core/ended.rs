//! Shipments that ended, with the order in which they did: media servers ask after what they hold of them.
//!
//! Of what was published the repositories tell. That a shipment was given up nothing else tells, and its agent says it once:
//! so there is a record of each, beside this vault's other ones, for as long as a media server may hold anything of it. What is in a
//! record's name is all that it says, so that a start lists them and reads none.

use std::collections::{BTreeMap, VecDeque};

use outlast_types::{DropId, Timestamp, WorkloadName};
use outlast_wire::api::SHIPMENT_IDLE_MAX;

use super::storage::{Durability, Storage, StorageError};

pub(super) const FOLDER: &str = "shipments-ended";
const SUFFIX: &str = ".json";
const CONTENT: &[u8] = b"{\"version\":1}";
/// Shipments that ended are remembered, the newest of them.
pub(super) const ENDED_MAX: usize = 10_000;

pub(super) type Shipment = (WorkloadName, DropId);

/// Those that ended, and were not begun again.
pub(super) struct Ended {
    storage: Storage,
    /// Since when those were given up of which there is a record.
    all: BTreeMap<Shipment, Option<Timestamp>>,
    order: VecDeque<Shipment>,
}

impl Ended {
    /// Those that were given up before, but for what `is_open` again: its record was about to go.
    pub(super) fn open(
        storage: &Storage,
        is_open: impl Fn(&Shipment) -> bool,
    ) -> Result<Self, StorageError> {
        let listed = storage.list(FOLDER);
        let listed = listed.map_err(StorageError::of(&**storage, "list", FOLDER))?;
        let mut found: Vec<(Timestamp, Shipment)> =
            listed.iter().filter_map(|name| parse(name)).collect();
        found.sort();
        let (all, order) = (BTreeMap::new(), VecDeque::new());
        let mut ended = Self { storage: Storage::clone(storage), all, order };
        for (at, shipment) in found {
            if is_open(&shipment) {
                ended.remove(&shipment, at);
            } else {
                ended.insert(shipment, Some(at));
            }
        }
        Ok(ended)
    }

    /// One ended, of which there is another proof.
    pub(super) fn note(&mut self, shipment: &Shipment) {
        if !self.all.contains_key(shipment) {
            self.insert(shipment.clone(), None);
        }
    }

    /// One was given up, for good.
    pub(super) fn give_up(
        &mut self,
        shipment: &Shipment,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        if self.all.get(shipment).is_some_and(Option::is_some) {
            return Ok(());
        }
        let key = key_of(shipment, now);
        let written = self.storage.replace(&key, CONTENT, Durability::Durable);
        written.map_err(StorageError::of(&*self.storage, "write", &key))?;
        self.forget(shipment);
        self.insert(shipment.clone(), Some(now));
        Ok(())
    }

    /// One begins again.
    pub(super) fn forget(&mut self, shipment: &Shipment) {
        if let Some(at) = self.all.remove(shipment) {
            self.order.retain(|known| known != shipment);
            if let Some(at) = at {
                self.remove(shipment, at);
            }
        }
    }

    pub(super) fn contains(&self, shipment: &Shipment) -> bool {
        self.all.contains_key(shipment)
    }

    /// Forgets those of which no media server holds anything any more.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let is_old = |at: &Option<Timestamp>| {
            at.is_some_and(|at| now.since(at) >= SHIPMENT_IDLE_MAX.saturating_mul(2))
        };
        let old: Vec<Shipment> =
            self.all.iter().filter(|(_, at)| is_old(at)).map(|(it, _)| it.clone()).collect();
        old.iter().for_each(|shipment| self.forget(shipment));
    }

    fn insert(&mut self, shipment: Shipment, at: Option<Timestamp>) {
        self.order.push_back(shipment.clone());
        self.all.insert(shipment, at);
        if self.order.len() > ENDED_MAX
            && let Some(oldest) = self.order.front().cloned()
        {
            self.forget(&oldest);
        }
    }

    /// What stays is found at the next start, and says what is so or is of a shipment that is open.
    fn remove(&self, shipment: &Shipment, at: Timestamp) {
        let key = key_of(shipment, at);
        if let Err(error) = self.storage.remove(&key) {
            tracing::warn!(key, %error, "cannot remove the record of a shipment that ended");
        }
    }
}

fn key_of((workload, drop): &Shipment, at: Timestamp) -> String {
    format!("{FOLDER}/{workload}.{drop}.{}{SUFFIX}", at.unix_seconds())
}

/// What is not named like that was not put there by us.
fn parse(name: &str) -> Option<(Timestamp, Shipment)> {
    let (rest, at) = name.strip_suffix(SUFFIX)?.rsplit_once('.')?;
    let (workload, drop) = rest.rsplit_once('.')?;
    let at = Timestamp::from_unix(at.parse().ok()?, 0)?;
    Some((at, (workload.parse().ok()?, drop.parse().ok()?)))
}
