//! The calls of media servers: what is lacking, and how their spools are doing.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Extension, Router};
use outlast_store::{Kind, Verb};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{AskLacking, Lacking, MEDIA_ROWS_MAX, MediaReport, MediaReported};
use outlast_wire::rest::Asker;
use outlast_wire::server::RequestId;

use super::call::{Answer, Api, workload_in_path};
use crate::core::error::VaultError;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/workloads/{workload}/lacking", post(lacking))
        .route("/api/v1/media/report", post(report))
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
        if report.rows.len() > MEDIA_ROWS_MAX {
            let reason = format!("a report names at most {MEDIA_ROWS_MAX} workloads");
            return Err(VaultError::TooMuch { reason });
        }
        tracing::debug!(media = %media.peer, spool = %report.spool, objects = report.objects, "heard");
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(MediaReported { run: vault.run.clone(), version })
    })
    .await
}
