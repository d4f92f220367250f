//! Destinations: where drops go.

use std::path::Path;

use outlast_drop::{DropAddress, DropLimits, DropReadError, Rejection, Share, SignedReceipt};
use outlast_types::{ContentHash, ShareId, Timestamp, WorkloadName};
use outlast_wire::CallError;
use outlast_wire::api::{AgentReport, ErrorCode, Reported};
use outlast_wire::client::OpenError;
use outlast_wire::holdings::{Answer, HandedDrop, HeldDrop};

use crate::Shutdown;
use crate::secured::Secured;
use crate::upstream::UpstreamError;

/// Where drops go: a vault, a media server on the way to one, a backup product that is there
/// already. A drop goes there in two hops, each of which can be done again. Drops of several
/// workloads may be on their way at the same time, of each workload one.
pub trait Destination: Send + Sync {
    /// Lets `shutdown` break off what takes long.
    fn heed(&mut self, shutdown: &Shutdown);

    /// Hears which share this agent serves, before anything else is asked: several agents of one
    /// name may be at work.
    fn speak_of(&self, share: ShareId);

    /// Hears that what follows of this workload's drops goes under this id, at every tier; or under
    /// none.
    fn carry(&self, workload: &WorkloadName, id: Option<&str>) {
        let _ = (workload, id);
    }

    /// Reads a sealed drop, once, and puts its content where it is durable. As soon as all of the
    /// content is known to be as it was sealed, `accepted` hears so, whatever becomes of the rest.
    fn load(&self, cargo: &Cargo<'_>, accepted: &mut dyn FnMut(Content)) -> Result<Taken, Failure>;

    /// Hands over a drop that was loaded with this seal, or asks again what became of it: who has
    /// it now.
    fn deliver(&self, cargo: &Cargo<'_>, seal: ContentHash) -> Result<Delivered, Failure>;

    /// A drop that may be under way will not be shipped after all.
    fn give_up(&self, share: ShareId, address: &DropAddress, reason: &str) {
        let _ = (share, address, reason);
    }

    /// Which of these drops are held at this moment, by the holder's signed word. It is shown the
    /// receipts that it once signed, so that it can tell people what it has forgotten.
    fn confirm(&self, drops: Vec<HeldDrop>, receipts: Vec<String>) -> Result<Answer, String>;

    /// Asks which of these drops backup products have, by all that it has heard at this moment.
    fn confirm_handed(&self, _: Vec<HandedDrop>) -> Result<Answer, String> {
        Err("nobody there hears of backup products".to_owned())
    }

    /// Tells what a pass saw.
    fn report(&self, report: &AgentReport) -> Result<Reported, CallError>;
}

/// A drop to be carried.
pub struct Cargo<'a> {
    pub share: &'a Share,
    pub address: &'a DropAddress,
    /// A copy of its files on our own disk, with the seal that they are of. What cannot be read there is read from the
    /// share: a copy condemns nobody.
    pub copy: Option<(&'a Path, ContentHash)>,
    /// When it was first seen, by our own clock, where that is known.
    pub first_seen: Option<Timestamp>,
    /// How much of one drop is taken.
    pub limits: &'a DropLimits,
    /// Ends this load alone: its turn is over, and it goes on in a later one.
    pub stop: &'a Shutdown,
    /// Ends the agent.
    pub shutdown: &'a Shutdown,
}

impl Cargo<'_> {
    /// Whether the work on it is to be broken off.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_requested() || self.shutdown.is_requested()
    }
}

/// A drop's content that was put where it is durable, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    pub read: u64,
    /// Of these, what was not known yet.
    pub new: u64,
    /// The bytes that were sent for that.
    pub sent: u64,
    /// Whether a media server has it now, which says so by receipts of its own.
    pub is_relayed: bool,
}

/// The content of a drop that was read to its end and is as it was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The digest of the seal.
    pub seal: ContentHash,
    pub bytes: u64,
}

/// A drop that somebody else answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The receipt, verified.
    pub receipt: SignedReceipt,
    /// Its content.
    pub secured: Secured,
}

/// Why a drop could not be carried.
#[derive(Debug)]
pub enum Failure {
    /// The drop is bad and stays so.
    Refused(Rejection),
    /// The share could not be read.
    Share(String),
    /// The destination cannot be reached, which is so for all drops.
    Unreachable(String),
    /// The destination does not have what we sent: what we remember of it is wrong.
    Forgotten(String),
    /// The bill, or whatever is to be handed over, is not at hand: the drop must be read again.
    NotLoaded,
    /// Whoever has it is not done with it: it is asked again later. That is no failure of anybody.
    Waiting(Waiting),
    /// The vault lacks something of it that waits nowhere: the drop must be read again, and is then stored
    /// where it is lacking.
    Lacking(String),
    /// Something else, of this workload only.
    Workload(String),
    /// The agent was asked to stop, or the turn of the drop is over.
    Stopped,
}

/// How far a drop is on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The media servers at which it waits, by the names in their certificates.
    pub at: Vec<String>,
    /// That it is shipped, if all of it is on its way, and the share is to hear so.
    pub shipped: Option<Box<SignedReceipt>>,
}

/// The longest part of a vault's sentence that goes into a receipt, in characters.
const DIFFERENCE_CHARS_MAX: usize = 300;

impl From<DropReadError> for Failure {
    fn from(error: DropReadError) -> Self {
        match error {
            DropReadError::Refused(rejection) => Self::Refused(rejection),
            later @ DropReadError::Later { .. } => Self::Share(later.to_string()),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match (&error, error.code()) {
            (CallError::Unreachable { .. }, _) => Self::Unreachable(text),
            (_, Some(ErrorCode::MissingObjects | ErrorCode::UnknownWorkload)) => {
                Self::Forgotten(text)
            }
            (_, Some(ErrorCode::Contested)) => {
                let difference = text.chars().take(DIFFERENCE_CHARS_MAX).collect();
                Self::Refused(Rejection::Contested { difference })
            }
            _ => Self::Workload(text),
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Open(OpenError::Call(error)) => error.into(),
            other => Self::Workload(other.to_string()),
        }
    }
}
