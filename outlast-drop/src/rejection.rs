//! Why a drop is refused: the text of a `rejected` receipt.

use outlast_types::{ContentHash, Day, RejectionCode};

use crate::hash::Digest;

/// Why a drop cannot be taken. Its text says what is wrong with what; it is written into the
/// receipt, so it never depends on the host that found it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the seal is torn: sealed.json ends before its last member \"self\"")]
    TornSeal,
    #[error("the seal is not of the form that the drop protocol asks for: {reason}")]
    MalformedSeal { reason: String },
    #[error(
        "the seal does not prove itself: its content has the {algorithm} hash {found}, not the one in \"self\"",
        algorithm = found.algorithm(), found = found.digits()
    )]
    WrongSelfHash { found: Digest },
    #[error(
        "the seal has format version {version}, and this program reads version {supported} only"
    )]
    UnknownVersion { version: u64, supported: u64 },
    #[error("the seal is longer than {max} bytes")]
    SealTooLong { max: u64 },
    #[error("the seal says {what} {claimed:?}, but the drop lies under {actual:?}")]
    WrongPlace { what: &'static str, claimed: String, actual: String },
    #[error("segment {name} is in the seal, but not in the directory")]
    MissingSegment { name: String },
    #[error("segment {name} is in the directory, but not in the seal")]
    ExtraSegment { name: String },
    #[error("segment {name} has {found} bytes, and the seal says {sealed}")]
    WrongSize { name: String, sealed: u64, found: u64 },
    #[error(
        "segment {name} does not have the content that was sealed: its {algorithm} hash is {found}, and the seal says {sealed}",
        algorithm = found.algorithm(), found = found.digits(), sealed = sealed.digits()
    )]
    WrongHash { name: String, sealed: Digest, found: Digest },
    #[error("segment {name} changed while it was read, after the seal")]
    ChangedSegment { name: String },
    #[error("segment {name} cannot be decompressed: {reason}")]
    BadCompression { name: String, reason: String },
    #[error(
        "segment {name} decompresses to {found} than the {declared} bytes that the seal declares"
    )]
    WrongRawSize { name: String, declared: u64, found: &'static str },
    #[error("{name} is not a plain file, and only plain files belong into a drop")]
    NotAPlainFile { name: String },
    #[error("{name} is not a plain directory (symbolic links are not followed)")]
    NotADirectory { name: String },
    #[error("{name:?} is not the name of a workload: {reason}")]
    WorkloadName { name: String, reason: String },
    #[error("{name:?} is not a day such as 20260131")]
    DayName { name: String },
    #[error("{name:?} is not a drop id (a UUID of version 7 in lower case)")]
    DropName { name: String },
    #[error(
        "a drop of {day} has this id, too, and the vault holds that one: an id names one drop for ever"
    )]
    IdTaken { day: Day },
    #[error(
        "its seal is not the one of the drop that the vault holds ({held}): it was sealed again, or replaced"
    )]
    AnotherSeal { held: ContentHash },
    #[error("the vault holds another drop under this id: {difference}")]
    Contested { difference: String },
    #[error("the tree cannot be read: {reason}")]
    BadTree { reason: String },
    #[error(
        "more than {max} files lie in its directory, and no drop has as many: something else writes there"
    )]
    TooManyFiles { max: usize },
    #[error(
        "its content has {bytes} bytes, and the limit for one drop of this workload is {max} (drop_max of the agent)"
    )]
    TooLarge { bytes: u64, max: u64 },
    #[error(
        "its segments are {sealed} bytes long, and the share holds {held} bytes of them: the rest are holes, more than {max} bytes for one (ratio_max of the agent)"
    )]
    MostlyHoles { sealed: u64, held: u64, max: u64 },
    #[error(
        "its segments unpack from {sealed} to {bytes} bytes: more than {max} for one (ratio_max of the agent)"
    )]
    AbsurdRatio { sealed: u64, bytes: u64, max: u64 },
    #[error("its content is as it was sealed, and is no whole backup: {what}")]
    BrokenContent { seal: ContentHash, what: String },
    #[error("segment {name} cannot be opened: {reason}")]
    BadSealing { name: String, reason: String },
    #[error("drops of kind {kind:?} are for versions to come: it stays on the share as it is")]
    ReservedKind { kind: String },
}

impl Rejection {
    /// The same for programs: what is decided about a refused drop is decided by this.
    pub fn code(&self) -> RejectionCode {
        match self {
            Self::TornSeal => RejectionCode::TornSeal,
            Self::MalformedSeal { .. } => RejectionCode::MalformedSeal,
            Self::WrongSelfHash { .. } => RejectionCode::WrongSelfHash,
            Self::UnknownVersion { .. } => RejectionCode::UnknownVersion,
            Self::SealTooLong { .. } => RejectionCode::SealTooLong,
            Self::WrongPlace { .. } => RejectionCode::WrongPlace,
            Self::MissingSegment { .. } => RejectionCode::MissingSegment,
            Self::ExtraSegment { .. } => RejectionCode::ExtraSegment,
            Self::WrongSize { .. } => RejectionCode::WrongSize,
            Self::WrongHash { .. } => RejectionCode::WrongHash,
            Self::ChangedSegment { .. } => RejectionCode::ChangedSegment,
            Self::BadCompression { .. } => RejectionCode::BadCompression,
            Self::WrongRawSize { .. } => RejectionCode::WrongRawSize,
            Self::NotAPlainFile { .. } => RejectionCode::NotAPlainFile,
            Self::NotADirectory { .. } => RejectionCode::NotADirectory,
            Self::WorkloadName { .. } => RejectionCode::BadWorkloadName,
            Self::DayName { .. } => RejectionCode::BadDayName,
            Self::DropName { .. } => RejectionCode::BadDropName,
            Self::IdTaken { .. } => RejectionCode::IdTaken,
            Self::AnotherSeal { .. } => RejectionCode::AnotherSeal,
            Self::Contested { .. } => RejectionCode::Contested,
            Self::BadTree { .. } => RejectionCode::BadTree,
            Self::TooManyFiles { .. } => RejectionCode::TooManyFiles,
            Self::TooLarge { .. } => RejectionCode::TooLarge,
            Self::MostlyHoles { .. } => RejectionCode::MostlyHoles,
            Self::AbsurdRatio { .. } => RejectionCode::AbsurdRatio,
            Self::BadSealing { .. } => RejectionCode::BadSealing,
            Self::ReservedKind { .. } => RejectionCode::ReservedKind,
            Self::BrokenContent { .. } => RejectionCode::BrokenContent,
        }
    }

    /// The seal of the drop, where it is the content that was judged: whoever accepts it all the same
    /// accepts that content and no other.
    pub fn seal(&self) -> Option<ContentHash> {
        match self {
            Self::BrokenContent { seal, .. } => Some(*seal),
            _ => None,
        }
    }

    /// Whether the writer may have died, or may still be at work, in the middle of sealing. Such
    /// a drop was never sealed: it is refused, but nobody has done anything wrong, and so it is
    /// no incident (I2).
    pub fn is_torn_seal(&self) -> bool {
        matches!(self, Self::TornSeal)
    }

    /// Whether the drop is of a kind that this version has to leave alone. No verdict about it.
    pub fn is_reserved_kind(&self) -> bool {
        matches!(self, Self::ReservedKind { .. })
    }
}
