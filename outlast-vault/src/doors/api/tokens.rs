//! The calls by which operators make, list and revoke tokens.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use outlast_types::{Timestamp, human};
use outlast_wire::access::{self, Call};
use outlast_wire::api::{ErrorCode, MadeToken, TokenOrder, TokenView};
use outlast_wire::enrollment::{ADDRESSES_MAX, TokenId};
use outlast_wire::server::{ApiError, RequestId};
use outlast_wire::{Certified, Peer, Role};

use super::call::{Answer, Api};
use crate::core::tokens::{NewToken, TokenRecord};

/// The longest life of a token: one that lies about for longer is found by others.
const TTL_MAX: Duration = Duration::from_secs(30 * 86400);
/// The same of one that serves again and again, such as in the image of a host.
const REUSABLE_TTL_MAX: Duration = Duration::from_secs(400 * 86400);
/// The most names of one host.
const HOSTS_MAX: usize = 32;
const ADDRESS_BYTES_MAX: usize = 300;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/tokens", get(tokens).post(make))
        .route("/api/v1/tokens/{token}/revoke", post(revoke))
}

async fn make(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<MadeToken> {
    access::check_whole(&asker, Call::MakeToken)?;
    let (order, _held): (TokenOrder, _) = api.body(request).await?;
    let holder = Peer::new(order.role, &order.name)
        .map_err(|error| bad(ErrorCode::BadName, &error.to_string()))?;
    let ttl = checked(&order)?;
    api.run(asker, id, move |vault, asker| {
        let now = vault.environment.clock.now();
        let new = NewToken {
            peer: holder,
            grants: order.grants,
            hosts: order.hosts,
            until: now.saturating_add(ttl),
            is_reusable: order.reusable,
        };
        let (token, record) = vault.make_token(&asker.peer, new, order.addresses)?;
        Ok(MadeToken { token: token.to_text().to_string(), view: view(record, now) })
    })
    .await
}

/// How long the token is to live, if the order makes sense.
fn checked(order: &TokenOrder) -> Result<Duration, ApiError> {
    let bad = |text: &str| Err(bad(ErrorCode::BadOrder, text));
    let longest = if order.reusable { REUSABLE_TTL_MAX } else { TTL_MAX };
    let ttl = Duration::from_secs(order.ttl_seconds);
    if ttl.is_zero() || ttl > longest {
        return bad(&format!("such a token lives for at most {}", human::duration(longest)));
    }
    let serves = matches!(order.role, Role::Vault | Role::Media);
    match (serves, order.hosts.len()) {
        (true, 0) => return bad("say under which names or addresses it will be reached"),
        (false, 1..) => {
            return bad("nothing connects to a holder of this role, so it has no names");
        }
        (_, count) if count > HOSTS_MAX => {
            return bad(&format!("a host has at most {HOSTS_MAX} names"));
        }
        _ => {}
    }
    let is_address = |text: &String| {
        text.starts_with("https://")
            && text.len() <= ADDRESS_BYTES_MAX
            && text.bytes().all(|c| c.is_ascii_graphic())
    };
    match order.addresses.len() {
        1..=ADDRESSES_MAX if order.addresses.iter().all(is_address) => Ok(ttl),
        _ => bad(&format!(
            "say at which addresses the vault is found: 1 to {ADDRESSES_MAX}, such as \
             https://vault.example:8443/"
        )),
    }
}

async fn tokens(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Vec<TokenView>> {
    access::check_whole(&asker, Call::ListTokens)?;
    api.run(asker, id, |vault, _| {
        let now = vault.environment.clock.now();
        let mut records = vault.tokens.list();
        records.sort_by_key(|record| (record.made, record.id));
        Ok(records.into_iter().map(|record| view(record, now)).collect())
    })
    .await
}

async fn revoke(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    token: Result<Path<String>, PathRejection>,
) -> Answer<TokenView> {
    access::check_whole(&asker, Call::RevokeToken)?;
    let Path(token) = token.map_err(|error| bad(ErrorCode::BadName, &error.body_text()))?;
    let token: TokenId =
        token.parse().map_err(|error: outlast_wire::enrollment::InvalidTokenId| {
            bad(ErrorCode::BadName, &error.to_string())
        })?;
    api.run(asker, id, move |vault, asker| {
        let record = vault.revoke_token(&asker.peer, token)?;
        vault.save_own_state_at_once();
        Ok(view(record, vault.environment.clock.now()))
    })
    .await
}

fn bad(code: ErrorCode, text: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code, text)
}

fn view(record: TokenRecord, now: Timestamp) -> TokenView {
    let last_use = record.last_use();
    let state = match record.revoked {
        Some(_) => "revoked",
        None if last_use.is_some() && !record.is_reusable => "used",
        None if now > record.until => "expired",
        None => "good",
    };
    TokenView {
        id: record.id.to_string(),
        holder: record.peer,
        grants: record.grants,
        state: state.to_owned(),
        reusable: record.is_reusable,
        made: record.made,
        by: record.by,
        until: record.until,
        last_use,
        revoked: record.revoked,
    }
}
