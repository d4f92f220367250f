//! Where drops go: the vault, or whatever stands for it on the way.

mod bearing;
mod errand;
mod kept;
mod vault;

use outlast_repo::{RepoError, Repository};
use outlast_types::{DropId, ShareId, WorkloadName};
use outlast_wire::CallError;
use outlast_wire::api::{
    AgentReport, BeginShipment, BillAnswer, CancelShipment, Reported, Shipment,
};
use outlast_wire::client::OpenError;
use outlast_wire::holdings::{Question, SignedAnswer};

use crate::Shutdown;

pub use vault::Vault;

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

    /// Says that a drop is about to be shipped, so that what comes of it is kept until its bill comes.
    /// Whoever knows nothing of that is content without it.
    fn begin(&self, begin: &BeginShipment) -> Result<(), CallError> {
        let _ = begin;
        Ok(())
    }

    /// Says that a drop will not be shipped after all. Whoever knows nothing of that is content without it.
    fn cancel(&self, cancel: &CancelShipment) -> Result<(), CallError> {
        let _ = cancel;
        Ok(())
    }

    /// Names in each upload of this workload from now on the drop that it is for, or none.
    fn bring(&self, workload: &WorkloadName, drop: Option<DropId>) {
        let _ = (workload, drop);
    }

    /// Whether what was taken of this workload waits at a media server, as far as is known.
    fn is_relayed(&self, workload: &WorkloadName) -> bool {
        let _ = workload;
        false
    }

    /// Hands in a bill of lading. Handing it in again is harmless.
    fn ship(&self, shipment: &Shipment) -> Result<BillAnswer, CallError>;

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
