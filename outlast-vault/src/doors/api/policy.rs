//! The call by which an operator lets another policy hold.

use axum::extract::{Request, State};
use axum::routing::post;
use axum::{Extension, Router};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{ApplyPolicy, PolicyApplied};
use outlast_wire::server::RequestId;

use super::call::{Answer, Api};

/// The longest reason, and the longest name of a file, that is written down, in characters.
const WORDS_LENGTH_MAX: usize = 500;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/policy", post(apply))
}

async fn apply(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<PolicyApplied> {
    access::check_whole(&asker, Call::ApplyPolicy)?;
    let (order, _held): (ApplyPolicy, _) = api.body(request).await?;
    api.run(asker, id, move |vault, asker| {
        let short = |text: &str| text.chars().take(WORDS_LENGTH_MAX).collect::<String>();
        let (name, reason) = (short(&order.name), order.reason.as_deref().map(short));
        let by = asker.peer.to_string();
        let changes = vault.apply_policy((&by, reason.as_deref()), (&name, &order.text))?;
        Ok(PolicyApplied { changes })
    })
    .await
}
