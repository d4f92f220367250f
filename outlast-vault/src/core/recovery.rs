//! Bringing the catalog up to what repositories and arrival records hold (I6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outlast_catalog::{Catalog, SnapshotRecord};
use outlast_store::Object;
use outlast_types::{Environment, SnapshotId, WorkloadName};

use super::arrivals::Arrivals;
use super::audit::{AuditAction, AuditLog, Event};
use super::error::VaultError;
use super::orders::Orders;
use super::presence::Found;
use super::published::{foreign_record, published};
use super::remembered::memories;
use super::renaming::move_places;
use super::repositories::{Repositories, WorkloadRepository};
use super::storage::Storage;
use super::vault::Vault;

/// What a rebuild found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    pub workloads: usize,
    pub snapshots: usize,
}

/// Rebuilds the snapshots of a catalog from repositories and arrival records. Nothing else may use
/// the storage meanwhile. Incidents and the promise ledger are kept if the catalog can still be
/// read; else the ledger begins anew from what the repositories hold.
pub(crate) fn rebuild(
    storage: &Storage,
    catalog: &Catalog,
    environment: &Environment,
) -> Result<Rebuilt, VaultError> {
    let former = Orders::open(storage)?.former();
    move_places(storage, catalog, &former)?;
    let repositories = Repositories::open(storage, environment);
    let arrivals = Arrivals::open(storage, &former);
    // Half a truth must not replace a catalog that may know more.
    for (workload, memory) in memories(&repositories, &arrivals, catalog, BTreeSet::new())? {
        if let (Found::Missing(missing), _) = repositories.inspect(&workload, memory) {
            return Err(VaultError::missing(&workload, &missing));
        }
    }
    let sources =
        Sources { repositories: &repositories, arrivals: &arrivals, catalog, environment };
    let (records, problems) = sources.gather(None)?;
    if let Some((_, problem)) = problems.into_iter().next() {
        return Err(problem);
    }
    let audit = AuditLog::open(storage, Arc::clone(&environment.clock))?;
    audit.record(rebuilt_from(&records))?;
    catalog.replace_snapshots(&records)?;
    Ok(Rebuilt { workloads: repositories.workloads()?.len(), snapshots: records.len() })
}

/// The entry of a catalog that is filled from these records.
pub(crate) fn rebuilt_from(records: &[SnapshotRecord]) -> Event {
    Event::by_vault(AuditAction::CatalogRebuilt).detail("snapshots", records.len())
}

impl Vault {
    /// Takes in what a crash left between a repository and the catalog, of all workloads. One that is
    /// damaged keeps the others from nothing.
    pub(crate) fn fill_in(&self) -> Result<(), VaultError> {
        self.sequence.saw(self.promises.catalog().last_receipt()?);
        for workload in self.repositories.workloads()? {
            if let Err(error) = self.repair(&workload) {
                tracing::error!(%workload, %error, "this workload's snapshots are not all known");
            }
        }
        Ok(())
    }

    /// The same of one workload while the vault works; how many snapshots were not known. What is
    /// known costs a look at three lists.
    pub(crate) fn repair(&self, workload: &WorkloadName) -> Result<usize, VaultError> {
        let Some(repository) = self.repositories.present(workload)? else { return Ok(0) };
        if self.is_known(&repository, workload)? {
            return Ok(0);
        }
        // What is being published would be taken for a stranger's before it has its entry.
        let _nobody_publishes = repository.publishing();
        let known = self.promises.catalog().snapshot_names(workload)?;
        let (records, problems) = self.sources().gather(Some(workload))?;
        let taken_in = self.take_in(records, &known)?;
        problems.into_iter().next().map_or(Ok(taken_in), |(_, problem)| Err(problem))
    }

    /// Whether the catalog knows all that is published of a workload, and each has its record.
    fn is_known(
        &self,
        repository: &WorkloadRepository,
        workload: &WorkloadName,
    ) -> Result<bool, VaultError> {
        let published = published(repository)?;
        let known = self.promises.catalog().snapshot_names(workload)?;
        Ok(published.iter().all(|snapshot| known.contains(snapshot))
            && self.arrivals.count(workload)? >= published.len())
    }

    /// Catalogs those of `records` that are not `known`; how many.
    fn take_in(
        &self,
        records: Vec<SnapshotRecord>,
        known: &BTreeSet<SnapshotId>,
    ) -> Result<usize, VaultError> {
        let mut taken_in = 0;
        for record in records {
            self.sequence.saw_record(&record);
            if known.contains(&record.snapshot) {
                continue;
            }
            let event = Event::by_vault(match record.drop {
                Some(_) => AuditAction::DropPublished,
                None => AuditAction::SnapshotAdopted,
            });
            let event = event.detail("found", "in the repository, not in the catalog");
            tracing::info!(
                workload = %record.workload, snapshot = %record.snapshot,
                "the catalog did not know this snapshot yet"
            );
            self.catalog(&record, event)?;
            taken_in += 1;
        }
        Ok(taken_in)
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            repositories: &self.repositories,
            arrivals: &self.arrivals,
            catalog: self.promises.catalog(),
            environment: &self.environment,
        }
    }
}

/// What knows of snapshots, and when they came.
pub(crate) struct Sources<'a> {
    pub(crate) repositories: &'a Repositories,
    pub(crate) arrivals: &'a Arrivals,
    pub(crate) catalog: &'a Catalog,
    pub(crate) environment: &'a Environment,
}

type Problems = Vec<(WorkloadName, VaultError)>;

impl Sources<'_> {
    /// The records of all published snapshots, of one workload or of all, in the order in which they
    /// came, and the workloads for which they cannot be told: one that is damaged must not keep the
    /// others from being served.
    pub(crate) fn gather(
        &self,
        workload: Option<&WorkloadName>,
    ) -> Result<(Vec<SnapshotRecord>, Problems), VaultError> {
        let workloads =
            workload.map_or_else(|| self.repositories.workloads(), |one| Ok(vec![one.clone()]))?;
        let mut records = Vec::new();
        let mut problems = Vec::new();
        for workload in workloads {
            let repository = self.repositories.get(&workload);
            match repository.and_then(|repository| self.records_of(&repository, &workload)) {
                Ok(found) => records.extend(found),
                // Killed while it was made; the next agent that asks for it finishes it.
                Err(VaultError::UnknownWorkload { .. }) => {}
                Err(error) => problems.push((workload, error)),
            }
        }
        // In the order in which they came, as far as it is known.
        records.sort_by_key(|record| record.received);
        Ok((records, problems))
    }

    fn records_of(
        &self,
        repository: &WorkloadRepository,
        workload: &WorkloadName,
    ) -> Result<Vec<SnapshotRecord>, VaultError> {
        let by_name = |mut records: Vec<SnapshotRecord>| -> BTreeMap<_, _> {
            // A drop's own record counts, whatever stood in for it.
            records.sort_by_key(|record| record.drop.is_some());
            records.into_iter().map(|record| (record.snapshot, record)).collect()
        };
        let mut known = by_name(self.arrivals.all(workload)?);
        let published = published(repository)?;
        // Lost arrival records are not new arrivals: the catalog may know them still.
        let mut cataloged = BTreeMap::new();
        if published.iter().any(|snapshot| !known.contains_key(snapshot)) {
            cataloged = by_name(self.catalog.snapshots(Some(workload))?);
        }
        let mut records = Vec::new();
        for snapshot in published {
            if let Some(record) = known.remove(&snapshot) {
                records.push(record);
                continue;
            }
            let record = match cataloged.remove(&snapshot) {
                Some(record) => record,
                // It came past our doors, or a crash came before its record. The store's word for
                // when is the nearest to the receiver's time, and it is written down to stay.
                None => {
                    let written = repository.store.written(&Object::Snapshot(snapshot))?;
                    let now = || self.environment.clock.now();
                    let received = written.map_or_else(now, |written| written.at);
                    foreign_record(repository, workload, snapshot, received)
                }
            };
            self.arrivals.put(&record)?;
            records.push(record);
        }
        Ok(records)
    }
}
