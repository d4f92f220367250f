//! Why calls fail, and what that means for whoever makes them.

use hyper::StatusCode;

use super::trouble::CertificateTrouble;
use crate::api::{ErrorBody, ErrorCode};
use crate::road::RoadError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The vault understood and says no; trying again unchanged cannot help.
    #[error("{location} refuses: {}{}", body.message, hint(body))]
    Refused { location: String, status: u16, body: Box<ErrorBody> },
    /// The vault cannot now; trying again may help.
    #[error("{location} cannot now: {}{}", body.message, hint(body))]
    Unable { location: String, status: u16, body: Box<ErrorBody> },
    #[error("cannot reach {location}: {source}")]
    Unreachable { location: String, source: std::io::Error },
    #[error("{location} gave an answer that cannot be understood: {reason}")]
    Unintelligible { location: String, reason: String },
}

impl CallError {
    /// What an answer that is no success means.
    pub(super) fn of(location: String, status: StatusCode, body: ErrorBody) -> Self {
        let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        let (status, body) = (status.as_u16(), Box::new(body));
        match passing {
            true => Self::Unable { location, status, body },
            false => Self::Refused { location, status, body },
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unable { .. } => true,
            Self::Unreachable { source, .. } => source.kind() != std::io::ErrorKind::InvalidData,
            Self::Refused { .. } | Self::Unintelligible { .. } => false,
        }
    }

    /// What is wrong with the certificate of one side, if that is what it is.
    pub fn certificate_trouble(&self) -> Option<&CertificateTrouble> {
        match self {
            Self::Unreachable { source, .. } => source.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// What is wrong with the way, if that is what it is.
    pub fn road(&self) -> Option<&RoadError> {
        match self {
            Self::Unreachable { source, .. } => source.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// What happened, in words that are the same when it happens again: without the id of the request.
    pub fn words(&self) -> String {
        match self {
            Self::Refused { location, body, .. } => format!("{location} refuses: {}", body.message),
            Self::Unable { location, body, .. } => {
                format!("{location} cannot now: {}", body.message)
            }
            Self::Unreachable { .. } | Self::Unintelligible { .. } => self.to_string(),
        }
    }

    /// The code of the refusal.
    pub fn code(&self) -> Option<&ErrorCode> {
        match self {
            Self::Refused { body, .. } | Self::Unable { body, .. } => Some(&body.code),
            Self::Unreachable { .. } | Self::Unintelligible { .. } => None,
        }
    }
}

fn hint(body: &ErrorBody) -> String {
    let id = |id: &str| if id.is_empty() { String::new() } else { format!(" (request {id})") };
    let hint = if body.hint.is_empty() { String::new() } else { format!("; {}", body.hint) };
    hint + &id(&body.request_id)
}
