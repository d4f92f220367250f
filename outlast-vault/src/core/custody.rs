//! What this vault can say of drops: whether a bill is of the drop that it holds, and which drops
//! it holds now.

use std::collections::{BTreeMap, BTreeSet};

use outlast_catalog::{SnapshotRecord, Terms};
use outlast_drop::{Receipt, ReceiptState, SignedReceipt};
use outlast_promise::{self as promise, Finding};
use outlast_types::{DropId, DropIdentity, Sanity, WorkloadName};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::Shipment;
use outlast_wire::holdings::{Answer, HeldDrop, Question, SignedAnswer};
use outlast_wire::receipts::Authority;

use super::audit::{AuditAction, Event};
use super::error::VaultError;
use super::published::{is_indexed, readable_tree, tree_of};
use super::repositories::WorkloadRepository;
use super::vault::Vault;

/// How a bill relates to the drop that is held under its id.
pub(crate) enum Comparison {
    /// It is of this drop, whose receipt this is.
    Same(String),
    /// It agrees in all that is known, but the drop came before receipts named seals.
    SameWithoutSeal,
    /// It is of another drop; in which respect, for people.
    Different(String),
}

/// Compares a bill with what `arrived` under its drop's id.
pub(crate) fn compare(
    repository: &WorkloadRepository,
    arrived: &SnapshotRecord,
    shipment: &Shipment,
) -> Result<Comparison, VaultError> {
    let text = arrived.receipt.clone().unwrap_or_default();
    let known = SignedReceipt::parse(text.as_bytes()).ok().map(|signed| signed.receipt().clone());
    // Receipts of version 1 did not name the tree; the snapshot does.
    let tree = match known.as_ref().and_then(|receipt| receipt.tree) {
        Some(tree) => Some(tree),
        None => Some(tree_of(repository, arrived.snapshot)?),
    };
    let known_of = |part: fn(&Receipt) -> Option<String>| known.as_ref().and_then(part);
    let size = known.as_ref().and_then(|receipt| receipt.size).unwrap_or(arrived.content_bytes);
    let parts = [
        ("share", known_of(|r| r.share.map(|share| share.to_string())), shipment.share.to_string()),
        ("day", known_of(|r| r.day.map(|day| day.to_string())), shipment.day.to_string()),
        ("seal", known_of(|r| r.seal.map(|seal| seal.to_string())), shipment.seal.to_string()),
        ("size", Some(size.to_string()), shipment.size.to_string()),
        ("tree", tree.map(|tree| tree.to_string()), shipment.tree.to_string()),
    ];
    let differences: Vec<String> = parts
        .iter()
        .filter_map(|(part, held, billed)| {
            let held = held.as_ref().filter(|held| *held != billed)?;
            Some(format!("its {part} is {held}, and the bill says {billed}"))
        })
        .collect();
    if !differences.is_empty() {
        return Ok(Comparison::Different(differences.join("; ")));
    }
    let is_bound = known.is_some_and(|receipt| receipt.identity().is_some());
    Ok(if is_bound { Comparison::Same(text) } else { Comparison::SameWithoutSeal })
}

impl Vault {
    /// What is recorded of a drop: the arrival record, or, if that was lost, what the catalog has.
    /// Whether its snapshot is there is another question.
    pub(crate) fn arrived(
        &self,
        workload: &WorkloadName,
        drop: DropId,
    ) -> Result<Option<SnapshotRecord>, VaultError> {
        let workload = self.present(workload);
        match self.arrivals.of_drop(workload, drop)? {
            Some(record) => Ok(Some(record)),
            None => Ok(self.promises.catalog().snapshot_of_drop(workload, drop)?),
        }
    }

    /// Which of the drops in `question` are held now; and if it shows receipts that this vault
    /// signed and does not know, that is told to people. Of workloads that are not granted to `asker`
    /// it hears and says nothing but that.
    ///
    /// While releases are withheld, who would release all the same gets no answer.
    pub(crate) fn holdings(
        &self,
        question: Question,
        asker: &Certified,
    ) -> Result<SignedAnswer, VaultError> {
        if !question.heeds_withheld && self.withheld.is_in_force() {
            return Err(VaultError::Withheld);
        }
        self.hear_of_lost(&question.receipts, asker)?;
        let mut refused = BTreeSet::new();
        let mut by_workload: BTreeMap<WorkloadName, Vec<HeldDrop>> = BTreeMap::new();
        for asked in question.drops {
            if !self.is_granted(asker, &asked.drop.workload) {
                refused.insert(asked.drop.workload);
                continue;
            }
            by_workload.entry(asked.drop.workload.clone()).or_default().push(asked);
        }
        let (mut held, mut recorded) = (Vec::new(), Vec::new());
        for (workload, asked) in by_workload {
            let repository = match self.repositories.get(self.present(&workload)) {
                Ok(repository) => repository,
                // Nothing of it is here now. That it is missing, if it is, is told elsewhere.
                Err(error) if is_absence(&error) => continue,
                Err(error) => return Err(error),
            };
            for drop in asked {
                if !self.is_recorded(&drop)? {
                    continue;
                }
                // What the rules let go needs to be held nowhere any more.
                let is_held = self.holds(&repository, &drop)? || self.let_go(&drop)?;
                (if is_held { &mut held } else { &mut recorded }).push(drop);
            }
        }
        let (handed, unsafe_alone) = self.handed_now(question.handed, asker, &mut refused)?;
        let answer = Answer {
            nonce: question.nonce,
            at: self.environment.clock.now(),
            run: self.run.clone(),
            sequence: self.sequence.now(),
            held,
            recorded,
            handed,
            unsafe_alone,
            refused: refused.into_iter().collect(),
            withheld: self.withheld.is_in_force(),
        };
        if let Some(first) = answer.refused.first() {
            let event = Event::by(&asker.peer, AuditAction::Requested).workload(first);
            let refused = access::not_granted(&asker.peer, Call::AskHoldings, first);
            self.note_failure(event, &refused.into());
        }
        SignedAnswer::sign(&answer, &self.identity.get())
            .map_err(|error| VaultError::SignAnswer { source: error.into() })
    }

    /// Whether this very drop arrived here, whatever became of its snapshot.
    fn is_recorded(&self, asked: &HeldDrop) -> Result<bool, VaultError> {
        let DropIdentity { workload, drop, .. } = &asked.drop;
        let Some(arrived) = self.arrived(workload, *drop)? else { return Ok(false) };
        let text = arrived.receipt.as_deref().unwrap_or_default();
        let signed = SignedReceipt::parse(text.as_bytes());
        Ok(signed.is_ok_and(|signed| held_drop(signed.receipt()).as_ref() == Some(asked)))
    }

    /// Whether the vault removed this very drop, which is recorded, by its rules.
    fn let_go(&self, asked: &HeldDrop) -> Result<bool, VaultError> {
        let DropIdentity { workload, drop, .. } = &asked.drop;
        Ok(self.arrived(workload, *drop)?.is_some_and(|arrived| arrived.terms.removed.is_some()))
    }

    /// Whether this very drop, which is recorded, is here: published, and with an index that knows its tree.
    fn holds(&self, repository: &WorkloadRepository, asked: &HeldDrop) -> Result<bool, VaultError> {
        let DropIdentity { workload, drop, .. } = &asked.drop;
        let Some(arrived) = self.arrived(workload, *drop)? else { return Ok(false) };
        let tree = readable_tree(repository, arrived.snapshot)?;
        Ok(tree == Some(asked.tree) && is_indexed(repository, asked.tree)?)
    }

    /// Looks at receipts that somebody shows: what this authority's vault signed and this vault does
    /// not hold was lost with an older state of it.
    fn hear_of_lost(&self, receipts: &[String], asker: &Certified) -> Result<(), VaultError> {
        let mut events = Vec::new();
        for text in receipts {
            // What no vault signed proves nothing.
            let Some(receipt) = self.signed_by_vault(text) else { continue };
            if !self.is_granted(asker, &receipt.workload) {
                continue;
            }
            if let Some(number) = receipt.sequence {
                self.sequence.saw(number);
            }
            if !self.knows(&receipt)? && !self.take_back(&receipt, text)? {
                events.push(promise::Event::Custody(Finding::Lost {
                    workload: self.present(&receipt.workload).clone(),
                    drop: receipt.drop,
                    received: receipt.at,
                }));
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        tracing::error!(
            drops = events.len(),
            "this vault does not hold drops that it signed for: was it put back from an older copy?"
        );
        self.promises.noted(events)
    }

    /// Takes a drop back into the records that its snapshot is here of, by the receipt that this vault
    /// signed for it: a vault that was brought back knows of the newest snapshots only that they are
    /// there. Whether it could.
    fn take_back(&self, receipt: &Receipt, text: &str) -> Result<bool, VaultError> {
        let Some(held) = held_drop(receipt) else { return Ok(false) };
        let (workload, drop) = (self.present(&receipt.workload), receipt.drop);
        let Some(repository) = self.repositories.present(workload)? else { return Ok(false) };
        let _nobody_publishes = repository.publishing();
        if self.arrived(workload, drop)?.is_some()
            || readable_tree(&repository, held.snapshot)? != Some(held.tree)
            || !is_indexed(&repository, held.tree)?
        {
            return Ok(false);
        }
        let found = self.arrivals.of_snapshot(workload, held.snapshot)?;
        let claims = found.map_or(serde_json::Value::Null, |found| found.claims);
        let record = SnapshotRecord {
            workload: workload.clone(),
            snapshot: held.snapshot,
            drop: Some(drop),
            received: receipt.at,
            content_bytes: held.size,
            stored_bytes: 0,
            claims,
            receipt: Some(text.to_owned()),
            // Of why, the receipt says nothing.
            sanity: Sanity {
                verdict: receipt.verdict.clone().unwrap_or_default(),
                ..Sanity::default()
            },
            terms: Terms::default(),
        };
        // First what is right, then what stood in for it: of both, the former counts.
        self.arrivals.put(&record)?;
        self.arrivals.remove_of_snapshot(workload, held.snapshot)?;
        let event = Event::by_vault(AuditAction::DropPublished);
        self.catalog(&record, event.detail("found", "its snapshot here, its receipt on a share"))?;
        tracing::info!(%workload, %drop, "took a drop back by the receipt that was signed for it");
        Ok(true)
    }

    fn signed_by_vault(&self, text: &str) -> Option<Receipt> {
        let signed = SignedReceipt::parse(text.as_bytes()).ok()?;
        Authority::following(&self.identity).check(&signed).ok()?;
        let is_word = signed.receipt().state == ReceiptState::Vaulted;
        is_word.then(|| signed.receipt().clone())
    }

    /// Whether what a receipt says is recorded here, and its snapshot is there.
    fn knows(&self, receipt: &Receipt) -> Result<bool, VaultError> {
        let Some(arrived) = self.arrived(&receipt.workload, receipt.drop)? else {
            // What an operator gave up with its repository is no news.
            return Ok(self.orders.gave_up(&receipt.workload, receipt.at));
        };
        if arrived.terms.removed.is_some() {
            return Ok(true);
        }
        match self.repositories.get(self.present(&receipt.workload)) {
            Ok(repository) => Ok(readable_tree(&repository, arrived.snapshot)?.is_some()),
            Err(VaultError::UnknownWorkload { .. }) => Ok(false),
            // One cause, one incident: that of the repository.
            Err(error) if is_absence(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Whether a workload's repository is not there, known to be missing or not.
fn is_absence(error: &VaultError) -> bool {
    use VaultError::{Missing, RepositoriesAway, UnknownWorkload};
    matches!(error, UnknownWorkload { .. } | Missing { .. } | RepositoriesAway { .. })
}

/// What a receipt says is held; `None` if it does not say enough.
fn held_drop(receipt: &Receipt) -> Option<HeldDrop> {
    Some(HeldDrop {
        drop: receipt.identity()?,
        size: receipt.size?,
        tree: receipt.tree?,
        snapshot: receipt.snapshot.as_deref()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests;
