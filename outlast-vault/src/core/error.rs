//! Why the vault could not do what it was asked.

use std::io;

use outlast_catalog::CatalogError;
use outlast_format::FormatError;
use outlast_promise::{Excess, LedgerError};
use outlast_repo::RepoError;
use outlast_store::{Object, StoreError};
use outlast_types::{DropId, Timestamp, WorkloadName};
use outlast_wire::Peer;
use outlast_wire::access::Refused;
use outlast_wire::api::{BILL_VERSION, BILL_VERSION_COUNTED, ErrorCode};
use outlast_wire::ca::CaError;
use outlast_wire::challenge::Stale;
use outlast_wire::server::code_of;
use outlast_wire::statement::StatementError;
use outlast_wire::trust::SignerRefused;

use super::challenges::Unheard;
use super::presence::Missing;
use super::refusal::{Enrolling, TokenRefusal};
use super::storage::StorageError;

/// A failure of the vault, as its log and its callers see it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(
        "{location} is not a valid arrival record ({reason}): restore it from a backup, or remove it \
         and rebuild the catalog"
    )]
    BadArrival { location: String, reason: String },
    #[error(
        "what was decided of the snapshots of {workload} cannot be read ({location}: {reason}), so nothing \
         of it is forgotten: put the file back from a copy"
    )]
    BadKeeping { workload: WorkloadName, location: String, reason: String },
    #[error(
        "the password of the repository of {workload} is missing or empty ({location}): put it \
         back from the recovery kit; without it the repository cannot be opened"
    )]
    NoPassword { workload: WorkloadName, location: String },
    #[error(transparent)]
    Repository(#[from] RepoError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the repository of {workload} is not whole: {what}; nothing is made in its place, so put it \
         back, or have it begun anew by an operator"
    )]
    Missing { workload: WorkloadName, what: String },
    #[error(
        "not one of the repositories that this vault remembers is in {location}; is their \
         volume mounted? No new ones are made there meanwhile"
    )]
    RepositoriesAway { location: String },
    #[error(
        "nothing is missing of the repository of {workload}, so it is not begun anew: that would \
         set good backups aside"
    )]
    NothingMissing { workload: WorkloadName },
    #[error("{reason}")]
    BadPolicy { reason: String },
    #[error("{reason}")]
    BadAnswer { reason: String },
    #[error("{workload} cannot be {action} like this: {reason}")]
    BadOrder { workload: WorkloadName, action: &'static str, reason: String },
    #[error(
        "the vault knows of no drop {drop} of {workload}, neither vaulted nor in the quarantine of an \
         agent"
    )]
    UnknownDrop { workload: WorkloadName, drop: DropId },
    #[error(
        "{former} is called {present}: the name of before was accepted until {until}; call it {present}, or have \
         an operator rename {former} to {present} with a later date"
    )]
    FormerName { former: WorkloadName, present: WorkloadName, until: Timestamp },
    #[error("there is no repository of workload {workload}")]
    UnknownWorkload { workload: WorkloadName },
    #[error(
        "{} of the objects that drop {drop} of {workload} needs are not here, or not with the \
         size that the bill says",
        missing.len()
    )]
    MissingObjects { workload: WorkloadName, drop: DropId, missing: Vec<Object> },
    #[error("the bill of lading of drop {drop} of {workload} cannot be accepted: {reason}")]
    BadBill { workload: WorkloadName, drop: DropId, reason: String },
    #[error(
        "the bill of lading has version {version}, and this vault takes versions {BILL_VERSION} \
         to {BILL_VERSION_COUNTED} only: bring agent and vault to the same release"
    )]
    BillVersion { version: u32 },
    #[error(
        "drop {drop} of {workload} is not the drop that the vault holds under this id: {difference}"
    )]
    Contested { workload: WorkloadName, drop: DropId, difference: String },
    #[error("snapshot {snapshot} cannot be read: {reason}")]
    BadSnapshot { snapshot: String, reason: String },
    #[error("snapshot {snapshot} is published already, and not for drop {drop} of {workload}")]
    AlreadyPublished { workload: WorkloadName, drop: DropId, snapshot: String },
    #[error("cannot sign the receipt of drop {drop}: {source}")]
    Sign { drop: DropId, source: io::Error },
    #[error("cannot sign an answer: {source}")]
    SignAnswer { source: io::Error },
    /// What somebody sent is not believed.
    #[error("{reason}")]
    Unacceptable { reason: String, hint: &'static str },
    /// It would be believed if what it speaks of were here, which may still come.
    #[error("{pack}, which it needs, is not here")]
    PackMissing { pack: Object },
    /// Role, certificate or policy do not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What is to be signed is not, or its signature proves nothing.
    #[error("what was handed in is not believed: {0}")]
    Statement(#[from] StatementError),
    /// Who signed it does not count.
    #[error("what was handed in is not believed: {0}")]
    Signer(#[from] SignerRefused),
    /// It is signed, and not what it is used for.
    #[error("what was handed in is not taken: {reason}")]
    BadWords { reason: String },
    /// It is more than any that makes sense.
    #[error("{reason}")]
    TooMuch { reason: String },
    #[error("what was handed in is not of now, by the challenge that it is signed over: {0}")]
    Stale(#[from] Stale),
    #[error("the report does nothing: {0}")]
    Unheard(#[from] Unheard),
    /// The role may do it, and this peer may not do it to this object.
    #[error("{reason}")]
    Denied { reason: String },
    /// Policy allows no more, for now.
    #[error("{peer} has all that policy allows: {excess}")]
    OverLimit { peer: Peer, excess: Excess },
    /// The same may succeed later.
    #[error("{reason}")]
    Busy { reason: String },
    /// A job goes on with what it can do.
    #[error("{failed} of {total} could not be done, the first because of this: {first}")]
    Partly { failed: usize, total: usize, first: Box<VaultError> },
    #[error(
        "{count} of the vault's own records could not be saved, the first because of this: {problem}"
    )]
    OwnState { count: u64, problem: String },
    #[error("there is no secret for recovery kits")]
    NoKitSecret,
    /// Agents of before do not know that there is such an answer.
    #[error(
        "this vault was brought back from its repositories, and nothing is released before its agents have \
         reported"
    )]
    Withheld,
    #[error("releases are not withheld, so there is nothing to resume")]
    NotWithheld,
    #[error("cannot set up what looks at packs: {0}")]
    Prover(FormatError),
    #[error("this vault has no issuer, so it issues no certificates")]
    NoIssuer,
    #[error("the issuer cannot issue: {0}")]
    Issuer(CaError),
    #[error(
        "{text:?} is neither the serial number nor the fingerprint of a certificate that this vault \
         issued or has met"
    )]
    UnknownCertificate { text: String },
    #[error("several certificates have the serial number {text}: give a fingerprint")]
    AmbiguousCertificate { text: String },
    #[error(
        "that is the certificate by which this vault speaks ({peer}): replace the vault's identity, \
         and revoke the one before then, by its serial number"
    )]
    OwnCertificate { peer: Peer },
    #[error("a drill of {workload} is under way, or too many wait for their turn")]
    DrillUnderWay { workload: WorkloadName },
    #[error("{workload} has no snapshot {text}, or several that begin so")]
    UnknownSnapshot { workload: WorkloadName, text: String },
    #[error(
        "there is no report of {month:?}: none of it is in the audit log as a month of its own"
    )]
    UnknownMonth { month: String },
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    #[error(transparent)]
    Enrolling(#[from] Enrolling),
    #[error("a key cannot be sealed to the box key that came with the request")]
    BadBoxKey,
}

impl VaultError {
    /// What happened, for programs.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownWorkload { .. } => ErrorCode::UnknownWorkload,
            Self::FormerName { .. } => ErrorCode::FormerName,
            Self::UnknownDrop { .. } => ErrorCode::UnknownDrop,
            Self::MissingObjects { .. } => ErrorCode::MissingObjects,
            Self::BadBill { .. } => ErrorCode::BadBill,
            Self::BillVersion { .. } => ErrorCode::BillVersion,
            Self::AlreadyPublished { .. } => ErrorCode::AlreadyPublished,
            Self::Contested { .. } => ErrorCode::Contested,
            Self::Missing { .. } => ErrorCode::RepositoryMissing,
            Self::RepositoriesAway { .. } => ErrorCode::RepositoriesAway,
            Self::NothingMissing { .. } => ErrorCode::NothingMissing,
            Self::BadOrder { .. } | Self::BadAnswer { .. } => ErrorCode::BadOrder,
            Self::BadPolicy { .. } => ErrorCode::BadPolicy,
            Self::Unacceptable { .. } => ErrorCode::Unacceptable,
            Self::PackMissing { .. } => ErrorCode::PackMissing,
            Self::Denied { .. } => ErrorCode::Refused,
            Self::Refused(refused) => code_of(refused),
            Self::Statement(StatementError::Unsigned) => ErrorCode::Unsigned,
            Self::Signer(SignerRefused::Revoked { .. }) => ErrorCode::CertificateRevoked,
            Self::Statement(_) | Self::Signer(_) | Self::BadWords { .. } => ErrorCode::BadStatement,
            Self::Unheard(Unheard::TooManyShares) => ErrorCode::Busy,
            Self::Stale(_) | Self::Unheard(_) => ErrorCode::StaleChallenge,
            Self::Busy { .. } => ErrorCode::Busy,
            Self::OverLimit { .. } => ErrorCode::OverLimit,
            Self::BadBoxKey | Self::TooMuch { .. } => ErrorCode::BadRequest,
            Self::DrillUnderWay { .. } => ErrorCode::DrillUnderWay,
            Self::UnknownSnapshot { .. } => ErrorCode::UnknownSnapshot,
            Self::UnknownMonth { .. } => ErrorCode::UnknownMonth,
            Self::NoIssuer => ErrorCode::NoIssuer,
            Self::Token(refusal) => refusal.code(),
            Self::Enrolling(reason) => reason.code(),
            Self::UnknownCertificate { .. } => ErrorCode::UnknownCertificate,
            Self::AmbiguousCertificate { .. } | Self::OwnCertificate { .. } => ErrorCode::BadOrder,
            Self::Withheld => ErrorCode::ReleasesWithheld,
            Self::NotWithheld => ErrorCode::NothingWithheld,
            Self::Store(StoreError::Full { .. }) => ErrorCode::Full,
            Self::Partly { first, .. } => first.code(),
            _ => ErrorCode::Unable,
        }
    }

    /// Whether the request was at fault, or the peer; else it was the vault, or time.
    pub(crate) fn is_refusal(&self) -> bool {
        if let Self::Enrolling(reason) = self {
            return reason.is_refusal();
        }
        use VaultError::{
            AlreadyPublished, AmbiguousCertificate, BadAnswer, BadBill, BadBoxKey, BadOrder,
            BadPolicy, BadWords, BillVersion, Contested, Denied, DrillUnderWay, FormerName,
            MissingObjects, NoIssuer, NotWithheld, NothingMissing, OverLimit, OwnCertificate,
            Refused, Signer, Stale, Statement, Token, TooMuch, Unacceptable, Unheard,
            UnknownCertificate, UnknownDrop, UnknownMonth, UnknownSnapshot, UnknownWorkload,
        };
        matches!(
            self,
            AlreadyPublished { .. }
                | AmbiguousCertificate { .. }
                | BadAnswer { .. }
                | BadBill { .. }
                | BadBoxKey
                | BadOrder { .. }
                | BadPolicy { .. }
                | BadWords { .. }
                | BillVersion { .. }
                | Contested { .. }
                | Denied { .. }
                | FormerName { .. }
                | MissingObjects { .. }
                | NoIssuer
                | NotWithheld
                | NothingMissing { .. }
                | OverLimit { .. }
                | OwnCertificate { .. }
                | Refused(_)
                | Signer(_)
                | Stale(_)
                | Statement(_)
                | TooMuch { .. }
                | Unheard(_)
                | Token(_)
                | Unacceptable { .. }
                | UnknownCertificate { .. }
                | UnknownDrop { .. }
                | UnknownMonth { .. }
                | UnknownSnapshot { .. }
                | DrillUnderWay { .. }
                | UnknownWorkload { .. }
        )
    }

    pub(crate) fn missing(workload: &WorkloadName, what: &Missing) -> Self {
        Self::Missing { workload: workload.clone(), what: what.to_string() }
    }
}
