//! What shows that backups can be had: scrubs and drills.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use outlast_promise::DrillLevel;
use outlast_types::WorkloadName;
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{DrillOrder, DrillPhase, DrillView, ErrorCode, MonthReportView, ScrubView};
use outlast_wire::head_receipt::SignedHead;
use outlast_wire::server::{ApiError, RequestId};

use super::call::{Answer, Api, WorkloadQuery, workload_in_path, workload_name};
use crate::core::drills::{DrillRecord, Phase};
use crate::core::error::VaultError;
use crate::core::months::Format;
use crate::core::scrubs::ScrubStatus;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/scrubs", get(scrubs))
        .route("/api/v1/drills", get(drills))
        .route("/api/v1/workloads/{workload}/drill", post(run_drill))
        .route("/api/v1/reports/{month}", get(report))
        .route("/api/v1/audit/head", get(audit_head))
}

async fn drills(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    query: Result<Query<WorkloadQuery>, QueryRejection>,
) -> Answer<Vec<DrillView>> {
    access::check_whole(&asker, Call::ViewDrills)?;
    let Query(query) = query.map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, error.body_text())
    })?;
    let workload = query.workload.as_deref().map(workload_name).transpose()?;
    if let Some(workload) = &workload {
        api.permit(&asker, Call::ViewDrills, workload)?;
    }
    api.run(asker, id, move |vault, asker| {
        if let Some(workload) = workload {
            let all = vault.drills.of(&workload).drills.into_iter().rev();
            return Ok(all.map(|drill| drill_view(&workload, drill)).collect());
        }
        let state = vault.drills.lock();
        let known = state.known.iter().filter(|(workload, _)| vault.is_granted(asker, workload));
        let newest = known.filter_map(|(workload, records)| {
            Some(drill_view(workload, records.newest()?.clone()))
        });
        Ok(newest.collect())
    })
    .await
}

async fn audit_head(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<SignedHead> {
    access::check_whole(&asker, Call::ViewReports)?;
    api.run(asker, id, |vault, _| vault.sign_head()).await
}

#[derive(serde::Deserialize)]
struct FormatQuery {
    format: Option<String>,
}

async fn report(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    Path(month): Path<String>,
    Query(FormatQuery { format }): Query<FormatQuery>,
) -> Answer<MonthReportView> {
    access::check_whole(&asker, Call::ViewReports)?;
    let word = format.unwrap_or_else(|| Format::Json.as_str().to_owned());
    let format = Format::ALL.into_iter().find(|format| format.as_str() == word);
    let format = format.ok_or_else(|| {
        let text = "a report is to be had as json, csv or html";
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text)
    })?;
    api.run(asker, id, move |vault, _| {
        vault.note_month()?;
        let (document, frozen) = vault.report_of(&month, format)?;
        Ok(MonthReportView { month, format: word, frozen, document })
    })
    .await
}

async fn run_drill(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer<DrillView> {
    let workload = workload_in_path(workload)?;
    let workload = api.permit_called(&asker, Call::RunDrill, &workload)?;
    let (order, _held): (DrillOrder, _) = api.body(request).await?;
    api.run(asker, id, move |vault, asker| {
        let level = match order.level.as_deref() {
            None => None,
            Some("stream") => Some(DrillLevel::Stream),
            Some("load") => Some(DrillLevel::Load),
            Some(_) => {
                let reason = "a drill has the level stream or load".to_owned();
                return Err(VaultError::BadOrder { workload, action: "drilled", reason });
            }
        };
        let by = asker.peer.to_string();
        let drill = vault.order_drill(&workload, &by, order.snapshot.as_deref(), level)?;
        Ok(drill_view(&workload, drill))
    })
    .await
}

fn drill_view(workload: &WorkloadName, drill: DrillRecord) -> DrillView {
    let phase =
        |Phase { name, milliseconds, bytes }: Phase| DrillPhase { name, milliseconds, bytes };
    let rto_milliseconds = drill.rto_milliseconds();
    let (failed_in, why) = drill.failure.map(|it| (it.phase, it.why)).unzip();
    DrillView {
        workload: workload.clone(),
        number: drill.number,
        snapshot: drill.snapshot,
        state: drill.state.as_str().to_owned(),
        wanted: drill.wanted.as_str().to_owned(),
        level: drill.level.as_str().to_owned(),
        rto_milliseconds,
        phases: drill.phases.into_iter().map(phase).collect(),
        by: drill.by,
        began: drill.began,
        ended: drill.ended,
        lowered: drill.lowered,
        recipe: drill.recipe,
        isolation: drill.isolation,
        counts: drill.counts,
        failed_in,
        why,
    }
}

async fn scrubs(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Vec<ScrubView>> {
    access::check_whole(&asker, Call::ViewScrubs)?;
    api.run(asker, id, |vault, asker| {
        vault.find_out_what_to_scrub()?;
        let mut all = vault.scrubs.statuses(vault.environment.clock.now());
        all.retain(|status| vault.is_granted(asker, &status.workload));
        let period_seconds = vault.scrubs.policy.period.as_secs();
        Ok(all.into_iter().map(|status| view(status, period_seconds)).collect())
    })
    .await
}

fn view(status: ScrubStatus, period_seconds: u64) -> ScrubView {
    let ScrubStatus { workload, record, first, due, is_overdue } = status;
    let state = match (&record.round, &record.last) {
        _ if record.is_damaged() => "damaged",
        _ if is_overdue => "overdue",
        (Some(_), _) => "reading",
        (None, Some(_)) => "verified",
        (None, None) => "waiting",
    };
    let problems = record.findings().map(|findings| findings.count).sum();
    let named = record.findings().flat_map(|findings| findings.problems.iter().cloned());
    ScrubView {
        state: state.to_owned(),
        period_seconds,
        unread_since: record.unread_since(first),
        due,
        began: record.last.map(|last| last.began),
        ended: record.last.map(|last| last.ended),
        packs: record.last.map_or(0, |last| last.packs),
        bytes: record.last.map_or(0, |last| last.bytes),
        parts_read: record.round.map(|round| round.done),
        parts: record.parts,
        problems,
        problems_named: named.collect(),
        snapshots_hit: record.hit().into_iter().collect(),
        failed: record.failed.is_some(),
        workload,
    }
}
