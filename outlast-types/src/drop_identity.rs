//! Which drop is meant, beyond doubt.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, Day, DropId, ShareId, WorkloadName};

/// What names one drop and no other, wherever one speaks of it: in bills of lading, receipts and
/// questions.
///
/// The id alone does not: whoever can write to a share can use an id twice, on another day or
/// after the first drop of that id was sealed, and whoever holds an agent's certificate can speak
/// of an id before its drop is sealed. The seal lists the hashes of all content, so its digest
/// binds the content, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DropIdentity {
    pub share: ShareId,
    pub workload: WorkloadName,
    /// The day under which it lies.
    pub day: Day,
    pub drop: DropId,
    /// The BLAKE3 of the whole file `sealed.json`.
    pub seal: ContentHash,
}

impl fmt::Display for DropIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.workload, self.day, self.drop)
    }
}
