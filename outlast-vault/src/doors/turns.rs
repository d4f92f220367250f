//! Requests in turn: how many of one peer are under way, and how often it may ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use outlast_promise::{Excess, Limit};
use outlast_wire::Peer;
use outlast_wire::api::{ErrorBody, ErrorCode};
use outlast_wire::server::ApiError;
use outlast_wire::server::budget::{Bounds, Busy, Holder, Rates, Share, Shares};

use super::api::road::PROBE_PATH;
use super::bodies::holder_of;
use crate::core::audit::{AuditAction, Event};
use crate::core::error::VaultError;
use crate::core::vault::Vault;

/// Requests that are being answered at one time. Other bounds are for what each of them takes.
const REQUESTS: Bounds = Bounds { total: 256, each: 48, kept: 16 };
/// Reports that are being heard at one time: each is a long word to the ledger, on which others wait.
const REPORTS: Bounds = Bounds { total: 2, each: 1, kept: 0 };
const REPORT_PATH: &str = "/api/v1/agent/report";
/// What a call brings counts, too: so many bytes as one more request. What goes to a repository is
/// counted there.
const BYTES_OF_A_REQUEST: u64 = 4 << 10;
/// Of a measured road's bytes, which nobody parses or keeps. A measurement must not wait for its turn.
const PROBED_BYTES_OF_A_REQUEST: u64 = 64 << 10;
const CALLS_PATH: &str = "/api/";
/// Objects are taken at the speed of the road. One that is refused when it is there has cost as much as
/// one that is kept, and honest peers hardly send any: who sends it waits before the next.
const OBJECTS_PATH: &str = "/repo/";
/// Of one address, by those who have shown no certificate: to enrol.
const STRANGERS_REQUESTS_PER_SECOND: u32 = 10;
/// How long a request waits for its turn before its peer is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose turn it is.
pub(crate) struct Turns {
    vault: Arc<Vault>,
    requests: Arc<Shares>,
    reports: Arc<Shares>,
    rates: Mutex<Rates>,
}

impl Turns {
    pub(crate) fn new(vault: &Arc<Vault>) -> Self {
        let requests = Shares::new("turns for requests", REQUESTS);
        let reports = Shares::new("turns for reports", REPORTS);
        Self { vault: Arc::clone(vault), requests, reports, rates: Mutex::default() }
    }

    /// How long a request of `holder` is to be held up, so that its peer asks no more often than it may.
    fn pause(&self, holder: &Holder, amount: u32, per_second: u32) -> Option<Duration> {
        let now = self.vault.environment.timer.elapsed();
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.turn_for(holder, amount, per_second, now, PATIENCE)
    }

    /// Counts what `holder` did in vain.
    fn charge(&self, holder: &Holder, amount: u32, per_second: u32) {
        let now = self.vault.environment.timer.elapsed();
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.charge(holder, amount, per_second, now, PATIENCE);
    }

    /// What is to be held while a request is answered.
    async fn take(&self, holder: &Holder, is_report: bool) -> Result<(Share, Option<Share>), Busy> {
        let report = match is_report {
            true => Some(self.reports.take(holder, 1, PATIENCE).await?),
            false => None,
        };
        Ok((self.requests.take(holder, 1, PATIENCE).await?, report))
    }

    /// Notes that a peer asks more often than it may and would not wait.
    async fn refuse(&self, peer: Peer, per_second: u32) -> ApiError {
        let excess =
            Excess { limit: Limit::Requests, allowed: u64::from(per_second), workload: None };
        let error = VaultError::OverLimit { peer: peer.clone(), excess };
        let answer = ApiError::over_limit(error.to_string());
        let vault = Arc::clone(&self.vault);
        let noted = tokio::task::spawn_blocking(move || {
            vault.note_failure(Event::by(&peer, AuditAction::Requested), &error);
        });
        if let Err(error) = noted.await {
            tracing::error!(%error, "noting a refusal failed badly");
        }
        answer
    }
}

/// Lets a request go on when it is its turn.
pub(crate) async fn in_turn(
    State(turns): State<Arc<Turns>>,
    request: Request,
    next: Next,
) -> Response {
    let holder = holder_of(&request);
    let peer = request.extensions().get::<Peer>().cloned();
    let per_second = match &peer {
        Some(peer) => turns.vault.limits.requests_per_second(peer),
        None => STRANGERS_REQUESTS_PER_SECOND,
    };
    match (turns.pause(&holder, amount_of(&request), per_second), peer) {
        (Some(Duration::ZERO), _) => {}
        (Some(pause), _) => tokio::time::sleep(pause).await,
        (None, Some(peer)) => return turns.refuse(peer, per_second).await.into_response(),
        (None, None) => {
            let text = format!("{holder} asks more than {per_second} times a second");
            return ApiError::over_limit(text).into_response();
        }
    }
    let is_report = request.uri().path() == REPORT_PATH;
    let in_vain = in_vain(&request);
    match turns.take(&holder, is_report).await {
        Ok(turn) => {
            let response = next.run(request).await;
            if in_vain > 0 && is_refused(&response) {
                // What it has to wait shows when it comes again.
                turns.charge(&holder, in_vain, per_second);
            }
            drop(turn);
            response
        }
        Err(busy) => ApiError::from(busy).into_response(),
    }
}

/// As how many requests one counts.
fn amount_of(request: &Request) -> u32 {
    let of_one = match request.uri().path() {
        path if !path.starts_with(CALLS_PATH) => return 1,
        PROBE_PATH => PROBED_BYTES_OF_A_REQUEST,
        _ => BYTES_OF_A_REQUEST,
    };
    u32::try_from(1 + announced(request).unwrap_or(0) / of_one).unwrap_or(u32::MAX)
}

/// As how many requests an object counts besides, should it be refused. One whose length is not told
/// may have any.
fn in_vain(request: &Request) -> u32 {
    if request.method() != Method::POST || !request.uri().path().starts_with(OBJECTS_PATH) {
        return 0;
    }
    // Without both there is no body.
    let untold = if request.headers().contains_key(TRANSFER_ENCODING) { u64::MAX } else { 0 };
    let length = announced(request).unwrap_or(untold);
    u32::try_from(length / BYTES_OF_A_REQUEST).unwrap_or(u32::MAX)
}

/// Whether all of an object came, and it is not what it says. What broke off, is here already, or may not
/// be sent by this peer any more is no flood: honest agents are killed, replaced and revoked.
fn is_refused(response: &Response) -> bool {
    let error = response.extensions().get::<ErrorBody>();
    error.is_some_and(|error| matches!(error.code, ErrorCode::Unacceptable | ErrorCode::WrongHash))
}

/// The length of the body, as the head of the request has it.
fn announced(request: &Request) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;

    use super::*;
    use crate::core::limits::AgentLimits;

    #[test]
    fn a_road_that_is_measured_is_not_held_up_by_the_measurement() {
        let request = |path: &str, bytes: u64| {
            let request = Request::post(path).header(CONTENT_LENGTH, bytes);
            amount_of(&request.body(Body::empty()).unwrap())
        };
        let at_once = AgentLimits::default().requests_per_second;
        assert!(request(PROBE_PATH, 4 << 20) < at_once / 4);
        assert!(request(REPORT_PATH, 4 << 20) > at_once);
        assert_eq!(request("/repo/shop-db/data/00", 128 << 20), 1);
    }

    #[test]
    fn an_object_counts_by_its_length_only_if_it_is_refused() {
        let of = |path: &str, bytes: u64| {
            let request = Request::post(path).header(CONTENT_LENGTH, bytes);
            in_vain(&request.body(Body::empty()).unwrap())
        };
        assert_eq!(of("/repo/shop-db/data/00", 4 << 20), 1024);
        assert_eq!(of(REPORT_PATH, 4 << 20), 0, "it was counted when it came");
        let untold = Request::post("/repo/shop-db/data/00").header(TRANSFER_ENCODING, "chunked");
        assert_eq!(in_vain(&untold.body(Body::empty()).unwrap()), u32::MAX);
        let empty = Request::post("/repo/shop-db/data/00").body(Body::empty()).unwrap();
        assert_eq!(in_vain(&empty), 0);
        let asked = Request::get("/repo/shop-db/data/00").body(Body::empty()).unwrap();
        assert_eq!(in_vain(&asked), 0);
    }

    #[test]
    fn who_is_killed_replaced_or_early_has_sent_nothing_in_vain() {
        let answer = |status, code| ApiError::new(status, code, "x").into_response();
        assert!(is_refused(&answer(StatusCode::BAD_REQUEST, ErrorCode::WrongHash)));
        assert!(is_refused(&answer(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::Unacceptable)));
        for (status, code) in [
            (StatusCode::BAD_REQUEST, ErrorCode::BrokenOff),
            (StatusCode::REQUEST_TIMEOUT, ErrorCode::TooSlow),
            (StatusCode::CONFLICT, ErrorCode::AlreadyExists),
            (StatusCode::FORBIDDEN, ErrorCode::NotGranted),
        ] {
            assert!(!is_refused(&answer(status, code)));
        }
    }
}
