//! The custody of a drop: where in its life it is, by what lies there and what receipts prove.
//!
//! ```text
//! open ─► sealed ─► accepted ─► shipped ─► vaulted ─► releasable ─► released
//!   └─► failed, torn, abandoned        bad ─► rejected
//! ```
//!
//! Each of these is a state to go on from, for whichever agent looks next: an accepted drop needs
//! no second verdict, a shipped one no second reading. A vaulted drop is releasable when the keep
//! rule says so ([`KeepRule`](crate::secured::KeepRule)); what then counts is the holder's answer
//! of that moment.

use outlast_drop::{DropState, Rejection};
use outlast_types::{ContentHash, Day, RejectionCode};

use crate::secured::Secured;

/// The proof that the receipts of a drop give. A receipt proves what it says of the one drop that it names:
/// of this share and workload, under this day and id, with this seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proven {
    Nothing,
    /// An agent verified every hash of the drop with this seal.
    Accepted {
        seal: ContentHash,
    },
    /// Its objects are durable on the way. A media server answers for them, or else only the agent
    /// that brought them there.
    Shipped {
        seal: ContentHash,
        holder: Option<Secured>,
    },
    /// The vault holds a drop that lies, or lay, here.
    Vaulted(Secured),
    /// The same, and an agent has begun to release it.
    Released(Secured),
    /// A backup product has it, by the vault's word, and an agent has begun to free it for that alone.
    Freed {
        seal: ContentHash,
    },
    /// The vault holds a drop of this id that lies under another day.
    IdTaken {
        day: Day,
    },
    Rejected {
        /// Why, if the vault may not have heard of it.
        untold: Option<Refusal>,
        ground: Ground,
    },
    Abandoned,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// What lies there.
    Drop,
    /// A policy, which may be another one now.
    Policy,
    /// A seal that was not whole, and may be now: its writer was held up, and not dead.
    TornSeal,
}

/// Why a drop was refused, as it is told to the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: RejectionCode,
    pub(crate) reason: String,
    /// The day under which it lies, and its seal, where it is its content that was refused.
    pub(crate) place: Option<(Day, ContentHash)>,
}

/// Where a drop is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CustodyState {
    /// Being written, or left behind.
    Open,
    /// Its writer said that it gave up.
    Failed {
        exit_status: Option<i32>,
    },
    /// Its seal is being written, or its writer died in that moment.
    Torn(Rejection),
    /// The same, and refused for it. Its writer may yet wake up without having heard of that: a host may
    /// remember for a while that there was no receipt.
    TornAndRejected,
    /// It cannot be taken.
    Bad(Rejection),
    /// Complete, and nobody has looked at it yet.
    Sealed(ContentHash),
    Accepted(ContentHash),
    Shipped {
        seal: ContentHash,
        holder: Option<Secured>,
    },
    Vaulted(Secured),
    /// Its release was broken off after its seal had gone, so that there is no drop any more.
    Released(Secured),
    /// The same, of one that a backup product has.
    Freed {
        seal: ContentHash,
    },
    /// The same, of an abandonment.
    Abandoned,
    Rejected {
        untold: Option<Refusal>,
    },
    /// Sealed, and rejected by a policy that may be another one now.
    Unwelcome {
        untold: Option<Refusal>,
    },
    /// Sealed, and rejected when it was not yet.
    Healed,
}

impl CustodyState {
    /// Where a drop is that looks like `seen`, of which receipts prove `proven`.
    pub(crate) fn of(seen: &DropState, proven: &Proven) -> Self {
        match seen {
            DropState::Sealed(seal) => Self::of_sealed(seal.digest, proven),
            _ => Self::of_unsealed(seen, proven),
        }
    }

    fn of_sealed(found: ContentHash, proven: &Proven) -> Self {
        match proven {
            Proven::Vaulted(secured) | Proven::Released(secured) => {
                if secured.seal() == found {
                    Self::Vaulted(secured.clone())
                } else {
                    Self::Bad(Rejection::AnotherSeal { held: secured.seal() })
                }
            }
            Proven::IdTaken { day } => Self::Bad(Rejection::IdTaken { day: *day }),
            Proven::Rejected { untold, ground: Ground::Drop } => {
                Self::Rejected { untold: untold.clone() }
            }
            Proven::Rejected { untold, ground: Ground::Policy } => {
                Self::Unwelcome { untold: untold.clone() }
            }
            Proven::Rejected { ground: Ground::TornSeal, .. } => Self::Healed,
            // Sealed again before anything was vaulted: nothing is known of this one.
            Proven::Shipped { seal, holder } if *seal == found => {
                Self::Shipped { seal: *seal, holder: holder.clone() }
            }
            // Its release was broken off before its seal had gone, and is asked for again.
            Proven::Accepted { seal } | Proven::Freed { seal } if *seal == found => {
                Self::Accepted(*seal)
            }
            // An agent died between its receipt and the end of the work. Should the drop have been
            // sealed in the moment in which it was abandoned, it is a good drop.
            Proven::Nothing
            | Proven::Accepted { .. }
            | Proven::Shipped { .. }
            | Proven::Freed { .. }
            | Proven::Abandoned => Self::Sealed(found),
        }
    }

    /// Whatever was vaulted from this place or under this id: what is here now is not sealed.
    fn of_unsealed(seen: &DropState, proven: &Proven) -> Self {
        match (proven, seen) {
            (
                Proven::Rejected { ground: Ground::TornSeal, .. },
                DropState::Refused(Rejection::TornSeal),
            ) => Self::TornAndRejected,
            (Proven::Rejected { untold, .. }, _) => Self::Rejected { untold: untold.clone() },
            // Its writer may be at work on its seal all the same.
            (Proven::Abandoned, DropState::Refused(rejection)) if rejection.is_torn_seal() => {
                Self::Torn(rejection.clone())
            }
            (Proven::Abandoned, _) => Self::Abandoned,
            (Proven::Released(secured), DropState::Open(_) | DropState::Failed { .. }) => {
                Self::Released(secured.clone())
            }
            (Proven::Freed { seal }, DropState::Open(_) | DropState::Failed { .. }) => {
                Self::Freed { seal: *seal }
            }
            (_, DropState::Refused(rejection)) if rejection.is_torn_seal() => {
                Self::Torn(rejection.clone())
            }
            (_, DropState::Refused(rejection)) => Self::Bad(rejection.clone()),
            (_, DropState::Failed { exit_status }) => Self::Failed { exit_status: *exit_status },
            (_, DropState::Open(_) | DropState::Sealed(_)) => Self::Open,
        }
    }
}
