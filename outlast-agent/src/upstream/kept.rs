//! Answers that gave repository keys, kept as they came: sealed to the agent's own box key.
//!
//! An agent that starts while neither vault nor media server answers goes on by them, for a day at most, as
//! the one that asked, with the certificate with which it asked. Whoever takes the files has ciphertext.
//! Each may be lost.

use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::client::Answered;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const BYTES_MAX: u64 = 256 << 10;

/// How long an answer is of use.
const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);

/// The answers of an agent, by workload.
pub(super) struct KeptAnswers(Option<PathBuf>);

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// When it was given: by the vault's clock, or by ours if that is behind.
    at: Timestamp,
    #[serde(flatten)]
    answered: Answered,
}

impl KeptAnswers {
    /// Keeps nothing.
    pub(super) fn nowhere() -> Self {
        Self(None)
    }

    pub(super) fn below(directory: &Path) -> Self {
        Self(Some(directory.to_owned()))
    }

    /// Keeps an answer that the vault gave at `at` by its clock and that came at `now` by ours.
    pub(super) fn keep(&self, answered: &Answered, at: Timestamp, now: Timestamp) {
        let workload = &answered.asked.workload;
        let (Some(directory), Some(path)) = (&self.0, self.path(workload)) else { return };
        let kept = Kept { version: VERSION, at: at.min(now), answered: answered.clone() };
        let written = serde_json::to_vec(&kept).map_err(Into::into).and_then(|bytes| {
            durable::create_directories(directory, DIRECTORY_MODE)?;
            durable::replace(&path, &bytes, FILE_MODE)
        });
        if let Err(error) = written {
            tracing::warn!("cannot write {}: {error}", path.display());
        }
    }

    /// The answer for a workload, if there is one that is not too old. A clock that was set back makes none
    /// younger.
    pub(super) fn get(&self, workload: &WorkloadName, now: Timestamp) -> Option<Answered> {
        let bytes = durable::read_bounded(&self.path(workload)?, BYTES_MAX).ok()?;
        let Kept { version, at, answered } = serde_json::from_slice(&bytes).ok()?;
        let is_young = at <= now && now.since(at) <= GOOD_FOR;
        let is_it = version == VERSION && answered.asked.workload == *workload;
        (is_it && is_young).then_some(answered)
    }

    /// Forgets the answer for a workload: somebody refused it since.
    pub(super) fn forget(&self, workload: &WorkloadName) {
        if let Some(path) = self.path(workload) {
            // Mostly there is none.
            let _ = durable::remove_file(&path);
        }
    }

    fn path(&self, workload: &WorkloadName) -> Option<PathBuf> {
        Some(self.0.as_ref()?.join(format!("{workload}.json")))
    }
}
