//! The call by which an agent asks for a backup that instances want back.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::routing::post;
use axum::{Extension, Router};
use outlast_wire::Certified;
use outlast_wire::access::Call;
use outlast_wire::fetching::BackupAnswer;
use outlast_wire::server::RequestId;
use outlast_wire::statement::Statement;

use super::call::{Answer, Api, workload_in_path};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/workloads/{workload}/backup", post(backup))
}

async fn backup(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer<BackupAnswer> {
    let workload = workload_in_path(workload)?;
    api.permit_carrier(&asker, Call::FetchBackup, &workload)?;
    let (statement, _held): (Statement, _) = api.body(request).await?;
    api.run(asker, id, move |vault, carrier| {
        let (agent, asked) = vault.hear_question(&statement, &workload, carrier)?;
        vault.decide_backup(&agent, &asked)
    })
    .await
}
