//! Shipments: begun, cancelled, billed; and the calls of media servers: what is lacking, and how their
//! spools are doing.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use outlast_store::{Kind, Verb};
use outlast_types::DropId;
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{
    AskLacking, CustodyView, ErrorCode, HeardShipment, Lacking, MEDIA_ROWS_MAX,
    MEDIA_SHIPMENTS_MAX, MediaReport, MediaReported,
};
use outlast_wire::rest::Asker;
use outlast_wire::server::{ApiError, RequestId};
use outlast_wire::statement::Statement;

use super::call::{Answer, Api, workload_in_path};
use crate::core::audit;
use crate::core::error::VaultError;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/shipments", post(ship))
        .route("/api/v1/shipments/begin", post(begin))
        .route("/api/v1/shipments/cancel", post(cancel))
        .route("/api/v1/custody/{drop}", get(custody))
        .route("/api/v1/workloads/{workload}/lacking", post(lacking))
        .route("/api/v1/media/report", post(report))
}

async fn ship(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    access::check_carrier(&asker.peer, Call::Ship)?;
    let (statement, _held): (Statement, _) = api.body(request).await?;
    let request = id.clone();
    let answer = api
        .run(asker, id, move |vault, carrier| {
            let (agent, shipment) = vault.hear_bill(&statement, carrier)?;
            let asker = audit::Asker { peer: &agent.peer, request: Some(&request.0) };
            vault.hand_in(&shipment, asker)
        })
        .await?;
    let status = match answer.0.receipt {
        Some(_) => StatusCode::OK,
        None => StatusCode::ACCEPTED,
    };
    Ok((status, answer).into_response())
}

async fn begin(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<HeardShipment> {
    access::check_carrier(&asker.peer, Call::Ship)?;
    let (statement, _held): (Statement, _) = api.body(request).await?;
    api.run(asker, id, move |vault, carrier| {
        let (agent, begin) = vault.hear_begin(&statement, carrier)?;
        vault.begin_shipment(&begin, &agent.peer)
    })
    .await
}

async fn cancel(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<HeardShipment> {
    access::check_carrier(&asker.peer, Call::Ship)?;
    let (statement, _held): (Statement, _) = api.body(request).await?;
    api.run(asker, id, move |vault, carrier| {
        let (agent, cancel) = vault.hear_cancel(&statement, carrier)?;
        vault.cancel_shipment(&cancel, &agent.peer)
    })
    .await
}

async fn custody(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    drop: Result<Path<String>, PathRejection>,
) -> Answer<CustodyView> {
    access::check_whole(&asker, Call::ListSnapshots)?;
    let drop = drop.ok().and_then(|Path(drop)| drop.parse::<DropId>().ok());
    let drop = drop.ok_or_else(|| {
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadName, "that is the id of no drop")
    })?;
    api.run(asker, id, move |vault, asker| vault.custody_of(drop, asker)).await
}

async fn lacking(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    workload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer<Lacking> {
    access::check_carrier(&asker.peer, Call::AskLacking)?;
    let workload = workload_in_path(workload)?;
    // Who may see of each object whether it is there may ask for many at once.
    let asking = Asker::of(&asker, &headers);
    for kind in [Kind::Data, Kind::Index] {
        api.permit_object(asking, Verb::Size, kind, &workload)?;
    }
    let workload = api.called(&workload)?;
    let (asked, _held): (AskLacking, _) = api.body(request).await?;
    api.run(asker, id, move |vault, _| vault.lacking(&workload, asked)).await
}

async fn report(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<MediaReported> {
    access::check_role(&asker.peer, Call::ReportSpool)?;
    let (report, _held): (MediaReport, _) = api.body(request).await?;
    api.run(asker, id, move |vault, media| {
        let mut report = report;
        for row in &mut report.rows {
            row.workload = vault.present(&row.workload).clone();
        }
        if report.rows.len() > MEDIA_ROWS_MAX || report.shipments.len() > MEDIA_SHIPMENTS_MAX {
            let reason = format!(
                "a report names at most {MEDIA_ROWS_MAX} workloads and {MEDIA_SHIPMENTS_MAX} shipments"
            );
            return Err(VaultError::TooMuch { reason });
        }
        let ended = vault.ended_of(std::mem::take(&mut report.shipments), media)?;
        vault.spools.note(media.peer.name(), report, vault.environment.clock.now())?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(MediaReported { run: vault.run.clone(), version, ended })
    })
    .await
}
