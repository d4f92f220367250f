//! What an agent would see, and what receipts would prove, in the states of the model.

use std::sync::LazyLock;

use outlast_drop::{DropAddress, DropState, ReceiptState, Rejection, SealSummary};
use outlast_types::{ContentHash, DropIdentity, Timestamp, WorkloadName};
use outlast_wire::holdings::HeldDrop;
use outlast_wire::{Peer, Role};

use crate::custody::{Ground, Proven};
use crate::secured::Secured;

const SEAL: ContentHash = ContentHash([1; 32]);

pub(super) const ACCEPTED: u8 = 1;
pub(super) const VAULTED: u8 = 2;
pub(super) const RELEASED: u8 = 4;
pub(super) const ABANDONED: u8 = 8;
/// For a torn seal: every other refusal is a false one here.
pub(super) const REJECTED: u8 = 16;

/// What has the name of the seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    Free,
    /// A file that is not whole.
    Torn,
    Whole,
    /// The agent's directory, which is no seal.
    Taken,
}

pub(super) fn seen(name: Name) -> DropState {
    match name {
        Name::Free | Name::Taken => DropState::Open(None),
        Name::Torn => DropState::Refused(Rejection::TornSeal),
        Name::Whole => DropState::Sealed(SealSummary {
            digest: SEAL,
            instance: None,
            release: None,
            stored_bytes: 0,
            raw_bytes: 0,
            is_brought_back: false,
        }),
    }
}

/// What [`Reader::prove`](crate::receipts::Reader::prove) makes of receipts.
pub(super) fn proven(receipts: u8) -> Proven {
    let has = |receipt: u8| receipts & receipt != 0;
    if has(VAULTED) {
        let secured = secured();
        return if has(RELEASED) { Proven::Released(secured) } else { Proven::Vaulted(secured) };
    }
    if has(REJECTED) {
        return Proven::Rejected { untold: None, ground: Ground::TornSeal };
    }
    if has(ABANDONED) {
        return Proven::Abandoned;
    }
    if has(ACCEPTED) { Proven::Accepted { seal: SEAL } } else { Proven::Nothing }
}

/// The one drop that all is about. Asked for at every step of every way.
pub(super) fn address() -> DropAddress {
    static ADDRESS: LazyLock<DropAddress> = LazyLock::new(|| DropAddress {
        workload: WorkloadName::new("w").unwrap(),
        day: Timestamp::EPOCH.day(),
        drop: "01a2066b-8649-78cb-a8bc-a5af0e952507".parse().unwrap(),
    });
    ADDRESS.clone()
}

fn secured() -> Secured {
    static SECURED: LazyLock<Secured> = LazyLock::new(|| {
        let DropAddress { workload, day, drop } = address();
        let share = "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap();
        let drop = DropIdentity { share, workload, day, drop, seal: SEAL };
        let tree = "01".repeat(32).parse().unwrap();
        let snapshot = "02".repeat(32).parse().unwrap();
        let held = HeldDrop { drop, size: 1, tree, snapshot };
        let by = Peer::new(Role::Vault, "it").unwrap();
        let state = ReceiptState::Vaulted;
        Secured { by, at: Timestamp::EPOCH, state, counts_now: true, held, is_doubtful: false }
    });
    SECURED.clone()
}
