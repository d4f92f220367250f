//! The vault without its front doors: what all of them use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use outlast_catalog::{Catalog, CatalogError, SnapshotRecord};
use outlast_fs::durable;
use outlast_promise::{Event, Validity};
use outlast_store::Object;
use outlast_types::{Environment, SnapshotId, Timestamp, WorkloadName, hex};
use outlast_wire::{Identity, Role};

use crate::core::admission::Admission;
use crate::core::arrivals::Arrivals;
use crate::core::care::memories;
use crate::core::custody::Sequence;
use crate::core::orders::Orders;
use crate::core::presence::Found;
use crate::core::promise_monitor::{Opening, PromiseMonitor};
use crate::core::publish::{foreign_record, published};
use crate::core::repositories::{Repositories, WorkloadRepository};
use crate::{VaultConfig, VaultError, VaultHandle, process};

/// Random bytes in the name of a run.
const RUN_BYTES: usize = 8;

/// A vault: one directory, open and locked.
pub struct Vault {
    pub(crate) repositories: Repositories,
    pub(crate) admission: Admission,
    pub(crate) arrivals: Arrivals,
    pub(crate) orders: Orders,
    pub(crate) promises: PromiseMonitor,
    pub(crate) identity: Identity,
    pub(crate) environment: Environment,
    pub(crate) config: VaultConfig,
    /// Numbers the receipts.
    pub(crate) sequence: Sequence,
    /// Names this run of the vault, so that agents notice that another one began.
    pub(crate) run: String,
    /// Held until the end: two vaults on one directory would publish one drop twice.
    _lock: File,
}

impl Vault {
    /// Starts a vault and returns when it serves. Its work goes on in threads of its own until
    /// [`VaultHandle::shutdown`].
    pub fn start(config: VaultConfig, environment: Environment) -> Result<VaultHandle, VaultError> {
        process::start(config, environment)
    }

    /// Rebuilds the catalog's snapshots, of a vault that does not run, from repositories and
    /// arrival records (I6). Incidents and the promise ledger are kept if the catalog can still be
    /// read; else the ledger begins anew from what the repositories hold.
    pub fn rebuild(config: &VaultConfig, environment: &Environment) -> Result<Rebuilt, VaultError> {
        let _lock = lock_directory(&config.dir)?;
        let repositories = Repositories::open(&config.dir, environment)?;
        let arrivals = Arrivals::open(&config.dir);
        let catalog = open_catalog(&config.dir)?;
        // Half a truth must not replace a catalog that may know more.
        for (workload, memory) in memories(&repositories, &arrivals, &catalog, BTreeSet::new())? {
            if let (Found::Missing(missing), _) = repositories.inspect(&workload, memory) {
                return Err(VaultError::missing(&workload, &missing));
            }
        }
        let (records, problems) = gather(&repositories, &arrivals, &catalog, None)?;
        if let Some((_, problem)) = problems.into_iter().next() {
            return Err(problem);
        }
        catalog.replace_snapshots(&records)?;
        Ok(Rebuilt { workloads: repositories.workloads()?.len(), snapshots: records.len() })
    }

    /// Opens the vault's directory and brings the catalog up to what the repositories hold.
    pub(crate) fn open(config: VaultConfig, environment: Environment) -> Result<Self, VaultError> {
        let identity = Identity::load(&config.identity)?;
        if identity.peer().role() != Role::Vault {
            let peer = identity.peer().to_string();
            return Err(VaultError::WrongRole { directory: config.identity.clone(), peer });
        }
        let lock = lock_directory(&config.dir)?;
        let repositories = Repositories::open(&config.dir, &environment)?;
        let arrivals = Arrivals::open(&config.dir);
        let catalog = open_catalog(&config.dir)?;
        if catalog.ledger()?.is_none() {
            // New, or lost: promises must not be judged by an empty catalog.
            catalog.replace_snapshots(&gather(&repositories, &arrivals, &catalog, None)?.0)?;
        }
        let orders = Orders::open(&config.dir)?;
        let given = orders.list(None);
        let opening = Opening {
            settings: config.settings(),
            orders: &given,
            certificate: Event::OwnCertificate {
                holder: identity.peer().to_string(),
                certificate: validity(identity.validity()),
            },
        };
        let promises =
            PromiseMonitor::open(catalog, opening, std::sync::Arc::clone(&environment.clock))?;
        let mut run = [0; RUN_BYTES];
        environment.random.fill(&mut run);
        let run = hex::encode(&run);
        let sequence = Sequence::default();
        let admission = Admission::open(&config.dir)?;
        let vault = Self {
            repositories,
            admission,
            arrivals,
            orders,
            promises,
            identity,
            environment,
            config,
            sequence,
            run,
            _lock: lock,
        };
        vault.look_after_repositories()?;
        vault.fill_in(None)?;
        Ok(vault)
    }

    /// Takes in what a crash left between a repository and the catalog, of one workload or of all.
    pub(crate) fn fill_in(&self, workload: Option<&WorkloadName>) -> Result<(), VaultError> {
        let known: BTreeSet<_> = self
            .promises
            .catalog()
            .snapshots(workload)?
            .into_iter()
            .map(|record| (record.workload, record.snapshot))
            .collect();
        let catalog = self.promises.catalog();
        let (records, problems) = gather(&self.repositories, &self.arrivals, catalog, workload)?;
        for (workload, error) in problems {
            tracing::error!(%workload, %error, "this workload's snapshots are not all known");
        }
        for record in records {
            self.sequence.saw_record(&record);
            if !known.contains(&(record.workload.clone(), record.snapshot)) {
                tracing::info!(
                    workload = %record.workload, snapshot = %record.snapshot,
                    "the catalog did not know this snapshot yet"
                );
                self.promises.vaulted(&record)?;
            }
        }
        Ok(())
    }
}

/// How long a certificate is valid, in the words of promises.
pub(crate) fn validity(of: outlast_wire::Validity) -> Validity {
    Validity { from: of.from, until: of.until }
}

/// What a rebuild found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    pub workloads: usize,
    pub snapshots: usize,
}

/// The records of all published snapshots, of one workload or of all, in the order in which they
/// came, and the workloads for which they cannot be told: one that is damaged must not keep the
/// others from being served.
fn gather(
    repositories: &Repositories,
    arrivals: &Arrivals,
    catalog: &Catalog,
    workload: Option<&WorkloadName>,
) -> Result<(Vec<SnapshotRecord>, Problems), VaultError> {
    let workloads =
        workload.map_or_else(|| repositories.workloads(), |one| Ok(vec![one.clone()]))?;
    let mut records = Vec::new();
    let mut problems = Vec::new();
    for workload in workloads {
        let found = repositories
            .get(&workload)
            .and_then(|kept| records_of(&kept, arrivals, catalog, &workload));
        match found {
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

type Problems = Vec<(WorkloadName, VaultError)>;

fn records_of(
    kept: &WorkloadRepository,
    arrivals: &Arrivals,
    catalog: &Catalog,
    workload: &WorkloadName,
) -> Result<Vec<SnapshotRecord>, VaultError> {
    let by_name = |records: Vec<SnapshotRecord>| -> BTreeMap<_, _> {
        records.into_iter().map(|record| (record.snapshot, record)).collect()
    };
    let mut known = by_name(arrivals.all(workload)?);
    let published = published(kept)?;
    // Lost arrival records are not new arrivals: the catalog may know them still.
    let mut cataloged = BTreeMap::new();
    if published.iter().any(|snapshot| !known.contains_key(&snapshot)) {
        cataloged = by_name(catalog.snapshots(Some(workload))?);
    }
    let mut records = Vec::new();
    for snapshot in published {
        if let Some(record) = known.remove(&snapshot) {
            records.push(record);
            continue;
        }
        let record = match cataloged.remove(&snapshot) {
            Some(record) => record,
            // It came past our doors, or a crash came before its record. The file system's word for
            // when is the nearest to the receiver's time, and it is written down to stay.
            None => foreign_record(kept, workload, snapshot, written_at(kept, snapshot)?),
        };
        arrivals.put(&record)?;
        records.push(record);
    }
    Ok(records)
}

fn written_at(kept: &WorkloadRepository, snapshot: SnapshotId) -> Result<Timestamp, VaultError> {
    let path = kept.store.file_of(&Object::Snapshot(snapshot));
    let modified = |path: &Path| -> std::io::Result<SystemTime> { path.metadata()?.modified() };
    modified(&path).map(Timestamp::from_system_time).map_err(VaultError::io("look at", path))
}

fn lock_directory(dir: &Path) -> Result<File, VaultError> {
    durable::create_directories(dir, 0o700).map_err(VaultError::io("create", dir))?;
    let path = dir.join("vault.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(VaultError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(VaultError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(VaultError::io("lock", path)(source)),
    }
}

/// Opens the catalog; one that is damaged is removed, to be filled again.
fn open_catalog(dir: &Path) -> Result<Catalog, VaultError> {
    let path = dir.join("catalog.sqlite");
    match Catalog::open(&path) {
        Err(error @ CatalogError::Damaged { .. }) => {
            tracing::error!(%error, "rebuilding the catalog; past incidents are in the log only");
            for suffix in ["", "-wal", "-shm"] {
                let file = PathBuf::from(format!("{}{suffix}", path.display()));
                match durable::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(VaultError::io("remove", file)(error));
                    }
                    _ => {}
                }
            }
            Ok(Catalog::open(&path)?)
        }
        result => Ok(result?),
    }
}
