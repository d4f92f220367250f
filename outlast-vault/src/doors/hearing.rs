//! What every request tells, whatever comes of it: whose certificate was met, and who was refused what.
//! And what every answer tells: the newest challenge.
//!
//! That an agent lives, its requests do not tell: only a report that it signed does, whoever carries it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use outlast_types::WorkloadName;
use outlast_wire::api::{CHALLENGE_HEADER, ErrorBody, ErrorCode};
use outlast_wire::server::TurnedAway;
use outlast_wire::{Caller, Peer};

use crate::core::audit::{AuditAction, Event, Outcome};
use crate::core::vault::Vault;

/// Notes what a request tells, lets it go on, and puts a challenge into its answer.
pub(crate) async fn note(
    State(vault): State<Arc<Vault>>,
    request: Request,
    next: Next,
) -> Response {
    let asker = request.extensions().get::<Peer>().cloned();
    let asked = format!("{} {}", request.method(), request.uri().path());
    let workload = workload_of(request.uri().path());
    let caller = request.extensions().get::<Caller>().cloned();
    meet(&vault, caller).await;
    let mut response = next.run(request).await;
    if let Some(peer) = asker.filter(|_| response.status() == StatusCode::FORBIDDEN) {
        let told = response.extensions().get::<ErrorBody>().cloned();
        note_refusal(Arc::clone(&vault), &peer, &asked, workload.as_ref(), told).await;
    }
    let challenge = vault.challenges.issue(vault.environment.clock.now());
    if let Ok(challenge) = HeaderValue::from_str(challenge.as_str()) {
        response.headers_mut().insert(CHALLENGE_HEADER, challenge);
    }
    response
}

/// Notes a certificate that is seen for the first time.
async fn meet(vault: &Arc<Vault>, caller: Option<Caller>) {
    let Some(Caller::Known(certified)) = caller else { return };
    if vault.certificates.is_known(&certified.fingerprint) {
        return;
    }
    let vault = Arc::clone(vault);
    let met = tokio::task::spawn_blocking(move || {
        vault.certificates.meet(&certified, vault.environment.clock.now())
    });
    match met.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "cannot note a certificate"),
        Err(error) => tracing::error!(%error, "noting a certificate failed badly"),
    }
}

/// Notes that a peer asked for what its role does not allow. What only counts waits for no thread.
async fn note_refusal(
    vault: Arc<Vault>,
    peer: &Peer,
    asked: &str,
    workload: Option<&WorkloadName>,
    told: Option<ErrorBody>,
) {
    let code = told.as_ref().map_or(ErrorCode::Refused, |told| told.code.clone());
    let mut event =
        Event::by(peer, AuditAction::Requested).object(asked).not_done(Outcome::Refused, code);
    if let Some(told) = told {
        event = event.detail("reason", told.message);
    }
    if let Some(workload) = workload {
        event = event.workload(workload);
    }
    if vault.audit.counts(&event) {
        return;
    }
    written(vault, event).await;
}

/// Notes whom the gate turned away, without keeping anybody waiting.
pub(crate) fn turned_away(vault: Arc<Vault>) -> impl Fn(TurnedAway) + Send + Sync + 'static {
    move |TurnedAway { who, code, reason, asked }| {
        let event = Event::by_name(who, AuditAction::Requested)
            .object(asked)
            .not_done(Outcome::Refused, code)
            .detail("reason", reason);
        if !vault.audit.counts(&event) {
            tokio::spawn(written(Arc::clone(&vault), event));
        }
    }
}

async fn written(vault: Arc<Vault>, event: Event) {
    let noted = tokio::task::spawn_blocking(move || vault.audit.record(event));
    match noted.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "cannot write the audit log"),
        Err(error) => tracing::error!(%error, "writing the audit log failed badly"),
    }
}

/// The workload whose repository or call this path is.
fn workload_of(path: &str) -> Option<WorkloadName> {
    let below = path.strip_prefix("/repo/").or_else(|| path.strip_prefix("/api/v1/workloads/"))?;
    WorkloadName::new(below.split('/').next()?).ok()
}
