//! One call: its body and its words read within bounds, its work done on a thread that may block,
//! and its errors told.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use outlast_store::{Kind, StoreError, Verb};
use outlast_types::WorkloadName;
use outlast_wire::access::{self, Call};
use outlast_wire::api::ErrorCode;
use outlast_wire::rest::Asker;
use outlast_wire::server::budget::{Bounds, Holder, Share, Shares};
use outlast_wire::server::{ApiError, RequestId};
use outlast_wire::statement::StatementError;
use outlast_wire::{Certified, Peer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::core::challenges::Unheard;
use crate::core::error::VaultError;
use crate::core::refusal::Enrolling;
use crate::core::vault::Vault;
use crate::doors::bodies::{self, Bodies};

/// Calls that work at one time; each holds a thread.
const CALLS: Bounds = Bounds { total: 16, each: 6, kept: 4 };
/// The same of those that anybody may make.
const STRANGERS_MAX: usize = 2;
/// Workloads that are seen for the first time, since a start or ever, at one time. To make a repository
/// waits for the disk again and again, which others must not feel.
const FIRST_CONTACTS: Bounds = Bounds { total: 2, each: 1, kept: 0 };
/// How long a call waits for its turn before it is told to come back.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(20);

/// What every handler needs.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) vault: Arc<Vault>,
    calls: Arc<Shares>,
    first_contacts: Arc<Shares>,
    /// For those who may be anybody.
    pub(super) strangers: Arc<Semaphore>,
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
        Self {
            vault,
            calls: Shares::new("threads", CALLS),
            first_contacts: Shares::new("turns to begin a workload", FIRST_CONTACTS),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            bodies: Bodies::new(),
        }
    }

    /// What is to be held while a workload's repository is opened, if it was not since the start.
    pub(super) async fn first_contact(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
    ) -> Result<Option<Share>, ApiError> {
        if self.vault.repositories.is_open(workload) {
            return Ok(None);
        }
        Ok(Some(self.first_contacts.take(&Holder::from(peer), 1, QUEUE_TIMEOUT).await?))
    }

    /// Whether the certificate's holder may make this call about a workload. Nothing is looked at for
    /// it, and nothing of the body was read.
    pub(super) fn permit(
        &self,
        asker: &Certified,
        call: Call,
        workload: &WorkloadName,
    ) -> Result<(), ApiError> {
        Ok(self.vault.permit(asker, call, workload)?)
    }

    /// The same, and by which name the workload is known here: it may be called by one of before.
    pub(super) fn permit_called(
        &self,
        asker: &Certified,
        call: Call,
        workload: &WorkloadName,
    ) -> Result<WorkloadName, ApiError> {
        self.permit(asker, call, workload)?;
        self.called(workload)
    }

    /// By which name a workload is known here that was permitted.
    pub(super) fn called(&self, workload: &WorkloadName) -> Result<WorkloadName, ApiError> {
        self.vault.called(workload).map_err(|error| answer_of(error, &RequestId(String::new())))
    }

    /// The same as `permit`, also for who may hand in what another signed: whether that one may is judged when it
    /// was read.
    pub(super) fn permit_carrier(
        &self,
        carrier: &Certified,
        call: Call,
        workload: &WorkloadName,
    ) -> Result<(), ApiError> {
        match access::check_role(&carrier.peer, call) {
            Ok(()) => self.permit(carrier, call, workload),
            Err(_) => Ok(access::check_carrier(&carrier.peer, call)?),
        }
    }

    /// Whether who asks may do that with objects of a kind, perhaps by a ticket.
    pub(super) fn permit_object(
        &self,
        asker: Asker<'_>,
        verb: Verb,
        kind: Kind,
        workload: &WorkloadName,
    ) -> Result<(), ApiError> {
        Ok(self.vault.permit_object(asker, verb, kind, workload)?)
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
        asker: Certified,
        id: RequestId,
        call: impl FnOnce(&Vault, &Certified) -> Result<T, VaultError> + Send + 'static,
    ) -> Answer<T> {
        let slot = self.calls.take(&Holder::from(&asker.peer), 1, QUEUE_TIMEOUT).await?;
        let vault = Arc::clone(&self.vault);
        self.finish(id, move || {
            let _slot = slot;
            call(&vault, &asker).inspect_err(|error| vault.note_unreadable(error))
        })
        .await
        .map(Json)
    }

    /// Runs `call` on a thread that may block, and turns its errors into answers.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        id: RequestId,
        call: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, ApiError> {
        // What the call logs is found by the request's id.
        let span = tracing::info_span!("request", id = id.0);
        match tokio::task::spawn_blocking(move || span.in_scope(call)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                Err(answer_to_a_host(&error).unwrap_or_else(|| answer_of(error, &id)))
            }
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

/// Why no certificate is given, if it is about that.
fn answer_to_a_host(error: &VaultError) -> Option<ApiError> {
    match error {
        VaultError::Token(refusal) => {
            let status = match refusal.is_passing() {
                true => StatusCode::TOO_MANY_REQUESTS,
                false => StatusCode::FORBIDDEN,
            };
            Some(ApiError::new(status, refusal.code(), refusal.to_string()).hint(refusal.hint()))
        }
        VaultError::Enrolling(reason) if reason.is_refusal() => Some(
            ApiError::new(status_of(reason), reason.code(), reason.to_string()).hint(reason.hint()),
        ),
        _ => None,
    }
}

fn status_of(reason: &Enrolling) -> StatusCode {
    match reason {
        Enrolling::UnknownToken { .. } => StatusCode::NOT_FOUND,
        Enrolling::Request(_) => StatusCode::BAD_REQUEST,
        Enrolling::RenewedTooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::FORBIDDEN,
    }
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
        VaultError::UnknownDrop { .. } => {
            ApiError::new(StatusCode::NOT_FOUND, ErrorCode::UnknownDrop, text)
                .hint("an agent tells of what it refused when it reports next")
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
        VaultError::UnknownCertificate { .. } => {
            ApiError::new(StatusCode::NOT_FOUND, ErrorCode::UnknownCertificate, text)
                .hint("the list of certificates names them; a holder is revoked by role and name")
        }
        VaultError::UnknownSnapshot { .. } => {
            ApiError::new(StatusCode::NOT_FOUND, ErrorCode::UnknownSnapshot, text)
                .hint("the list of snapshots names them")
        }
        VaultError::UnknownMonth { .. } => {
            ApiError::new(StatusCode::NOT_FOUND, ErrorCode::UnknownMonth, text).hint(
                "months are named like 2026-11, and begin with the first that this vault began",
            )
        }
        VaultError::DrillUnderWay { .. } => {
            ApiError::new(StatusCode::CONFLICT, ErrorCode::DrillUnderWay, text)
                .hint("look at it, and ask again when it has ended")
        }
        VaultError::NoIssuer => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::NoIssuer, text)
        }
        VaultError::AmbiguousCertificate { .. } | VaultError::OwnCertificate { .. } => {
            ApiError::new(StatusCode::CONFLICT, ErrorCode::BadOrder, text)
        }
        VaultError::Withheld | VaultError::NotWithheld => withholding(&error, &text),
        VaultError::BadOrder { .. } | VaultError::BadAnswer { .. } => {
            ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadOrder, text)
        }
        error => answer_to_words(error, id),
    }
}

/// The same, for what is not about orders, certificates and what a repository has.
fn answer_to_words(error: VaultError, id: &RequestId) -> ApiError {
    let (text, code) = (error.to_string(), error.code());
    match error {
        VaultError::Contested { .. } => {
            ApiError::new(StatusCode::CONFLICT, ErrorCode::Contested, text)
                .hint("an id names one drop for ever; the vault keeps the one that it holds")
        }
        VaultError::BadPolicy { .. } => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::BadPolicy, text)
                .hint("the policy of before holds")
        }
        VaultError::FormerName { .. } => {
            ApiError::new(StatusCode::GONE, ErrorCode::FormerName, text)
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
        VaultError::OverLimit { .. } => ApiError::over_limit(text),
        VaultError::Refused(refused) => refused.into(),
        VaultError::Statement(StatementError::Unsigned) => {
            ApiError::new(StatusCode::FORBIDDEN, ErrorCode::Unsigned, text)
                .hint("this vault believes signed words only; bring the client to its release")
        }
        VaultError::Statement(_)
        | VaultError::BadWords { .. }
        | VaultError::Signer(_)
        | VaultError::Denied { .. } => ApiError::new(StatusCode::FORBIDDEN, code, text),
        VaultError::Unheard(Unheard::TooManyShares) => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, text)
        }
        VaultError::Stale(_) | VaultError::Unheard(_) => {
            ApiError::new(StatusCode::PRECONDITION_FAILED, ErrorCode::StaleChallenge, text)
                .hint("sign it again over the challenge that comes with this answer")
        }
        VaultError::BadBoxKey | VaultError::TooMuch { .. } => {
            ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text)
        }
        VaultError::BadKeeping { workload, .. } => unreadable(&workload, &text, id),
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

/// What is said of a record that cannot be read. Where its files lie is the vault's own business.
fn unreadable(workload: &WorkloadName, error: &str, id: &RequestId) -> ApiError {
    tracing::error!(id = id.0, error, "what was decided cannot be read");
    let text = format!(
        "what was decided of the snapshots of {workload} cannot be read, so the vault neither changes nor \
         forgets any of it"
    );
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unable, text).hint(
        "put its keeping.json back from a copy: the vault's log says where, and why it is not read",
    )
}

/// What is said of releases that are withheld, or not.
fn withholding(error: &VaultError, text: &str) -> ApiError {
    match error {
        VaultError::Withheld => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::ReleasesWithheld, text)
                .hint("bring the agent to the release of the vault, or wait")
        }
        _ => ApiError::new(StatusCode::CONFLICT, ErrorCode::NothingWithheld, text),
    }
}
