//! One call: its body and its words read within bounds, its work done on a thread that may block,
//! and its errors told.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use outlast_store::StoreError;
use outlast_types::WorkloadName;
use outlast_wire::Peer;
use outlast_wire::api::ErrorCode;
use outlast_wire::server::{ApiError, RequestId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::core::error::VaultError;
use crate::core::vault::Vault;
use crate::doors::bodies::{self, Bodies};

/// Calls that work at one time; each holds a thread.
const CALLS_MAX: usize = 16;

/// What every handler needs.
#[derive(Clone)]
pub(super) struct Api {
    vault: Arc<Vault>,
    calls: Arc<Semaphore>,
    /// Not the same bound as that of calls, so that slow senders cannot keep people from looking.
    bodies: Bodies,
}

pub(super) type Answer<T> = Result<Json<T>, ApiError>;

#[derive(Deserialize)]
pub(super) struct WorkloadQuery {
    pub(super) workload: Option<String>,
}

impl Api {
    pub(super) fn new(vault: Arc<Vault>) -> Self {
        Self { vault, calls: Arc::new(Semaphore::new(CALLS_MAX)), bodies: Bodies::new() }
    }

    /// Reads the body of a call whose role was found right; what comes back beside the content is
    /// to be held until the call is done.
    pub(super) async fn body<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<(T, bodies::Held), ApiError> {
        self.bodies.read(request).await
    }

    /// Runs `call` on a thread that may block, and turns its errors into answers.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        peer: Peer,
        id: RequestId,
        call: impl FnOnce(&Vault, &Peer) -> Result<T, VaultError> + Send + 'static,
    ) -> Answer<T> {
        let stopped = || internal("the vault is stopping");
        let slot = Arc::clone(&self.calls).acquire_owned().await.map_err(|_| stopped())?;
        let vault = Arc::clone(&self.vault);
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            call(&vault, &peer)
        });
        match work.await {
            Ok(Ok(answer)) => Ok(Json(answer)),
            Ok(Err(error)) => Err(answer_of(error, &id)),
            Err(error) => {
                tracing::error!(id = id.0, %error, "a call failed badly");
                Err(internal("the vault failed at this request"))
            }
        }
    }
}

pub(super) fn workload_in_path(
    path: Result<Path<String>, PathRejection>,
) -> Result<WorkloadName, ApiError> {
    let bad = |error: PathRejection| {
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadName, error.body_text())
    };
    workload_name(&path.map_err(bad)?)
}

pub(super) fn workload_name(text: &str) -> Result<WorkloadName, ApiError> {
    let bad =
        |error| ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadName, format!("{error}"));
    WorkloadName::new(text).map_err(bad)
}

pub(super) fn internal(text: &str) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, text)
        .hint("the vault's log tells more under this request's id")
}

/// What of an error is for the other side. What is the caller's to mend is told in full; what is
/// ours goes to the log, with the request's id.
fn answer_of(error: VaultError, id: &RequestId) -> ApiError {
    let text = error.to_string();
    match error {
        VaultError::UnknownWorkload { .. } => {
            ApiError::new(StatusCode::NOT_FOUND, ErrorCode::UnknownWorkload, text)
                .hint("an agent makes it by opening it")
        }
        VaultError::MissingObjects { missing, .. } => {
            ApiError::new(StatusCode::CONFLICT, ErrorCode::MissingObjects, text)
                .hint("send them, then the bill again")
                .missing(&missing)
        }
        VaultError::BadBill { .. } => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::BadBill, text)
                .hint("back the drop up again, with the repository's present key")
        }
        VaultError::AlreadyPublished { .. } => {
            ApiError::new(StatusCode::CONFLICT, ErrorCode::AlreadyPublished, text)
        }
        VaultError::Missing { .. } => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::RepositoryMissing, text)
        }
        // Where its repositories lie is the vault's own business.
        VaultError::RepositoriesAway { .. } => {
            let text = "not one of the repositories that this vault remembers is there; is their \
                        volume mounted? No new ones are made meanwhile";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::RepositoriesAway, text)
        }
        VaultError::NothingMissing { .. } => {
            ApiError::new(StatusCode::CONFLICT, ErrorCode::NothingMissing, text)
        }
        VaultError::BadOrder { .. } => {
            ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadOrder, text)
        }
        VaultError::Contested { .. } => {
            ApiError::new(StatusCode::CONFLICT, ErrorCode::Contested, text)
                .hint("an id names one drop for ever; the vault keeps the one that it holds")
        }
        VaultError::BillVersion { .. } => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::BillVersion, text)
        }
        VaultError::Unacceptable { hint, .. } => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::Unacceptable, text)
                .hint(hint)
        }
        VaultError::Busy { .. } => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, text)
                .hint("try again later")
        }
        VaultError::BadBoxKey => {
            ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text)
        }
        VaultError::Store(StoreError::Full { .. }) => {
            tracing::error!(id = id.0, error = text, "no room");
            ApiError::new(
                StatusCode::INSUFFICIENT_STORAGE,
                ErrorCode::Full,
                "the vault's disk is full",
            )
            .hint("free space on the vault; nothing is lost meanwhile")
        }
        _ => {
            tracing::error!(id = id.0, error = text, "a call failed");
            let text = "the vault cannot do this now";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unable, text)
                .hint("the vault's log tells more under this request's id")
        }
    }
}
