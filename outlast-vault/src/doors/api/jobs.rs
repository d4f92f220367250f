//! The list of what the vault does by itself.

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Router};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::JobView;
use outlast_wire::server::RequestId;

use super::call::{Answer, Api};
use crate::core::jobs::{JobStatus, Run};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/jobs", get(jobs))
}

async fn jobs(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Vec<JobView>> {
    access::check_whole(&asker, Call::ListJobs)?;
    api.run(asker, id, |vault, _| Ok(vault.jobs.statuses().into_iter().map(view).collect())).await
}

fn view(status: JobStatus) -> JobView {
    let JobStatus { name, every, running, last, failures } = status;
    let error = last.as_ref().and_then(|last| last.error.clone());
    let state = match (&running, &error) {
        (Some(_), _) => "running",
        (None, Some(_)) => "failed",
        (None, None) => "waiting",
    };
    let newest = running.or(last.as_ref().map(|last| (last.started, last.count)));
    JobView {
        name: name.to_owned(),
        state: state.to_owned(),
        every_seconds: every.as_secs(),
        started: newest.map(|(started, _)| started),
        ended: last.as_ref().map(|last| last.ended),
        result: last.and_then(in_words),
        error,
        failures,
        done: newest.map_or(0, |(_, count)| count.done),
        total: newest.and_then(|(_, count)| count.total),
    }
}

/// What a run did, in words for others: where the vault keeps what it could not read or write is its
/// own business.
fn in_words(run: Run) -> Option<String> {
    match run.error {
        Some(_) => Some("could not be done; the vault's log tells why".to_owned()),
        None => (!run.result.is_empty()).then_some(run.result),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outlast_types::Timestamp;
    use outlast_wire::api::ErrorCode;

    use super::*;
    use crate::core::jobs::Count;

    #[test]
    fn what_failed_is_told_without_the_places_of_the_vault() {
        let count = Count { done: 2, total: Some(3) };
        let at = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
        let run = Run {
            started: at(1),
            ended: at(2),
            error: Some(ErrorCode::Unable),
            result: "cannot list /srv/vault/repos".to_owned(),
            count,
        };
        let every = Duration::from_secs(60);
        let status =
            JobStatus { name: "sweep", every, running: None, last: Some(run), failures: 4 };
        let told = view(status.clone());
        assert!(!format!("{told:?}").contains("/srv"), "{told:?}");
        assert_eq!((told.state.as_str(), told.failures), ("failed", 4));
        assert_eq!((told.started, told.ended), (Some(at(1)), Some(at(2))));
        assert_eq!((told.done, told.total), (2, Some(3)));

        let begun = (at(9), Count { done: 1, total: None });
        let told = view(JobStatus { running: Some(begun), ..status });
        assert_eq!(told.state, "running");
        assert_eq!((told.started, told.ended), (Some(at(9)), Some(at(2))));
        assert_eq!((told.done, told.total), (1, None));
    }
}
