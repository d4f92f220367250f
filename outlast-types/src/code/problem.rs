//! What keeps an agent from its work.

use serde::{Deserialize, Serialize};

use crate::codes;

/// What a problem is about: whose it is follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProblemKind {
    /// The share cannot be read or written.
    Share,
    /// What a workload's team has put there cannot be used, such as its `workload.toml`.
    Content,
    /// Something lies on the share that belongs to no workload, and somebody may have meant it.
    Stray,
    /// The share is well; the way to the vault, the vault, or the agent's own disk is not. Also
    /// what a newer agent says and we do not know.
    #[serde(other)]
    Work,
}

codes! {
    /// What an agent met. The sentence beside it says with what and why.
    pub enum ProblemCode {
        /// The share cannot be opened: not mounted, not readable, or not a share.
        ShareUnusable => "share_unusable",
        /// Another share lies where the agent's own lay.
        ShareReplaced => "share_replaced",
        /// The share is not as its agent left it: a copy, or an older state of it.
        ShareCopied => "share_copied",
        /// Another agent serves the share.
        ShareTaken => "share_taken",
        /// Something on the share cannot be read now.
        ShareUnreadable => "share_unreadable",
        /// Something on the share cannot be written, or removed, now.
        ShareUnwritable => "share_unwritable",
        /// A receipt on the share is not believed: it is damaged, forged, or about another drop.
        ReceiptIgnored => "receipt_ignored",
        /// A sealed drop cannot be read now, so it waits.
        DropUnreadable => "drop_unreadable",
        /// An entry on the share belongs to no workload.
        StrayEntry => "stray_entry",
        /// An entry below a workload is none that the protocol knows.
        UnknownEntry => "unknown_entry",
        /// A `workload.toml` cannot be used.
        BadDeclaration => "bad_declaration",
        /// The agent cannot make a drop of a source of its own.
        SourceFailing => "source_failing",
        /// More lies beside the workloads than a pass looks at; the rest waits for its turn.
        TooManyWorkloads => "too_many_workloads",
        /// More lies below a workload than a pass looks at.
        TooManyNames => "too_many_names",
        /// A workload has used up the bytes that it may have on the share, and drops nothing.
        OverBudget => "over_budget",
        /// The share has used up the bytes that may lie on it, and those who have most of it drop nothing.
        ShareOverBudget => "share_over_budget",
        /// A file that an agent is to adopt cannot be taken as it is.
        NotAdopted => "not_adopted",
        /// More files are to be adopted than an agent watches; the rest is not looked at.
        TooManyFiles => "too_many_files",
        /// A pass over the share does not come to its end.
        PassHangs => "pass_hangs",
        /// The agent's own directory cannot be written.
        StateUnwritable => "state_unwritable",
        /// The upstream cannot be reached.
        UpstreamUnreachable => "upstream_unreachable",
        /// The upstream was reached and does not take a drop.
        ShippingFailed => "shipping_failed",
        /// The upstream does not have what was sent to it.
        UpstreamForgot => "upstream_forgot",
        /// The upstream's word cannot be believed: a receipt or an answer is no good.
        BadProof => "bad_proof",
        /// More requests for backups lie below a workload than are answered.
        TooManyRequests => "too_many_requests",
        /// A backup that was granted cannot be brought back to the share.
        NotAnswered => "not_answered",
        /// The vault was not asked what it holds, so nothing is released.
        HoldingsUnknown => "holdings_unknown",
    }
}

impl ProblemCode {
    /// What a problem with this code is about.
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::ShareUnusable
            | Self::ShareReplaced
            | Self::ShareCopied
            | Self::ShareTaken
            | Self::ShareUnreadable
            | Self::ShareUnwritable
            | Self::ReceiptIgnored
            | Self::DropUnreadable
            | Self::ShareOverBudget
            | Self::TooManyFiles
            | Self::PassHangs => ProblemKind::Share,
            Self::UnknownEntry
            | Self::BadDeclaration
            | Self::SourceFailing
            | Self::TooManyNames
            | Self::TooManyRequests
            | Self::NotAdopted
            | Self::OverBudget => ProblemKind::Content,
            Self::StrayEntry | Self::TooManyWorkloads => ProblemKind::Stray,
            Self::StateUnwritable
            | Self::UpstreamUnreachable
            | Self::ShippingFailed
            | Self::UpstreamForgot
            | Self::BadProof
            | Self::NotAnswered
            | Self::HoldingsUnknown
            | Self::Other(_) => ProblemKind::Work,
        }
    }
}
