//! Where drops go: the vault, or whatever stands for it on the way.

use std::sync::{Arc, OnceLock};

use outlast_format::crypto::Key;
use outlast_repo::{Credential, RepoError, Repository};
use outlast_store::retry::{Policy, Retrying};
use outlast_types::{Environment, ShareId, WorkloadName};
use outlast_wire::api::{AgentReport, OpenRepository, Reported, Shipment, Vaulted};
use outlast_wire::holdings::{Question, SignedAnswer};
use outlast_wire::sealed_key::{CannotOpen, repository_key_info};
use outlast_wire::{AddressError, ApiClient, CallError, Identity, RestStore};

use crate::Shutdown;

/// What the agent asks of its upstream.
pub trait Upstream: Send + Sync {
    /// Lets `shutdown` break off calls that take long.
    fn heed(&mut self, _shutdown: &Shutdown) {}

    /// Hears which share this agent serves, before anything else is asked: several agents of one
    /// name may be at work.
    fn speak_of(&self, share: ShareId) {
        let _ = share;
    }

    /// Opens the workload's repository, which is made if it is missing. The store may wait and
    /// try again until `shutdown`.
    fn open(
        &self,
        workload: &WorkloadName,
        shutdown: &Shutdown,
    ) -> Result<Repository, UpstreamError>;

    /// Hands in a bill of lading. Handing it in twice gives the same answer twice.
    fn ship(&self, shipment: &Shipment) -> Result<Vaulted, CallError>;

    /// Asks which drops the vault holds now. The answer is to be verified.
    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError>;

    /// Tells what a pass saw.
    fn report(&self, report: &AgentReport) -> Result<Reported, CallError>;
}

/// Why a repository cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the vault's key for workload {workload} cannot be opened: {source}")]
    SealedKey { workload: WorkloadName, source: CannotOpen },
    #[error("the vault's key for workload {workload} is not of 64 bytes")]
    KeyLength { workload: WorkloadName },
    #[error(transparent)]
    Repository(#[from] RepoError),
}

/// A vault over mutual TLS.
pub struct Vault {
    client: ApiClient,
    identity: Arc<Identity>,
    environment: Environment,
    share: OnceLock<ShareId>,
}

impl Vault {
    /// The vault at `address`, such as `https://vault:8443/`. It need not be there yet.
    pub fn new(
        address: &str,
        identity: Arc<Identity>,
        environment: Environment,
    ) -> Result<Self, AddressError> {
        let client = ApiClient::new(address, &identity)?;
        Ok(Self { client, identity, environment, share: OnceLock::new() })
    }
}

impl Upstream for Vault {
    fn heed(&mut self, shutdown: &Shutdown) {
        self.client.heed(shutdown);
    }

    fn speak_of(&self, share: ShareId) {
        self.client.speak_of(*self.share.get_or_init(|| share));
    }

    fn open(
        &self,
        workload: &WorkloadName,
        shutdown: &Shutdown,
    ) -> Result<Repository, UpstreamError> {
        let box_key = self.identity.box_key();
        let request = OpenRepository { box_public_key: box_key.public() };
        let opened = self.client.open_repository(workload, &request)?;
        let key = box_key
            .open(&repository_key_info(workload), &opened.sealed_key.0)
            .map_err(|source| UpstreamError::SealedKey { workload: workload.clone(), source })?;
        let key = <&[u8; 64]>::try_from(key.as_slice())
            .map_err(|_| UpstreamError::KeyLength { workload: workload.clone() })?;
        let key = Key::from_bytes(key);
        let address = self.client.repository_address(&opened);
        let store = RestStore::open(&address, Some(&self.identity))?.heeding(shutdown);
        if let Some(share) = self.share.get() {
            store.speak_of(*share);
        }
        let store = Retrying::new(Arc::new(store), Policy::default(), &self.environment);
        let store = store.heeding(shutdown);
        Ok(Repository::open(Arc::new(store), Credential::Key(key))?)
    }

    fn ship(&self, shipment: &Shipment) -> Result<Vaulted, CallError> {
        self.client.ship(shipment)
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.client.holdings(question)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.client.report(report)
    }
}
