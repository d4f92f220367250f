//! The call by which an operator lets agents release again, after the vault was brought back.

use axum::extract::{Request, State};
use axum::routing::post;
use axum::{Extension, Router};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{ReleasesResumed, ResumeReleases};
use outlast_wire::server::RequestId;

use super::call::{Answer, Api};
use crate::core::error::VaultError;
use crate::core::withheld::End;

/// The longest reason that is written down, in characters.
const REASON_LENGTH_MAX: usize = 500;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/releases/resume", post(resume))
}

async fn resume(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<ReleasesResumed> {
    access::check_whole(&asker, Call::ResumeReleases)?;
    let (order, _held): (ResumeReleases, _) = api.body(request).await?;
    api.run(asker, id, move |vault, asker| {
        let reason: String = order.reason.chars().take(REASON_LENGTH_MAX).collect();
        let silent = vault.withheld.get().map(|withheld| withheld.waited_for());
        let silent_agents = silent.ok_or(VaultError::NotWithheld)?;
        vault.resume_releases(&End::Ordered { by: asker.peer.to_string(), reason })?;
        Ok(ReleasesResumed { silent_agents })
    })
    .await
}
