//! What is remembered of drops on their way: that they were begun, what media servers said that they took,
//! and which blobs the vault lacks. All of it may be lost: it is asked, or ends by itself, again.

use std::collections::{BTreeMap, HashSet};

use outlast_drop::{DropAddress, SignedReceipt, Spooled};
use outlast_format::BlobId;
use outlast_format::pack::BlobType;
use outlast_types::{ShareId, SpoolId, WorkloadName};
use outlast_wire::api::Shipment;

/// Drops of which something is remembered.
const DROPS_MAX: usize = 10_000;
/// Spools of one drop; more were never in the way.
const SPOOLS_MAX: usize = 64;

/// A blob, as an index knows it.
pub(super) type Blob = (BlobType, BlobId);

/// Drops on their way.
#[derive(Default)]
pub(super) struct Transit {
    drops: BTreeMap<DropAddress, OnItsWay>,
    /// Drops of which it is still to be said that they will not come, and why.
    given_up: BTreeMap<DropAddress, (ShareId, String)>,
}

#[derive(Default)]
struct OnItsWay {
    is_begun: bool,
    spools: BTreeMap<SpoolId, Spooled>,
    /// Whether the share has heard that it is shipped.
    is_told: bool,
    doubted: HashSet<Blob>,
}

/// How much of a drop media servers say that they took.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Covered {
    /// Not all of it.
    Partly,
    /// All of it, as this very receipt says.
    ByOne,
    /// All of it, as this receipt says together with earlier ones; for the first time.
    Together,
    /// The same, as was told.
    Known,
}

impl Transit {
    /// A shipment was begun.
    pub(super) fn begin(&mut self, address: &DropAddress) {
        self.drop(address).is_begun = true;
        // It comes after all.
        self.given_up.remove(address);
    }

    /// A drop has arrived, or is read anew: nothing of its way matters any more.
    pub(super) fn end(&mut self, address: &DropAddress) {
        self.drops.remove(address);
    }

    /// Notes a media server's receipt about the bill; how much of it is covered now.
    pub(super) fn took(
        &mut self,
        address: &DropAddress,
        bill: &Shipment,
        receipt: &SignedReceipt,
    ) -> Covered {
        let Some(said) = receipt.receipt().spool else { return Covered::Partly };
        let (objects, bytes) = of_bill(bill);
        let covers = |all: (u64, u64)| all.0 >= objects && all.1 >= bytes;
        let drop = self.drop(address);
        if drop.spools.len() < SPOOLS_MAX || drop.spools.contains_key(&said.id) {
            drop.spools.insert(said.id, said);
        }
        if covers((said.objects, said.bytes)) {
            return Covered::ByOne;
        }
        let all = drop.spools.values().fold((0_u64, 0_u64), |(objects, bytes), it| {
            (objects.saturating_add(it.objects), bytes.saturating_add(it.bytes))
        });
        match covers(all) {
            false => Covered::Partly,
            true if std::mem::replace(&mut drop.is_told, true) => Covered::Known,
            true => Covered::Together,
        }
    }

    /// The vault lacks these blobs of a drop; what spools said of it is void.
    pub(super) fn doubt(&mut self, address: &DropAddress, blobs: HashSet<Blob>) {
        let drop = self.drop(address);
        *drop = OnItsWay { is_begun: drop.is_begun, doubted: blobs, ..OnItsWay::default() };
    }

    /// The blobs that the vault lacked of a drop when it was asked last.
    pub(super) fn doubted(&self, address: &DropAddress) -> HashSet<Blob> {
        self.drops.get(address).map(|drop| drop.doubted.clone()).unwrap_or_default()
    }

    /// They were stored anew.
    pub(super) fn trust(&mut self, address: &DropAddress) {
        if let Some(drop) = self.drops.get_mut(address) {
            drop.doubted.clear();
        }
    }

    /// A drop will not come, which is to be said if it was begun, or `is_billed`.
    pub(super) fn give_up(
        &mut self,
        share: ShareId,
        address: &DropAddress,
        reason: &str,
        is_billed: bool,
    ) {
        let was_begun = self.drops.remove(address).is_some_and(|drop| drop.is_begun);
        if (was_begun || is_billed) && self.given_up.len() < DROPS_MAX {
            self.given_up.insert(address.clone(), (share, reason.to_owned()));
        }
    }

    /// Those of a workload that were begun.
    pub(super) fn begun(&self, workload: &WorkloadName) -> Vec<DropAddress> {
        let of = self
            .drops
            .iter()
            .filter(|(address, drop)| address.workload == *workload && drop.is_begun);
        of.map(|(address, _)| address.clone()).collect()
    }

    /// What is to be said of drops that were given up.
    pub(super) fn take_given_up(&mut self) -> BTreeMap<DropAddress, (ShareId, String)> {
        std::mem::take(&mut self.given_up)
    }

    /// That could not be said yet.
    pub(super) fn say_later(&mut self, left: BTreeMap<DropAddress, (ShareId, String)>) {
        for (address, said) in left {
            // Begun again since, it comes.
            if !self.drops.contains_key(&address) {
                self.given_up.entry(address).or_insert(said);
            }
        }
    }

    fn drop(&mut self, address: &DropAddress) -> &mut OnItsWay {
        if self.drops.len() >= DROPS_MAX && !self.drops.contains_key(address) {
            self.drops.clear();
        }
        self.drops.entry(address.clone()).or_default()
    }
}

/// The objects of a bill, and their bytes.
fn of_bill(bill: &Shipment) -> (u64, u64) {
    let packs = bill.packs.unwrap_or_default();
    bill.objects.iter().fold((packs.objects, packs.bytes), |(objects, bytes), object| {
        (objects.saturating_add(1), bytes.saturating_add(object.size))
    })
}

/// The blob in the words of an answer: `data/<id>` or `tree/<id>`.
pub(super) fn blob(text: &str) -> Option<Blob> {
    let (kind, id) = text.split_once('/')?;
    let kind = match kind {
        "data" => BlobType::Data,
        "tree" => BlobType::Tree,
        _ => return None,
    };
    Some((kind, id.parse().ok()?))
}

#[cfg(test)]
mod tests;
