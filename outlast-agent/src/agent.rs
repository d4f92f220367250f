//! The agent and its loop.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_drop::{ClosedDays, DropAddress, SignedReceipt, StillnessTracker};
use outlast_fs::{DirectoryLock, LockError, durable};
use outlast_types::{
    Backoff, Day, DropId, Environment, RejectionCode, ShareId, Timestamp, WorkloadName,
};
use outlast_wire::identity::IdentityError;
use outlast_wire::{AddressError, Identity, Role};

use crate::custody::{Standing, Vaulted};
use crate::repositories::Repositories;
use crate::troubles::Troubles;
use crate::upstream::{Upstream, Vault};
use crate::{AgentConfig, Shutdown};

const LOCK_FILE: &str = "agent.lock";
const SHARE_ID_FILE: &str = "share-id";
const JOURNALS: &str = "journals";
/// Where the engine keeps the indexes of repositories.
const CACHE: &str = "cache";
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const SHARE_ID_BYTES_MAX: u64 = 100;

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{identity} is no agent: give it a certificate of the role agent")]
    WrongRole { identity: String },
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("cannot {action} {}: {source}", path.display())]
    State { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("another agent is running with the state directory {}", path.display())]
    Running { path: PathBuf },
}

/// The agent. Everything that it remembers beyond the share may be lost at any moment.
pub struct Agent {
    pub(crate) config: AgentConfig,
    pub(crate) environment: Environment,
    pub(crate) identity: Arc<Identity>,
    pub(crate) upstream: Box<dyn Upstream>,
    /// The share that this agent serves, once it has seen it.
    pub(crate) share: Option<ShareId>,
    pub(crate) closed: ClosedDays,
    pub(crate) stillness: StillnessTracker,
    pub(crate) desks: BTreeMap<WorkloadName, Desk>,
    pub(crate) repositories: Repositories,
    /// The workload that was served last.
    pub(crate) turn: Option<WorkloadName>,
    /// How the upstream as a whole has been doing.
    pub(crate) road: Backoff,
    /// Receipts that the share would not take, to be written later.
    pub(crate) unwritten: Vec<SignedReceipt>,
    /// Rejected drops that the vault has not heard of.
    pub(crate) unreported: BTreeMap<WorkloadName, BTreeMap<DropId, (RejectionCode, String)>>,
    pub(crate) troubles: Troubles,
    /// The run of the vault that was last heard, and the one that was asked what it holds.
    pub(crate) vault_run: Option<String>,
    pub(crate) asked_run: Option<String>,
    /// When the vault last took a report, and what was in it.
    pub(crate) reported: Option<(Timestamp, String)>,
    /// Held as long as the agent lives.
    _lock: DirectoryLock,
}

/// What is known of one workload.
#[derive(Default)]
pub(crate) struct Desk {
    /// What receipts prove of drops that are still on the share.
    pub(crate) standings: HashMap<Place, Standing>,
    /// Vaulted drops whose data is on the share.
    pub(crate) held: BTreeMap<DropAddress, Vaulted>,
    /// Drops with a `vaulted` receipt that the vault says it does not hold: they are shipped again.
    pub(crate) lost: HashSet<Place>,
    pub(crate) backoff: Backoff,
    /// Why its drops are not shipped, while that is so.
    pub(crate) trouble: Option<String>,
    /// Drops that the share would not let us read.
    pub(crate) snags: HashMap<Place, Snag>,
}

/// Where a drop of a workload lies. An id alone names no drop: it may lie under two days.
pub(crate) type Place = (Day, DropId);

/// A drop that could not be read, so far.
#[derive(Default)]
pub(crate) struct Snag {
    pub(crate) backoff: Backoff,
    /// Why, as it was told the first time.
    pub(crate) trouble: Option<String>,
}

impl Agent {
    /// Starts an agent of the vault that the configuration names. Neither the share nor the vault
    /// need be there.
    pub fn start(config: AgentConfig, environment: Environment) -> Result<Self, AgentError> {
        let identity = Arc::new(Identity::load(&config.identity)?);
        let vault = Vault::new(&config.upstream, Arc::clone(&identity), environment.clone())?;
        Self::with_upstream(config, environment, identity, Box::new(vault))
    }

    /// Starts an agent of any upstream.
    pub fn with_upstream(
        config: AgentConfig,
        environment: Environment,
        identity: Arc<Identity>,
        upstream: Box<dyn Upstream>,
    ) -> Result<Self, AgentError> {
        if identity.peer().role() != Role::Agent {
            return Err(AgentError::WrongRole { identity: identity.peer().to_string() });
        }
        let journals = config.state.join(JOURNALS);
        durable::create_directories(&journals, DIRECTORY_MODE)
            .map_err(state_error("create", &journals))?;
        let lock = lock(&config.state)?;
        if let Some(trouble) = identity.validity().trouble(environment.clock.now()) {
            // It may be the clock that is wrong, and soon be right.
            tracing::error!("the certificate in {} {trouble}", config.identity.display());
        }
        let share = remembered_share(&config.state)?;
        Ok(Self {
            config,
            environment,
            identity,
            upstream,
            share,
            closed: ClosedDays::default(),
            stillness: StillnessTracker::default(),
            desks: BTreeMap::new(),
            repositories: Repositories::default(),
            turn: None,
            road: Backoff::default(),
            unwritten: Vec::new(),
            unreported: BTreeMap::new(),
            troubles: Troubles::default(),
            vault_run: None,
            asked_run: None,
            reported: None,
            _lock: lock,
        })
    }

    /// Passes over the share until `shutdown` is requested.
    pub fn run(&mut self, shutdown: &Shutdown) {
        self.upstream.heed(shutdown);
        tracing::info!(
            share = %self.config.share.display(),
            upstream = %self.config.upstream,
            agent = %self.identity.peer(),
            "the agent watches the share"
        );
        while !shutdown.is_requested() {
            let report = self.pass(shutdown);
            if !report.more && self.environment.timer.pause(self.config.poll, shutdown) {
                break;
            }
        }
        tracing::info!("the agent has stopped");
    }

    /// Remembers which share this agent serves, so that another one in its place is noticed.
    pub(crate) fn remember_share(&mut self, share: ShareId) -> Result<(), AgentError> {
        let path = self.config.state.join(SHARE_ID_FILE);
        durable::replace(&path, format!("{share}\n").as_bytes(), FILE_MODE)
            .map_err(state_error("write", &path))?;
        self.share = Some(share);
        Ok(())
    }

    pub(crate) fn share_id_file(&self) -> PathBuf {
        self.config.state.join(SHARE_ID_FILE)
    }

    /// Where the engine keeps what it can make anew from the repositories.
    pub(crate) fn cache(&self) -> PathBuf {
        self.config.state.join(CACHE)
    }

    /// Where the engine remembers what it has uploaded of an unfinished backup.
    pub(crate) fn journal(&self, workload: &WorkloadName) -> PathBuf {
        self.config.state.join(JOURNALS).join(workload.as_str())
    }
}

fn lock(state: &Path) -> Result<DirectoryLock, AgentError> {
    DirectoryLock::take(state, LOCK_FILE)?
        .ok_or_else(|| AgentError::Running { path: state.to_owned() })
}

/// The share that an earlier run served. What cannot be understood is not taken for none: any other
/// share would be served in its place.
fn remembered_share(state: &Path) -> Result<Option<ShareId>, AgentError> {
    let path = state.join(SHARE_ID_FILE);
    match durable::read_bounded(&path, SHARE_ID_BYTES_MAX) {
        Ok(content) => {
            let id = std::str::from_utf8(&content).ok().and_then(|text| text.trim().parse().ok());
            let unknown = || {
                let text = "it holds no share's id; if the share that is mounted is the right one, \
                            remove this file";
                let source = io::Error::new(io::ErrorKind::InvalidData, text);
                AgentError::State { action: "understand", path, source }
            };
            id.ok_or_else(unknown).map(Some)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AgentError::State { action: "read", path, source }),
    }
}

fn state_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AgentError {
    let path = path.to_owned();
    move |source| AgentError::State { action, path, source }
}
