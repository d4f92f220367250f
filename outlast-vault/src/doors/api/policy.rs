//! The calls by which operators let another policy hold, and agree on what one alone may not let it say.

use axum::extract::{Request, State};
use axum::routing::{get, post};
use axum::{Extension, Router};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{AgreementOrder, AgreementView, ApplyPolicy, PolicyApplied};
use outlast_wire::server::RequestId;

use super::call::{Answer, Api};
use crate::core::agreements::{Agreement, Word};
use crate::core::error::VaultError;
use crate::core::vault::Vault;

/// The longest reason, and the longest name of a file, that is written down, in characters.
const WORDS_LENGTH_MAX: usize = 500;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/policy", post(apply))
        .route("/api/v1/policy/check", post(check))
        .route("/api/v1/agreements", get(agreements).post(agree))
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

/// What [`apply`] would change; nothing is.
async fn check(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<PolicyApplied> {
    access::check_whole(&asker, Call::ViewKeeping)?;
    let (order, _held): (ApplyPolicy, _) = api.body(request).await?;
    api.run(asker, id, move |vault, _| {
        let name: String = order.name.chars().take(WORDS_LENGTH_MAX).collect();
        Ok(PolicyApplied { changes: vault.judge_policy(&name, &order.text)? })
    })
    .await
}

async fn agreements(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Vec<AgreementView>> {
    access::check_whole(&asker, Call::ViewKeeping)?;
    api.run(asker, id, |vault, _| Ok(vault.agreements.all()?.into_iter().map(view).collect())).await
}

async fn agree(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<AgreementView> {
    access::check_whole(&asker, Call::ApplyPolicy)?;
    let (order, _held): (AgreementOrder, _) = api.body(request).await?;
    api.run(asker, id, move |vault, asker| {
        carry_out(vault, &asker.peer.to_string(), &order).map(view)
    })
    .await
}

fn carry_out(vault: &Vault, by: &str, order: &AgreementOrder) -> Result<Agreement, VaultError> {
    let (AgreementOrder::Ask { reason, .. }
    | AgreementOrder::Approve { reason, .. }
    | AgreementOrder::Withdraw { reason, .. }) = order;
    if reason.trim().is_empty() || reason.chars().count() > WORDS_LENGTH_MAX {
        let reason = format!("a reason of 1 to {WORDS_LENGTH_MAX} characters is needed");
        return Err(VaultError::BadAnswer { reason });
    }
    let word = Word { by, reason: reason.trim(), at: vault.environment.clock.now() };
    let agreements = &vault.agreements;
    match order {
        AgreementOrder::Ask { section, windows, .. } => {
            agreements.ask(&vault.audit, &word, (section, windows))
        }
        AgreementOrder::Approve { agreement, .. } => {
            agreements.approve(&vault.audit, &word, *agreement)
        }
        AgreementOrder::Withdraw { agreement, .. } => {
            agreements.withdraw(&vault.audit, &word, *agreement)
        }
    }
}

fn view(of: Agreement) -> AgreementView {
    AgreementView {
        agreement: of.number,
        section: of.section,
        windows: of.windows,
        reason: of.reason,
        by: of.by,
        at: of.at,
        approved_by: of.approved_by,
        approved_at: of.approved_at,
    }
}
