//! Shipments on their way: drops that an agent began to ship, and that are neither published nor over.
//!
//! What such a drop brought, and what it rests on, no snapshot needs yet. So each is a record beside the
//! repositories, where whoever prunes one of them finds it (`crate::process::awaited`), also when the vault does not
//! run or the repositories were moved to another host. A record that is lost costs bytes that are sent
//! again: before it publishes, the vault looks whether all is there.
//!
//! A shipment is over when its drop is published, when its agent cancels it, or when nothing came of it for
//! [`SHIPMENT_IDLE_MAX`] by the vault's clock. How much came is written now and then, and not with each object.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_promise::Source;
use outlast_types::{ContentHash, Day, DropId, ShareId, Timestamp, WorkloadName};
use outlast_wire::api::{BeginShipment, SHIPMENT_IDLE_MAX};
use serde::{Deserialize, Serialize};

use super::ended::{Ended, Shipment};
use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

/// Beside the repositories, under a name that no workload has.
const FOLDER: &str = "repos/.shipments";
/// The same, seen from where the repositories lie.
pub(crate) const BESIDE_REPOSITORIES: &str = ".shipments";
const VERSION: u32 = 1;
pub(crate) const RECORD_BYTES_MAX: u64 = 16 << 10;

/// Shipments of one workload that may be open: drops of two months, one each hour. And of all.
const OPEN_MAX_OF_ONE: usize = 1500;
const OPEN_MAX: usize = 100_000;

/// After a start nothing is over for so long: agents may have waited for this vault.
const AFTER_START: Duration = Duration::from_secs(24 * 60 * 60);

/// A shipment, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenShipment {
    version: u32,
    pub(crate) share: ShareId,
    pub(crate) day: Day,
    pub(crate) seal: ContentHash,
    pub(crate) size: u64,
    /// Who began it.
    pub(crate) agent: String,
    /// When its agent says that it began. What was cancelled before then is another attempt.
    said: Timestamp,
    /// Since when what is there may be needed by it: by the vault's clock, or earlier if the agent says so,
    /// since its words may have waited for the vault.
    pub(crate) since: Timestamp,
    /// When something of it last came.
    pub(crate) last: Timestamp,
    /// What came of it.
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

struct Known {
    shipment: OpenShipment,
    is_saved: bool,
}

/// All shipments of a vault that are open.
pub(crate) struct Shipments {
    storage: Storage,
    /// When this run of the vault began.
    began: Timestamp,
    open: Mutex<BTreeMap<(WorkloadName, DropId), Known>>,
    /// The newest of those that ended.
    ended: Mutex<Ended>,
    /// Of which agents and shares something came since somebody asked.
    moved: Mutex<BTreeSet<Source>>,
}

impl Shipments {
    /// Goes on with those that are recorded.
    pub(crate) fn open(storage: &Storage, now: Timestamp) -> Result<Self, StorageError> {
        let mut open = BTreeMap::new();
        for (workload, drop) in listed(storage)? {
            let key = key_of(&workload, drop);
            let cannot = |action| StorageError::of(&**storage, action, &key);
            let content = storage.read(&key, RECORD_BYTES_MAX).map_err(cannot("read"))?;
            let Some(content) = content else { continue };
            match parse(&content) {
                Ok(shipment) => {
                    open.insert((workload, drop), Known { shipment, is_saved: true });
                }
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    return Err(cannot("understand")(error));
                }
                // Whoever prunes waits for somebody to look at it.
                Err(error) => tracing::error!(key, %error, "a shipment's record is not one"),
            }
        }
        let ended = Ended::open(storage, |shipment| open.contains_key(shipment))?;
        Ok(Self {
            storage: Storage::clone(storage),
            began: now,
            open: Mutex::new(open),
            ended: Mutex::new(ended),
            moved: Mutex::default(),
        })
    }

    /// Begins a shipment, durably; whether it was not begun before.
    pub(crate) fn begin(
        &self,
        begin: &BeginShipment,
        agent: &str,
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        let mut open = self.known();
        let key = (begin.workload.clone(), begin.drop);
        let known = open.get(&key).map(|known| &known.shipment);
        if known.is_none() {
            let of_one = open.keys().filter(|(workload, _)| *workload == begin.workload).count();
            if open.len() >= OPEN_MAX || of_one >= OPEN_MAX_OF_ONE {
                let reason = format!(
                    "{of_one} drops of {} are on their way already; more are taken when some of them \
                     have come, or were cancelled",
                    begin.workload
                );
                return Err(VaultError::Busy { reason });
            }
        }
        // Earlier only protects more, for as long as it would be open without a sign of life.
        let earliest = now.saturating_sub(SHIPMENT_IDLE_MAX);
        let since = begin.at.min(now).max(earliest);
        let shipment = OpenShipment {
            version: VERSION,
            share: begin.share,
            day: begin.day,
            seal: begin.seal,
            size: begin.size,
            agent: agent.to_owned(),
            said: known.map_or(begin.at, |known| known.said.max(begin.at)),
            since: known.map_or(since, |known| known.since.min(since)),
            last: now,
            objects: known.map_or(0, |known| known.objects),
            bytes: known.map_or(0, |known| known.bytes),
        };
        let is_new = known.is_none();
        self.write(&key, &shipment, Durability::Durable)?;
        // Whatever is open is not over, whatever else is found at a start.
        self.ended().forget(&key);
        open.insert(key, Known { shipment, is_saved: true });
        Ok(is_new)
    }

    /// Ends a shipment that was begun no later than `said`, by its agent's clock.
    pub(crate) fn cancel(
        &self,
        workload: &WorkloadName,
        drop: DropId,
        (said, now): (Timestamp, Timestamp),
    ) -> Result<Option<OpenShipment>, VaultError> {
        let is_later = self.get(workload, drop).is_some_and(|known| known.said > said);
        if is_later { Ok(None) } else { self.give_up(workload, drop, now) }
    }

    /// Ends a shipment of which nothing will come, for good; what it was, if it was open.
    pub(crate) fn give_up(
        &self,
        workload: &WorkloadName,
        drop: DropId,
        now: Timestamp,
    ) -> Result<Option<OpenShipment>, VaultError> {
        self.finish(workload, drop, |ended, shipment| ended.give_up(shipment, now))
    }

    /// Ends a shipment whose drop is published; what it was, if it was open.
    pub(crate) fn end(
        &self,
        workload: &WorkloadName,
        drop: DropId,
    ) -> Result<Option<OpenShipment>, VaultError> {
        self.finish(workload, drop, |ended, shipment| {
            ended.note(shipment);
            Ok(())
        })
    }

    fn finish(
        &self,
        workload: &WorkloadName,
        drop: DropId,
        note: impl FnOnce(&mut Ended, &Shipment) -> Result<(), StorageError>,
    ) -> Result<Option<OpenShipment>, VaultError> {
        let mut open = self.known();
        let key = (workload.clone(), drop);
        note(&mut self.ended(), &key)?;
        if !open.contains_key(&key) {
            return Ok(None);
        }
        let record = key_of(workload, drop);
        let cannot = StorageError::of(&*self.storage, "remove", &record);
        self.storage.remove(&record).map_err(cannot)?;
        Ok(open.remove(&key).map(|known| known.shipment))
    }

    /// Whether a shipment ended, and was not begun again.
    pub(crate) fn has_ended(&self, workload: &WorkloadName, drop: DropId) -> bool {
        let shipment = (workload.clone(), drop);
        // In this order they are locked where both change.
        let open = self.known();
        !open.contains_key(&shipment) && self.ended().contains(&shipment)
    }

    /// Forgets shipments that ended so long ago that nobody asks after them any more.
    pub(crate) fn forget_ended(&self, now: Timestamp) {
        self.ended().expire(now);
    }

    /// Ends all shipments of a workload, whose repository is begun anew.
    pub(crate) fn end_all(
        &self,
        workload: &WorkloadName,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let drops: Vec<DropId> = self.of(workload).into_iter().map(|(drop, _)| drop).collect();
        drops.into_iter().try_for_each(|drop| self.give_up(workload, drop, now).map(|_| ()))
    }

    /// Notes that something of a shipment came: so many objects and bytes, or none.
    pub(crate) fn progressed(
        &self,
        workload: &WorkloadName,
        drop: DropId,
        (objects, bytes): (u64, u64),
        now: Timestamp,
    ) {
        let mut open = self.known();
        if let Some(known) = open.get_mut(&(workload.clone(), drop)) {
            let shipment = &mut known.shipment;
            shipment.last = now;
            shipment.objects = shipment.objects.saturating_add(objects);
            shipment.bytes = shipment.bytes.saturating_add(bytes);
            known.is_saved = false;
            let source = Source { agent: shipment.agent.clone(), share: Some(shipment.share) };
            if objects > 0 {
                self.moved.lock().unwrap_or_else(PoisonError::into_inner).insert(source);
            }
        }
    }

    /// The agents and shares of which something came since this was asked last.
    pub(crate) fn take_moved(&self) -> BTreeSet<Source> {
        std::mem::take(&mut *self.moved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those of which nothing came for too long.
    pub(crate) fn idle(&self, now: Timestamp) -> Vec<(WorkloadName, DropId)> {
        if now.since(self.began) < AFTER_START {
            return Vec::new();
        }
        let open = self.known();
        let is_idle = |known: &Known| now.since(known.shipment.last) >= SHIPMENT_IDLE_MAX;
        open.iter().filter(|(_, known)| is_idle(known)).map(|(key, _)| key.clone()).collect()
    }

    /// Writes how much came.
    pub(crate) fn save(&self) -> Result<(), VaultError> {
        let mut open = self.known();
        for (key, known) in open.iter_mut().filter(|(_, known)| !known.is_saved) {
            self.write(key, &known.shipment, Durability::Durable)?;
            known.is_saved = true;
        }
        Ok(())
    }

    /// A shipment, if it is open.
    pub(crate) fn get(&self, workload: &WorkloadName, drop: DropId) -> Option<OpenShipment> {
        self.known().get(&(workload.clone(), drop)).map(|known| known.shipment.clone())
    }

    /// All that are open.
    pub(crate) fn all(&self) -> Vec<(WorkloadName, DropId)> {
        self.known().keys().cloned().collect()
    }

    /// Those of a workload.
    pub(crate) fn of(&self, workload: &WorkloadName) -> Vec<(DropId, OpenShipment)> {
        let open = self.known();
        let of_one = open.iter().filter(|((of, _), _)| of == workload);
        of_one.map(|((_, drop), known)| (*drop, known.shipment.clone())).collect()
    }

    /// Since when what is there of a workload's repository may be needed by what is on its way.
    pub(crate) fn since(&self, workload: &WorkloadName) -> Option<Timestamp> {
        self.of(workload).into_iter().map(|(_, shipment)| shipment.since).min()
    }

    fn write(
        &self,
        (workload, drop): &(WorkloadName, DropId),
        shipment: &OpenShipment,
        durability: Durability,
    ) -> Result<(), StorageError> {
        let key = key_of(workload, *drop);
        let cannot = || StorageError::of(&*self.storage, "write", &key);
        let content = serde_json::to_vec(shipment).map_err(io::Error::other).map_err(cannot())?;
        self.storage.replace(&key, &content, durability).map_err(cannot())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<(WorkloadName, DropId), Known>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shipments of which there are records.
fn listed(storage: &Storage) -> Result<Vec<(WorkloadName, DropId)>, StorageError> {
    let list =
        |folder: &str| storage.list(folder).map_err(StorageError::of(&**storage, "list", folder));
    let mut listed = Vec::new();
    for workload in list(FOLDER)? {
        // What is not named like that was not put there by us.
        let Ok(workload) = workload.parse::<WorkloadName>() else { continue };
        for name in list(&format!("{FOLDER}/{workload}"))? {
            let drop = name.strip_suffix(".json").and_then(|drop| drop.parse().ok());
            listed.extend(drop.map(|drop| (workload.clone(), drop)));
        }
    }
    Ok(listed)
}

fn key_of(workload: &WorkloadName, drop: DropId) -> String {
    format!("{FOLDER}/{workload}/{drop}.json")
}

fn parse(content: &[u8]) -> io::Result<OpenShipment> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let invalid = |error: serde_json::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let head: Head = serde_json::from_slice(content).map_err(invalid)?;
    if head.version > VERSION {
        let text = format!("version {} is newer than this program", head.version);
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    serde_json::from_slice(content).map_err(invalid)
}

/// Since when a recorded shipment may need what is there. A record that cannot be understood counts as one
/// of long ago: nothing must go for its sake.
pub(crate) fn since_of(record: &[u8]) -> Timestamp {
    parse(record).map_or(Timestamp::EPOCH, |shipment| shipment.since)
}

#[cfg(test)]
mod tests;
