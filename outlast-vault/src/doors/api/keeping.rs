//! What keeps snapshots, and what operators order of them.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use outlast_promise::Keep;
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{
    ErrorCode, HoldView, KeepingDone, KeepingOrder, KeepingView, KeptView, RequestView,
};
use outlast_wire::server::{ApiError, RequestId};
use serde::Deserialize;

use super::call::{Answer, Api, workload_in_path};
use crate::core::error::VaultError;
use crate::core::holding::{Ordered, rules};
use crate::core::keepings::{Hold, Keeping, Request as Wish, Wanted};
use crate::core::kept::{Under, Verdict};
use crate::core::vault::Vault;

/// The longest reason, and the longest name of a person, in characters.
const TEXT_LENGTH_MAX: usize = 500;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/workloads/{workload}/keeping", get(keeping).post(order))
        .route("/api/v1/requests", get(requests))
}

#[derive(Deserialize)]
struct KeepQuery {
    keep: Option<String>,
}

async fn keeping(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
    query: Result<Query<KeepQuery>, QueryRejection>,
) -> Answer<KeepingView> {
    let workload = workload_in_path(workload)?;
    let workload = api.permit_called(&asker, Call::ViewKeeping, &workload)?;
    let bad = |text| ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text);
    let Query(query) = query.map_err(|error| bad(error.body_text()))?;
    let keep: Option<Keep> =
        query.keep.map(|text| text.parse()).transpose().map_err(|error| bad(format!("{error}")))?;
    api.run(asker, id, move |vault, _| view(vault, &workload, keep.as_ref())).await
}

async fn requests(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Vec<RequestView>> {
    access::check_whole(&asker, Call::ViewKeeping)?;
    api.run(asker, id, |vault, asker| {
        let mut all = Vec::new();
        for workload in vault.repositories.workloads()? {
            if vault.is_granted(asker, &workload) {
                let keeping = vault.keepings.get(&workload)?;
                all.extend(keeping.requests.iter().map(|it| view_of_request(&workload, it)));
            }
        }
        Ok(all)
    })
    .await
}

async fn order(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer<KeepingDone> {
    let workload = workload_in_path(workload)?;
    let workload = api.permit_called(&asker, Call::OrderKeeping, &workload)?;
    let (order, _held): (KeepingOrder, _) = api.body(request).await?;
    api.run(asker, id, move |vault, asker| {
        let by = asker.peer.to_string();
        carry_out(vault, (&workload, &by), &order)
    })
    .await
}

fn carry_out(
    vault: &Vault,
    (workload, by): (&WorkloadName, &str),
    order: &KeepingOrder,
) -> Result<KeepingDone, VaultError> {
    let given = |reason| ordered(workload, by, reason);
    let of_request = |wish: Wish| KeepingDone {
        request: Some(view_of_request(workload, &wish)),
        ..KeepingDone::default()
    };
    match order {
        KeepingOrder::Hold { person, for_seconds, until, snapshots, reason } => {
            let ordered = given(reason)?;
            let person = text(workload, "a person", person.as_deref().unwrap_or(by))?;
            let until = end(vault, workload, *for_seconds, *until)?;
            let hold = Some(vault.hold(&ordered, person, until, snapshots)?);
            Ok(KeepingDone { hold, ..KeepingDone::default() })
        }
        KeepingOrder::Release { hold, reason } => {
            let released = Some(vault.release(&given(reason)?, *hold)? as u64);
            Ok(KeepingDone { released, ..KeepingDone::default() })
        }
        KeepingOrder::Forget { snapshots, reason } => {
            let snapshots = vault.forget(&given(reason)?, snapshots)?;
            Ok(KeepingDone { snapshots, ..KeepingDone::default() })
        }
        KeepingOrder::Undelete { snapshots, reason } => {
            let snapshots = vault.undelete(&given(reason)?, snapshots)?;
            Ok(KeepingDone { snapshots, ..KeepingDone::default() })
        }
        KeepingOrder::RequestForget { snapshots, reason } => {
            let ordered = given(reason)?;
            let snapshots = vault.snapshots_named(&ordered, "forgotten", snapshots)?;
            vault.request(&ordered, Wanted::Forget { snapshots }).map(of_request)
        }
        KeepingOrder::RequestShorten { keep, reason } => {
            let ordered = given(reason)?;
            let keep = rules(&ordered, keep)?;
            vault.request(&ordered, Wanted::Shorten { keep }).map(of_request)
        }
        KeepingOrder::RequestDestroy { reason } => {
            vault.request(&given(reason)?, Wanted::Destroy).map(of_request)
        }
        KeepingOrder::Approve { request, reason } => {
            vault.approve(&given(reason)?, *request).map(of_request)
        }
        KeepingOrder::Withdraw { request, reason } => {
            vault.withdraw(&given(reason)?, *request).map(of_request)
        }
    }
}

fn ordered<'a>(
    workload: &'a WorkloadName,
    by: &'a str,
    reason: &'a str,
) -> Result<Ordered<'a>, VaultError> {
    Ok(Ordered { workload, by, reason: text(workload, "a reason", reason)? })
}

/// Words that people will understand when they read them later.
fn text<'a>(workload: &WorkloadName, what: &str, text: &'a str) -> Result<&'a str, VaultError> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > TEXT_LENGTH_MAX || text.chars().any(char::is_control) {
        let reason = format!("{what} is 1 to {TEXT_LENGTH_MAX} printable characters");
        let workload = workload.clone();
        return Err(VaultError::BadOrder { workload, action: "changed", reason });
    }
    Ok(text)
}

/// When a hold ends.
fn end(
    vault: &Vault,
    workload: &WorkloadName,
    for_seconds: Option<u64>,
    until: Option<Timestamp>,
) -> Result<Option<Timestamp>, VaultError> {
    let now = vault.environment.clock.now();
    match (for_seconds, until) {
        (Some(_), Some(_)) => {
            let (workload, reason) = (workload.clone(), "its end is given twice".to_owned());
            Err(VaultError::BadOrder { workload, action: "held", reason })
        }
        (Some(seconds), None) => Ok(Some(now.saturating_add(Duration::from_secs(seconds)))),
        (None, until) => Ok(until),
    }
}

fn view(
    vault: &Vault,
    workload: &WorkloadName,
    keep: Option<&Keep>,
) -> Result<KeepingView, VaultError> {
    if vault.promises.status(workload).is_none()
        && vault.promises.catalog().snapshot_count(workload)? == 0
    {
        return Err(VaultError::UnknownWorkload { workload: workload.clone() });
    }
    let now = vault.forgetting_time();
    let keeping = vault.keepings.get(workload)?;
    let under = keep.map_or(Under::Policy, Under::Only);
    let verdicts = vault.verdicts(&keeping, under, now)?;
    let going = verdicts.iter().filter(|it| it.reasons.is_empty());
    let (count, bytes) =
        going.fold((0, 0), |(count, bytes), it| (count + 1, bytes + it.record.content_bytes));
    let rule = vault.policy().retention(workload);
    let Keeping { holds, requests, .. } = &*keeping;
    Ok(KeepingView {
        workload: workload.clone(),
        keep: keep.or(rule.keep.as_ref()).map(ToString::to_string),
        zone: rule.zone.to_string(),
        class: rule.class.clone(),
        now,
        holds: holds.iter().map(view_of_hold).collect(),
        requests: requests.iter().map(|it| view_of_request(workload, it)).collect(),
        snapshots: verdicts.iter().map(|verdict| view_of(vault, verdict)).collect(),
        going: count,
        going_bytes: bytes,
    })
}

fn view_of(vault: &Vault, verdict: &Verdict) -> KeptView {
    let record = &verdict.record;
    KeptView {
        snapshot: record.snapshot,
        drop: record.drop,
        recovery_point: record.recovery_point(),
        received: record.received,
        content_bytes: record.content_bytes,
        counts: vault.counts(record),
        rules: verdict.reasons.iter().map(ToString::to_string).collect(),
        immutable_until: record.terms.immutable_until,
        goes_at: verdict.forgotten.as_ref().map(|it| it.until),
    }
}

fn view_of_hold(hold: &Hold) -> HoldView {
    let Hold { id, reason, person, by, at, until, snapshots } = hold.clone();
    HoldView { hold: id, reason, person, by, at, until, snapshots }
}

fn view_of_request(workload: &WorkloadName, wish: &Wish) -> RequestView {
    let (snapshots, keep) = match &wish.what {
        Wanted::Forget { snapshots } => (snapshots.clone(), None),
        Wanted::Shorten { keep } => (Vec::new(), Some(keep.to_string())),
        Wanted::Destroy => (Vec::new(), None),
    };
    RequestView {
        workload: workload.clone(),
        request: wish.id,
        what: wish.what.as_str().to_owned(),
        snapshots,
        keep,
        reason: wish.reason.clone(),
        by: wish.by.clone(),
        at: wish.at,
        approved_by: wish.approval.as_ref().map(|it| it.by.clone()),
        due: wish.approval.as_ref().map(|it| it.due),
    }
}
