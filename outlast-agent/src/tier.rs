//! A tier that stores repositories: a vault, or a media server on the way to one.
//!
//! A loaded drop waits as a bill of lading until the vault's receipt is there: handing it in again
//! is harmless, and a drop whose bill is at hand is not read again, whoever was away meanwhile.

mod bills;
mod load;
mod transit;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlast_drop::{DropAddress, Receipt, ReceiptState, SealedDrop, Share, SignedReceipt};
use outlast_fs::durable;
use outlast_repo::Repository;
use outlast_repo::backup::{Engine, Outcome};
use outlast_types::{ContentHash, Environment, ShareId, WorkloadName};
use outlast_wire::api::{
    AgentReport, BILL_VERSION, Base64, BeginShipment, BillAnswer, BilledName, BilledObject,
    CancelShipment, Pending, Reported, Shipment,
};
use outlast_wire::holdings::{Answer, HandedDrop, HeldDrop, Nonce, Question};
use outlast_wire::receipts::Authority;
use outlast_wire::{CallError, IdentityHandle, Role};

use self::bills::Bills;
use self::load::Loading;
use self::transit::{Covered, Transit};
use crate::destination::{Cargo, Content, Delivered, Destination, Failure, Taken, Waiting};
use crate::pace::Pace;
use crate::repositories::Repositories;
use crate::seal_keys::SealKeys;
use crate::secured::Secured;
use crate::state::StateDirectory;
use crate::upstream::Upstream;
use crate::{Shutdown, declaration, receipts};

/// Packs that a kept bill names. With more it counts them: only a vault of the release before, which takes no
/// such bill, wants their names, and none that are as many.
const PACKS_NAMED_MAX: usize = 50_000;

/// A tier behind an [`Upstream`], with what saves work on the way there.
pub(crate) struct Tier {
    upstream: Box<dyn Upstream>,
    identity: IdentityHandle,
    authority: Authority,
    environment: Environment,
    repositories: Mutex<Repositories>,
    bills: Bills,
    transit: Mutex<Transit>,
    state: Arc<StateDirectory>,
    pace: Arc<Pace>,
    keys: Arc<SealKeys>,
    engine: Engine,
}

impl Tier {
    pub(crate) fn new(
        upstream: Box<dyn Upstream>,
        identity: IdentityHandle,
        environment: Environment,
        state: Arc<StateDirectory>,
        pace: Arc<Pace>,
        keys: Arc<SealKeys>,
        engine: Engine,
    ) -> Self {
        let bills = Bills::new(state.bills());
        let (repositories, authority) = (Mutex::default(), Authority::following(&identity));
        let transit = Mutex::default();
        Self {
            upstream,
            identity,
            authority,
            environment,
            repositories,
            bills,
            transit,
            state,
            pace,
            keys,
            engine,
        }
    }

    fn repositories(&self) -> MutexGuard<'_, Repositories> {
        self.repositories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn transit(&self) -> MutexGuard<'_, Transit> {
        self.transit.lock().unwrap_or_else(PoisonError::into_inner)
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
        let copy = copied(cargo);
        let is_copy = copy.is_some();
        let mut sealed = copy.map_or_else(|| SealedDrop::open(cargo.share, cargo.address), Ok)?;
        let (seal, bytes) = (sealed.seal_digest(), sealed.seal().raw_bytes());
        let is_relayed = || self.upstream.is_relayed(&cargo.address.workload);
        let bill = self.bills.get(cargo.share.id(), cargo.address, seal);
        if bill.is_some() {
            // It was read, and the share did not take the receipts that say so.
            accepted(Content { seal, bytes });
            return Ok(Taken { is_relayed: is_relayed(), ..Taken::default() });
        }
        if !is_copy {
            // Before it was copied, that was looked at; how much of it is holes only the share knows.
            sealed.check(cargo.limits)?;
        }
        // A key that is missing says nothing about the drop, and nothing about others.
        sealed.unlock(&*self.keys).map_err(|error| Failure::Workload(error.to_string()))?;
        self.tidy(cargo.share, &cargo.address.workload);
        let identity = self.identity.get();
        let loading = Loading {
            repository: &repository,
            journal: &self.state.journal(&cargo.address.workload),
            agent: identity.peer().name(),
            environment: &self.environment,
            engine: &self.engine,
            pace: &self.pace,
            cargo,
            authority: &self.authority,
            doubted: self.transit().doubted(cargo.address),
        };
        self.begin(cargo, seal, bytes)?;
        let mut read = loading.read(&sealed, accepted);
        if let (true, Err(Failure::Refused(_) | Failure::Share(_))) = (is_copy, &read) {
            // A copy may go while it is read, and condemns nobody.
            read = self.reopened(cargo, seal).and_then(|again| {
                sealed = again;
                loading.read(&sealed, accepted)
            });
        }
        self.upstream.bring(&cargo.address.workload, None);
        let (outcome, sanity) = read?;
        self.transit().trust(cargo.address);
        let bill = shipment(cargo, &sealed, &outcome);
        // Of what cannot be read or understood, its team hears elsewhere.
        let rule = declaration::sanity_rule(cargo.share, &cargo.address.workload);
        let sanity_rule = rule.ok().flatten();
        self.bills.keep(Shipment { sanity: Some(sanity), sanity_rule, ..bill });
        let stats = outcome.stats;
        let (new, sent) = (stats.added, stats.added_packed);
        Ok(Taken { read: bytes, new, sent, is_relayed: is_relayed() })
    }

    /// The drop on the share, whose copy could not be read.
    fn reopened(&self, cargo: &Cargo<'_>, seal: ContentHash) -> Result<SealedDrop, Failure> {
        let mut sealed = SealedDrop::open(cargo.share, cargo.address)?;
        if sealed.seal_digest() != seal {
            return Err(Failure::Share("it was sealed anew in this moment".to_owned()));
        }
        sealed.check(cargo.limits)?;
        sealed.unlock(&*self.keys).map_err(|error| Failure::Workload(error.to_string()))?;
        Ok(sealed)
    }

    /// Says that a drop is about to be shipped, and names it in all that is uploaded for it.
    fn begin(&self, cargo: &Cargo<'_>, seal: ContentHash, size: u64) -> Result<(), Failure> {
        let DropAddress { workload, day, drop } = cargo.address.clone();
        let (share, at) = (cargo.share.id(), self.environment.clock.now());
        self.upstream.begin(&BeginShipment { share, workload, day, drop, seal, size, at })?;
        self.transit().begin(cargo.address);
        self.upstream.bring(&cargo.address.workload, Some(drop));
        Ok(())
    }

    /// Gives up what has left the share before it was vaulted.
    fn tidy(&self, share: &Share, workload: &WorkloadName) {
        let mut gone = self.bills.gone(share, workload);
        let has_gone =
            |address: &DropAddress| matches!(share.drop_directory(address).try_exists(), Ok(false));
        gone.extend(self.transit().begun(workload).into_iter().filter(has_gone));
        for address in gone {
            self.give_up(share.id(), &address, "it has left the share");
        }
    }

    /// Says of drops that were given up that they will not come, as far as that can be said now. What is
    /// never said ends by itself, after a while.
    fn say_what_is_given_up(&self) {
        let mut left = self.transit().take_given_up();
        while let Some((address, (share, reason))) = left.pop_first() {
            let at = self.environment.clock.now();
            let DropAddress { workload, drop, .. } = address.clone();
            let cancel = CancelShipment { share, workload, drop, reason: reason.clone(), at };
            match self.upstream.cancel(&cancel) {
                Err(error) if error.is_passing() => {
                    left.insert(address, (share, reason));
                    break;
                }
                Err(error) => tracing::info!(drop = %address, "it is not cancelled: {error}"),
                Ok(()) => {}
            }
        }
        self.transit().say_later(left);
    }

    /// Takes back what is remembered of a workload because of a failure: it may be the cause, and
    /// it costs little to ask again.
    fn doubt(&self, workload: &WorkloadName, failure: Failure) -> Failure {
        if let Failure::Waiting(_) = failure {
            return failure;
        }
        self.repositories().forget(workload);
        if let Failure::Forgotten(_) | Failure::Lacking(_) = failure {
            let journal = self.state.journal(workload);
            // Or the engine would trust it again.
            if let Err(reason) = remove(&journal) {
                return Failure::Workload(reason);
            }
        }
        failure
    }

    /// What an answer to a bill says.
    fn judge(
        &self,
        cargo: &Cargo<'_>,
        bill: &Shipment,
        answer: BillAnswer,
    ) -> Result<Delivered, Failure> {
        let address = cargo.address;
        let BillAnswer { receipt, pending, shipped } = answer;
        let unbelievable = |whose: &str, reason: String| {
            Failure::Workload(format!("{whose} receipt for {address} cannot be believed: {reason}"))
        };
        if let Some(text) = receipt {
            let believed =
                self.believe(bill, &text).map_err(|it| unbelievable("the vault's", it))?;
            if believed.secured.state == ReceiptState::Vaulted {
                self.bills.remove(address);
                self.transit().end(address);
            }
            return Ok(believed);
        }
        let pending = pending.unwrap_or_default();
        if pending.by_vault && pending.is_lacking() {
            return Err(self.lacking(address, &pending));
        }
        let mut waiting = Waiting::default();
        waiting.at = pending.waiting.into_iter().map(|it| it.media).collect();
        let Some(text) = shipped else { return Err(Failure::Waiting(waiting)) };
        let believed =
            self.believe(bill, &text).map_err(|it| unbelievable("the media server's", it))?;
        let signer = &believed.secured.by;
        if signer.role() != Role::Media {
            return Err(unbelievable("the media server's", format!("{signer} signed it")));
        }
        if waiting.at.is_empty() {
            waiting.at = vec![signer.name().to_owned()];
        }
        match self.transit().took(address, bill, &believed.receipt) {
            Covered::ByOne => return Ok(believed),
            Covered::Together => waiting.shipped = self.shipped(bill).map(Box::new),
            Covered::Partly | Covered::Known => {}
        }
        Err(Failure::Waiting(waiting))
    }

    /// The agent's own word that all of a drop is on its way: several media servers have a part of it each.
    fn shipped(&self, bill: &Shipment) -> Option<SignedReceipt> {
        let Shipment { workload, day, drop, .. } = bill.clone();
        let address = DropAddress { workload, day, drop };
        let now = self.environment.clock.now();
        let about = Receipt::about(bill.share, &address, ReceiptState::Shipped, now);
        let receipt = Receipt { seal: Some(bill.seal), size: Some(bill.size), ..about };
        let signed = receipt.sign(&*self.identity.get());
        signed.inspect_err(|error| tracing::warn!("cannot sign a shipped receipt: {error}")).ok()
    }

    /// The vault lacks something of a drop that waits nowhere. All that is remembered of it is wrong.
    fn lacking(&self, address: &DropAddress, pending: &Pending) -> Failure {
        let Pending { missing, blobs, .. } = pending;
        let doubted = blobs.iter().filter_map(|text| transit::blob(text)).collect();
        self.transit().doubt(address, doubted);
        self.bills.remove(address);
        let what = match (&missing[..], &blobs[..]) {
            ([only], _) => only.clone(),
            ([first, ..], _) => format!("{} objects, {first} among them", missing.len()),
            ([], [only]) => format!("blob {only}"),
            ([], [first, ..]) => format!("{} blobs, {first} among them", blobs.len()),
            ([], []) => "something".to_owned(),
        };
        Failure::Lacking(format!("the vault lacks {what}"))
    }

    /// The content of a receipt that answers a bill, if it can be believed.
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

impl Tier {
    /// Asks the vault what is so at this moment, and believes only its signed answer to that.
    fn ask(
        &self,
        drops: Vec<HeldDrop>,
        receipts: Vec<String>,
        handed: Vec<HandedDrop>,
    ) -> Result<Answer, String> {
        let nonce = Nonce::new(&*self.environment.random);
        let heeds_withheld = true;
        let question = Question { nonce, drops, receipts, handed, heeds_withheld, signed: None };
        let answer = self
            .upstream
            .holdings(&question)
            .map_err(|error| format!("the vault was not asked what it holds: {error}"))?;
        let judge =
            |chain: &str, message: &[u8], proof: &[u8]| self.identity.judge(chain, message, proof);
        answer.verify_by(&question.nonce, judge).map_err(|error| error.to_string())
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
        let bill = self.bills.get(cargo.share.id(), address, seal);
        let shipment = bill.ok_or(Failure::NotLoaded)?;
        let answer = match self.upstream.ship(&shipment) {
            Ok(answer) => answer,
            Err(error) => {
                // Handed in again, it would be refused again; a new one can be made of the drop.
                // Whether the agent may hand in bills at all says nothing about this one.
                if let CallError::Refused { status, .. } = error
                    && !matches!(status, 401 | 403)
                {
                    self.bills.remove(address);
                }
                return Err(self.doubt(&address.workload, error.into()));
            }
        };
        let delivered = self.judge(cargo, &shipment, answer);
        delivered.map_err(|failure| match failure {
            Failure::Lacking(_) => self.doubt(&address.workload, failure),
            other => other,
        })
    }

    fn give_up(&self, share: ShareId, address: &DropAddress, reason: &str) {
        let is_billed = self.bills.has(address);
        self.bills.remove(address);
        self.transit().give_up(share, address, reason, is_billed);
    }

    fn confirm(&self, drops: Vec<HeldDrop>, receipts: Vec<String>) -> Result<Answer, String> {
        let answer = self.ask(drops.clone(), receipts, Vec::new())?;
        for lost in drops.iter().filter(|drop| !answer.held.contains(drop)) {
            // All that is remembered of its repository is of a time that the vault has forgotten, too.
            self.repositories().forget(&lost.drop.workload);
        }
        Ok(answer)
    }

    fn confirm_handed(&self, drops: Vec<HandedDrop>) -> Result<Answer, String> {
        self.ask(Vec::new(), Vec::new(), drops)
    }

    fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        let reported = self.upstream.report(report)?;
        self.say_what_is_given_up();
        Ok(reported)
    }
}

/// The bill of lading of a drop whose content is durable at the tier.
fn shipment(cargo: &Cargo<'_>, sealed: &SealedDrop, outcome: &Outcome) -> Shipment {
    let seal = sealed.seal();
    let packs = outcome.packs.iter().map(|(id, size)| (BilledName::Data(*id), *size));
    let indexes = outcome.indexes.iter().map(|(id, size)| (BilledName::Index(*id), *size));
    let bill = Shipment {
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
        first_seen: cargo.first_seen,
        other: BTreeMap::new(),
        called: None,
    };
    if outcome.packs.len() > PACKS_NAMED_MAX { bill.counted() } else { bill }
}

/// The copy of a drop on our own disk, if it is of this very drop.
fn copied(cargo: &Cargo<'_>) -> Option<SealedDrop> {
    let (path, seal) = cargo.copy?;
    let opened = SealedDrop::open_copy(path, cargo.share.id(), cargo.address);
    opened.ok().filter(|copy| copy.seal_digest() == seal)
}

fn remove(path: &Path) -> Result<(), String> {
    match durable::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}
