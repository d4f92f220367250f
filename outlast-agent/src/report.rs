//! The report of a pass.

use outlast_drop::DropAddress;
use outlast_types::{ShareId, Timestamp};

use crate::problem::Problem;

/// All that a pass over the share did, by the agent's clock.
#[derive(Debug, Clone)]
pub struct PassReport {
    pub started: Timestamp,
    pub finished: Timestamp,
    /// `None` if the share could not be opened.
    pub share: Option<ShareId>,
    /// Whether the share could be looked over, whatever else went wrong.
    pub is_share_usable: bool,
    /// Drops that the vault has published in this pass.
    pub vaulted: Vec<ShippedDrop>,
    /// Drops that were refused, with the reason.
    pub rejected: Vec<(DropAddress, String)>,
    /// Drops whose writer died.
    pub abandoned: Vec<DropAddress>,
    /// Drops whose data has left the share.
    pub released: Vec<DropAddress>,
    /// Sealed drops that are still to be shipped, or on their way.
    pub waiting: u64,
    pub problems: Vec<Problem>,
    /// Whether the pass ended with work left that could be done at once.
    pub more: bool,
}

impl PassReport {
    pub(crate) fn new(started: Timestamp) -> Self {
        Self {
            started,
            finished: started,
            share: None,
            is_share_usable: false,
            vaulted: Vec::new(),
            rejected: Vec::new(),
            abandoned: Vec::new(),
            released: Vec::new(),
            waiting: 0,
            problems: Vec::new(),
            more: false,
        }
    }
}

/// A drop that the vault holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippedDrop {
    pub address: DropAddress,
    /// The snapshot's id in the workload's repository, in hex.
    pub snapshot: String,
    /// Bytes of its content.
    pub bytes: u64,
}
