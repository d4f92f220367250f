//! The end of a retired workload: its repository goes when nothing in it is kept any more, its key last.

use outlast_store::{Kind, StoreError};
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::statement::{Statement, Subject};
use serde::Serialize;

use super::audit::{AuditAction, Event, Source};
use super::error::VaultError;
use super::keepings::{Approval, Keeping, Wanted};
use super::orders::{Action, NewOrder};
use super::storage::{Durability, StorageError};
use super::vault::Vault;

/// What a vault signs when it has destroyed a repository.
#[derive(Debug, Serialize)]
struct Certificate<'a> {
    version: u32,
    vault: String,
    workload: &'a WorkloadName,
    destroyed: Timestamp,
    /// Snapshots that were still there, which two operators agreed to destroy.
    snapshots: usize,
    packs: usize,
    bytes: u64,
    /// Whether the password and all key files went with it, so that no copy of its packs can be read.
    keys_destroyed: bool,
    why: &'a str,
}

impl Vault {
    /// Destroys the repository of a retired workload if nothing of it is kept, or two operators agreed on it
    /// and nobody holds anything of it.
    pub(crate) fn destroy_if_over(
        &self,
        workload: &WorkloadName,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let keeping = self.keepings.get(workload)?;
        if !self.is_retired(workload) || keeping.holds_any(now) {
            return Ok(());
        }
        let left = self.promises.catalog().snapshots(Some(workload))?;
        let is_immutable = |until: Option<Timestamp>| until.is_some_and(|until| until > now);
        if left.iter().any(|record| is_immutable(record.terms.immutable_until)) {
            return Ok(());
        }
        let agreed = agreed(&keeping, now);
        let why = match (left.is_empty(), &agreed) {
            (_, Some(why)) => why.as_str(),
            // Of one that never had rules nothing was ever forgotten.
            (true, None) if keeping.base.is_some() => "its rules keep nothing any more",
            _ => return Ok(()),
        };
        self.destroy(workload, left.len(), why)
    }

    fn destroy(&self, workload: &WorkloadName, left: usize, why: &str) -> Result<(), VaultError> {
        let _nobody_looks = self.repositories.caring();
        let repository = self.repositories.present(workload)?;
        let newest = self.orders.newest();
        let is_begun = newest.get(workload).map(|order| &order.action);
        // One that is not whole, and that nobody began to destroy, may only not be mounted.
        if repository.is_none() && !matches!(is_begun, Some(Action::Destroy { .. })) {
            return Ok(());
        }
        tracing::warn!(%workload, why, "the repository of a retired workload is destroyed");
        // What was decided is on disk before the first object goes; what a kill leaves undone is an
        // incident about a repository that is not whole, and is done by the next pass.
        let order = self.orders.append(NewOrder {
            at: self.environment.clock.now(),
            by: "vault",
            workload,
            reason: Some(why),
            action: Action::Destroy { snapshots_forgotten: left as u64 },
        })?;
        self.audit.record_member(Source::Orders, order.number, order.entry())?;
        let (mut packs, mut bytes) = (0, 0);
        let store = self.storage.open_repository(workload)?;
        let _nobody_publishes = repository.as_ref().map(|it| it.publishing());
        // What makes it readable last: its key files.
        for kind in [Kind::Snapshot, Kind::Index, Kind::Data, Kind::Lock, Kind::Config, Kind::Key] {
            for (object, size) in store.list(kind)? {
                match store.remove(&object) {
                    Ok(()) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                if kind == Kind::Data {
                    packs += 1;
                    bytes += size;
                }
            }
        }
        self.arrivals.set_aside(workload, &order.number.to_string())?;
        self.shipments.end_all(workload, self.environment.clock.now())?;
        self.promises.ordered(&order, Some(workload))?;
        self.repositories.end(workload, &order.number.to_string())?;
        self.keepings.remove(workload)?;
        let certificate = Certificate {
            version: 1,
            vault: self.identity.get().peer().to_string(),
            workload,
            destroyed: self.environment.clock.now(),
            snapshots: left,
            packs,
            bytes,
            keys_destroyed: true,
            why,
        };
        self.certify(&certificate, order.number)
    }

    /// Signs the certificate, keeps it, and puts it into the audit log.
    fn certify(&self, certificate: &Certificate<'_>, number: u64) -> Result<(), VaultError> {
        let key = format!("destroyed/{}-{number}.json", certificate.workload);
        let cannot = || StorageError::of(&*self.storage, "write", &key);
        let identity = self.identity.get();
        let document = Statement::sign_whole(Subject::Destroyed, certificate, &identity)
            .and_then(|statement| serde_json::to_value(&statement))
            .map_err(|error| cannot()(error.into()))?;
        let content = document.to_string().into_bytes();
        let written = self.storage.replace(&key, &content, Durability::Durable);
        written.map_err(cannot())?;
        let event = Event::by_vault(AuditAction::RepositoryDestroyed);
        self.audit.record(event.workload(certificate.workload).content(document))
    }
}

/// What two operators agreed on, if it is due.
fn agreed(keeping: &Keeping, now: Timestamp) -> Option<String> {
    keeping.requests.iter().find_map(|request| {
        let Approval { by, due, .. } = request.approval.as_ref()?;
        let is_meant = request.what == Wanted::Destroy && *due <= now;
        is_meant.then(|| {
            format!("{} asked for it and {by} approved it: {}", request.by, request.reason)
        })
    })
}
