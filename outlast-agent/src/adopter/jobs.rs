//! What is done on the share for the rules, on threads of the crews: looking, judging, copying. Each may hang
//! with the share, and keeps nobody else waiting.

use std::collections::HashSet;

use outlast_drop::adopt::{self, Candidate, CopyError, Found, Judgement, Round, Step, StepLimits};
use outlast_drop::{DropLimits, Seal, Share};
use outlast_fs::EntryPath;
use outlast_types::{Environment, WorkloadName};
use outlast_wire::receipts::Authority;

use crate::Shutdown;

/// A look for the files of a rule, to go on with.
pub(super) struct Look {
    pub(super) rule: usize,
    pub(super) share: Share,
    pub(super) round: Round,
    pub(super) known: HashSet<EntryPath>,
}

pub(super) struct Looked {
    pub(super) rule: usize,
    pub(super) round: Round,
    /// What was found, or why the share is none now.
    pub(super) step: Result<Step, String>,
}

impl Look {
    pub(super) fn run(self) -> Looked {
        let Self { rule, share, mut round, known } = self;
        // An empty directory in place of the share has no files, and that says nothing of them.
        let step = share.check().map(|()| round.step(&share, StepLimits::PASS, &known));
        Looked { rule, round, step: step.map_err(|error| error.to_string()) }
    }
}

/// Files of one workload that are to be judged.
pub(super) struct Judge {
    pub(super) rule: usize,
    pub(super) share: Share,
    pub(super) workload: WorkloadName,
    pub(super) found: Vec<Found>,
    pub(super) limits: DropLimits,
}

pub(super) struct JudgeDone {
    pub(super) rule: usize,
    pub(super) workload: WorkloadName,
    pub(super) found: Vec<Found>,
    pub(super) judgement: Result<Judgement, String>,
}

impl Judge {
    pub(super) fn run(self, authority: &Authority) -> JudgeDone {
        let Self { rule, share, workload, found, limits } = self;
        let judged = adopt::judge(&share, &workload, &found, &limits, Some(authority));
        // Nothing of it counts if the share was another one meanwhile.
        let judged = judged.and_then(|judged| share.check().map(|()| judged));
        let judgement = judged.map_err(|error| error.to_string());
        JudgeDone { rule, workload, found, judgement }
    }
}

/// Files that are to be taken.
pub(super) struct Take {
    pub(super) share: Share,
    pub(super) found: Found,
    pub(super) candidate: Candidate,
    pub(super) stop: Shutdown,
}

pub(super) struct Took {
    pub(super) found: Found,
    pub(super) candidate: Candidate,
    pub(super) result: Result<Seal, CopyError>,
}

impl Take {
    pub(super) fn run(self, environment: &Environment) -> Took {
        let Self { share, found, candidate, stop } = self;
        let result = adopt::copy(&share, &candidate, environment, &stop);
        Took { found, candidate, result }
    }
}
