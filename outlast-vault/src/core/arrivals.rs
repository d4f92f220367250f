//! Arrival records: what the vault knows of a snapshot that the snapshot itself cannot tell.
//!
//! A snapshot holds what its writer says. When it came by the vault's own clock, which drop it is
//! and the receipt that was given out for it lie beside the repository, one small file each, so
//! that the catalog can be lost and rebuilt to the byte (I6). The record of a drop is written
//! *before* its snapshot is published: a snapshot in the repository always has its record, and a
//! record without a snapshot says nothing.

use std::path::{Path, PathBuf};

use outlast_catalog::SnapshotRecord;
use outlast_fs::durable;
use outlast_types::{DropId, SnapshotId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::VaultError;
use crate::core::presence;

const VERSION: u32 = 1;
const RECORD_BYTES_MAX: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
struct Form {
    version: u32,
    workload: WorkloadName,
    snapshot: SnapshotId,
    drop: Option<DropId>,
    received: Timestamp,
    content_bytes: u64,
    stored_bytes: u64,
    claims: serde_json::Value,
    receipt: Option<String>,
}

/// The arrival records of a vault.
pub(crate) struct Arrivals {
    directory: PathBuf,
}

impl Arrivals {
    pub(crate) fn open(dir: &Path) -> Self {
        Self { directory: dir.join("arrivals") }
    }

    /// The record of a drop, if one was written. Whether its snapshot was published is another
    /// question.
    pub(crate) fn of_drop(
        &self,
        workload: &WorkloadName,
        drop: DropId,
    ) -> Result<Option<SnapshotRecord>, VaultError> {
        let path = self.workload(workload).join(format!("{drop}.json"));
        match durable::read_bounded(&path, RECORD_BYTES_MAX) {
            Ok(content) => parse(&path, workload, &content).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(VaultError::io("read", path)(error)),
        }
    }

    /// All records of a workload, in no order.
    pub(crate) fn all(&self, workload: &WorkloadName) -> Result<Vec<SnapshotRecord>, VaultError> {
        let directory = self.workload(workload);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(VaultError::io("list", directory)(error)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let entry = entry.map_err(VaultError::io("list", &directory))?;
            if durable::is_temporary(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            let content = durable::read_bounded(&path, RECORD_BYTES_MAX)
                .map_err(VaultError::io("read", &path))?;
            records.push(parse(&path, workload, &content)?);
        }
        Ok(records)
    }

    /// The workloads that have records, in no order.
    pub(crate) fn workloads(&self) -> Result<Vec<WorkloadName>, VaultError> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(VaultError::io("list", &self.directory)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(VaultError::io("list", &self.directory))?.file_name();
            let Some(name) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if self.is_any(&name)? {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Whether the workload has any record.
    pub(crate) fn is_any(&self, workload: &WorkloadName) -> Result<bool, VaultError> {
        let directory = self.workload(workload);
        match std::fs::read_dir(&directory) {
            Ok(mut entries) => Ok(entries
                .any(|entry| entry.is_ok_and(|entry| !durable::is_temporary(&entry.file_name())))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(VaultError::io("list", directory)(error)),
        }
    }

    /// Takes the workload's records out of the way: they are of a repository that is lost.
    pub(crate) fn set_aside(&self, workload: &WorkloadName, stamp: &str) -> Result<(), VaultError> {
        let path = self.workload(workload);
        presence::set_aside(&path, stamp).map_err(VaultError::io("set aside", path))?;
        Ok(())
    }

    /// Writes a record, in place of that of an earlier attempt whose snapshot was not published.
    pub(crate) fn put(&self, record: &SnapshotRecord) -> Result<(), VaultError> {
        let directory = self.workload(&record.workload);
        durable::create_directories(&directory, 0o700)
            .map_err(VaultError::io("create", &directory))?;
        let name = record
            .drop
            .map_or_else(|| format!("{}.json", record.snapshot), |drop| format!("{drop}.json"));
        let path = directory.join(name);
        let form = Form {
            version: VERSION,
            workload: record.workload.clone(),
            snapshot: record.snapshot,
            drop: record.drop,
            received: record.received,
            content_bytes: record.content_bytes,
            stored_bytes: record.stored_bytes,
            claims: record.claims.clone(),
            receipt: record.receipt.clone(),
        };
        let content = serde_json::to_vec(&form).map_err(|error| VaultError::BadArrival {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        durable::replace(&path, &content, 0o600).map_err(VaultError::io("write", path))
    }

    fn workload(&self, workload: &WorkloadName) -> PathBuf {
        self.directory.join(workload.as_str())
    }
}

fn parse(
    path: &Path,
    workload: &WorkloadName,
    content: &[u8],
) -> Result<SnapshotRecord, VaultError> {
    let bad = |reason: String| VaultError::BadArrival { path: path.to_owned(), reason };
    let form: Form = serde_json::from_slice(content).map_err(|error| bad(error.to_string()))?;
    if form.version > VERSION {
        return Err(bad(format!("version {} is newer than this program", form.version)));
    }
    if form.workload != *workload {
        return Err(bad(format!("it is of workload {}", form.workload)));
    }
    Ok(SnapshotRecord {
        workload: form.workload,
        snapshot: form.snapshot,
        drop: form.drop,
        received: form.received,
        content_bytes: form.content_bytes,
        stored_bytes: form.stored_bytes,
        claims: form.claims,
        receipt: form.receipt,
    })
}
