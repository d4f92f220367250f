//! Asking for backups that instances want back.

use outlast_types::{ShareId, WorkloadName};

use super::calls::{ApiClient, Speaker};
use super::error::CallError;
use crate::api::{AskBackup, AskedRequest, WantedBackup};
use crate::fetching::{BackupAnswer, Decided, DecisionError};
use crate::statement::Subject;

/// Why it is not known what a vault decided.
#[derive(Debug, thiserror::Error)]
pub enum FetchCallError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Decision(#[from] DecisionError),
}

impl ApiClient {
    /// Asks as `speaker` for a backup of a workload for instances that want it back; what the vault decided,
    /// verified, and its answer as it can be passed on.
    pub fn ask_backup(
        &self,
        share: ShareId,
        workload: &WorkloadName,
        wanted: WantedBackup,
        requests: &[AskedRequest],
        proof: &str,
        speaker: Speaker<'_>,
    ) -> Result<(Decided, BackupAnswer), FetchCallError> {
        let Speaker { identity, clock } = speaker;
        let path = format!("api/v1/workloads/{workload}/backup");
        let (answer, _asked): (BackupAnswer, _) =
            self.signed(&path, Subject::AskBackup, identity, |challenge, _| AskBackup {
                challenge,
                at: clock.now(),
                share,
                workload: workload.clone(),
                wanted,
                requests: requests.to_vec(),
                proof: proof.to_owned(),
            })?;
        let decided = Decided::read(&answer.decision, |chain, message, proof| {
            self.judge(identity, chain, message, proof)
        })?;
        for asked in requests {
            decided.check(share, workload, wanted, *asked)?;
        }
        Ok((decided, answer))
    }
}
