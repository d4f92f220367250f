//! The vault over mutual TLS, or media servers on the way to it: what is said is the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_format::crypto::Key;
use outlast_repo::{Credential, Repository};
use outlast_store::retry::{Policy, Retrying};
use outlast_types::{DropId, Environment, ShareId, WorkloadName};
use outlast_wire::api::{
    AgentReport, BeginShipment, BillAnswer, CancelShipment, ErrorCode, Reported, Shipment,
};
use outlast_wire::holdings::{Question, SignedAnswer};
use outlast_wire::{
    AddressError, ApiClient, CallError, Credentials, IdentityHandle, Roads, Role, Speaker,
};

use super::bearing::Bearing;
use super::errand::{Common, Errand};
use super::kept::KeptAnswers;
use super::{Upstream, UpstreamError};
use crate::Shutdown;

/// Workloads that have clients of their own; they share connections, and each costs little.
const ERRANDS_MAX: usize = 10_000;

/// How long a vault that refused bills of today's version is not asked again whether it takes them.
const OLD_FOR: Duration = Duration::from_secs(3600);

/// A vault over mutual TLS.
pub struct Vault {
    /// For what belongs to no drop.
    client: ApiClient,
    /// The same for each workload, of which one drop is on its way at a time.
    errands: Mutex<BTreeMap<WorkloadName, Arc<Errand>>>,
    common: Arc<Common>,
    /// Until when bills are handed in as the release before took them, by the timer.
    old_until: Mutex<Duration>,
}

impl Vault {
    /// The vault at `address`, such as `https://vault:8443/`. It need not be there yet. Several addresses,
    /// with commas between them, are tried in turn.
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
        let common = Common { identity, environment, answers: KeptAnswers::nowhere() };
        let (common, old_until) = (Arc::new(common), Mutex::default());
        Ok(Self { client, errands: Mutex::default(), common, old_until })
    }

    /// The same, which keeps the answers that gave it keys, sealed as they are, and goes on by them for a
    /// day while nobody answers.
    #[must_use]
    pub fn keeping_answers_in(self, directory: &Path) -> Self {
        let Common { identity, environment, .. } = &*self.common;
        let (identity, environment) = (identity.clone(), environment.clone());
        let answers = KeptAnswers::below(directory);
        Self { common: Arc::new(Common { identity, environment, answers }), ..self }
    }

    /// The client for a workload's drops.
    fn errand(&self, workload: &WorkloadName) -> Arc<Errand> {
        let mut errands = self.errands.lock().unwrap_or_else(PoisonError::into_inner);
        if errands.len() >= ERRANDS_MAX && !errands.contains_key(workload) {
            errands.clear();
        }
        let errand = errands
            .entry(workload.clone())
            .or_insert_with(|| Arc::new(Errand::new(self.client.beside(), workload, &self.common)));
        Arc::clone(errand)
    }

    fn old_until(&self) -> MutexGuard<'_, Duration> {
        self.old_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether whoever was asked knows no such call, as the release before.
fn is_unknown_call(error: &CallError) -> bool {
    matches!(error, CallError::Refused { status: 404 | 405, .. })
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
        self.errand(workload).client.carry(id);
    }

    fn open(
        &self,
        workload: &WorkloadName,
        shutdown: &Shutdown,
    ) -> Result<Repository, UpstreamError> {
        let errand = self.errand(workload);
        let opened = errand.open()?;
        let (key, store) = (Key::from_bytes(&opened.key), opened.store.heeding(shutdown));
        let store = Bearing { store, errand };
        let environment = &self.common.environment;
        let store = Retrying::new(Arc::new(store), Policy::default(), environment);
        let store = store.heeding(shutdown);
        Ok(Repository::open(Arc::new(store), Credential::Key(key))?)
    }

    fn begin(&self, begin: &BeginShipment) -> Result<(), CallError> {
        let client = &self.errand(&begin.workload).client;
        match client.begin_shipment(begin, &self.common.identity.get()) {
            Err(error) if !is_unknown_call(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn cancel(&self, cancel: &CancelShipment) -> Result<(), CallError> {
        let client = &self.errand(&cancel.workload).client;
        match client.cancel_shipment(cancel, &self.common.identity.get()) {
            Err(error) if !is_unknown_call(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn bring(&self, workload: &WorkloadName, drop: Option<DropId>) {
        self.errand(workload).client.bring(drop);
    }

    fn is_relayed(&self, workload: &WorkloadName) -> bool {
        self.errand(workload).client.met() == Some(Role::Media)
    }

    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError> {
        let client = &self.errand(&shipment.workload).client;
        let identity = self.common.identity.get();
        let now = self.common.environment.timer.elapsed();
        // One that has many objects can only be counted.
        let is_listed = shipment.packs.is_none();
        if !is_listed || *self.old_until() <= now {
            match client.hand_in_bill(&shipment.counted(), &identity) {
                Err(error) if is_listed && error.code() == Some(&ErrorCode::BillVersion) => {
                    *self.old_until() = now.saturating_add(OLD_FOR);
                }
                answer => return answer,
            }
        }
        client.hand_in_bill(shipment, &identity)
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.client.holdings_as(question, &self.common.identity.get())
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        let Common { identity, environment, .. } = &*self.common;
        let identity = identity.get();
        self.client.report(report, Speaker { identity: &identity, clock: &*environment.clock })
    }
}
