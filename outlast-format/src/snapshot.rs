//! Snapshots: one backup, as a small JSON document that points to its tree.

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{BlobId, FormatError, SnapshotId};

const OBJECT: &str = "snapshot";

/// One backup. Fields that are not known are ignored when one is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    pub tree: BlobId,
    /// The sources of the backup, as absolute paths.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub paths: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub excludes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub tags: Vec<String>,
    /// The snapshot that this one is a changed copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<SnapshotId>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// A backup in numbers; restic 0.17 and later record it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub backup_start: Timestamp,
    pub backup_end: Timestamp,
    #[serde(default)]
    pub files_new: u64,
    #[serde(default)]
    pub files_changed: u64,
    #[serde(default)]
    pub files_unmodified: u64,
    #[serde(default)]
    pub dirs_new: u64,
    #[serde(default)]
    pub dirs_changed: u64,
    #[serde(default)]
    pub dirs_unmodified: u64,
    #[serde(default)]
    pub data_blobs: u64,
    #[serde(default)]
    pub tree_blobs: u64,
    /// Bytes of new blobs before compression and sealing.
    #[serde(default)]
    pub data_added: u64,
    /// Bytes of new blobs as they lie in the packs.
    #[serde(default)]
    pub data_added_packed: u64,
    #[serde(default)]
    pub total_files_processed: u64,
    #[serde(default)]
    pub total_bytes_processed: u64,
}

impl Summary {
    /// A summary that counts nothing yet.
    pub fn new(backup_start: Timestamp, backup_end: Timestamp) -> Self {
        Self {
            backup_start,
            backup_end,
            files_new: 0,
            files_changed: 0,
            files_unmodified: 0,
            dirs_new: 0,
            dirs_changed: 0,
            dirs_unmodified: 0,
            data_blobs: 0,
            tree_blobs: 0,
            data_added: 0,
            data_added_packed: 0,
            total_files_processed: 0,
            total_bytes_processed: 0,
        }
    }
}

impl Snapshot {
    /// A snapshot of `tree` taken at `time`, everything else empty.
    pub fn new(time: Timestamp, tree: BlobId) -> Self {
        Self {
            time,
            parent: None,
            tree,
            paths: Vec::new(),
            hostname: String::new(),
            username: String::new(),
            uid: 0,
            gid: 0,
            excludes: Vec::new(),
            tags: Vec::new(),
            original: None,
            program_version: String::new(),
            summary: None,
        }
    }

    /// Reads the JSON document of a snapshot.
    pub fn parse(document: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(document).map_err(|e| FormatError::json(OBJECT, &e))
    }

    /// The JSON document.
    pub fn serialize(&self) -> Result<Vec<u8>, FormatError> {
        serde_json::to_vec(self).map_err(|e| FormatError::json(OBJECT, &e))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// Go writes an empty list as `null` when it was never made.
fn null_as_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sha256Id;

    #[test]
    fn a_snapshot_survives_its_document() {
        let at = Timestamp::from_unix(1_790_000_000, 5).unwrap();
        let mut snapshot = Snapshot::new(at, BlobId::of(b"tree"));
        let parse = |s: &Snapshot| Snapshot::parse(&s.serialize().unwrap()).unwrap();
        assert_eq!(parse(&snapshot), snapshot);
        snapshot.parent = Some(SnapshotId([1; 32]));
        snapshot.original = Some(SnapshotId([2; 32]));
        snapshot.paths = vec!["/srv/<shop>".into()];
        snapshot.hostname = "agent".into();
        snapshot.username = "outlast".into();
        (snapshot.uid, snapshot.gid) = (7, 8);
        snapshot.excludes = vec!["*.tmp".into()];
        snapshot.tags = vec!["drop".into(), "blue".into()];
        snapshot.program_version = "outlast 0.1.0".into();
        snapshot.summary = Some(Summary { files_new: 3, ..Summary::new(at, at) });
        assert_eq!(parse(&snapshot), snapshot);
    }

    #[test]
    fn what_is_not_known_or_missing_is_tolerated() {
        let tree = BlobId::of(b"tree");
        let text = format!(
            r#"{{"time":"2026-01-31T04:00:00.5+05:45","tree":"{tree}","paths":null,"future":{{"a":[1]}},
                "summary":{{"backup_start":"2026-01-31T04:00:00Z","backup_end":"2026-01-31T04:00:01Z"}}}}"#
        );
        let snapshot = Snapshot::parse(text.as_bytes()).unwrap();
        assert_eq!((snapshot.tree, snapshot.paths.len()), (tree, 0));
        assert!(Snapshot::parse(br#"{"time":"2026-01-31T04:00:00Z"}"#).is_err(), "no tree");
    }
}
