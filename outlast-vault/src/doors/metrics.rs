//! `GET /metrics`: for operators and readers behind mutual TLS, and on an address of this host without
//! it, if the configuration says so.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::ErrorCode;
use outlast_wire::server::ApiError;
use tokio::sync::Semaphore;

use crate::core::metrics::MEDIA_TYPE;
use crate::core::vault::Vault;

/// Pages that are made at one time: each has some megabytes where there are thousands of workloads.
const PAGES_MAX: usize = 2;

#[derive(Clone)]
struct Door {
    vault: Arc<Vault>,
    pages: Arc<Semaphore>,
}

impl Door {
    fn new(vault: Arc<Vault>) -> Self {
        Self { vault, pages: Arc::new(Semaphore::new(PAGES_MAX)) }
    }

    async fn page(self) -> Result<Response, ApiError> {
        let Ok(_slot) = self.pages.try_acquire() else {
            let text = "the metrics are being made for others";
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, text)
                .hint("try again later"));
        };
        let vault = Arc::clone(&self.vault);
        match tokio::task::spawn_blocking(move || vault.metrics()).await {
            Ok(page) => Ok(([(CONTENT_TYPE, MEDIA_TYPE)], page).into_response()),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be made");
                let text = "the metrics could not be made";
                Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, text))
            }
        }
    }
}

/// Counts what is answered, to whomever.
pub(crate) async fn count(
    State(vault): State<Arc<Vault>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    vault.counters.answered(response.status().as_u16());
    response
}

/// For peers.
pub(crate) fn router(vault: Arc<Vault>) -> Router {
    async fn metrics(
        State(door): State<Door>,
        Extension(asker): Extension<Certified>,
    ) -> Result<Response, ApiError> {
        access::check_whole(&asker, Call::ViewMetrics)?;
        door.page().await
    }
    Router::new().route("/metrics", get(metrics)).with_state(Door::new(vault))
}

/// For whoever is on this host; nothing else is served there.
pub(crate) fn open_router(vault: Arc<Vault>) -> Router {
    async fn metrics(State(door): State<Door>) -> Result<Response, ApiError> {
        door.page().await
    }
    Router::new().route("/metrics", get(metrics)).with_state(Door::new(vault))
}
