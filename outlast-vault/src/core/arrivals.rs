//! Arrival records: what the vault knows of a snapshot that the snapshot itself cannot tell.
//!
//! A snapshot holds what its writer says. When it came by the vault's own clock, which drop it is
//! and the receipt that was given out for it lie beside the repository, one small file each, so
//! that the catalog can be lost and rebuilt to the byte (I6). The record of a drop is written
//! *before* its snapshot is published: a snapshot in the repository always has its record, and a
//! record without a snapshot says nothing.

use outlast_catalog::{SnapshotRecord, Terms};
use outlast_types::{DropId, Sanity, SnapshotId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::former::FormerNames;
use super::storage::{Durability, Storage, StorageError};

const FOLDER: &str = "arrivals";
/// Version 3 says what was promised of a snapshot, and which moment it brings back: a program that does not
/// know that must not judge it. Version 2 says of a drop that it is no recovery point, which nobody must take
/// it for. All others are written as version 1.
const VERSION: u32 = 3;
const VERSION_OF_DOUBTFUL: u32 = 2;
const VERSION_OF_GOOD: u32 = 1;
const RECORD_BYTES_MAX: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
struct ArrivalJson {
    version: u32,
    workload: WorkloadName,
    snapshot: SnapshotId,
    drop: Option<DropId>,
    received: Timestamp,
    content_bytes: u64,
    stored_bytes: u64,
    claims: serde_json::Value,
    receipt: Option<String>,
    #[serde(default)]
    sanity: Sanity,
    #[serde(default, skip_serializing_if = "is_nothing")]
    terms: Terms,
}

fn is_nothing(terms: &Terms) -> bool {
    *terms == Terms::default()
}

/// The arrival records of a vault.
pub(crate) struct Arrivals {
    storage: Storage,
    /// Records that came before a workload was renamed say its former name.
    names: FormerNames,
}

impl Arrivals {
    pub(crate) fn open(storage: &Storage, names: &FormerNames) -> Self {
        Self { storage: Storage::clone(storage), names: names.clone() }
    }

    /// The record of a drop, if one was written. Whether its snapshot was published is another
    /// question.
    pub(crate) fn of_drop(
        &self,
        workload: &WorkloadName,
        drop: DropId,
    ) -> Result<Option<SnapshotRecord>, VaultError> {
        self.read(workload, &format!("{}/{drop}.json", folder_of(workload)))
    }

    /// The record of a snapshot that came without a bill, if there is one.
    pub(crate) fn of_snapshot(
        &self,
        workload: &WorkloadName,
        snapshot: SnapshotId,
    ) -> Result<Option<SnapshotRecord>, VaultError> {
        self.read(workload, &format!("{}/{snapshot}.json", folder_of(workload)))
    }

    /// Removes that record: the drop of the snapshot is known, and has one of its own.
    pub(crate) fn remove_of_snapshot(
        &self,
        workload: &WorkloadName,
        snapshot: SnapshotId,
    ) -> Result<(), VaultError> {
        let key = format!("{}/{snapshot}.json", folder_of(workload));
        self.storage.remove(&key).map_err(self.cannot("remove", &key))?;
        Ok(())
    }

    /// All records of a workload, in no order.
    pub(crate) fn all(&self, workload: &WorkloadName) -> Result<Vec<SnapshotRecord>, VaultError> {
        let folder = folder_of(workload);
        let mut records = Vec::new();
        for name in self.storage.list(&folder).map_err(self.cannot("list", &folder))? {
            records.extend(self.read(workload, &format!("{folder}/{name}"))?);
        }
        Ok(records)
    }

    /// How many records a workload has.
    pub(crate) fn count(&self, workload: &WorkloadName) -> Result<usize, VaultError> {
        let folder = folder_of(workload);
        Ok(self.storage.list(&folder).map_err(self.cannot("list", &folder))?.len())
    }

    /// The workloads that have records, in no order.
    pub(crate) fn workloads(&self) -> Result<Vec<WorkloadName>, VaultError> {
        let mut workloads = Vec::new();
        for name in self.storage.list(FOLDER).map_err(self.cannot("list", FOLDER))? {
            let Ok(workload) = name.parse() else { continue };
            if self.is_any(&workload)? {
                workloads.push(workload);
            }
        }
        Ok(workloads)
    }

    /// Whether the workload has any record.
    pub(crate) fn is_any(&self, workload: &WorkloadName) -> Result<bool, VaultError> {
        let folder = folder_of(workload);
        Ok(self.storage.has_any(&folder).map_err(self.cannot("list", &folder))?)
    }

    /// Takes the workload's records out of the way: they are of a repository that is lost.
    pub(crate) fn set_aside(&self, workload: &WorkloadName, stamp: &str) -> Result<(), VaultError> {
        let folder = folder_of(workload);
        self.storage.set_aside(&folder, stamp).map_err(self.cannot("set aside", &folder))?;
        Ok(())
    }

    /// Writes a record, in place of that of an earlier attempt whose snapshot was not published.
    pub(crate) fn put(&self, record: &SnapshotRecord) -> Result<(), VaultError> {
        let folder = folder_of(&record.workload);
        let key = match record.drop {
            Some(drop) => format!("{folder}/{drop}.json"),
            None => format!("{folder}/{}.json", record.snapshot),
        };
        let form = ArrivalJson {
            version: match (is_nothing(&record.terms), record.sanity.counts()) {
                (false, _) => VERSION,
                (true, false) => VERSION_OF_DOUBTFUL,
                (true, true) => VERSION_OF_GOOD,
            },
            workload: record.workload.clone(),
            snapshot: record.snapshot,
            drop: record.drop,
            received: record.received,
            content_bytes: record.content_bytes,
            stored_bytes: record.stored_bytes,
            claims: record.claims.clone(),
            receipt: record.receipt.clone(),
            sanity: record.sanity.clone(),
            terms: record.terms.clone(),
        };
        let content = serde_json::to_vec(&form).map_err(|error| VaultError::BadArrival {
            location: self.storage.location(&key),
            reason: error.to_string(),
        })?;
        let written = self.storage.replace(&key, &content, Durability::Durable);
        Ok(written.map_err(self.cannot("write", &key))?)
    }

    fn read(
        &self,
        workload: &WorkloadName,
        key: &str,
    ) -> Result<Option<SnapshotRecord>, VaultError> {
        let content = self.storage.read(key, RECORD_BYTES_MAX).map_err(self.cannot("read", key))?;
        let parsed = content.map(|content| parse((workload, &self.names), &content)).transpose();
        parsed.map_err(|reason| VaultError::BadArrival {
            location: self.storage.location(key),
            reason,
        })
    }

    fn cannot(
        &self,
        action: &'static str,
        key: &str,
    ) -> impl FnOnce(std::io::Error) -> StorageError {
        StorageError::of(&*self.storage, action, key)
    }
}

fn folder_of(workload: &WorkloadName) -> String {
    format!("{FOLDER}/{workload}")
}

fn parse(
    (workload, names): (&WorkloadName, &FormerNames),
    content: &[u8],
) -> Result<SnapshotRecord, String> {
    let form: ArrivalJson = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    if form.version > VERSION {
        return Err(format!("version {} is newer than this program", form.version));
    }
    if names.present(&form.workload) != workload {
        return Err(format!("it is of workload {}", form.workload));
    }
    Ok(SnapshotRecord {
        workload: workload.clone(),
        snapshot: form.snapshot,
        drop: form.drop,
        received: form.received,
        content_bytes: form.content_bytes,
        stored_bytes: form.stored_bytes,
        claims: form.claims,
        receipt: form.receipt,
        sanity: form.sanity,
        terms: form.terms,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::storage::memory::MemoryStorage;

    #[test]
    fn records_of_all_versions_are_read_and_a_new_one_only_where_it_says_more() {
        let storage: Storage = Arc::new(MemoryStorage::default());
        let arrivals = Arrivals::open(&storage, &FormerNames::default());
        let workload = WorkloadName::new("shop-db").unwrap();
        let at = Timestamp::EPOCH;
        let old = SnapshotRecord {
            workload: workload.clone(),
            snapshot: SnapshotId([1; 32]),
            drop: None,
            received: at,
            content_bytes: 1,
            stored_bytes: 1,
            claims: serde_json::Value::Null,
            receipt: None,
            sanity: Sanity::default(),
            terms: Terms::default(),
        };
        let key = format!("arrivals/shop-db/{}.json", old.snapshot);
        let version = |record: &SnapshotRecord| {
            arrivals.put(record).unwrap();
            assert_eq!(arrivals.of_snapshot(&workload, record.snapshot).unwrap().unwrap(), *record);
            let text = storage.read(&key, RECORD_BYTES_MAX).unwrap().unwrap();
            serde_json::from_slice::<serde_json::Value>(&text).unwrap()["version"].clone()
        };
        assert_eq!(version(&old), 1);
        let terms = Terms {
            recovery_point: Some(at),
            class: Some("gold".into()),
            keep: Some("daily=7".into()),
            immutable_until: Some(at),
            removed: None,
        };
        assert_eq!(version(&SnapshotRecord { terms, ..old.clone() }), 3);
        // As a program of before wrote it.
        let text = format!(
            r#"{{"version":1,"workload":"shop-db","snapshot":"{}","drop":null,"received":"{at}",
                "content_bytes":1,"stored_bytes":1,"claims":null,"receipt":null}}"#,
            old.snapshot
        );
        storage.replace(&key, text.as_bytes(), Durability::Durable).unwrap();
        assert_eq!(arrivals.of_snapshot(&workload, old.snapshot).unwrap().unwrap(), old);
    }
}
