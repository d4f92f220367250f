//! What a pass did.

use std::collections::HashMap;

use outlast_drop::DropAddress;
use outlast_types::{ProblemCode, ProblemKind, ShareId, Timestamp, WorkloadName};
use outlast_wire::api::Problem;

/// What a pass over the share did, by the agent's clock.
#[derive(Debug, Clone)]
pub struct PassReport {
    pub started: Timestamp,
    pub finished: Timestamp,
    /// `None` if the share could not be opened.
    pub share: Option<ShareId>,
    /// Whether the share could be looked over.
    pub is_share_usable: bool,
    /// Drops that the vault has published in this pass.
    pub vaulted: Vec<ShippedDrop>,
    /// Drops that were refused, with the reason.
    pub rejected: Vec<(DropAddress, String)>,
    /// Drops whose writer died.
    pub abandoned: Vec<DropAddress>,
    /// Drops whose data has left the share.
    pub released: Vec<DropAddress>,
    /// Sealed drops that are still to be shipped.
    pub waiting: usize,
    /// What went wrong, in whole sentences.
    pub problems: Vec<String>,
    /// Whether the pass ended with work left that could be done at once.
    pub more: bool,
    /// What the problems are about, by their texts; those that are not here are of the share.
    about: HashMap<String, (ProblemKind, Option<WorkloadName>)>,
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
            about: HashMap::new(),
        }
    }

    /// Notes a problem that is of a `kind`, and maybe of one workload's team.
    pub(crate) fn note(
        &mut self,
        kind: ProblemKind,
        workload: Option<&WorkloadName>,
        problem: String,
    ) {
        self.about.insert(problem.clone(), (kind, workload.cloned()));
        self.problems.push(problem);
    }

    /// A problem with what it is about.
    pub(crate) fn trouble(&self, problem: &str) -> Problem {
        let about = self.about.get(problem).cloned();
        let (kind, workload) = about.unwrap_or((ProblemKind::Share, None));
        Problem { kind, code: ProblemCode::default(), workload, text: problem.to_owned() }
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
