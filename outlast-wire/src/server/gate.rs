//! Who may ask anything at all, before any handler: holders of good certificates; others have a call
//! each.

use std::sync::Arc;

use axum::http::{Request, StatusCode};
use rustls::pki_types::CertificateDer;

use super::error::ApiError;
use crate::api::ErrorCode;
use crate::trust::{Caller, Presented, Refusal, Trust};

/// The call of those who have no certificate yet.
pub const ENROLLMENT: &str = "/api/v1/enroll";
/// The call by which a certificate is renewed, also one that has ended not long ago.
pub const RENEWAL: &str = "/api/v1/renew";

/// Somebody who was turned away, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnedAway {
    /// As the record names it: `agent eu-1`, `nobody`.
    pub who: String,
    pub code: ErrorCode,
    pub reason: String,
    /// Method and path.
    pub asked: String,
}

type Record = Arc<dyn Fn(TurnedAway) + Send + Sync>;

/// Lets requests in, or turns them away.
#[derive(Clone)]
pub struct Gate {
    trust: Trust,
    record: Record,
}

impl Gate {
    /// Judges by `trust`. Whoever is turned away is told to `record`, which must not wait.
    pub fn new(trust: Trust, record: impl Fn(TurnedAway) + Send + Sync + 'static) -> Self {
        Self { trust, record: Arc::new(record) }
    }

    pub(super) fn presented(&self, chain: Option<&[CertificateDer<'static>]>) -> Presented {
        self.trust.presented(chain)
    }

    /// Whether the caller may ask this, before it is looked at who may do what.
    pub(super) fn admit<B>(&self, caller: &Caller, request: &Request<B>) -> Result<(), ApiError> {
        let path = request.uri().path();
        let (who, code, reason, hint) = match caller {
            Caller::Known(_) => return Ok(()),
            Caller::Anonymous if path == ENROLLMENT => return Ok(()),
            Caller::Lapsed(_) if path == RENEWAL => return Ok(()),
            Caller::Anonymous => (
                None,
                ErrorCode::NoIdentity,
                "the client showed no certificate".to_owned(),
                "show the certificate of an identity that this vault's authority issued",
            ),
            Caller::Lapsed(certified) => (
                Some(&certified.peer),
                ErrorCode::CertificateEnded,
                format!(
                    "the certificate of {} was valid until {}",
                    certified.peer, certified.validity.until
                ),
                "it can still be renewed, and do nothing else; if it should be valid, compare the \
                 clocks of both hosts",
            ),
            Caller::Refused(Refusal { peer, code, reason }) => {
                let hint = match code {
                    ErrorCode::CertificateRevoked => {
                        "if it was revoked by mistake, ask an operator for a new token and enrol again"
                    }
                    _ => "use a certificate that this vault's authority issued",
                };
                (peer.as_ref(), code.clone(), reason.clone(), hint)
            }
        };
        let who = who.map_or_else(|| "nobody".to_owned(), ToString::to_string);
        let asked = format!("{} {path}", request.method());
        let (told, error) = (reason.clone(), code.clone());
        (self.record)(TurnedAway { who, code, reason, asked });
        Err(ApiError::new(StatusCode::FORBIDDEN, error, told).hint(hint))
    }
}
