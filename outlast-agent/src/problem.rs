//! Problems: what keeps the agent from its work, and what it is about.
//!
//! Decisions are made by [`Met`]. The sentences for people are made here, and nowhere else.

use std::fmt;
use std::path::PathBuf;

use outlast_drop::{DropAddress, ReceiptState, ScanProblem};
use outlast_types::{ProblemCode, WorkloadName};
use outlast_wire::api;

/// Something that the agent met, and why. The same thing met again is the same problem, whatever
/// the reason says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub met: Met,
    /// A part of the sentence that it becomes.
    pub reason: String,
}

/// The thing that the agent met, with its subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// The share cannot be opened or looked over.
    ShareUnusable,
    /// Another share lies where this agent's lay.
    ShareReplaced,
    /// A copy or an older state of the share lies where this agent's lay.
    ShareCopied,
    /// Another agent serves the share.
    ShareTaken,
    /// Something on the share cannot be read now.
    Unreadable(PathBuf),
    /// Something that belongs to no workload, and that somebody may have meant.
    Stray(PathBuf),
    /// Something below a workload that the protocol does not know.
    UnknownEntry(WorkloadName, PathBuf),
    /// More directories beside the workloads than a pass looks at.
    TooManyWorkloads(PathBuf),
    /// More below a workload than a pass looks at.
    TooManyNames(WorkloadName, PathBuf),
    /// A workload has more bytes on the share than it may have.
    OverBudget(WorkloadName),
    /// All workloads together have more than may lie there.
    ShareOverBudget,
    /// A file that a rule is about, and that cannot be taken as it is.
    NotAdopted(WorkloadName, PathBuf),
    /// The share does not let us make a drop of a file.
    AdoptionFailed(PathBuf),
    /// More files than are watched.
    TooManyFiles(PathBuf),
    /// A file that the vault holds, and that cannot be removed.
    NotRemoved(PathBuf),
    /// It is not told on the share which files wait.
    AdoptionUnwritten,
    /// Writers were not told that there is no room, or that there is again.
    NoticeUnwritten(WorkloadName),
    /// The pass under way does not come to its end.
    PassHangs,
    /// A `workload.toml` that cannot be used.
    BadDeclaration(WorkloadName),
    /// A source of the agent's own of which no drop can be made.
    SourceFailing(WorkloadName),
    /// A receipt that proves nothing.
    ReceiptIgnored(DropAddress, ReceiptState),
    /// A receipt that cannot be read now, so that nothing is known of its drop.
    ReceiptUnreadable(DropAddress),
    ReceiptUnwritten(DropAddress, ReceiptState),
    NotReleased(DropAddress),
    NotAbandoned(DropAddress),
    NotQuarantined(DropAddress),
    /// A sealed drop that the share does not let us read.
    DropUnreadable(DropAddress),
    /// The agent's own directory.
    StateUnwritable,
    /// The destination cannot be reached, which is so for all drops.
    Unreachable,
    /// The destination was reached, and does not take what this workload dropped.
    NotShipped(WorkloadName),
    /// The destination does not have what was sent to it for this workload.
    Forgotten(WorkloadName),
    /// More instances ask for backups of a workload than are answered.
    TooManyRequests(WorkloadName),
    /// A backup that instances want back does not get to the share.
    NotAnswered(WorkloadName),
    /// The vault's word about what it holds now is missing.
    HoldingsUnknown,
}

impl Met {
    /// With a reason, it is a problem.
    pub fn because(self, reason: impl Into<String>) -> Problem {
        Problem { met: self, reason: reason.into() }
    }

    /// The same for programs elsewhere.
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::ShareUnusable => ProblemCode::ShareUnusable,
            Self::ShareReplaced => ProblemCode::ShareReplaced,
            Self::ShareCopied => ProblemCode::ShareCopied,
            Self::ShareTaken => ProblemCode::ShareTaken,
            Self::Unreadable(_) | Self::ReceiptUnreadable(_) => ProblemCode::ShareUnreadable,
            Self::Stray(_) => ProblemCode::StrayEntry,
            Self::UnknownEntry(..) => ProblemCode::UnknownEntry,
            Self::TooManyWorkloads(_) => ProblemCode::TooManyWorkloads,
            Self::TooManyNames(..) => ProblemCode::TooManyNames,
            Self::OverBudget(_) => ProblemCode::OverBudget,
            Self::NotAdopted(..) => ProblemCode::NotAdopted,
            Self::TooManyFiles(_) => ProblemCode::TooManyFiles,
            Self::ShareOverBudget => ProblemCode::ShareOverBudget,
            Self::PassHangs => ProblemCode::PassHangs,
            Self::BadDeclaration(_) => ProblemCode::BadDeclaration,
            Self::SourceFailing(_) => ProblemCode::SourceFailing,
            Self::ReceiptIgnored(..) => ProblemCode::ReceiptIgnored,
            Self::ReceiptUnwritten(..)
            | Self::NoticeUnwritten(_)
            | Self::AdoptionFailed(_)
            | Self::AdoptionUnwritten
            | Self::NotRemoved(_)
            | Self::NotReleased(_)
            | Self::NotAbandoned(_)
            | Self::NotQuarantined(_) => ProblemCode::ShareUnwritable,
            Self::DropUnreadable(_) => ProblemCode::DropUnreadable,
            Self::StateUnwritable => ProblemCode::StateUnwritable,
            Self::Unreachable => ProblemCode::UpstreamUnreachable,
            Self::NotShipped(_) => ProblemCode::ShippingFailed,
            Self::Forgotten(_) => ProblemCode::UpstreamForgot,
            Self::TooManyRequests(_) => ProblemCode::TooManyRequests,
            Self::NotAnswered(_) => ProblemCode::NotAnswered,
            Self::HoldingsUnknown => ProblemCode::HoldingsUnknown,
        }
    }

    /// The workload whose team has to act, if it is one team's.
    pub(crate) fn team(&self) -> Option<&WorkloadName> {
        match self {
            Self::UnknownEntry(workload, _)
            | Self::TooManyNames(workload, _)
            | Self::OverBudget(workload)
            | Self::SourceFailing(workload)
            | Self::TooManyRequests(workload)
            | Self::NotAdopted(workload, _)
            | Self::BadDeclaration(workload) => Some(workload),
            _ => None,
        }
    }
}

impl Problem {
    /// A problem of a scan: of the share, of the team of `workload`, or of nobody that is known.
    pub(crate) fn of_scan(problem: ScanProblem, workload: Option<&WorkloadName>) -> Self {
        match (problem, workload) {
            (ScanProblem::Later { path, reason }, _) => Met::Unreadable(path).because(reason),
            (ScanProblem::Refused { path, rejection }, None) => {
                Met::Stray(path).because(rejection.to_string())
            }
            (ScanProblem::Refused { path, rejection }, Some(workload)) => {
                Met::UnknownEntry(workload.clone(), path).because(rejection.to_string())
            }
            (ScanProblem::Crowded { path, reason }, None) => {
                Met::TooManyWorkloads(path).because(reason)
            }
            (ScanProblem::Crowded { path, reason }, Some(workload)) => {
                Met::TooManyNames(workload.clone(), path).because(reason)
            }
        }
    }

    /// As the vault is told.
    pub(crate) fn told(&self) -> api::Problem {
        let code = self.met.code();
        let workload = self.met.team().cloned();
        api::Problem { kind: code.kind(), code, workload, text: self.to_string() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = &self.reason;
        match &self.met {
            Met::Unreadable(path) => write!(f, "cannot read {} now: {reason}", path.display()),
            Met::NotAdopted(_, path) | Met::AdoptionFailed(path) => {
                write!(f, "{} is not adopted: {reason}", path.display())
            }
            Met::NotRemoved(path) => {
                write!(f, "{} is in the vault and is not removed: {reason}", path.display())
            }
            Met::AdoptionUnwritten => {
                write!(f, "it is not told on the share which files wait to be adopted: {reason}")
            }
            Met::Stray(path)
            | Met::UnknownEntry(_, path)
            | Met::TooManyWorkloads(path)
            | Met::TooManyFiles(path)
            | Met::TooManyNames(_, path) => {
                write!(f, "{}: {reason}", path.display())
            }
            Met::ReceiptIgnored(drop, state) => {
                write!(f, "the {state} receipt of {drop} is ignored: {reason}")
            }
            Met::ReceiptUnreadable(drop) => {
                write!(f, "nothing is done with {drop} until its receipts can be read: {reason}")
            }
            Met::ReceiptUnwritten(drop, state) => {
                write!(f, "the {state} receipt of {drop} is not written yet: {reason}")
            }
            Met::NotReleased(drop) => write!(f, "{drop} is not released yet: {reason}"),
            Met::NotAbandoned(drop) => write!(f, "{drop} cannot be abandoned yet: {reason}"),
            Met::NotQuarantined(drop) => {
                write!(f, "{drop} cannot be put into quarantine: {reason}")
            }
            Met::HoldingsUnknown => write!(f, "nothing is released: {reason}"),
            Met::DropUnreadable(drop) => write!(f, "{drop} is not shipped yet: {reason}"),
            Met::OverBudget(workload) => {
                write!(f, "nobody may drop {workload} now: {reason}")
            }
            Met::NoticeUnwritten(workload) => {
                write!(f, "writers of {workload} are not told whether there is room: {reason}")
            }
            Met::NotAnswered(workload) => {
                write!(
                    f,
                    "a backup of {workload} that instances wait for is not brought back: {reason}"
                )
            }
            Met::TooManyRequests(_)
            | Met::ShareUnusable
            | Met::ShareReplaced
            | Met::ShareOverBudget
            | Met::ShareCopied
            | Met::ShareTaken
            | Met::PassHangs
            | Met::BadDeclaration(_)
            | Met::SourceFailing(_)
            | Met::StateUnwritable
            | Met::Unreachable
            | Met::NotShipped(_)
            | Met::Forgotten(_) => f.write_str(reason),
        }
    }
}
