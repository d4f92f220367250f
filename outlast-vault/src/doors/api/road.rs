//! For whoever looks at the way to the vault: who they are here, what time it is, how much passes.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{BODY_BYTES_MAX, ErrorCode, Greeting, Measured};
use outlast_wire::server::{ApiError, RequestId};

use super::call::{Answer, Api};

/// By this a client measures its road.
pub(in crate::doors) const PROBE_PATH: &str = "/api/v1/probe";

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/greeting", get(greeting)).route(PROBE_PATH, post(probe))
}

async fn greeting(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Greeting> {
    access::check_whole(&asker, Call::Greet)?;
    api.run(asker, id, |vault, asker| {
        Ok(Greeting {
            peer: asker.peer.to_string(),
            vault: vault.identity.get().peer().to_string(),
            now: vault.environment.clock.now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    })
    .await
}

/// Takes what comes and keeps nothing of it.
async fn probe(Extension(asker): Extension<Certified>, request: Request) -> Answer<Measured> {
    access::check_whole(&asker, Call::MeasureRoad)?;
    let bytes = drain(request.into_body()).await?;
    Ok(Json(Measured { bytes }))
}

async fn drain(mut body: Body) -> Result<u64, ApiError> {
    let refused =
        |text: &str| ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BadBody, text);
    let mut bytes = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let broken = |error| refused(&format!("the body broke off: {error}"));
        bytes += frame.map_err(broken)?.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > BODY_BYTES_MAX as u64 {
            return Err(refused(&format!("a body has at most {BODY_BYTES_MAX} bytes")));
        }
    }
    Ok(bytes)
}
