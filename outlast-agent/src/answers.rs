//! Backups that instances want back: the agent's side of [`outlast_drop::asking`].
//!
//! An instance puts a request on the share. The `desk` finds it, asks the vault whether it is granted, and
//! replies. The content comes as a small repository of its own on the share, with the same blobs and the same
//! tree as the snapshot in the vault, under a key made for it alone, which is sealed to the key in each
//! request. So the instance needs to believe nobody but the vault, which signed which tree it is to get;
//! equal requests share one answer and one reading; and a reading that was broken off goes on, since what
//! lies there and is listed is not fetched again.
//!
//! [`Asking`] is the other side, which an instance runs.
//!
//! All this runs on a thread of its own, with a client of its own; what the passes over the share and it have
//! to tell each other goes through a `hatch`. An answer is no drop: it has a budget of its own, is removed
//! when its time is over, and its reading makes way for drops.

pub(crate) mod desk;
pub(crate) mod grants;
pub(crate) mod hatch;
mod instance;
mod kept;
mod reading;
mod store;

use std::time::Duration;

pub use instance::{AskError, Asking, Ready, Seen};
pub use store::AnswerStore;

/// By what it is known that who asks belongs to the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedBy {
    /// The workload's directory can be written by its owner or group, which cannot write elsewhere.
    Owner,
    /// Whoever can write to the share may ask.
    Anyone,
    /// Nobody is answered.
    Nobody,
}

impl AskedBy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Anyone, Self::Nobody];

    /// As the vault is told, and as configurations have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Anyone => "anyone",
            Self::Nobody => "nobody",
        }
    }
}

/// The rules for answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRules {
    /// How many bytes of answers may lie on the share.
    pub budget: u64,
    /// How long an answer stays after the last reply that named it, and a request at most.
    pub keep: Duration,
    pub asked_by: AskedBy,
}

impl Default for FetchRules {
    fn default() -> Self {
        Self { budget: 100 << 30, keep: Duration::from_secs(6 * 3600), asked_by: AskedBy::Owner }
    }
}
