//! Requests in turn: how many of one peer are under way, and how often it may ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use outlast_promise::{Excess, Limit};
use outlast_wire::Peer;
use outlast_wire::server::ApiError;
use outlast_wire::server::budget::{Bounds, Holder, Rates, Shares};

use super::bodies::holder_of;
use crate::core::audit::{AuditAction, Event};
use crate::core::error::VaultError;
use crate::core::vault::Vault;

/// Requests that are being answered at one time. Other bounds are for what each of them takes.
const REQUESTS: Bounds = Bounds { total: 256, each: 48, kept: 16 };
/// How long a request waits for its turn before its peer is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose turn it is.
pub(crate) struct Turns {
    vault: Arc<Vault>,
    requests: Arc<Shares>,
    rates: Mutex<Rates>,
}

impl Turns {
    pub(crate) fn new(vault: &Arc<Vault>) -> Self {
        let requests = Shares::new("turns for requests", REQUESTS);
        Self { vault: Arc::clone(vault), requests, rates: Mutex::default() }
    }

    /// How long a request of `holder` is to be held up, so that its peer asks no more often than it may.
    fn pause(&self, holder: &Holder, per_second: u32) -> Option<Duration> {
        let now = self.vault.environment.timer.elapsed();
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.turn(holder, per_second, now, PATIENCE)
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
    if let Some(peer) = request.extensions().get::<Peer>().cloned() {
        let per_second = turns.vault.limits.requests_per_second(&peer);
        match turns.pause(&holder, per_second) {
            Some(Duration::ZERO) => {}
            Some(pause) => tokio::time::sleep(pause).await,
            None => return turns.refuse(peer, per_second).await.into_response(),
        }
    }
    match turns.requests.take(&holder, 1, PATIENCE).await {
        Ok(turn) => {
            let response = next.run(request).await;
            drop(turn);
            response
        }
        Err(busy) => ApiError::from(busy).into_response(),
    }
}
