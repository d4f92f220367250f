//! The calls by which operators order something, and the list of what was ordered.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use outlast_types::{WorkloadName, human};
use outlast_wire::Peer;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{ErrorCode, OrderView, PauseOrder, ReasonedOrder, RecreateOrder};
use outlast_wire::server::{ApiError, RequestId};

use super::call::{Answer, Api, WorkloadQuery, workload_in_path, workload_name};
use crate::core::error::VaultError;
use crate::core::orders::{Action, Order};

/// The longest reason, in characters.
const REASON_LENGTH_MAX: usize = 500;

/// The longest pause: beyond a year, a slip of the pen would silence a workload for good.
const PAUSE_MAX: Duration = Duration::from_secs(366 * 86400);

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/workloads/{workload}/recreate", post(recreate))
        .route("/api/v1/workloads/{workload}/pause", post(pause))
        .route("/api/v1/workloads/{workload}/retire", post(retire))
        .route("/api/v1/workloads/{workload}/resume", post(resume))
        .route("/api/v1/orders", get(orders))
}

async fn recreate(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer<OrderView> {
    access::check(&peer, Call::RecreateRepository)?;
    let workload = workload_in_path(workload)?;
    let (order, _held): (RecreateOrder, _) = api.body(request).await?;
    api.run(peer, id, move |vault, peer| {
        let reason = reason(&workload, "begun anew", &order.reason)?;
        Ok(view(vault.recreate(&workload, &peer.to_string(), reason)?))
    })
    .await
}

async fn pause(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer<OrderView> {
    access::check(&peer, Call::PauseWorkload)?;
    let workload = workload_in_path(workload)?;
    let (order, _held): (PauseOrder, _) = api.body(request).await?;
    api.run(peer, id, move |vault, peer| {
        let reason = reason(&workload, "paused", &order.reason)?;
        let now = vault.environment.clock.now();
        let end = order.for_seconds.map(|seconds| now.checked_add(Duration::from_secs(seconds)));
        let until = match (end, order.until) {
            (Some(end), None) => end,
            (None, until) => until,
            (Some(_), Some(_)) => None,
        };
        let until = until.filter(|until| *until > now && until.since(now) <= PAUSE_MAX);
        let until = until.ok_or_else(|| VaultError::BadOrder {
            workload: workload.clone(),
            action: "paused",
            reason: format!(
                "a pause has an end, given once, that comes within {}",
                human::duration(PAUSE_MAX)
            ),
        })?;
        let action = Action::Pause { until };
        Ok(view(vault.order(&workload, &peer.to_string(), Some(reason), action)?))
    })
    .await
}

async fn retire(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer<OrderView> {
    access::check(&peer, Call::RetireWorkload)?;
    let workload = workload_in_path(workload)?;
    let (order, _held): (ReasonedOrder, _) = api.body(request).await?;
    api.run(peer, id, move |vault, peer| {
        let reason = order.reason.as_deref().map(|text| reason(&workload, "retired", text));
        let unknown = || VaultError::UnknownWorkload { workload: workload.clone() };
        let promise = vault.promises.status(&workload).ok_or_else(unknown)?.promise;
        // Whatever is at work now has its time to end.
        let until = vault.environment.clock.now().saturating_add(promise.rpo());
        let action = Action::Retire { until };
        Ok(view(vault.order(&workload, &peer.to_string(), reason.transpose()?, action)?))
    })
    .await
}

async fn resume(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer<OrderView> {
    access::check(&peer, Call::ResumeWorkload)?;
    let workload = workload_in_path(workload)?;
    let (order, _held): (ReasonedOrder, _) = api.body(request).await?;
    api.run(peer, id, move |vault, peer| {
        let reason = order.reason.as_deref().map(|text| reason(&workload, "resumed", text));
        let reason = reason.transpose()?;
        Ok(view(vault.order(&workload, &peer.to_string(), reason, Action::Resume)?))
    })
    .await
}

async fn orders(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    query: Result<Query<WorkloadQuery>, QueryRejection>,
) -> Answer<Vec<OrderView>> {
    access::check(&peer, Call::ListOrders)?;
    let Query(query) = query.map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, error.body_text())
    })?;
    let workload = query.workload.as_deref().map(workload_name).transpose()?;
    api.run(peer, id, move |vault, _| {
        Ok(vault.orders.list(workload.as_ref()).into_iter().map(view).collect())
    })
    .await
}

/// The reason, if it is one that people will understand when they read it later.
fn reason<'a>(
    workload: &WorkloadName,
    action: &'static str,
    text: &'a str,
) -> Result<&'a str, VaultError> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > REASON_LENGTH_MAX || text.chars().any(char::is_control) {
        return Err(VaultError::BadOrder {
            workload: workload.clone(),
            action,
            reason: format!("a reason is 1 to {REASON_LENGTH_MAX} printable characters"),
        });
    }
    Ok(text)
}

fn view(order: Order) -> OrderView {
    let (until, snapshots_forgotten) = match order.action {
        Action::Recreate { snapshots_forgotten } => (None, Some(snapshots_forgotten)),
        Action::Pause { until } | Action::Retire { until } => (Some(until), None),
        Action::Resume => (None, None),
    };
    OrderView {
        number: order.number,
        at: order.at,
        by: order.by,
        action: order.action.as_str().to_owned(),
        workload: order.workload,
        reason: order.reason,
        until,
        snapshots_forgotten,
    }
}
