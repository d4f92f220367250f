//! The calls about certificates: the list, revoking, and the news of trust.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use outlast_types::Timestamp;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{CertificateView, ErrorCode, Holder, RevokeOrder};
use outlast_wire::news::SignedTrustNews;
use outlast_wire::revocation::Revocations;
use outlast_wire::server::{ApiError, RequestId};
use outlast_wire::{Certified, Peer};

use super::call::{Answer, Api};
use crate::core::authority::Target;
use crate::core::certificates::Known;
use crate::core::vault::Vault;

/// The longest reason, in characters.
const REASON_LENGTH_MAX: usize = 500;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/trust", get(trust))
        .route("/api/v1/certificates", get(certificates))
        .route("/api/v1/certificates/revoke", post(revoke))
}

async fn trust(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<SignedTrustNews> {
    access::check_whole(&asker, Call::AskTrust)?;
    api.run(asker, id, |vault, asker| vault.trust_news(asker.peer.role())).await
}

async fn certificates(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Vec<CertificateView>> {
    access::check_whole(&asker, Call::ListCertificates)?;
    api.run(asker, id, |vault, _| Ok(views(vault, vault.certificates.list()))).await
}

async fn revoke(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<Vec<CertificateView>> {
    access::check_whole(&asker, Call::RevokeCertificate)?;
    let (order, _held): (RevokeOrder, _) = api.body(request).await?;
    let target = target(&order)?;
    let reason = order.reason.as_deref().map(reason).transpose()?.map(str::to_owned);
    api.run(asker, id, move |vault, asker| {
        if let Target::Holder(holder) = &target {
            // First, or whoever has a token of that name would be back at once.
            vault.revoke_tokens_of(&asker.peer, holder)?;
        }
        let of = vault.revoke(&target, &asker.peer.to_string(), reason.as_deref())?;
        vault.save_own_state_at_once();
        Ok(views(vault, of))
    })
    .await
}

fn target(order: &RevokeOrder) -> Result<Target, ApiError> {
    match (&order.holder, &order.certificate) {
        (Some(Holder { role, name }), None) => Peer::new(*role, name)
            .map(Target::Holder)
            .map_err(|error| bad(ErrorCode::BadName, &error.to_string())),
        (None, Some(text)) => Ok(Target::One(text.to_lowercase().replace(':', ""))),
        _ => Err(bad(ErrorCode::BadOrder, "name a holder or one certificate")),
    }
}

fn reason(text: &str) -> Result<&str, ApiError> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > REASON_LENGTH_MAX || text.chars().any(char::is_control) {
        let text = format!("a reason is 1 to {REASON_LENGTH_MAX} printable characters");
        return Err(bad(ErrorCode::BadOrder, &text));
    }
    Ok(text)
}

fn bad(code: ErrorCode, text: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code, text)
}

fn views(vault: &Vault, of: Vec<Known>) -> Vec<CertificateView> {
    let (list, now) = (vault.certificates.revocations(), vault.environment.clock.now());
    // Only shown, so that an issuer that cannot be read now keeps nobody from seeing the list.
    let ours = vault.open_issuer().ok().and_then(|issuer| issuer.name().ok()).unwrap_or_default();
    of.into_iter().map(|known| view(known, &list, &ours, now)).collect()
}

fn view(known: Known, list: &Revocations, ours: &str, now: Timestamp) -> CertificateView {
    let Known { certified, at, by, grounds } = known;
    let is_ours = !ours.is_empty() && certified.issuer == ours;
    let grounds = grounds.or_else(|| is_ours.then(|| "authority".to_owned()));
    let revocation = list.of(&certified);
    let (revoked, reason) = (
        revocation.map(|revocation| revocation.at),
        revocation.and_then(|revocation| revocation.reason.clone()),
    );
    let state = match revoked {
        Some(_) => "revoked",
        None if now > certified.validity.until => "ended",
        None => "good",
    };
    CertificateView { state: state.to_owned(), certified, at, by, grounds, revoked, reason }
}
