//! Why no certificate is given.

use outlast_types::Timestamp;
use outlast_wire::api::ErrorCode;
use outlast_wire::enrollment::{RequestError, SignGrantError, TokenId};
use outlast_wire::identity::InvalidIdentity;
use outlast_wire::trust::SignerRefused;
use outlast_wire::{InvalidCertificate, Peer};

/// So often a reusable token serves in a day: a host that is replaced each hour is sick.
pub(crate) const USES_A_DAY: usize = 24;

/// Why a token does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("the token is not one of this vault, or what was sent was changed on its way")]
    NotProved,
    #[error("too many requests came with wrong tokens in this minute")]
    TooManyFailures,
    #[error("the token {id} was revoked at {at}")]
    Revoked { id: TokenId, at: Timestamp },
    #[error("the token {id} ended at {until}, and by the vault's clock it is {now}")]
    Expired { id: TokenId, until: Timestamp, now: Timestamp },
    #[error("the token {id} was used already, at {at}, and serves once")]
    Used { id: TokenId, at: Timestamp },
    #[error("the token {id} has served another host since, so this answer is not given again")]
    Superseded { id: TokenId },
    #[error("the token {id} has served {USES_A_DAY} times within a day, which is all that it may")]
    TooOften { id: TokenId },
}

impl TokenRefusal {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::NotProved => ErrorCode::BadToken,
            Self::TooManyFailures => ErrorCode::Busy,
            Self::Revoked { .. } => ErrorCode::TokenRevoked,
            Self::Expired { .. } => ErrorCode::TokenExpired,
            Self::Used { .. } | Self::Superseded { .. } => ErrorCode::TokenUsed,
            Self::TooOften { .. } => ErrorCode::TokenLimit,
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NotProved => "ask an operator of this vault for a token",
            Self::TooManyFailures => "try again in a minute",
            Self::Revoked { .. } | Self::Expired { .. } | Self::Used { .. } => {
                "ask an operator for another token"
            }
            Self::Superseded { .. } => "enrol with new keys, if this host is to take the name over",
            Self::TooOften { .. } => {
                "find out why the host is replaced so often, or ask an operator for another token"
            }
        }
    }

    /// Whether the same may succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::TooManyFailures | Self::TooOften { .. })
    }
}

/// Why a token is not made, or a certificate neither given nor renewed.
#[derive(Debug, thiserror::Error)]
pub enum Enrolling {
    #[error("no token has the id {id}")]
    UnknownToken { id: TokenId },
    #[error("the token is of another authority than the one by which this vault issues")]
    OtherAuthority,
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the certificate of {peer} that was given on this token is revoked")]
    Revoked { peer: Peer },
    #[error("the request is not signed as it must be: {0}")]
    Signer(#[from] SignerRefused),
    #[error("the certificate of {peer} is renewed by its holder only, or through a media server")]
    OtherHolder { peer: Peer },
    #[error("the certificate of {peer} was not issued by this vault, so it is renewed elsewhere")]
    NotOurs { peer: Peer },
    #[error("the certificate of {peer} was renewed too often today")]
    RenewedTooOften { peer: Peer },
    #[error(transparent)]
    Sign(#[from] SignGrantError),
    #[error("the authority's own certificate cannot be read: {0}")]
    Authority(#[from] InvalidCertificate),
    #[error("the vault's new certificate is of no use: {0}")]
    Unusable(#[from] InvalidIdentity),
    #[error("the vault's own certificate cannot be renewed: {0}")]
    Own(String),
}

impl Enrolling {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownToken { .. } => ErrorCode::UnknownToken,
            Self::OtherAuthority => ErrorCode::OtherAuthority,
            Self::Request(_) => ErrorCode::BadRequest,
            Self::Revoked { .. } | Self::Signer(SignerRefused::Revoked { .. }) => {
                ErrorCode::CertificateRevoked
            }
            Self::Signer(SignerRefused::Ended { .. }) => ErrorCode::CertificateEnded,
            Self::Signer(SignerRefused::Signature(_)) => ErrorCode::CertificateUntrusted,
            Self::OtherHolder { .. } => ErrorCode::Refused,
            Self::NotOurs { .. } => ErrorCode::NotRenewable,
            Self::RenewedTooOften { .. } => ErrorCode::Busy,
            Self::Sign(_) | Self::Authority(_) | Self::Unusable(_) | Self::Own(_) => {
                ErrorCode::Unable
            }
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::UnknownToken { .. } => "list the tokens to see their ids",
            Self::OtherAuthority => "ask an operator for a new token",
            Self::Revoked { .. }
            | Self::Signer(SignerRefused::Revoked { .. } | SignerRefused::Ended { .. }) => {
                "enrol the host again, with a token of an operator"
            }
            Self::NotOurs { .. } => "renew it where it was issued",
            Self::RenewedTooOften { .. } => "see in the host's log why its answers are lost",
            _ => "",
        }
    }

    /// Whether the request was at fault, or the peer; else it was the vault.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Sign(_) | Self::Authority(_) | Self::Unusable(_) | Self::Own(_))
    }
}
