//! What happens, as it is written into the journal.

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::job::Job;
use super::tracked::{Told, Tracked};
use crate::evidence::Statement;
use crate::file_set::FileSet;
use crate::job::JobKey;
use crate::lease::Lease;
use crate::offer::{DropKey, Offer, Release};

/// Evidence, and which files of which drops it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub statement: Statement,
    pub held: Vec<(DropKey, FileSet)>,
    pub at: Timestamp,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// All that there was.
    Snapshot(Snapshot),
    /// A drop is about to appear.
    Offered(Offer),
    /// It did not.
    Void {
        drop: DropKey,
    },
    /// A stream of a job has ended, as its client says.
    Ended {
        lease: Lease,
        status: i32,
        at: Timestamp,
    },
    /// Nobody ended it in time.
    Lapsed {
        lease: Lease,
        at: Timestamp,
    },
    Evidence(Box<Received>),
    /// The image of a job is gone.
    Withdrawn {
        job: JobKey,
        at: Timestamp,
        reason: String,
    },
    /// Somebody lets a drop leave that the rules would keep.
    Released {
        release: Release,
        at: Timestamp,
    },
    /// A drop is about to leave.
    Removed {
        drop: DropKey,
        at: Timestamp,
    },
    Told {
        drop: DropKey,
        told: Told,
    },
    /// The receipt that it is confirmed was taken back from the share: that is not so any more.
    TakenBack {
        drop: DropKey,
    },
}

/// A whole ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub(super) offers: Vec<Tracked>,
    pub(super) jobs: Vec<(JobKey, Job)>,
    pub(super) gone: Vec<(DropKey, Timestamp)>,
}
