//! What shows that backups can be had: scrubs.

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Router};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::ScrubView;
use outlast_wire::server::RequestId;

use super::call::{Answer, Api};
use crate::core::scrubs::ScrubStatus;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/scrubs", get(scrubs))
}

async fn scrubs(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Vec<ScrubView>> {
    access::check_whole(&asker, Call::ViewScrubs)?;
    api.run(asker, id, |vault, asker| {
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
