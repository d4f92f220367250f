//! Holders of a drop besides the share, and which of them let its data go.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use outlast_drop::{DropAddress, Receipt, ReceiptState};
use outlast_types::{ContentHash, Timestamp};
use outlast_wire::Peer;
use outlast_wire::holdings::HeldDrop;
use outlast_wire::receipts::Judged;

/// A drop is secured: by whom, since when, and what exactly. Made of a verified receipt only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// By the signature under the receipt.
    pub by: Peer,
    /// By the clock of whoever signed.
    pub at: Timestamp,
    /// How far the drop has come there.
    pub state: ReceiptState,
    /// Whether the signer's word would count now. If not, it may have been signed by a thief of the key,
    /// and the holder is asked at once.
    pub counts_now: bool,
    /// The drop and its content: what the holder is asked for before anything is freed.
    pub held: HeldDrop,
    /// Whether the holder does not take it for a recovery point.
    pub is_doubtful: bool,
}

impl Secured {
    /// The content of a receipt with `signer`'s signature; `None` if it does not name one drop and its
    /// content, as those of version 1.
    pub(crate) fn of(receipt: &Receipt, by: Judged) -> Option<Self> {
        let snapshot = receipt.snapshot.as_deref()?.parse().ok()?;
        let (drop, size, tree) = (receipt.identity()?, receipt.size?, receipt.tree?);
        let held = HeldDrop { drop, size, tree, snapshot };
        let Judged { signer: by, counts_now } = by;
        let is_doubtful = receipt.verdict.as_ref().is_some_and(|verdict| !verdict.counts());
        Some(Self { by, at: receipt.at, state: receipt.state, counts_now, held, is_doubtful })
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
    /// holder's time. Doubtful ones are counted by themselves: however many come, no good one goes
    /// for them.
    pub fn excess<S: Borrow<Secured>>(&self, held: &BTreeMap<DropAddress, S>) -> Vec<DropAddress> {
        let mut excess = self.beyond(held, false);
        excess.extend(self.beyond(held, true));
        excess
    }

    fn beyond<S: Borrow<Secured>>(
        &self,
        held: &BTreeMap<DropAddress, S>,
        is_doubtful: bool,
    ) -> Vec<DropAddress> {
        let is_meant = |secured: &Secured| secured.is_doubtful == is_doubtful;
        let all = held.iter().map(|(address, secured)| (address, secured.borrow()));
        let safe = all.filter(|(_, secured)| self.counts(secured) && is_meant(secured));
        let mut newest_first: Vec<_> =
            safe.map(|(address, secured)| (secured.at, address)).collect();
        newest_first.sort_by(|left, right| right.cmp(left));
        newest_first.into_iter().skip(self.newest).map(|(_, address)| address.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::{Verdict, WorkloadName};
    use outlast_wire::Role;

    use super::*;

    #[test]
    fn a_row_of_doubtful_drops_pushes_out_no_good_one() {
        let by = Judged { signer: Peer::new(Role::Vault, "v").unwrap(), counts_now: true };
        let mut held = BTreeMap::new();
        let mut put = |number: u8, is_doubtful: bool| {
            let drop = format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap();
            let workload = WorkloadName::new("w").unwrap();
            let address = DropAddress { workload, day: Timestamp::EPOCH.day(), drop };
            let share = "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap();
            let at = Timestamp::from_unix(i64::from(number), 0).unwrap();
            let receipt = Receipt {
                seal: Some(ContentHash([7; 32])),
                size: Some(5),
                tree: Some("01".repeat(32).parse().unwrap()),
                snapshot: Some("02".repeat(32)),
                verdict: is_doubtful.then_some(Verdict::Suspect),
                ..Receipt::about(share, &address, ReceiptState::Vaulted, at)
            };
            held.insert(address.clone(), Secured::of(&receipt, by.clone()).unwrap());
            address
        };
        let good: Vec<_> = (1..=3).map(|number| put(number, false)).collect();
        let bad: Vec<_> = (4..=9).map(|number| put(number, true)).collect();
        let excess = KeepRule::vaulted(2).excess(&held);
        assert_eq!(excess.iter().filter(|it| good.contains(it)).count(), 1);
        assert_eq!(excess[0], good[0], "the oldest");
        assert_eq!(excess.iter().filter(|it| bad.contains(it)).count(), 4);
    }

    #[test]
    fn only_a_receipt_that_names_one_drop_and_its_content_secures_it() {
        let address = DropAddress {
            workload: WorkloadName::new("w").unwrap(),
            day: Timestamp::EPOCH.day(),
            drop: "01a2066b-8649-78cb-a8bc-a5af0e952507".parse().unwrap(),
        };
        let share = "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap();
        let receipt = Receipt {
            seal: Some(ContentHash([7; 32])),
            size: Some(5),
            tree: Some("01".repeat(32).parse().unwrap()),
            snapshot: Some("02".repeat(32)),
            ..Receipt::about(share, &address, ReceiptState::Vaulted, Timestamp::EPOCH)
        };
        let by = Judged { signer: Peer::new(Role::Vault, "v").unwrap(), counts_now: true };
        let secured = Secured::of(&receipt, by.clone()).unwrap();
        assert_eq!((&secured.by, secured.state), (&by.signer, ReceiptState::Vaulted));
        assert_eq!((secured.at, secured.held.size), (Timestamp::EPOCH, 5));
        assert_eq!(secured.seal(), ContentHash([7; 32]));
        assert!(!secured.is_doubtful, "as receipts of before");
        let suspect = Receipt { verdict: Some(Verdict::Suspect), ..receipt.clone() };
        assert!(Secured::of(&suspect, by.clone()).unwrap().is_doubtful);
        for less in [
            Receipt { share: None, ..receipt.clone() },
            Receipt { day: None, ..receipt.clone() },
            Receipt { seal: None, ..receipt.clone() },
            Receipt { size: None, ..receipt.clone() },
            Receipt { tree: None, ..receipt.clone() },
            Receipt { snapshot: None, ..receipt.clone() },
            Receipt { snapshot: Some("elsewhere".to_owned()), ..receipt },
        ] {
            assert_eq!(Secured::of(&less, by.clone()), None);
        }
    }
}
