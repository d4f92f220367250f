//! How a schedule is kept, told in a file: for a probe, for people, and for the agent whose source it is.

use std::path::Path;

use anyhow::Result;
use outlast_fs::durable;
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

const BYTES_MAX: u64 = 64 << 10;
const MODE: u32 = 0o644;

/// The state in which a drop is made.
pub(crate) const DROPPING: &str = "dropping";

/// The state, as it is told to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) workload: String,
    /// `waiting`, `dropping`, or `failing`: the last attempt failed, and another one comes.
    pub(crate) state: String,
    /// Since when it is in that state.
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    pub(crate) process: u32,
    /// The due time that is served, or the next one.
    pub(crate) due: Option<Timestamp>,
    pub(crate) last_drop: Option<String>,
    /// When there last was a drop for a due time.
    pub(crate) last_success: Option<Timestamp>,
    /// What the last drop took on the share.
    #[serde(default)]
    pub(crate) stored_bytes: Option<u64>,
    /// What is missing in the last drop, if something is.
    #[serde(default)]
    pub(crate) gaps: Option<String>,
    pub(crate) failures: u32,
    /// Why the last attempt failed, until one does not.
    pub(crate) problem: Option<String>,
}

impl Status {
    /// Nothing has been done yet.
    pub(super) fn new(workload: &str) -> Self {
        Self {
            workload: workload.to_owned(),
            state: "waiting".to_owned(),
            since: None,
            process: std::process::id(),
            due: None,
            last_drop: None,
            last_success: None,
            stored_bytes: None,
            gaps: None,
            failures: 0,
            problem: None,
        }
    }

    /// What the file at `path` tells, if it does.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&durable::read_bounded(path, BYTES_MAX).ok()?).ok()
    }

    /// Writes `text`, which is a status, into the file at `path`.
    pub(super) fn write(path: &Path, text: &str) -> Result<()> {
        Ok(durable::replace(path, text.as_bytes(), MODE)?)
    }
}
