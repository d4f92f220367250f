//! The calls by which operators order something, and the list of what was ordered.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use outlast_types::{WorkloadName, human};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{
    AcceptOrder, DeployAnnounced, DeployAnnouncement, ErrorCode, OrderView, PauseOrder,
    ReasonedOrder, RecreateOrder, RenameOrder,
};
use outlast_wire::server::{ApiError, RequestId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{Answer, Api, WorkloadQuery, workload_in_path, workload_name};
use crate::core::error::VaultError;
use crate::core::orders::{Action, Order};
use crate::core::renaming::{ACCEPTED_FOR, ACCEPTED_MAX};
use crate::core::vault::Vault;

/// The longest reason, in characters.
const REASON_LENGTH_MAX: usize = 500;

/// The longest release that is announced.
const DEPLOY_MAX: Duration = Duration::from_secs(86_400);

/// The longest pause: beyond a year, a slip of the pen would silence a workload for good.
const PAUSE_MAX: Duration = Duration::from_secs(366 * 86400);

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/workloads/{workload}/recreate", order(Call::RecreateRepository, recreate))
        .route("/api/v1/workloads/{workload}/pause", order(Call::PauseWorkload, pause))
        .route("/api/v1/workloads/{workload}/retire", order(Call::RetireWorkload, retire))
        .route("/api/v1/workloads/{workload}/resume", order(Call::ResumeWorkload, resume))
        .route("/api/v1/workloads/{workload}/accept", order(Call::AcceptDrop, accept))
        .route("/api/v1/workloads/{workload}/rename", order(Call::RenameWorkload, rename))
        .route(
            "/api/v1/workloads/{workload}/deploying",
            order(Call::AnnounceDeploy, announce_deploy),
        )
        .route("/api/v1/orders", get(orders))
}

/// Who orders something about which workload.
struct Given<'a> {
    vault: &'a Vault,
    asker: &'a Certified,
    by: String,
    workload: &'a WorkloadName,
}

/// The handler of an order: who may give it, and what carries it out.
fn order<T, V>(
    call: Call,
    carry_out: fn(&Given<'_>, T) -> Result<V, VaultError>,
) -> MethodRouter<Api>
where
    T: DeserializeOwned + Send + 'static,
    V: Serialize + Send + 'static,
{
    let handler = move |State(api): State<Api>,
                        Extension(asker): Extension<Certified>,
                        Extension(id): Extension<RequestId>,
                        workload: Result<Path<String>, PathRejection>,
                        request: Request| async move {
        let workload = workload_in_path(workload)?;
        api.permit(&asker, call, &workload)?;
        // How long a former name is accepted is ordered of that name.
        let workload = match call {
            Call::RenameWorkload => workload,
            _ => api.called(&workload)?,
        };
        let (content, _held): (T, _) = api.body(request).await?;
        let answer: Answer<V> = api
            .run(asker, id, move |vault, asker| {
                let by = asker.peer.to_string();
                let given = Given { vault, asker, by, workload: &workload };
                carry_out(&given, content)
            })
            .await;
        answer
    };
    post(handler)
}

fn recreate(given: &Given<'_>, order: RecreateOrder) -> Result<OrderView, VaultError> {
    let reason = given.reason("begun anew", &order.reason)?;
    given.vault.recreate(given.workload, &given.by, reason).map(view)
}

fn pause(given: &Given<'_>, order: PauseOrder) -> Result<OrderView, VaultError> {
    let reason = given.reason("paused", &order.reason)?;
    let now = given.vault.environment.clock.now();
    let end = order.for_seconds.map(|seconds| now.checked_add(Duration::from_secs(seconds)));
    let until = match (end, order.until) {
        (Some(end), None) => end,
        (None, until) => until,
        (Some(_), Some(_)) => None,
    };
    let until = until.filter(|until| *until > now && until.since(now) <= PAUSE_MAX);
    let until = until.ok_or_else(|| {
        let longest = human::duration(PAUSE_MAX);
        let reason = format!("a pause has an end, given once, that comes within {longest}");
        given.bad("paused", reason)
    })?;
    given.order(Some(reason), Action::Pause { until })
}

fn retire(given: &Given<'_>, order: ReasonedOrder) -> Result<OrderView, VaultError> {
    let reason = given.reason_if_any("retired", &order)?;
    let unknown = || VaultError::UnknownWorkload { workload: given.workload.clone() };
    let promise = given.vault.promises.status(given.workload).ok_or_else(unknown)?.promise;
    // Whatever is at work now has its time to end.
    let until = promise.due_after(given.vault.environment.clock.now());
    given.order(reason, Action::Retire { until })
}

fn resume(given: &Given<'_>, order: ReasonedOrder) -> Result<OrderView, VaultError> {
    given.order(given.reason_if_any("resumed", &order)?, Action::Resume)
}

fn rename(given: &Given<'_>, order: RenameOrder) -> Result<OrderView, VaultError> {
    let reason = order.reason.as_deref().map(|text| given.reason("renamed", text)).transpose()?;
    let asker = &given.asker;
    given.vault.permit(asker, Call::RenameWorkload, &order.to)?;
    let now = given.vault.environment.clock.now();
    let until = order.until.unwrap_or_else(|| now.saturating_add(ACCEPTED_FOR));
    if until.since(now) > ACCEPTED_MAX {
        let longest = human::duration(ACCEPTED_MAX);
        let reason = format!("a name of before is accepted for {longest} at most");
        return Err(given.bad("renamed", reason));
    }
    given.vault.rename(given.workload, (&given.by, reason), &order.to, until).map(view)
}

fn announce_deploy(
    given: &Given<'_>,
    said: DeployAnnouncement,
) -> Result<DeployAnnounced, VaultError> {
    let reason = said.reason.as_deref().map(|text| given.reason("announced", text)).transpose()?;
    let at = given.vault.environment.clock.now();
    let time = said.for_seconds.map(Duration::from_secs);
    if time.is_some_and(|time| time.is_zero() || time > DEPLOY_MAX) {
        let longest = human::duration(DEPLOY_MAX);
        return Err(given.bad("announced", format!("a release takes {longest} at most")));
    }
    let until = time.map(|time| at.saturating_add(time));
    let grace = given.vault.announce_deploy(given.workload, (&given.by, reason), until)?;
    let (workload, grace_seconds) = (given.workload.clone(), grace.as_secs());
    Ok(DeployAnnounced { workload, at, until, grace_seconds })
}

fn accept(given: &Given<'_>, order: AcceptOrder) -> Result<OrderView, VaultError> {
    let reason = order.reason.as_deref().map(|text| given.reason("accepted", text)).transpose()?;
    given.vault.accept(given.workload, &given.by, order.drop, reason).map(view)
}

impl Given<'_> {
    fn order(&self, reason: Option<&str>, action: Action) -> Result<OrderView, VaultError> {
        self.vault.order(self.workload, &self.by, reason, action).map(view)
    }

    /// The reason, if it is one that people will understand when they read it later.
    fn reason<'a>(&self, action: &'static str, text: &'a str) -> Result<&'a str, VaultError> {
        let text = text.trim();
        let length = text.chars().count();
        if length == 0 || length > REASON_LENGTH_MAX || text.chars().any(char::is_control) {
            let reason = format!("a reason is 1 to {REASON_LENGTH_MAX} printable characters");
            return Err(self.bad(action, reason));
        }
        Ok(text)
    }

    fn reason_if_any<'a>(
        &self,
        action: &'static str,
        order: &'a ReasonedOrder,
    ) -> Result<Option<&'a str>, VaultError> {
        order.reason.as_deref().map(|text| self.reason(action, text)).transpose()
    }

    fn bad(&self, action: &'static str, reason: String) -> VaultError {
        VaultError::BadOrder { workload: self.workload.clone(), action, reason }
    }
}

async fn orders(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    query: Result<Query<WorkloadQuery>, QueryRejection>,
) -> Answer<Vec<OrderView>> {
    access::check_whole(&asker, Call::ListOrders)?;
    let Query(query) = query.map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, error.body_text())
    })?;
    let workload = query.workload.as_deref().map(workload_name).transpose()?;
    let workload = match workload {
        Some(workload) => Some(api.permit_called(&asker, Call::ListOrders, &workload)?),
        None => None,
    };
    api.run(asker, id, move |vault, asker| {
        let mut orders = vault.orders.list(workload.as_ref());
        orders.retain(|order| vault.is_granted(asker, &order.workload));
        Ok(orders.into_iter().map(view).collect())
    })
    .await
}

fn view(order: Order) -> OrderView {
    let to = match &order.action {
        Action::Rename { to, .. } => Some(to.clone()),
        _ => None,
    };
    let (until, snapshots_forgotten, drop) = match order.action {
        Action::Recreate { snapshots_forgotten } | Action::Destroy { snapshots_forgotten } => {
            (None, Some(snapshots_forgotten), None)
        }
        Action::Pause { until } | Action::Retire { until } | Action::Rename { until, .. } => {
            (Some(until), None, None)
        }
        Action::Resume => (None, None, None),
        Action::Accept { drop, .. } => (None, None, Some(drop)),
    };
    OrderView {
        number: order.number,
        at: order.at,
        by: order.by,
        action: order.action.as_str().to_owned(),
        workload: order.workload,
        to,
        drop,
        reason: order.reason,
        until,
        snapshots_forgotten,
    }
}
