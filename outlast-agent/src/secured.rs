//! Who holds a drop besides the share, and what of that lets its data go.

use std::collections::BTreeMap;

use outlast_drop::{DropAddress, Receipt, ReceiptState};
use outlast_types::{ContentHash, Timestamp};
use outlast_wire::Peer;
use outlast_wire::holdings::HeldDrop;

/// A drop is secured: by whom, since when, and what exactly. Made of a verified receipt only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// By the signature under the receipt.
    pub by: Peer,
    /// By the clock of whoever signed.
    pub at: Timestamp,
    /// How far the drop has come there.
    pub state: ReceiptState,
    /// The drop and its content: what the holder is asked for before anything is freed.
    pub held: HeldDrop,
}

impl Secured {
    /// What a receipt with `signer`'s signature says; `None` if it does not name one drop and its
    /// content, as those of version 1.
    pub(crate) fn of(receipt: &Receipt, signer: Peer) -> Option<Self> {
        let snapshot = receipt.snapshot.as_deref()?.parse().ok()?;
        let (drop, size, tree) = (receipt.identity()?, receipt.size?, receipt.tree?);
        let held = HeldDrop { drop, size, tree, snapshot };
        Some(Self { by: signer, at: receipt.at, state: receipt.state, held })
    }

    /// The digest of the drop's seal.
    pub fn seal(&self) -> ContentHash {
        self.held.drop.seal
    }
}

/// Which drops may leave the share, if their holder says that it holds them at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepRule {
    /// How many of the newest stay all the same.
    pub newest: usize,
    /// The states in which a drop counts as safe. What a media server holds does not: it may lose
    /// its disk at any instant (I1).
    pub safe: &'static [ReceiptState],
}

impl KeepRule {
    /// Drops are safe in the vault, and nowhere else.
    pub fn vaulted(newest: usize) -> Self {
        Self { newest, safe: &[ReceiptState::Vaulted] }
    }

    /// Whether a drop counts as safe.
    pub fn counts(&self, secured: &Secured) -> bool {
        self.safe.contains(&secured.state)
    }

    /// The drops of one workload that are releasable: safe, and beyond the newest by their
    /// holder's time.
    pub fn excess(&self, held: &BTreeMap<DropAddress, Secured>) -> Vec<DropAddress> {
        let safe = held.iter().filter(|(_, secured)| self.counts(secured));
        let mut newest_first: Vec<_> =
            safe.map(|(address, secured)| (secured.at, address)).collect();
        newest_first.sort_by(|left, right| right.cmp(left));
        newest_first.into_iter().skip(self.newest).map(|(_, address)| address.clone()).collect()
    }
}
