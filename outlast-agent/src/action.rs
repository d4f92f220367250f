//! Actions: what is to be done about drops. Deciding makes them, and one place applies them
//! (`Agent::apply`).

use std::path::PathBuf;

use outlast_drop::{DropAddress, Rejection, SignedReceipt};
use outlast_types::{ContentHash, Timestamp};

use crate::custody::{Proven, Refusal};
use crate::secured::Secured;

/// One thing to be done about one drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Never look at it again. Whoever has not heard why it was refused is told.
    Settle { address: DropAddress, untold: Option<Refusal> },
    /// Judge anew, once, what a policy refused: take it, or settle it.
    Reconsider { address: DropAddress, untold: Option<Refusal> },
    /// Take the refusal of a torn seal back: it is whole now, and nothing else was judged.
    TakeBack(DropAddress),
    /// Put it into the queue of what is to be shipped.
    Ship(Parcel),
    /// Put a receipt about it on the share.
    Record(Box<SignedReceipt>),
    /// Remember that it has come so far.
    Advance { address: DropAddress, proven: Proven },
    /// Keep it on the share until the keep rule and its holder's answer of then let it go.
    Hold { address: DropAddress, secured: Secured },
    /// Free its data: its holder has just said that it holds it, or its seal has gone already.
    Release { address: DropAddress, secured: Secured },
    /// Free its data: a backup product has it, as the vault has just said that it heard; or its seal has gone already.
    Free { address: DropAddress, seal: ContentHash },
    /// Ship it again: its holder does not hold it any more.
    ShipAgain(DropAddress),
    /// Put it into quarantine.
    Refuse { address: DropAddress, rejection: Rejection },
    /// Remove what its dead writer left.
    Abandon { address: DropAddress, reason: String },
}

/// A sealed drop on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) address: DropAddress,
    /// The digest of its seal.
    pub(crate) seal: ContentHash,
    /// How far it has come.
    pub(crate) hop: Hop,
    /// A media server that has it.
    pub(crate) holder: Option<Secured>,
    /// Whether it was read in this pass.
    pub(crate) is_loaded: bool,
    /// When it was first seen, by our own clock, where that is known.
    pub(crate) first_seen: Option<Timestamp>,
    /// A copy of it on our own disk, from which it is read where it can be.
    pub(crate) copy: Option<PathBuf>,
}

/// How far a sealed drop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hop {
    Sealed,
    /// Its content is known to be as sealed.
    Accepted,
    /// Its content is durable on the way, and is not read again.
    Shipped,
}
