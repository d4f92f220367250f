//! The calls of hosts that have no certificate, or one that has ended: nothing of them may keep those
//! who have one from their work.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::ErrorCode;
use outlast_wire::enrollment::{EnrollmentRequest, Introduction, RenewalRequest, SignedGrant};
use outlast_wire::server::{ApiError, ENROLLMENT, RENEWAL, RequestId};
use outlast_wire::trust::Caller;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::call::{Answer, Api};

/// The longest request, in bytes: keys, a chain, and a signature.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// How long its sender may take to send it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Router<Api> {
    Router::new().route(ENROLLMENT, get(introduce).post(enroll)).route(RENEWAL, post(renew))
}

/// What anybody may know.
async fn introduce(
    State(api): State<Api>,
    Extension(id): Extension<RequestId>,
) -> Answer<Introduction> {
    api.admit(id, |vault| Ok(vault.introduction())).await
}

async fn enroll(
    State(api): State<Api>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<SignedGrant> {
    let asked: EnrollmentRequest = small(request.into_body()).await?;
    api.admit(id, move |vault| vault.enroll(&asked)).await
}

async fn renew(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<SignedGrant> {
    let certified: Arc<Certified> = match caller {
        Caller::Known(certified) | Caller::Lapsed(certified) => certified,
        Caller::Anonymous | Caller::Refused(_) => {
            let text = "only the holder of a certificate renews it";
            return Err(ApiError::new(StatusCode::FORBIDDEN, ErrorCode::NoIdentity, text));
        }
    };
    access::check_role(&certified.peer, Call::Renew)?;
    let asked: RenewalRequest = small(request.into_body()).await?;
    api.admit(id, move |vault| vault.renew(&asked, &certified)).await
}

/// Reads a body that is small, from somebody who may be anybody.
async fn small<T: DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    let bytes = match timeout(PATIENCE, to_bytes(body, REQUEST_BYTES_MAX)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let text = format!("this call takes bodies of at most {REQUEST_BYTES_MAX} bytes");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BadBody, text));
        }
        Err(_) => {
            let text = "the request did not come in time";
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::TooSlow, text));
        }
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        // What was sent may hold a proof: only the place is told.
        let place = format!("line {}, column {}", error.line(), error.column());
        let text = format!("the body is not the JSON that this call takes ({place})");
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text)
    })
}

impl Api {
    /// Runs a call of somebody who may be anybody, on a thread that may block: few at one time, and not
    /// in the slots of others.
    async fn admit<T: Send + 'static>(
        &self,
        id: RequestId,
        call: impl FnOnce(&crate::core::vault::Vault) -> Result<T, crate::core::error::VaultError>
        + Send
        + 'static,
    ) -> Answer<T> {
        let slot = timeout(PATIENCE, Arc::clone(&self.strangers).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else {
            let text = "too many hosts enrol or renew at this moment";
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, text)
                .hint("try again later"));
        };
        let vault = Arc::clone(&self.vault);
        self.finish(id, move || {
            let _slot = slot;
            call(&vault)
        })
        .await
        .map(Json)
    }
}
