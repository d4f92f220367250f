//! The vault, as the desk sees it: it decides, and lets what it granted be read.

use std::sync::Arc;

use outlast_format::crypto::Key;
use outlast_repo::{Credential, Repository};
use outlast_store::retry::{Policy, Retrying};
use outlast_types::{Environment, ShareId, WorkloadName};
use outlast_wire::api::{AskedRequest, WantedBackup};
use outlast_wire::client::{FetchCallError, OpenError};
use outlast_wire::fetching::{BackupAnswer, Decided};
use outlast_wire::statement::Statement;
use outlast_wire::{ApiClient, CallError, IdentityHandle, Speaker, ticket};

use crate::Shutdown;
use crate::upstream::UpstreamError;

/// A question for a backup.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) share: ShareId,
    pub(crate) workload: WorkloadName,
    pub(crate) wanted: WantedBackup,
    pub(crate) requests: Vec<AskedRequest>,
    pub(crate) proof: &'static str,
}

/// Decides, and lets be read.
pub(crate) trait Grants: Send + Sync {
    fn ask(&self, question: &Question) -> Result<(Decided, BackupAnswer), FetchCallError>;

    /// The workload's repository, of which data may be read as long as the ticket is good.
    fn open(
        &self,
        workload: &WorkloadName,
        ticket: &Statement,
        shutdown: &Shutdown,
    ) -> Result<Repository, UpstreamError>;
}

/// A vault over mutual TLS.
pub(crate) struct OfVault {
    pub(crate) client: ApiClient,
    pub(crate) identity: IdentityHandle,
    pub(crate) environment: Environment,
}

impl Grants for OfVault {
    fn ask(&self, question: &Question) -> Result<(Decided, BackupAnswer), FetchCallError> {
        let identity = self.identity.get();
        let speaker = Speaker { identity: &identity, clock: &*self.environment.clock };
        let Question { share, workload, wanted, requests, proof } = question;
        self.client.ask_backup(*share, workload, *wanted, requests, proof, speaker)
    }

    fn open(
        &self,
        workload: &WorkloadName,
        ticket: &Statement,
        shutdown: &Shutdown,
    ) -> Result<Repository, UpstreamError> {
        let identity = self.identity.get();
        let speaker = Speaker { identity: &identity, clock: &*self.environment.clock };
        let mut opened = self.client.open_workload(workload, speaker)?;
        let text = |words: &Statement| {
            ticket::header_text(words).map_err(|error| {
                let location = self.client.location().to_owned();
                let reason = error.to_string();
                OpenError::from(CallError::Unintelligible { location, reason })
            })
        };
        // A media server lets nobody see even config and indexes without it.
        if let Some(own) = &opened.ticket {
            opened.store.show_ticket(&text(own)?);
        }
        opened.store.show_grant(&text(ticket)?);
        let (key, store) = (Key::from_bytes(&opened.key), opened.store.heeding(shutdown));
        let store = Retrying::new(Arc::new(store), Policy::default(), &self.environment);
        let store = store.heeding(shutdown);
        Ok(Repository::open(Arc::new(store), Credential::Key(key))?)
    }
}
