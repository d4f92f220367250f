//! Publishing last (I5): from a bill of lading to a snapshot and its receipt.
//!
//! The order, and why a crash between any two steps is harmless when the agent sends the bill
//! again (it does until it has the receipt):
//!
//! 0. compare: what is recorded under the drop's id must be this very drop. If it is and its
//!    snapshot is there, the answer is the receipt of then.
//! 1. verify: the sealed snapshot is what its name says, opens with the workload's key and says of itself
//!    what is expected; every object of the bill is here with its size, and every pack that the brought
//!    indexes name; and every blob that its tree reaches lies in a pack that is here, was proved, and that
//!    nobody is removing (`whole`): a drop may rest on packs of an earlier one that have not come, or not
//!    yet. What is lacking is the answer, and nothing was changed. From the last look on, a lock keeps
//!    prune from removing anything.
//! 2. the arrival record, with the receipt: says nothing without its snapshot. A later attempt
//!    replaces it.
//! 3. the snapshot object: from here on the drop is vaulted, and every later attempt finds record
//!    and snapshot and gives out the same receipt.
//! 4. the entry in the audit log, then the catalog and the promise ledger: a cache. A start fills in
//!    what is missing of all three.
//!
//! One publisher per repository at a time, so that one drop is never two snapshots.

use std::collections::BTreeMap;

use bytes::Bytes;
use outlast_catalog::SnapshotRecord;
use outlast_drop::{DropAddress, Receipt, ReceiptState};
use outlast_format::index::IndexFile;
use outlast_format::sha256;
use outlast_promise::{Event, Finding};
use outlast_repo::lock::Held;
use outlast_store::{Kind, Object, create_or_find};
use outlast_types::{BlobId, SnapshotId, Timestamp, Verdict, WorkloadName};
use outlast_wire::Peer;
use outlast_wire::api::{
    BILL_VERSION, BILL_VERSION_COUNTED, BillAnswer, PENDING_NAMED_MAX, Pending, Shipment,
};

use super::admission::{INDEX_DOCUMENT_MAX, expected};
use super::audit::{self, Asker, AuditAction};
use super::custody::{self, Comparison};
use super::error::VaultError;
use super::published::{foreign_record, is_published, readable_tree, size_of};
use super::repositories::{WorkloadRepository, repository_path};
use super::vault::Vault;
use super::whole::{Candidate, lacking_blobs};

/// The largest sealed snapshot that is published, in bytes.
const SNAPSHOT_BYTES_MAX: usize = 4 << 20;
/// The largest claims that are recorded, in bytes of JSON.
const CLAIMS_BYTES_MAX: usize = 64 << 10;
/// How many missing objects an answer names.
const MISSING_NAMED_MAX: usize = PENDING_NAMED_MAX;
/// So many snapshots are looked at for trees that are known, and so many trees are taken.
const RECENT_MAX: u32 = 8;
const KNOWN_TREES_MAX: usize = 2;

impl Vault {
    /// Publishes the snapshot of the bill of lading that `agent` handed in, and returns its receipt; or
    /// says what is not here yet. Doing it again returns the same receipt; a bill that names another drop
    /// under the same id is refused, and told to people.
    pub(crate) fn hand_in<'a>(
        &self,
        shipment: &Shipment,
        agent: impl Into<Asker<'a>>,
    ) -> Result<BillAnswer, VaultError> {
        let agent = agent.into();
        self.try_hand_in(shipment, agent).inspect_err(|error| {
            let event = audit::Event::asked(agent, AuditAction::DropPublished);
            self.note_failure(event.workload(&shipment.workload).object(shipment.drop), error);
        })
    }

    fn try_hand_in(&self, shipment: &Shipment, agent: Asker<'_>) -> Result<BillAnswer, VaultError> {
        if !matches!(shipment.version, BILL_VERSION | BILL_VERSION_COUNTED) {
            return Err(VaultError::BillVersion { version: shipment.version });
        }
        let repository = self.repositories.get(&shipment.workload)?;
        let _one_publisher = repository.publishing();
        let published = self.publish_or_wait(&repository, shipment, agent)?;
        match published {
            Ok(receipt) => {
                self.shipments.end(&shipment.workload, shipment.drop)?;
                Ok(BillAnswer { receipt: Some(receipt), ..BillAnswer::default() })
            }
            Err(pending) => {
                let now = self.environment.clock.now();
                self.shipments.progressed(&shipment.workload, shipment.drop, (0, 0), now);
                let waiting = self.spools.waiting(&shipment.workload, now);
                let pending = Pending { by_vault: true, waiting, ..pending };
                Ok(BillAnswer { pending: Some(pending), ..BillAnswer::default() })
            }
        }
    }

    /// The receipt, or what is not here.
    fn publish_or_wait(
        &self,
        repository: &WorkloadRepository,
        shipment: &Shipment,
        agent: Asker<'_>,
    ) -> Result<Result<String, Pending>, VaultError> {
        if let Some(arrived) = self.arrived(&shipment.workload, shipment.drop)?
            && (arrived.terms.removed.is_some()
                || readable_tree(repository, arrived.snapshot)?.is_some())
        {
            return self.publish_again(repository, arrived, shipment, agent).map(Ok);
        }
        verify(self, repository, shipment, agent.peer.name())?;
        if is_published(&*repository.store, shipment.snapshot_id)? {
            return Err(VaultError::AlreadyPublished {
                workload: shipment.workload.clone(),
                drop: shipment.drop,
                snapshot: shipment.snapshot_id.to_string(),
            });
        }
        let (stock, missing) = take_stock(self, repository, shipment)?;
        if !missing.is_empty() {
            return self.lacks(shipment, missing).map(|missing| {
                Err(Pending { here: stock.objects, missing, ..Pending::default() })
            });
        }
        // From here to the snapshot nobody removes packs who does not see it, or is seen.
        let opened = repository.opened()?;
        let here = self.process.here();
        let (clock, random) = (&*self.environment.clock, &*self.environment.random);
        let (lock, other) = Held::take_beside(opened, &here, clock, random)?;
        let known = self.published_trees(repository, &shipment.workload)?;
        let candidate = Candidate {
            workload: &shipment.workload,
            tree: shipment.tree,
            known: &known,
            is_swept: other.is_some(),
        };
        let blobs = lacking_blobs(&self.admission, repository, &candidate, &|| lock.keep());
        let blobs = blobs.map_err(|error| bad_tree(shipment, error))?;
        if !blobs.is_empty() {
            return self
                .lacks_blobs(shipment, blobs)
                .map(|blobs| Err(Pending { here: stock.objects, blobs, ..Pending::default() }));
        }
        let (record, receipt) = self.record_of(shipment, stock)?;
        self.arrivals.put(&record)?;
        let object = Object::Snapshot(shipment.snapshot_id);
        create_or_find(&*repository.store, &object, Bytes::from(shipment.snapshot.0.clone()))?;
        drop(lock);
        self.catalog(&record, audit::Event::asked(agent, AuditAction::DropPublished))?;
        tracing::info!(
            workload = %record.workload,
            drop = %shipment.drop,
            snapshot = %record.snapshot,
            content_bytes = record.content_bytes,
            sanity = %record.sanity,
            "vaulted a drop"
        );
        Ok(Ok(receipt))
    }

    /// The names of missing objects; an error for agents that do not know that something may wait.
    fn lacks(&self, shipment: &Shipment, missing: Vec<Object>) -> Result<Vec<String>, VaultError> {
        if shipment.version == BILL_VERSION {
            return Err(VaultError::MissingObjects {
                workload: shipment.workload.clone(),
                drop: shipment.drop,
                missing,
            });
        }
        Ok(missing.iter().map(Object::to_string).collect())
    }

    /// The same of blobs.
    fn lacks_blobs(
        &self,
        shipment: &Shipment,
        blobs: Vec<String>,
    ) -> Result<Vec<String>, VaultError> {
        let (workload, drop) = (&shipment.workload, shipment.drop);
        tracing::warn!(%workload, %drop, blobs = blobs.len(), "blobs that a drop needs are nowhere");
        if shipment.version != BILL_VERSION {
            return Ok(blobs);
        }
        let first = blobs.first().map_or("", String::as_str);
        Err(bad(
            shipment,
            if first == format!("tree/{}", shipment.tree) {
                "no index knows the tree of its snapshot, or the pack that has it is not whole"
                    .to_owned()
            } else {
                format!(
                    "its snapshot needs blobs that are in no pack here, the first of them {first}"
                )
            },
        ))
    }

    /// The trees of the newest snapshots that are published.
    fn published_trees(
        &self,
        repository: &WorkloadRepository,
        workload: &WorkloadName,
    ) -> Result<Vec<BlobId>, VaultError> {
        let mut trees = Vec::new();
        for record in self.promises.catalog().recent_snapshots(workload, RECENT_MAX)? {
            if let Some(tree) = readable_tree(repository, record.snapshot)?
                && !trees.contains(&tree)
            {
                trees.push(tree);
            }
            if trees.len() == KNOWN_TREES_MAX {
                break;
            }
        }
        Ok(trees)
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
            // By the rules it was let go since: whoever sends the bill again hears what it heard then.
            Comparison::Same(receipt) if arrived.terms.removed.is_some() => Ok(receipt),
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

    fn record_of(
        &self,
        shipment: &Shipment,
        stock: Stock,
    ) -> Result<(SnapshotRecord, String), VaultError> {
        let received = self.environment.clock.now();
        let sanity = self.judge(shipment)?;
        let doubt = self.is_doubtful(&shipment.workload, shipment.drop, &sanity);
        let verdict = doubt.then_some(Verdict::Suspect);
        let receipt = self.receipt_of(shipment, received, shipment.snapshot_id, verdict)?;
        let record = SnapshotRecord {
            workload: shipment.workload.clone(),
            snapshot: shipment.snapshot_id,
            drop: Some(shipment.drop),
            received,
            content_bytes: shipment.size,
            stored_bytes: stock.bytes,
            claims: shipment.claims.clone(),
            receipt: Some(receipt.clone()),
            sanity,
            terms: self.terms_of(shipment, received),
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
            workload: shipment.called().clone(),
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
            safe: Some(self.promises.safe(&shipment.workload)),
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
        let terms = self.terms(workload, received);
        let record = foreign_record(repository, workload, snapshot, received);
        let record = SnapshotRecord { terms, ..record };
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
        let event = event
            .workload(&record.workload)
            .detail("snapshot", record.snapshot)
            .detail("received", record.received)
            .detail("recovery_point", record.recovery_point())
            .detail("content_bytes", record.content_bytes)
            .detail("stored_bytes", record.stored_bytes);
        let event = record.drop.into_iter().fold(event, audit::Event::object);
        let event = self.as_policy_counts(record, event)?;
        let counts = self.counts(record);
        let event = if counts { event } else { event.detail("suspect", record.sanity.why()) };
        self.audit.record(event)?;
        self.tell_vaulted(record, counts)?;
        self.counters.published(record);
        Ok(())
    }
}

fn bad(shipment: &Shipment, reason: String) -> VaultError {
    let (workload, drop) = (shipment.workload.clone(), shipment.drop);
    VaultError::BadBill { workload, drop, reason }
}

fn bad_tree(shipment: &Shipment, error: VaultError) -> VaultError {
    match error {
        VaultError::Unacceptable { reason, .. } => {
            bad(shipment, format!("the tree of its snapshot is none: {reason}"))
        }
        other => other,
    }
}

/// Step 1: believes nothing of the bill that can be checked by itself.
fn verify(
    vault: &Vault,
    repository: &WorkloadRepository,
    shipment: &Shipment,
    agent: &str,
) -> Result<(), VaultError> {
    let bad = |reason: String| bad(shipment, reason);
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
    let workload = &shipment.workload;
    let snapshot = match vault.admission.open_snapshot(repository, workload, sealed) {
        Err(VaultError::Unacceptable { reason, .. }) => {
            return Err(bad(format!("its snapshot does not open: {reason}")));
        }
        other => other?,
    };
    expected(&snapshot, shipment.called(), shipment.drop, agent, vault.environment.clock.now())
        .map_err(&bad)?;
    if snapshot.tree != shipment.tree {
        let tree = snapshot.tree;
        return Err(bad(format!("its snapshot has the tree {tree}, and not the billed one")));
    }
    Ok(())
}

/// What of a bill is here.
#[derive(Debug, Clone, Copy)]
struct Stock {
    objects: u64,
    /// What it brought, each object once.
    bytes: u64,
}

/// Looks which objects of the bill are here with their sizes, and which packs its indexes list; also what
/// is missing of both.
///
/// Every pack that the brought indexes name must be here, billed or not: an index that points into the void
/// would spoil later backups, which rely on it. They were there when the index was admitted.
fn take_stock(
    vault: &Vault,
    repository: &WorkloadRepository,
    shipment: &Shipment,
) -> Result<(Stock, Vec<Object>), VaultError> {
    // Each once, however often the bill names it.
    let billed: BTreeMap<Object, u64> =
        shipment.objects.iter().map(|billed| (billed.object(), billed.size)).collect();
    let mut missing = Vec::new();
    let mut here = BTreeMap::new();
    for (object, size) in &billed {
        match size_of(repository, object)? {
            Some(found) if found == *size => drop(here.insert(*object, found)),
            _ => missing.push(*object),
        }
    }
    if missing.iter().any(|object| object.kind() == Kind::Index) {
        // Which packs it needs is not known yet, and a large shipment is asked after again and again.
        missing.truncate(MISSING_NAMED_MAX);
        return Ok((Stock { objects: here.len() as u64, bytes: 0 }, missing));
    }
    let indexes: Vec<Object> =
        here.keys().filter(|object| object.kind() == Kind::Index).copied().collect();
    let mut brought: u64 = here.values().sum();
    let mut packs_here = BTreeMap::new();
    for object in indexes {
        for pack in listed_packs(vault, repository, shipment, &object)? {
            if billed.contains_key(&pack) || packs_here.contains_key(&pack) {
                continue;
            }
            match size_of(repository, &pack)? {
                Some(size) => drop(packs_here.insert(pack, size)),
                None if missing.contains(&pack) => {}
                None => missing.push(pack),
            }
        }
    }
    if shipment.version == BILL_VERSION_COUNTED {
        // An index may list packs of before as well: what it brought is less then.
        let listed: u64 = packs_here.values().sum();
        brought += shipment.packs.map_or(listed, |packs| packs.bytes.min(listed));
    }
    missing.truncate(MISSING_NAMED_MAX);
    let objects = (here.len() + packs_here.len()) as u64;
    Ok((Stock { objects, bytes: brought }, missing))
}

/// The packs that an index of the bill lists.
fn listed_packs(
    vault: &Vault,
    repository: &WorkloadRepository,
    shipment: &Shipment,
    index: &Object,
) -> Result<Vec<Object>, VaultError> {
    let _permit = vault.admission.document()?;
    let document = match repository.opened()?.read_unpacked_within(index, INDEX_DOCUMENT_MAX) {
        Ok(document) => document,
        Err(error) if error.is_passing() => return Err(error.into()),
        Err(error) => return Err(bad(shipment, error.to_string())),
    };
    let file = IndexFile::parse(&document)
        .map_err(|error| bad(shipment, format!("{index} cannot be read: {error}")))?;
    Ok(file.packs.into_iter().map(|(pack, _)| Object::Data(pack)).collect())
}

#[cfg(test)]
mod tests;
