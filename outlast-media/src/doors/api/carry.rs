//! One call on its way to the vault, and what becomes of it while the vault is away.

use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use outlast_drop::{DropAddress, Receipt, ReceiptState, Spooled};
use outlast_types::WorkloadName;
use outlast_wire::Certified;
use outlast_wire::api::{
    BeginShipment, BillAnswer, CHALLENGE_HEADER, CancelShipment, ErrorCode, Greeting,
    HeardShipment, Shipment,
};
use outlast_wire::challenge::Challenge;
use outlast_wire::client::Relayed;
use outlast_wire::server::ApiError;
use outlast_wire::statement::{Statement, Subject};

use crate::answers::Found;
use crate::hearing::{Unheard, hear, speaks_of};
use crate::link::Away;
use crate::media::Media;
use crate::words::Word;

/// How long the vault may take for a call: less than agents wait for us.
const DEADLINE: Duration = Duration::from_secs(25);
/// The same for a bill: the vault may walk the whole tree of a snapshot for it.
const DEADLINE_OF_BILLS: Duration = Duration::from_secs(50);

pub(super) type Answer = Result<Response, ApiError>;

/// A call that somebody makes through us.
pub(super) struct Errand {
    pub(super) method: Method,
    /// Below the vault's address, without a slash before it.
    pub(super) path: String,
    pub(super) body: Option<Vec<u8>>,
    /// What the call belongs to, by which the logs of all tiers name it.
    pub(super) id: Option<String>,
}

impl Errand {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: None, id: None }
    }

    pub(super) fn post(path: String) -> Self {
        Self { method: Method::POST, path, body: None, id: None }
    }

    /// What was signed, if that is what its body is.
    fn words(&self) -> Result<Statement, ApiError> {
        let body = self.body.as_deref().unwrap_or_default();
        serde_json::from_slice(body).map_err(|error| {
            let text = format!("the body is not the JSON that this call takes: {error}");
            ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text)
        })
    }
}

impl From<Unheard> for ApiError {
    fn from(error: Unheard) -> Self {
        let code = match error {
            Unheard::NotGranted { .. } => ErrorCode::NotGranted,
            Unheard::Statement(_) | Unheard::Signer(_) | Unheard::Carrier { .. } => {
                ErrorCode::BadStatement
            }
        };
        Self::new(StatusCode::FORBIDDEN, code, error.to_string())
    }
}

impl Media {
    /// Carries a call of which nothing can be said while the vault is away.
    pub(super) fn carry(&self, errand: Errand) -> Answer {
        match self.relay(errand, DEADLINE) {
            Ok(relayed) => Ok(as_it_came(relayed)),
            Err(away) => Err(self.is_away(&away)),
        }
    }

    /// Carries a request for a repository; a kept answer serves while the vault is away.
    pub(super) fn carry_open(
        &self,
        asker: &Certified,
        workload: &WorkloadName,
        errand: Errand,
    ) -> Answer {
        let words = errand.words()?;
        match self.relay(errand, DEADLINE) {
            Ok(relayed) => {
                if relayed.status == StatusCode::OK.as_u16() {
                    self.answers.keep(asker, &words, &relayed.body);
                }
                Ok(as_it_came(relayed))
            }
            Err(away) => match self.answers.find(asker, workload, &words) {
                Some(Found::Answer(answer)) => {
                    tracing::info!(agent = %asker.peer, %workload, "opened by a kept answer");
                    Ok(Json(*answer).into_response())
                }
                Some(Found::Over(challenge)) => {
                    let text = "the vault is away, and its answer is kept for another challenge";
                    let stale = ApiError::new(
                        StatusCode::PRECONDITION_FAILED,
                        ErrorCode::StaleChallenge,
                        text,
                    );
                    let stale =
                        stale.hint("sign it again over the challenge that comes with this answer");
                    Ok(with_challenge(stale.into_response(), &challenge))
                }
                None => Err(self.is_away(&away)),
            },
        }
    }

    /// Carries a bill, and says beside the vault's answer what is held here.
    pub(super) fn carry_bill(&self, asker: &Certified, errand: Errand) -> Answer {
        let words = errand.words()?;
        let heard = hear::<Shipment>(&self.trust, asker, Subject::Bill, &words);
        let (agent, bill) = heard?;
        drop(words);
        speaks_of(&agent, &bill.workload)?;
        let shipment = (bill.workload.clone(), bill.drop);
        // Before the vault looks: what leaves the spool is there.
        let here = self.waits(&bill.workload);
        let relayed = match self.relay(errand, DEADLINE_OF_BILLS) {
            Ok(relayed) => relayed,
            Err(away) => {
                tracing::debug!(since = %away.since, "a bill waits for the vault");
                let pending = Some(here);
                let answer = BillAnswer { receipt: None, pending, shipped: self.shipped(&bill) };
                return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
            }
        };
        let is_heard = matches!(relayed.status, 200 | 202);
        let answer = serde_json::from_slice::<BillAnswer>(&relayed.body);
        let (true, Ok(mut answer)) = (is_heard, answer) else {
            return Ok(as_it_came(relayed));
        };
        match &answer.receipt {
            Some(_) => {
                let (workload, drop) = &shipment;
                tracing::info!(%workload, %drop, "the vault has published a drop");
                self.published(&shipment);
            }
            None => {
                // The vault knows what we said last of the spool, which was up to a minute ago.
                if let Some(pending) = &mut answer.pending {
                    pending.waiting.retain(|it| it.media != self.name());
                    pending.waiting.extend(here.waiting.into_iter().filter(|it| it.objects > 0));
                }
                answer.shipped = self.shipped(&bill);
            }
        }
        let status = StatusCode::from_u16(relayed.status).unwrap_or(StatusCode::OK);
        let response = (status, Json(answer)).into_response();
        Ok(match relayed.challenge {
            Some(challenge) => with_challenge(response, &challenge),
            None => response,
        })
    }

    /// Our signed word of what came here of a shipment; none if nothing did.
    fn shipped(&self, bill: &Shipment) -> Option<String> {
        let shipment = (bill.workload.clone(), bill.drop);
        let held = self.tallies.of(&self.spool, &shipment);
        if held.items == 0 {
            return None;
        }
        let address =
            DropAddress { workload: bill.workload.clone(), day: bill.day, drop: bill.drop };
        let spool = Spooled { id: self.spool.id(), objects: held.items, bytes: held.bytes };
        let receipt = Receipt {
            seal: Some(bill.seal),
            size: Some(bill.size),
            tree: Some(bill.tree),
            snapshot: Some(bill.snapshot_id.to_string()),
            spool: Some(spool),
            ..Receipt::about(bill.share, &address, ReceiptState::Shipped, self.now())
        };
        let signed = receipt.sign(&*self.identity.get());
        let signed = signed.inspect_err(|error| tracing::error!(%error, "cannot sign a receipt"));
        String::from_utf8(signed.ok()?.bytes().to_vec()).ok()
    }

    /// Carries what an agent says of a shipment; it is kept, and said to the vault when that is there.
    pub(super) fn carry_word(&self, asker: &Certified, word: Word, errand: Errand) -> Answer {
        let words = errand.words()?;
        let (agent, shipment) = match word {
            Word::Begin => {
                let heard = hear::<BeginShipment>(&self.trust, asker, Subject::Begin, &words);
                let (agent, begin) = heard?;
                (agent, (begin.workload, begin.drop))
            }
            Word::Cancel => {
                let heard = hear::<CancelShipment>(&self.trust, asker, Subject::Cancel, &words);
                let (agent, cancel) = heard?;
                (agent, (cancel.workload, cancel.drop))
            }
        };
        speaks_of(&agent, &shipment.0)?;
        let relayed = match self.relay(errand, DEADLINE) {
            Ok(relayed) if relayed.status < 500 && relayed.status != 429 => Some(relayed),
            _ => None,
        };
        let is_refused = relayed.as_ref().is_some_and(|relayed| relayed.status >= 400);
        if !is_refused {
            let is_told = relayed.is_some();
            match (word, is_told) {
                // There is nothing to be said any more.
                (Word::Cancel, true) => self.words.forget(&shipment),
                _ => self.words.keep(&shipment, word, &words, is_told, self.now()).map_err(
                    |error| {
                        tracing::error!(%error, "what an agent said cannot be kept");
                        busy("what was said cannot be kept here; the log says why".to_owned())
                    },
                )?,
            }
            if word == Word::Cancel {
                self.drop_shipment(&shipment, "its agent cancelled the shipment");
            }
        }
        match relayed {
            Some(relayed) => Ok(as_it_came(relayed)),
            None => Ok(Json(HeardShipment::default()).into_response()),
        }
    }

    /// Carries a greeting; the vault has greeted us, who greet the agent.
    pub(super) fn carry_greeting(&self, asker: &Certified, errand: Errand) -> Answer {
        let relayed = self.relay(errand, DEADLINE).map_err(|away| self.is_away(&away))?;
        match serde_json::from_slice::<Greeting>(&relayed.body) {
            Ok(greeting) => {
                let greeting = Greeting { peer: asker.peer.to_string(), ..greeting };
                Ok(Json(greeting).into_response())
            }
            Err(_) => Ok(as_it_came(relayed)),
        }
    }

    fn relay(&self, errand: Errand, deadline: Duration) -> Result<Relayed, Away> {
        let Errand { method, path, body, id } = errand;
        let answer = self.link.call(|client| {
            // On an errand of its own: others go over the same connections.
            let client = client.beside();
            client.carry(id.as_deref());
            client.relay(method, &path, body, deadline)
        })?;
        // Whoever relays has no refusals.
        answer.map_err(|error| Away { since: self.now(), reason: error.to_string() })
    }

    fn is_away(&self, away: &Away) -> ApiError {
        let text = format!(
            "the vault cannot be reached from media server {} since {}",
            self.name(),
            away.since
        );
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::VaultAway, text)
            .hint("what agents bring is taken meanwhile; look at the line and at the vault")
    }
}

fn busy(text: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, text).hint("try again later")
}

/// An answer of the vault, handed on as it is.
fn as_it_came(relayed: Relayed) -> Response {
    let Relayed { status, body, challenge } = relayed;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, Body::from(body)).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, json);
    match challenge {
        Some(challenge) => with_challenge(response, &challenge),
        None => response,
    }
}

fn with_challenge(mut response: Response, challenge: &Challenge) -> Response {
    if let Ok(value) = HeaderValue::from_str(challenge.as_str()) {
        response.headers_mut().insert(CHALLENGE_HEADER, value);
    }
    response
}
