//! The calls of agents, carried to the vault: each within a deadline, and what can be is kept while the
//! vault is away. A media server believes nothing of them but who signed them.

mod carry;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Router};
use outlast_types::WorkloadName;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{BODY_BYTES_MAX, ErrorCode, Measured};
use outlast_wire::server::budget::{Bounds, Holder, Share, Shares};
use outlast_wire::server::{ApiError, ENROLLMENT, RENEWAL, RequestId, is_too_slow};
use outlast_wire::{Certified, Peer, Role};

use crate::media::Media;
use crate::words::Word;
use carry::{Answer, Errand};

/// Calls that are carried at one time; each holds a thread.
const CALLS: Bounds = Bounds { total: 24, each: 6, kept: 2 };
/// Their bodies, in MiB.
const BODIES_MIB: Bounds = Bounds { total: 40, each: 16, kept: 4 };
/// How long a call waits for its turn before it is told to come back.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest body of a host that may be anybody, in bytes.
const STRANGER_BYTES_MAX: usize = 64 << 10;

#[derive(Clone)]
struct Api {
    media: Arc<Media>,
    calls: Arc<Shares>,
    bodies: Arc<Shares>,
}

pub(crate) fn router(media: Arc<Media>) -> Router {
    let api = Api {
        media,
        calls: Shares::new("threads", CALLS),
        bodies: Shares::new("MiB for bodies", BODIES_MIB),
    };
    Router::new()
        .route("/api/v1/workloads/{workload}/open", post(open))
        .route("/api/v1/workloads/{workload}/backup", post(backup))
        .route("/api/v1/shipments", post(ship))
        .route("/api/v1/shipments/begin", post(begin))
        .route("/api/v1/shipments/cancel", post(cancel))
        .route("/api/v1/holdings", post(holdings))
        .route("/api/v1/agent/report", post(report))
        .route("/api/v1/trust", get(trust))
        .route("/api/v1/greeting", get(greeting))
        .route("/api/v1/probe", post(probe))
        .route(ENROLLMENT, get(introduction).post(enroll))
        .route(RENEWAL, post(renew))
        .fallback(nothing_here)
        .with_state(api)
}

async fn nothing_here() -> ApiError {
    let text = "there is nothing at this address";
    ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, text).hint(
        "this is a media server: it takes what agents ship; all else is asked of the vault itself",
    )
}

async fn open(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Path(workload): Path<String>,
    request: Request,
) -> Answer {
    let workload = named(&asker, Call::OpenRepository, &workload)?;
    let errand = Errand::post(format!("api/v1/workloads/{workload}/open"));
    api.carry(asker, errand, request, move |media, asker, errand| {
        media.carry_open(asker, &workload, errand)
    })
    .await
}

async fn backup(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Path(workload): Path<String>,
    request: Request,
) -> Answer {
    let workload = named(&asker, Call::FetchBackup, &workload)?;
    let errand = Errand::post(format!("api/v1/workloads/{workload}/backup"));
    api.carry(asker, errand, request, |media, _, errand| media.carry(errand)).await
}

async fn ship(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    request: Request,
) -> Answer {
    of_agent(&asker, Call::Ship)?;
    let errand = Errand::post("api/v1/shipments".to_owned());
    api.carry(asker, errand, request, |media, asker, errand| media.carry_bill(asker, errand)).await
}

async fn begin(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    request: Request,
) -> Answer {
    of_agent(&asker, Call::Ship)?;
    let errand = Errand::post("api/v1/shipments/begin".to_owned());
    api.carry(asker, errand, request, |media, asker, errand| {
        media.carry_word(asker, Word::Begin, errand)
    })
    .await
}

async fn cancel(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    request: Request,
) -> Answer {
    of_agent(&asker, Call::Ship)?;
    let errand = Errand::post("api/v1/shipments/cancel".to_owned());
    api.carry(asker, errand, request, |media, asker, errand| {
        media.carry_word(asker, Word::Cancel, errand)
    })
    .await
}

async fn holdings(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    request: Request,
) -> Answer {
    of_agent(&asker, Call::AskHoldings)?;
    let errand = Errand::post("api/v1/holdings".to_owned());
    api.carry(asker, errand, request, |media, _, errand| media.carry(errand)).await
}

async fn report(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    request: Request,
) -> Answer {
    of_agent(&asker, Call::Report)?;
    let errand = Errand::post("api/v1/agent/report".to_owned());
    api.carry(asker, errand, request, |media, _, errand| media.carry(errand)).await
}

async fn trust(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    request: Request,
) -> Answer {
    access::check_role(&asker.peer, Call::AskTrust)?;
    let errand = Errand::get("api/v1/trust".to_owned());
    api.carry(asker, errand, request, |media, _, errand| media.carry(errand)).await
}

/// Who the agent is to whom, and what time it is at the vault.
async fn greeting(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    request: Request,
) -> Answer {
    access::check_role(&asker.peer, Call::Greet)?;
    let errand = Errand::get("api/v1/greeting".to_owned());
    api.carry(asker, errand, request, |media, asker, errand| media.carry_greeting(asker, errand))
        .await
}

/// Measures the road to this media server: the line behind it is not for that.
async fn probe(Extension(asker): Extension<Certified>, request: Request) -> Answer {
    access::check_role(&asker.peer, Call::MeasureRoad)?;
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| too_large(&format!("the body broke off: {error}")))?;
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > BODY_BYTES_MAX as u64 {
            return Err(too_large(&format!("a body has at most {BODY_BYTES_MAX} bytes")));
        }
    }
    Ok(axum::Json(Measured { bytes }).into_response())
}

/// What anybody may know of the vault; nothing of it is proved.
async fn introduction(State(api): State<Api>, Extension(holder): Extension<Holder>) -> Answer {
    let errand = Errand::get(ENROLLMENT.trim_start_matches('/').to_owned());
    api.run(&holder, move |media| media.carry(errand)).await
}

async fn enroll(
    State(api): State<Api>,
    Extension(holder): Extension<Holder>,
    request: Request,
) -> Answer {
    api.carry_small(ENROLLMENT, &holder, request).await
}

async fn renew(
    State(api): State<Api>,
    Extension(holder): Extension<Holder>,
    request: Request,
) -> Answer {
    api.carry_small(RENEWAL, &holder, request).await
}

/// Whether an agent asks for something that agents may ask for.
fn of_agent(asker: &Certified, call: Call) -> Result<(), ApiError> {
    access::check_role(&asker.peer, call)?;
    match asker.peer.role() {
        Role::Agent => Ok(()),
        _ => {
            let text = format!("{} speaks with the vault itself", asker.peer);
            Err(ApiError::new(StatusCode::FORBIDDEN, ErrorCode::Refused, text)
                .hint("a media server carries what agents say"))
        }
    }
}

/// The same, of a workload.
fn named(asker: &Certified, call: Call, workload: &str) -> Result<WorkloadName, ApiError> {
    of_agent(asker, call)?;
    let bad =
        |error| ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadName, format!("{error}"));
    let workload = WorkloadName::new(workload).map_err(bad)?;
    access::check(asker, call, &workload)?;
    Ok(workload)
}

fn too_large(text: &str) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BadBody, text)
}

impl Api {
    /// Reads the body of a call, and carries it on a thread that may block.
    async fn carry(
        &self,
        asker: Certified,
        errand: Errand,
        request: Request,
        carry: impl FnOnce(&Media, &Certified, Errand) -> Answer + Send + 'static,
    ) -> Answer {
        let holder = Holder::from(&asker.peer);
        let id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
        let (body, held) = match errand.method {
            Method::GET => (None, None),
            _ => {
                let (body, held) = self.body(&asker.peer, request).await?;
                (Some(body), Some(held))
            }
        };
        // What the call logs is found by the request's id.
        let span = tracing::info_span!("request", id);
        let errand = Errand { body, id, ..errand };
        self.run(&holder, move |media| {
            let _held = held;
            span.in_scope(|| carry(media, &asker, errand))
        })
        .await
    }

    /// The same for a host that may be anybody.
    async fn carry_small(&self, path: &str, holder: &Holder, request: Request) -> Answer {
        let body = to_bytes(request.into_body(), STRANGER_BYTES_MAX).await.map_err(|_| {
            too_large(&format!("this call takes bodies of at most {STRANGER_BYTES_MAX} bytes"))
        })?;
        let path = path.trim_start_matches('/').to_owned();
        let errand = Errand { body: Some(body.to_vec()), ..Errand::post(path) };
        self.run(holder, move |media| media.carry(errand)).await
    }

    async fn body(&self, peer: &Peer, request: Request) -> Result<(Vec<u8>, Share), ApiError> {
        let announced = request.body().size_hint().exact().unwrap_or(BODY_BYTES_MAX as u64);
        let length = announced.min(BODY_BYTES_MAX as u64);
        let mib = u32::try_from(length.div_ceil(1 << 20)).unwrap_or(u32::MAX).max(1);
        let held = self.bodies.take(&Holder::from(peer), mib, QUEUE_TIMEOUT).await?;
        let body: Body = request.into_body();
        match to_bytes(body, BODY_BYTES_MAX).await {
            Ok(body) => Ok((body.to_vec(), held)),
            Err(error) if is_too_slow(&error) => {
                let text = format!("the body came too slowly: {error}");
                Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::TooSlow, text))
            }
            Err(error) => Err(too_large(&format!("the body cannot be taken: {error}"))),
        }
    }

    async fn run(
        &self,
        holder: &Holder,
        call: impl FnOnce(&Media) -> Answer + Send + 'static,
    ) -> Answer {
        let slot = self.calls.take(holder, 1, QUEUE_TIMEOUT).await?;
        let media = Arc::clone(&self.media);
        let done = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            call(&media)
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a call failed badly");
            let text = "the media server failed at this request";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, text)
                .hint("its log tells more"))
        })
    }
}
