//! A tier that stores repositories: a vault, or a media server on the way to one.
//!
//! A loaded drop waits as a bill of lading until the vault's receipt is there: handing it in again
//! is harmless, and a drop whose bill is at hand is not read again, whoever was away meanwhile.

mod bills;
mod load;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlast_drop::{ReceiptState, SealedDrop, SignedReceipt};
use outlast_fs::durable;
use outlast_repo::Repository;
use outlast_repo::backup::Outcome;
use outlast_types::{ContentHash, Environment, ShareId, WorkloadName};
use outlast_wire::api::{
    AgentReport, BILL_VERSION, Base64, BilledName, BilledObject, Reported, Shipment,
};
use outlast_wire::holdings::{Answer, HeldDrop, Nonce, Question};
use outlast_wire::receipts::Authority;
use outlast_wire::{CallError, IdentityHandle};

use self::bills::Bills;
use self::load::Loading;
use crate::destination::{Cargo, Content, Delivered, Destination, Failure, Taken};
use crate::pace::Pace;
use crate::repositories::Repositories;
use crate::seal_keys::SealKeys;
use crate::secured::Secured;
use crate::state::StateDirectory;
use crate::upstream::Upstream;
use crate::{Shutdown, declaration, receipts};

/// A tier behind an [`Upstream`], with what saves work on the way there.
pub(crate) struct Tier {
    upstream: Box<dyn Upstream>,
    identity: IdentityHandle,
    authority: Authority,
    environment: Environment,
    repositories: Mutex<Repositories>,
    bills: Mutex<Bills>,
    state: Arc<StateDirectory>,
    pace: Arc<Pace>,
    keys: SealKeys,
}

impl Tier {
    pub(crate) fn new(
        upstream: Box<dyn Upstream>,
        identity: IdentityHandle,
        environment: Environment,
        state: Arc<StateDirectory>,
        pace: Arc<Pace>,
        keys: SealKeys,
    ) -> Self {
        let bills = Mutex::new(Bills::new(state.bills()));
        let (repositories, authority) = (Mutex::default(), Authority::following(&identity));
        Self { upstream, identity, authority, environment, repositories, bills, state, pace, keys }
    }

    fn repositories(&self) -> MutexGuard<'_, Repositories> {
        self.repositories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bills(&self) -> MutexGuard<'_, Bills> {
        self.bills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn repository(&self, cargo: &Cargo<'_>) -> Result<Arc<Repository>, Failure> {
        let workload = &cargo.address.workload;
        if let Some(repository) = self.repositories().get(workload) {
            return Ok(repository);
        }
        // It outlives this load, and so does whatever ends it.
        let opened = self.upstream.open(workload, cargo.shutdown)?;
        let opened = Arc::new(opened.cached_in(&self.state.cache()));
        self.repositories().keep(workload, &opened);
        Ok(opened)
    }

    fn try_load(
        &self,
        cargo: &Cargo<'_>,
        accepted: &mut dyn FnMut(Content),
    ) -> Result<Taken, Failure> {
        let repository = self.repository(cargo)?;
        let mut sealed = SealedDrop::open(cargo.share, cargo.address)?;
        let (seal, bytes) = (sealed.seal_digest(), sealed.seal().raw_bytes());
        let bill = self.bills().get(cargo.share.id(), cargo.address, seal);
        if bill.is_some() {
            // It was read, and the share did not take the receipts that say so.
            accepted(Content { seal, bytes });
            return Ok(Taken::default());
        }
        sealed.check(cargo.limits)?;
        // A key that is missing says nothing about the drop, and nothing about others.
        sealed.unlock(&self.keys).map_err(|error| Failure::Workload(error.to_string()))?;
        let identity = self.identity.get();
        let loading = Loading {
            repository: &repository,
            journal: &self.state.journal(&cargo.address.workload),
            agent: identity.peer().name(),
            environment: &self.environment,
            pace: &self.pace,
            cargo,
            authority: &self.authority,
        };
        let (outcome, sanity) = loading.read(&sealed, accepted)?;
        let bill = shipment(cargo, &sealed, &outcome);
        // Of what cannot be read or understood, its team hears elsewhere.
        let rule = declaration::sanity_rule(cargo.share, &cargo.address.workload);
        let sanity_rule = rule.ok().flatten();
        self.bills().keep(cargo.share, Shipment { sanity: Some(sanity), sanity_rule, ..bill });
        let stats = outcome.stats;
        Ok(Taken { read: bytes, new: stats.added, sent: stats.added_packed })
    }

    /// Takes back what is remembered of a workload because of a failure: it may be the cause, and
    /// it costs little to ask again.
    fn doubt(&self, workload: &WorkloadName, failure: Failure) -> Failure {
        self.repositories().forget(workload);
        if let Failure::Forgotten(_) = failure {
            let journal = self.state.journal(workload);
            // Or the engine would trust it again.
            if let Err(reason) = remove(&journal) {
                return Failure::Workload(reason);
            }
        }
        failure
    }

    /// The content of an answer to a bill, if it can be believed.
    fn believe(&self, shipment: &Shipment, text: &str) -> Result<Delivered, String> {
        let receipt = SignedReceipt::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        let state = match receipt.receipt().state {
            ReceiptState::Shipped => ReceiptState::Shipped,
            _ => ReceiptState::Vaulted,
        };
        let signer = receipts::verify(&receipt, &self.authority, state)?;
        if !signer.counts_now {
            let by = &signer.signer;
            return Err(format!("{by} signed it, who is revoked, or of an authority of the past"));
        }
        let secured =
            Secured::of(receipt.receipt(), signer).ok_or("it does not say which drop is held")?;
        // The snapshot may be another: a drop that was read again makes one, and the first stays.
        let held = &secured.held;
        let found = (&held.drop, held.size, held.tree);
        if found != (&shipment.identity(), shipment.size, shipment.tree) {
            let (drop, size, tree) = found;
            return Err(format!(
                "it is of {drop} with the seal {}, {size} bytes and the tree {tree}",
                drop.seal
            ));
        }
        Ok(Delivered { receipt, secured })
    }
}

impl Destination for Tier {
    fn heed(&mut self, shutdown: &Shutdown) {
        self.upstream.heed(shutdown);
    }

    fn speak_of(&self, share: ShareId) {
        self.upstream.speak_of(share);
    }

    fn carry(&self, workload: &WorkloadName, id: Option<&str>) {
        self.upstream.carry(workload, id);
    }

    fn load(&self, cargo: &Cargo<'_>, accepted: &mut dyn FnMut(Content)) -> Result<Taken, Failure> {
        let loaded = self.try_load(cargo, accepted);
        loaded.map_err(|failure| self.doubt(&cargo.address.workload, failure))
    }

    fn deliver(&self, cargo: &Cargo<'_>, seal: ContentHash) -> Result<Delivered, Failure> {
        let address = cargo.address;
        let bill = self.bills().get(cargo.share.id(), address, seal);
        let shipment = bill.ok_or(Failure::NotLoaded)?;
        let answer = match self.upstream.ship(&shipment) {
            Ok(answer) => answer,
            Err(error) => {
                // Handed in again, it would be refused again; a new one can be made of the drop.
                // Whether the agent may hand in bills at all says nothing about this one.
                if let CallError::Refused { status, .. } = error
                    && !matches!(status, 401 | 403)
                {
                    self.bills().remove(address);
                }
                return Err(self.doubt(&address.workload, error.into()));
            }
        };
        let delivered = self.believe(&shipment, &answer.receipt).map_err(|reason| {
            Failure::Workload(format!(
                "the vault's receipt for {address} cannot be believed: {reason}"
            ))
        })?;
        if delivered.secured.state == ReceiptState::Vaulted {
            self.bills().remove(address);
        }
        Ok(delivered)
    }

    fn confirm(&self, drops: Vec<HeldDrop>, receipts: Vec<String>) -> Result<Answer, String> {
        let nonce = Nonce::new(&*self.environment.random);
        let question = Question { nonce, drops, receipts, heeds_withheld: true, signed: None };
        let answer = self
            .upstream
            .holdings(&question)
            .map_err(|error| format!("the vault was not asked what it holds: {error}"))?;
        let answer = answer
            .verify_by(&question.nonce, |chain, message, proof| {
                self.identity.judge(chain, message, proof)
            })
            .map_err(|error| error.to_string())?;
        for lost in question.drops.iter().filter(|drop| !answer.held.contains(drop)) {
            // All that is remembered of its repository is of a time that the vault has forgotten, too.
            self.repositories().forget(&lost.drop.workload);
        }
        Ok(answer)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        self.upstream.report(report)
    }
}

/// The bill of lading of a drop whose content is durable at the tier.
fn shipment(cargo: &Cargo<'_>, sealed: &SealedDrop, outcome: &Outcome) -> Shipment {
    let seal = sealed.seal();
    let packs = outcome.packs.iter().map(|(id, size)| (BilledName::Data(*id), *size));
    let indexes = outcome.indexes.iter().map(|(id, size)| (BilledName::Index(*id), *size));
    Shipment {
        version: BILL_VERSION,
        share: cargo.share.id(),
        workload: cargo.address.workload.clone(),
        day: cargo.address.day,
        drop: cargo.address.drop,
        seal: sealed.seal_digest(),
        size: seal.raw_bytes(),
        tree: outcome.snapshot.tree,
        snapshot_id: outcome.snapshot_id,
        snapshot: Base64(outcome.sealed_snapshot.to_vec()),
        objects: packs.chain(indexes).map(|(name, size)| BilledObject { name, size }).collect(),
        claims: load::claims(seal),
        packs: None,
        sanity: None,
        sanity_rule: None,
        other: BTreeMap::new(),
    }
}

fn remove(path: &Path) -> Result<(), String> {
    match durable::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}
