//! Publishing last (I5): from a bill of lading to a snapshot and its receipt.
//!
//! The order, and why a crash between any two steps is harmless when the agent sends the bill
//! again (it does until it has the receipt):
//!
//! 0. compare: what is recorded under the drop's id must be this very drop. If it is and its
//!    snapshot is there, the answer is the receipt of then.
//! 1. verify: every object of the bill is here with its size, the sealed snapshot is what its name
//!    says, opens with the workload's key and says of itself what is expected, its tree is in an
//!    index and in a proved pack, and every pack that the brought indexes name is here. Nothing was
//!    changed yet.
//! 2. the arrival record, with the receipt: says nothing without its snapshot. A later attempt
//!    replaces it.
//! 3. the snapshot object: from here on the drop is vaulted, and every later attempt finds record
//!    and snapshot and gives out the same receipt.
//! 4. the entry in the audit log, then the catalog and the promise ledger: a cache. A start fills in
//!    what is missing of all three.
//!
//! One publisher per repository at a time, so that one drop is never two snapshots.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use outlast_catalog::SnapshotRecord;
use outlast_drop::{DropAddress, Receipt, ReceiptState};
use outlast_format::index::IndexFile;
use outlast_format::sha256;
use outlast_promise::{Event, Finding};
use outlast_store::{Kind, Object, StoreError, create_or_find};
use outlast_types::{SnapshotId, Timestamp, Verdict, WorkloadName};
use outlast_wire::Peer;
use outlast_wire::api::{BILL_VERSION, BilledObject, Shipment};

use super::admission::{INDEX_DOCUMENT_MAX, expected};
use super::audit::{self, Asker, AuditAction};
use super::custody::{self, Comparison};
use super::error::VaultError;
use super::published::{foreign_record, is_published, readable_tree};
use super::repositories::{WorkloadRepository, repository_path};
use super::vault::Vault;

/// The largest sealed snapshot that is published, in bytes.
const SNAPSHOT_BYTES_MAX: usize = 4 << 20;
/// The largest claims that are recorded, in bytes of JSON.
const CLAIMS_BYTES_MAX: usize = 64 << 10;
/// How many missing objects an answer names.
const MISSING_NAMED_MAX: usize = 1000;

impl Vault {
    /// Publishes the snapshot of the bill of lading that `agent` handed in, and returns the text of
    /// the receipt. Doing it again returns the same text; a bill that names another drop under
    /// the same id is refused, and told to people.
    pub(crate) fn publish<'a>(
        &self,
        shipment: &Shipment,
        agent: impl Into<Asker<'a>>,
    ) -> Result<String, VaultError> {
        let agent = agent.into();
        self.try_publish(shipment, agent).inspect_err(|error| {
            let event = audit::Event::asked(agent, AuditAction::DropPublished);
            self.note_failure(event.workload(&shipment.workload).object(shipment.drop), error);
        })
    }

    fn try_publish(&self, shipment: &Shipment, agent: Asker<'_>) -> Result<String, VaultError> {
        if shipment.version != BILL_VERSION {
            return Err(VaultError::BillVersion { version: shipment.version });
        }
        let repository = self.repositories.get(&shipment.workload)?;
        let _one_publisher = repository.publishing();
        if let Some(arrived) = self.arrived(&shipment.workload, shipment.drop)?
            && readable_tree(&repository, arrived.snapshot)?.is_some()
        {
            return self.publish_again(&repository, arrived, shipment, agent);
        }
        verify(self, &repository, shipment, agent.peer.name())?;
        if is_published(&*repository.store, shipment.snapshot_id)? {
            return Err(VaultError::AlreadyPublished {
                workload: shipment.workload.clone(),
                drop: shipment.drop,
                snapshot: shipment.snapshot_id.to_string(),
            });
        }
        let (record, receipt) = self.record_of(shipment)?;
        self.arrivals.put(&record)?;
        let object = Object::Snapshot(shipment.snapshot_id);
        create_or_find(&*repository.store, &object, Bytes::from(shipment.snapshot.0.clone()))?;
        self.catalog(&record, audit::Event::asked(agent, AuditAction::DropPublished))?;
        tracing::info!(
            workload = %record.workload,
            drop = %shipment.drop,
            snapshot = %record.snapshot,
            content_bytes = record.content_bytes,
            sanity = %record.sanity,
            "vaulted a drop"
        );
        Ok(receipt)
    }

    /// Answers a bill for a drop whose snapshot is here already.
    fn publish_again(
        &self,
        repository: &WorkloadRepository,
        arrived: SnapshotRecord,
        shipment: &Shipment,
        agent: Asker<'_>,
    ) -> Result<String, VaultError> {
        let peer = agent.peer;
        match custody::compare(repository, &arrived, shipment)? {
            Comparison::Same(receipt) => {
                // A crash may have come between the snapshot and the catalog.
                let catalog = self.promises.catalog();
                if catalog.snapshot_of_drop(&shipment.workload, shipment.drop)?.is_none() {
                    let event = audit::Event::asked(agent, AuditAction::DropPublished);
                    self.catalog(&arrived, event)?;
                }
                Ok(receipt)
            }
            Comparison::SameWithoutSeal => {
                let (record, receipt) = self.adopt_seal(arrived, shipment)?;
                self.arrivals.put(&record)?;
                self.promises.vaulted(&record, self.counts(&record))?;
                Ok(receipt)
            }
            Comparison::Different(difference) => {
                tracing::error!(
                    agent = %peer, workload = %shipment.workload, drop = %shipment.drop, difference,
                    "refused a bill for another drop than the one that is held under its id"
                );
                self.promises.noted(vec![Event::Custody(Finding::Contested {
                    workload: shipment.workload.clone(),
                    agent: peer.name().to_owned(),
                    drop: shipment.drop,
                    difference: difference.clone(),
                })])?;
                Err(VaultError::Contested {
                    workload: shipment.workload.clone(),
                    drop: shipment.drop,
                    difference,
                })
            }
        }
    }

    fn record_of(&self, shipment: &Shipment) -> Result<(SnapshotRecord, String), VaultError> {
        let received = self.environment.clock.now();
        let sanity = self.judge(shipment)?;
        let doubt = self.is_doubtful(&shipment.workload, shipment.drop, &sanity);
        let verdict = doubt.then_some(Verdict::Suspect);
        let receipt = self.receipt_of(shipment, received, shipment.snapshot_id, verdict)?;
        // Each object once, however often the bill names it.
        let sizes: BTreeMap<Object, u64> =
            shipment.objects.iter().map(|billed| (billed.object(), billed.size)).collect();
        let record = SnapshotRecord {
            workload: shipment.workload.clone(),
            snapshot: shipment.snapshot_id,
            drop: Some(shipment.drop),
            received,
            content_bytes: shipment.size,
            stored_bytes: sizes.values().sum(),
            claims: shipment.claims.clone(),
            receipt: Some(receipt.clone()),
            sanity,
        };
        Ok((record, receipt))
    }

    /// The record of a drop that came before receipts named seals, now with the seal, day and tree
    /// of the first bill that agrees with it in all that was known. It stays as old as it is.
    fn adopt_seal(
        &self,
        arrived: SnapshotRecord,
        shipment: &Shipment,
    ) -> Result<(SnapshotRecord, String), VaultError> {
        let receipt = self.receipt_of(shipment, arrived.received, arrived.snapshot, None)?;
        Ok((SnapshotRecord { receipt: Some(receipt.clone()), ..arrived }, receipt))
    }

    /// Signs that this vault holds the drop of `shipment` as `snapshot` since `received`.
    fn receipt_of(
        &self,
        shipment: &Shipment,
        received: Timestamp,
        snapshot: SnapshotId,
        verdict: Option<Verdict>,
    ) -> Result<String, VaultError> {
        let address = DropAddress {
            workload: shipment.workload.clone(),
            day: shipment.day,
            drop: shipment.drop,
        };
        let receipt = Receipt {
            seal: Some(shipment.seal),
            size: Some(shipment.size),
            tree: Some(shipment.tree),
            snapshot: Some(snapshot.to_string()),
            repository: Some(repository_path(&shipment.workload)),
            sequence: Some(self.sequence.next()),
            verdict,
            ..Receipt::about(shipment.share, &address, ReceiptState::Vaulted, received)
        };
        let sign = |source| VaultError::Sign { drop: shipment.drop, source };
        let signed = receipt.sign(&*self.identity.get()).map_err(sign)?;
        Ok(String::from_utf8_lossy(signed.bytes()).into_owned())
    }

    /// Takes a snapshot that is in a repository but was not announced by a bill, such as one of
    /// stock restic, into records, catalog and promises. `received` is the vault's time.
    pub(crate) fn adopt(
        &self,
        peer: &Peer,
        repository: &WorkloadRepository,
        workload: &WorkloadName,
        snapshot: SnapshotId,
        received: Timestamp,
    ) -> Result<(), VaultError> {
        let record = foreign_record(repository, workload, snapshot, received);
        self.arrivals.put(&record)?;
        self.catalog(&record, audit::Event::by(peer, AuditAction::SnapshotAdopted))
    }

    /// Makes a snapshot that lies in its repository known. The entry comes before the catalog: a crash
    /// in between leaves a snapshot that the catalog does not know, which is taken in, with an entry,
    /// by a later bill or the next start. So each is in the log, some more than once.
    pub(crate) fn catalog(
        &self,
        record: &SnapshotRecord,
        event: audit::Event,
    ) -> Result<(), VaultError> {
        let event = event.workload(&record.workload).detail("snapshot", record.snapshot);
        let event = match record.drop {
            Some(drop) => event.object(drop),
            None => event,
        };
        let counts = self.counts(record);
        let event = if counts { event } else { event.detail("suspect", record.sanity.why()) };
        self.audit.record(event)?;
        self.promises.vaulted(record, counts)?;
        self.counters.published(record);
        Ok(())
    }
}

/// Step 1: believes nothing of the bill that can be checked.
fn verify(
    vault: &Vault,
    repository: &WorkloadRepository,
    shipment: &Shipment,
    agent: &str,
) -> Result<(), VaultError> {
    let bad = |reason: String| VaultError::BadBill {
        workload: shipment.workload.clone(),
        drop: shipment.drop,
        reason,
    };
    if shipment.claims.to_string().len() > CLAIMS_BYTES_MAX {
        return Err(bad(format!("its claims are longer than {CLAIMS_BYTES_MAX} bytes")));
    }
    let sealed = &shipment.snapshot.0;
    if sealed.len() > SNAPSHOT_BYTES_MAX {
        return Err(bad(format!("its snapshot is longer than {SNAPSHOT_BYTES_MAX} bytes")));
    }
    if sha256(sealed) != shipment.snapshot_id.0 {
        return Err(bad("the SHA-256 of its snapshot is not the snapshot's id".to_owned()));
    }
    let (admission, workload) = (&vault.admission, &shipment.workload);
    let snapshot = match admission.open_snapshot(repository, workload, sealed) {
        Err(VaultError::Unacceptable { reason, .. }) => {
            return Err(bad(format!("its snapshot does not open: {reason}")));
        }
        other => other?,
    };
    expected(&snapshot, workload, shipment.drop, agent, vault.environment.clock.now())
        .map_err(&bad)?;
    if snapshot.tree != shipment.tree {
        return Err(bad(format!(
            "its snapshot has the tree {}, and not the billed one",
            snapshot.tree
        )));
    }
    let sizes = sizes_of(repository, shipment)?;
    require(shipment, &sizes)?;
    require_listed_packs(vault, repository, shipment, &sizes, &bad)?;
    match admission.vouches_for(repository, workload, snapshot.tree) {
        Ok(true) => Ok(()),
        Ok(false) => Err(bad("no index knows the tree of its snapshot".to_owned())),
        Err(error @ (VaultError::Unacceptable { .. } | VaultError::PackMissing { .. })) => {
            Err(bad(format!("the tree of its snapshot is not to be had: {error}")))
        }
        Err(other) => Err(other),
    }
}

/// The sizes of all data and indexes that the bill names, as far as they are here.
fn sizes_of(
    repository: &WorkloadRepository,
    shipment: &Shipment,
) -> Result<BTreeMap<Object, u64>, VaultError> {
    let mut sizes = BTreeMap::new();
    for billed in &shipment.objects {
        let object = billed.object();
        match repository.store.size(&object) {
            Ok(size) => drop(sizes.insert(object, size)),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sizes)
}

fn require(shipment: &Shipment, sizes: &BTreeMap<Object, u64>) -> Result<(), VaultError> {
    let missing: Vec<Object> = shipment
        .objects
        .iter()
        .filter(|billed| sizes.get(&billed.object()) != Some(&billed.size))
        .map(|billed| billed.object())
        .take(MISSING_NAMED_MAX)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(missing_objects(shipment, missing))
}

fn missing_objects(shipment: &Shipment, missing: Vec<Object>) -> VaultError {
    VaultError::MissingObjects { workload: shipment.workload.clone(), drop: shipment.drop, missing }
}

/// Every pack that the brought indexes name must be here, billed or not: an index that points into
/// the void would spoil later backups, which rely on it. They were there when the index was
/// admitted.
fn require_listed_packs(
    vault: &Vault,
    repository: &WorkloadRepository,
    shipment: &Shipment,
    sizes: &BTreeMap<Object, u64>,
    bad: &dyn Fn(String) -> VaultError,
) -> Result<(), VaultError> {
    let mut missing = Vec::new();
    let billed = shipment.objects.iter().map(BilledObject::object);
    // Each once, however often the bill names it.
    let indexes: BTreeSet<Object> = billed.filter(|object| object.kind() == Kind::Index).collect();
    for object in indexes {
        let _permit = vault.admission.document()?;
        let document = match repository.opened()?.read_unpacked_within(&object, INDEX_DOCUMENT_MAX)
        {
            Ok(document) => document,
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => return Err(bad(error.to_string())),
        };
        let index = IndexFile::parse(&document)
            .map_err(|error| bad(format!("{object} cannot be read: {error}")))?;
        for (pack, _) in &index.packs {
            let pack = Object::Data(*pack);
            if !sizes.contains_key(&pack) {
                match repository.store.size(&pack) {
                    Ok(_) => {}
                    Err(StoreError::NotFound { .. }) => missing.push(pack),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    missing.truncate(MISSING_NAMED_MAX);
    Err(missing_objects(shipment, missing))
}

#[cfg(test)]
mod tests;
