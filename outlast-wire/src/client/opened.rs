//! Opening repositories: asking for their keys, and using an answer of before.

use outlast_types::{Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::calls::{ApiClient, Speaker};
use super::error::CallError;
use super::store::RestStore;
use crate::api::{OpenRepository, Purpose};
use crate::identity::Identity;
use crate::opening::{self, OpeningError};
use crate::statement::{Statement, Subject};

/// A workload's repository, and what opens it.
pub struct OpenedWorkload {
    /// Where its objects are. It speaks of the share that the client speaks of.
    pub store: RestStore,
    /// The repository's key.
    pub key: Zeroizing<[u8; 64]>,
    /// What an agent may show to a media server ([`RestStore::show_ticket`]), so that it can act for
    /// the agent. Of no use in any other hands.
    pub ticket: Option<Statement>,
    /// When the vault answered, by its own clock.
    pub at: Timestamp,
    /// From which it can be opened again while nobody can be asked ([`ApiClient::open_again`]).
    pub answered: Answered,
}

/// A question for a repository and the vault's answer, as they were sent. What is secret in it is sealed to
/// the asker's box key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub asked: OpenRepository,
    pub answer: Statement,
}

/// Why a workload's repository cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the vault's key for workload {workload} cannot be had: {source}")]
    Answer { workload: WorkloadName, source: OpeningError },
}

/// What for a repository is opened, and why.
#[derive(Debug, Clone, Copy, Default)]
pub struct Errand<'a> {
    pub purpose: Option<Purpose>,
    pub why: Option<&'a str>,
}

impl ApiClient {
    /// Opens the workload's repository as `speaker`: asks the vault for its key, sealed to the
    /// speaker's box key, and opens that. For an agent, the vault makes the repository if it is
    /// missing. The store shows the certificate that this client shows, over the same
    /// connections.
    pub fn open_workload(
        &self,
        workload: &WorkloadName,
        speaker: Speaker<'_>,
    ) -> Result<OpenedWorkload, OpenError> {
        self.open_workload_for(workload, Errand::default(), speaker)
    }

    /// The same, with what for and why, which the vault's audit log keeps.
    pub fn open_workload_for(
        &self,
        workload: &WorkloadName,
        errand: Errand<'_>,
        speaker: Speaker<'_>,
    ) -> Result<OpenedWorkload, OpenError> {
        let Speaker { identity, clock } = speaker;
        let path = format!("api/v1/workloads/{workload}/open");
        let (answer, asked) =
            self.signed(&path, Subject::Open, identity, |challenge, _| OpenRepository {
                challenge,
                at: clock.now(),
                share: self.http.share(),
                workload: workload.clone(),
                box_public_key: identity.box_key().public(),
                why: errand.why.map(str::to_owned),
                purpose: errand.purpose.map(|it| it.as_str().to_owned()),
            })?;
        self.open_again(Answered { asked, answer }, identity)
    }

    /// Opens a repository by an answer of before, as whoever asked then. Who signed it must be believed now.
    pub fn open_again(
        &self,
        answered: Answered,
        identity: &Identity,
    ) -> Result<OpenedWorkload, OpenError> {
        let Answered { asked, answer } = &answered;
        let workload = &asked.workload;
        let unusable = |source| OpenError::Answer { workload: workload.clone(), source };
        let opened = match self.http.believes() {
            Some(handle) => opening::open_by(answer, asked, identity, |chain, message, proof| {
                handle.judge(chain, message, proof)
            }),
            None => opening::open(answer, asked, identity),
        };
        let opened = opened.map_err(unusable)?;
        let store = RestStore::of(self.http.below(&opened.repository_path));
        Ok(OpenedWorkload {
            store,
            key: opened.key,
            ticket: opened.ticket,
            at: opened.at,
            answered,
        })
    }

    /// Hands in a request for a repository that somebody else signed: how a media server asks for
    /// an agent. The answer is for that one alone.
    pub fn carry_request(
        &self,
        workload: &WorkloadName,
        request: &Statement,
    ) -> Result<Statement, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/open"), request)
    }
}
