//! The instance's side: it asks, waits, and opens what comes.
//!
//! It believes the authority that came with its image, and so the vault; nothing that lies on the share by
//! itself. The key that opens the answer is made for one request, and stays in memory.

use std::sync::Arc;

use outlast_drop::asking::{self, AnswerState, Desk as Place, Progress, Request};
use outlast_drop::fetch::Wanted;
use outlast_drop::{Share, ShareError};
use outlast_format::crypto::Key;
use outlast_format::pack::BlobType;
use outlast_repo::{Credential, RepoError, Repository};
use outlast_store::retry::{Policy, Retrying};
use outlast_types::{Environment, RequestId, WorkloadName};
use outlast_wire::api::{AskedRequest, ErrorCode, WantedBackup};
use outlast_wire::fetching::{self, Decided, Decision, DecisionError, GrantedBackup};
use outlast_wire::receipts::Authority;
use outlast_wire::sealed_key::BoxKey;
use outlast_wire::statement::Statement;

use super::store::AnswerStore;

/// Why a backup is not had by asking.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("{reason}")]
    NoBackup { reason: String },
    #[error("{reason}")]
    Refused { code: ErrorCode, reason: String },
    #[error("the backup does not come: {reason}")]
    Failed { reason: String },
    /// Nothing came in the time that there was.
    #[error("no backup came in time; {waits}")]
    NotInTime { waits: String },
    #[error("the reply to request {request} is not believed: {source}")]
    Unbelieved { request: RequestId, source: DecisionError },
    #[error(
        "the reply to request {request} names an answer that this request's key does not open: somebody \
         changed it"
    )]
    WrongKey { request: RequestId },
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Repository(#[from] RepoError),
}

/// A request that was put there.
pub struct Asking<'a> {
    share: &'a Share,
    workload: &'a WorkloadName,
    authority: &'a Authority,
    wanted: WantedBackup,
    asked: AskedRequest,
    key: BoxKey,
    environment: &'a Environment,
}

/// The state of a request.
#[derive(Debug)]
pub enum Seen {
    /// There is no reply; the agent may have told why.
    NoReply(Option<Progress>),
    /// It was granted, and comes.
    Coming { backup: GrantedBackup, progress: Option<Progress> },
    /// All of it lies there.
    Whole(Box<Ready>),
}

/// An answer that is whole.
pub struct Ready {
    pub backup: GrantedBackup,
    pub repository: Repository,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("backup", &self.backup).finish_non_exhaustive()
    }
}

impl<'a> Asking<'a> {
    /// Asks for a backup of `workload`, as `instance`.
    pub fn begin(
        share: &'a Share,
        workload: &'a WorkloadName,
        wanted: Wanted,
        instance: Option<String>,
        authority: &'a Authority,
        environment: &'a Environment,
    ) -> Result<Self, AskError> {
        let random = &*environment.random;
        let key = BoxKey::generate(random);
        let id = RequestId::new(random);
        let request = Request { id, wanted, key: key.public().to_string(), instance };
        let digest = Place::of_requests(share, workload)?.ask(&request)?;
        let wanted = match wanted {
            Wanted::Newest => WantedBackup::Latest,
            Wanted::Drop(drop) => WantedBackup::Drop(drop),
            Wanted::At(at) => WantedBackup::At(at),
        };
        let asked = AskedRequest { request: id, digest };
        let asking = Self { share, workload, authority, wanted, asked, key, environment };
        asking.ring()?;
        Ok(asking)
    }

    /// Tells the agent again that somebody asks: it may have been another one that heard it.
    pub fn ring(&self) -> Result<(), AskError> {
        Ok(asking::ring(self.share, self.workload)?)
    }

    /// Takes the request back: nobody waits for it any more.
    pub fn withdraw(&self) -> Result<(), AskError> {
        match Place::find_requests(self.share, self.workload)? {
            Some(requests) => Ok(requests.remove(self.asked.request)?),
            None => Ok(()),
        }
    }

    /// How far it has come.
    pub fn look(&self) -> Result<Seen, AskError> {
        let request = self.asked.request;
        let Some(answers) = Place::find_answers(self.share, self.workload)? else {
            return Ok(Seen::NoReply(None));
        };
        let Some(reply) = answers.replied(request)? else {
            return Ok(Seen::NoReply(answers.progress(None)?));
        };
        let backup = match self.believed(reply.decision)?.decision {
            Decision::Granted(backup) => backup,
            Decision::None { reason } => return Err(AskError::NoBackup { reason }),
            Decision::Refused { code, reason } => return Err(AskError::Refused { code, reason }),
        };
        let Some((answer, wrapped)) = reply.answer else {
            return Err(AskError::WrongKey { request });
        };
        let key = self.unwrapped(&answer, &wrapped)?;
        let progress = answers.progress(Some(&answer))?;
        match &progress {
            Some(Progress { state: AnswerState::Whole, .. }) => {}
            Some(Progress { state: AnswerState::Failed, reason, .. }) => {
                let reason = reason.clone().unwrap_or_default();
                return Err(AskError::Failed { reason });
            }
            _ => return Ok(Seen::Coming { backup, progress }),
        }
        let store = AnswerStore::new(answers.answer(&answer)?);
        let store = Retrying::new(Arc::new(store), Policy::default(), self.environment);
        let repository = Repository::open(Arc::new(store), Credential::Key(key))?;
        // A network file system may show the newest names later.
        let is_seen = repository.index()?.has(BlobType::Tree, &backup.tree);
        match is_seen.map_err(RepoError::from)? {
            true => Ok(Seen::Whole(Box::new(Ready { backup, repository }))),
            false => Ok(Seen::Coming { backup, progress }),
        }
    }

    /// What the vault decided of this very request.
    fn believed(&self, decision: serde_json::Value) -> Result<Decided, AskError> {
        let request = self.asked.request;
        let unbelieved = |source| AskError::Unbelieved { request, source };
        let statement: Statement = serde_json::from_value(decision).unwrap_or_default();
        let judge = |chain: &str, message: &[u8], proof: &[u8]| {
            self.authority.signer(chain, message, proof)
        };
        let decided = Decided::read(&statement, judge).map_err(unbelieved)?;
        let checked = decided.check(self.share.id(), self.workload, self.wanted, self.asked);
        checked.map_err(unbelieved)?;
        Ok(decided)
    }

    fn unwrapped(&self, answer: &str, wrapped: &str) -> Result<Key, AskError> {
        let request = self.asked.request;
        let purpose = fetching::purpose(self.share.id(), self.workload, request, answer);
        let opened = self.key.open_text(&purpose, wrapped);
        let opened = opened.map_err(|_| AskError::WrongKey { request })?;
        let bytes: &[u8; 64] =
            opened.as_slice().try_into().map_err(|_| AskError::WrongKey { request })?;
        Ok(Key::from_bytes(bytes))
    }
}
