//! Where drops go: the vault, or whatever stands for it on the way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use outlast_format::crypto::Key;
use outlast_repo::{Credential, RepoError, Repository};
use outlast_store::retry::{Policy, Retrying};
use outlast_types::{Environment, ShareId, WorkloadName};
use outlast_wire::api::{AgentReport, Reported, Shipment, Vaulted};
use outlast_wire::client::OpenError;
use outlast_wire::holdings::{Question, SignedAnswer};
use outlast_wire::{
    AddressError, ApiClient, CallError, Credentials, IdentityHandle, Roads, Speaker,
};

use crate::Shutdown;

/// Workloads that have clients of their own; they share connections, and each costs little.
const ERRANDS_MAX: usize = 10_000;

/// The calls of the agent to its upstream.
pub trait Upstream: Send + Sync {
    /// Lets `shutdown` break off calls that take long.
    fn heed(&mut self, _shutdown: &Shutdown) {}

    /// Hears which share this agent serves, before anything else is asked: several agents of one
    /// name may be at work.
    fn speak_of(&self, share: ShareId) {
        let _ = share;
    }

    /// Says in all that follows of this workload's drops, and not of others, reports and questions, that
    /// it belongs to what has this id; or to nothing.
    fn carry(&self, workload: &WorkloadName, id: Option<&str>) {
        let _ = (workload, id);
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
    Open(#[from] OpenError),
    #[error(transparent)]
    Repository(#[from] RepoError),
}

/// A vault over mutual TLS.
pub struct Vault {
    /// For what belongs to no drop.
    client: ApiClient,
    /// The same for each workload, of which one drop is on its way at a time.
    errands: Mutex<BTreeMap<WorkloadName, Arc<ApiClient>>>,
    identity: IdentityHandle,
    environment: Environment,
}

impl Vault {
    /// The vault at `address`, such as `https://vault:8443/`. It need not be there yet.
    pub fn new(
        address: &str,
        identity: IdentityHandle,
        environment: Environment,
    ) -> Result<Self, AddressError> {
        Self::over(&Roads::default(), address, identity, environment)
    }

    /// The same by roads of one's own.
    pub fn over(
        roads: &Roads,
        address: &str,
        identity: IdentityHandle,
        environment: Environment,
    ) -> Result<Self, AddressError> {
        let client = ApiClient::over(address, Credentials::Handle(&identity), roads)?;
        Ok(Self { client, errands: Mutex::default(), identity, environment })
    }

    /// The client for a workload's drops.
    fn errand(&self, workload: &WorkloadName) -> Arc<ApiClient> {
        let mut errands = self.errands.lock().unwrap_or_else(PoisonError::into_inner);
        if errands.len() >= ERRANDS_MAX && !errands.contains_key(workload) {
            errands.clear();
        }
        let errand = errands.entry(workload.clone());
        Arc::clone(errand.or_insert_with(|| Arc::new(self.client.beside())))
    }
}

impl Upstream for Vault {
    fn heed(&mut self, shutdown: &Shutdown) {
        self.client.heed(shutdown);
        // Those of before would not heed it.
        self.errands.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn speak_of(&self, share: ShareId) {
        self.client.speak_of(share);
    }

    fn carry(&self, workload: &WorkloadName, id: Option<&str>) {
        self.errand(workload).carry(id);
    }

    fn open(
        &self,
        workload: &WorkloadName,
        shutdown: &Shutdown,
    ) -> Result<Repository, UpstreamError> {
        let identity = self.identity.get();
        let speaker = Speaker { identity: &identity, clock: &*self.environment.clock };
        let opened = self.errand(workload).open_workload(workload, speaker)?;
        let (key, store) = (Key::from_bytes(&opened.key), opened.store.heeding(shutdown));
        let store = Retrying::new(Arc::new(store), Policy::default(), &self.environment);
        let store = store.heeding(shutdown);
        Ok(Repository::open(Arc::new(store), Credential::Key(key))?)
    }

    fn ship(&self, shipment: &Shipment) -> Result<Vaulted, CallError> {
        self.errand(&shipment.workload).ship(shipment, &self.identity.get())
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.client.holdings_as(question, &self.identity.get())
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        let identity = self.identity.get();
        let clock = &*self.environment.clock;
        self.client.report(report, Speaker { identity: &identity, clock })
    }
}
