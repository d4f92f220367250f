//! The restic REST protocol, versions 1 and 2, as a server.
//!
//! <https://restic.readthedocs.io/en/stable/REST_backend.html>. Beyond the protocol: what a name
//! does not fit is not stored (the name is the SHA-256 of the content), nothing is ever replaced
//! (409), and the table in [`access`](crate::access) decides before anything else (403). What an object holds is
//! judged by the host before it is stored (422): a name proves that it came as it was sent, and
//! nothing else.
//!
//! Memory is charged before it is taken, to the peer that makes us take it. Packs pass through in pieces
//! both ways, so that many slow peers hold little; documents are small and held whole; listings are
//! written while they are sent.

mod body;
mod create;
mod host;
mod listing;
mod parts;
mod range;
mod told;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{
    ACCEPT, ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use outlast_store::{Kind, Object, Store, StoreError, Verb};
use outlast_types::WorkloadName;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::access::Action;
use crate::api::ErrorCode;
use crate::certificate::Certified;
use crate::peer::Peer;
use crate::protocol::{LIST_V1, LIST_V2, TICKET_HEADER};
use crate::server::ApiError;
use crate::server::budget::{Bounds, Holder, Share, Shares};
use listing::{Listed, listing, listing_length};
use parts::Parts;
use range::{Range, parse_range};
use told::{host_error, kind_of, store_error, text_of, workload_name};

pub use host::{Asker, HostError, Incoming, RepositoryHost, Sender, Whole};

/// A pack is handed on in pieces of about so many bytes, and a second one may be waiting.
const PIECE_BYTES: usize = 1 << 20;

/// The pieces of an object on its way out that are in memory: one read, one ready, one being sent.
const PIECES_LEAVING: u64 = 3;

/// What all objects that are on their way in or out at one time together may hold, in MiB. The largest
/// index takes 32.
const TRANSIT_MIB: Bounds = Bounds { total: 96, each: 32, kept: 8 };

/// Listings that are made at one time. A store may hold a million objects.
const LISTINGS: Bounds = Bounds { total: 2, each: 1, kept: 0 };

/// What an object takes in a listing that waits to be written, in bytes.
const LISTED_BYTES: u64 = 64;

/// Calls of stores at one time; each holds a thread.
const STORE_CALLS: Bounds = Bounds { total: 32, each: 12, kept: 4 };

/// Packs that are judged at one time: as many as there are processors to do it. One peer may
/// use all of them, until another one wants its turn.
const JUDGED_MAX: u32 = 4;

/// How long a request waits for its share of anything before it is told to come back: well below the
/// time for which clients wait for an answer.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(20);

/// The protocol below `/repo/{workload}/`, for [`server::serve`](crate::server::serve).
pub fn router(host: Arc<dyn RepositoryHost>) -> Router {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let judged = u32::try_from(threads).unwrap_or(JUDGED_MAX).min(JUDGED_MAX);
    let rest = Rest {
        host,
        judged: Shares::new("turns to be judged", Bounds { total: judged, each: judged, kept: 0 }),
        calls: Shares::new("threads", STORE_CALLS),
        transit: Shares::new("MiB of memory", TRANSIT_MIB),
        listings: Shares::new("listings", LISTINGS),
        parts: Parts::new(),
        began: Instant::now(),
    };
    Router::new()
        .route("/repo/{workload}/", post(create_repository))
        .route("/repo/{workload}/config", any(config))
        .route("/repo/{workload}/{kind}/", get(list))
        .route("/repo/{workload}/{kind}/{name}", any(object))
        .with_state(rest)
}

#[derive(Clone)]
struct Rest {
    host: Arc<dyn RepositoryHost>,
    calls: Arc<Shares>,
    judged: Arc<Shares>,
    transit: Arc<Shares>,
    listings: Arc<Shares>,
    /// What is coming in parts, by the time since the router was made.
    parts: Arc<Parts>,
    began: Instant,
}

async fn create_repository(
    State(rest): State<Rest>,
    Extension(certified): Extension<Certified>,
    Path(workload): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let workload = workload_name(&workload)?;
    if query.as_deref() != Some("create=true") {
        let text = "only ?create=true is known here";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text));
    }
    rest.permit(&certified, &headers, &workload, Verb::Create, Kind::Config)?;
    let (host, peer) = (Arc::clone(&rest.host), certified.peer);
    let holder = Holder::from(&peer);
    rest.blocking(&holder, move || host.create(&peer, &workload)).await?.map_err(host_error)?;
    Ok(StatusCode::OK)
}

async fn config(
    State(rest): State<Rest>,
    Extension(certified): Extension<Certified>,
    Path(workload): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    rest.act(certified, workload_name(&workload)?, Object::Config, request).await
}

async fn object(
    State(rest): State<Rest>,
    Extension(certified): Extension<Certified>,
    Path((workload, kind, name)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let workload = workload_name(&workload)?;
    let kind = kind_of(&kind)?;
    let object = Object::parse(kind, &name).map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadName, error.to_string())
    })?;
    rest.act(certified, workload, object, request).await
}

async fn list(
    State(rest): State<Rest>,
    Extension(certified): Extension<Certified>,
    Path((workload, kind)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let workload = workload_name(&workload)?;
    let kind = kind_of(&kind)?;
    rest.permit(&certified, &headers, &workload, Verb::List, kind)?;
    let store = rest.store(&certified.peer, &workload, Verb::List).await?;
    let version_2 = headers.get_all(ACCEPT).iter().any(|accept| accept == LIST_V2);
    let holder = Holder::from(&certified.peer);
    let one_of_few = rest.listings.take(&holder, 1, QUEUE_TIMEOUT).await?;
    let objects = rest.blocking(&holder, move || store.list(kind)).await?.map_err(store_error)?;
    let room = rest.room(&holder, objects.len() as u64 * LISTED_BYTES).await?;
    drop(one_of_few);
    let objects: Listed =
        objects.into_iter().filter_map(|(object, size)| Some((object.name()?, size))).collect();
    let length = listing_length(&objects, version_2);
    let body = Body::new(body::Told::new(listing(objects, version_2), length, room));
    Ok(([(CONTENT_TYPE, if version_2 { LIST_V2 } else { LIST_V1 })], body).into_response())
}

impl Rest {
    /// Does to `object` what the request's method says.
    async fn act(
        &self,
        certified: Certified,
        workload: WorkloadName,
        object: Object,
        request: Request,
    ) -> Result<Response, ApiError> {
        let verb = match *request.method() {
            Method::POST => Verb::Create,
            Method::GET => Verb::Read,
            Method::HEAD => Verb::Size,
            Method::DELETE => Verb::Remove,
            _ => {
                return Err(told::bad_method());
            }
        };
        let permitted = self.permit(&certified, request.headers(), &workload, verb, object.kind());
        if let Err(refused) = permitted {
            // A client that is still sending does not hear an answer.
            body::discard(request.into_body()).await;
            return Err(refused);
        }
        if (verb, object.kind()) == (Verb::Read, Kind::Data) {
            let (host, certified, workload) =
                (Arc::clone(&self.host), certified.clone(), workload.clone());
            let ticket = text_of(request.headers(), TICKET_HEADER);
            let holder = Holder::from(&certified.peer);
            let permit = move || {
                let asker = Asker { certified: &certified, ticket: ticket.as_deref() };
                host.permit_pack(asker, &workload, &object)
            };
            self.blocking(&holder, permit).await?.map_err(host_error)?;
        }
        let peer = certified.peer;
        match verb {
            Verb::Create => self.create(peer, workload, object, request).await,
            Verb::Read => {
                let store = self.store(&peer, &workload, verb).await?;
                self.read(&Holder::from(&peer), store, object, request.headers()).await
            }
            Verb::Remove => {
                let (host, holder) = (Arc::clone(&self.host), Holder::from(&peer));
                let removed = move || host.remove(&peer, &workload, &object);
                self.blocking(&holder, removed).await?.map_err(host_error)?;
                Ok(StatusCode::OK.into_response())
            }
            Verb::Size | Verb::List => {
                let store = self.store(&peer, &workload, verb).await?;
                let size = self.blocking(&Holder::from(&peer), move || store.size(&object)).await?;
                let size = size.map_err(store_error)?;
                Ok([(CONTENT_LENGTH, size.to_string())].into_response())
            }
        }
    }

    async fn read(
        &self,
        holder: &Holder,
        store: Arc<dyn Store>,
        object: Object,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let wanted = headers.get(RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
        let looked = Arc::clone(&store);
        let size = self.blocking(holder, move || looked.size(&object)).await?;
        let size = size.map_err(store_error)?;
        let range = match wanted.as_deref().map_or(Range::Whole, |text| parse_range(text, size)) {
            Range::Unsatisfiable => {
                let text = format!("{object} has {size} bytes");
                return Err(ApiError::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    ErrorCode::BadRange,
                    text,
                ));
            }
            Range::Whole => None,
            Range::Part { offset, length } => Some((offset, length)),
        };
        let (offset, length) = range.unwrap_or((0, size));
        let reading = Reading { store, object, offset, end: offset.saturating_add(length) };
        let body = self.leaving(holder, reading).await?;
        let kind = (CONTENT_TYPE, "application/octet-stream".to_owned());
        let accept = (ACCEPT_RANGES, "bytes".to_owned());
        Ok(match range {
            None => ([kind, accept], body).into_response(),
            Some((offset, length)) => {
                let shown = format!("bytes {offset}-{}/{size}", offset + length - 1);
                let head = [kind, accept, (CONTENT_RANGE, shown)];
                (StatusCode::PARTIAL_CONTENT, head, body).into_response()
            }
        })
    }

    /// The content of an object as a body that is read while it is sent. What goes wrong at its
    /// beginning is an answer of its own.
    async fn leaving(&self, holder: &Holder, reading: Reading) -> Result<Body, ApiError> {
        let length = reading.end - reading.offset;
        let room = self.room(holder, length.min(PIECES_LEAVING * PIECE_BYTES as u64)).await?;
        let mut next = self.piece(holder, reading).await?.map_err(store_error)?;
        if next.1.offset >= next.1.end {
            // Most are read in one piece.
            return Ok(Body::new(body::Told::new(std::iter::once(next.0), length, room)));
        }
        let (ready, pieces) = mpsc::channel(1);
        let (rest, holder) = (self.clone(), holder.clone());
        tokio::spawn(async move {
            loop {
                let (piece, reading) = next;
                if ready.send(Ok(piece)).await.is_err() || reading.offset >= reading.end {
                    return;
                }
                next = match rest.piece(&holder, reading).await {
                    Ok(Ok(next)) => next,
                    failed => {
                        let failed = failed.map(|piece| piece.map(drop));
                        tracing::warn!(?failed, "an object could not be read to its end");
                        drop(ready.send(Err(io::ErrorKind::Other.into())).await);
                        return;
                    }
                };
            }
        });
        Ok(Body::new(body::Leaving::new(pieces, length, room)))
    }

    /// The next piece of an object, and what is left of it.
    async fn piece(
        &self,
        holder: &Holder,
        reading: Reading,
    ) -> Result<Result<(Bytes, Reading), StoreError>, ApiError> {
        let read = move || {
            let Reading { store, object, offset, end } = reading;
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let piece = store.read_range(&object, offset, left.min(PIECE_BYTES))?;
            let offset = offset + piece.len() as u64;
            Ok((piece, Reading { store, object, offset, end }))
        };
        self.blocking(holder, read).await
    }

    async fn store(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        verb: Verb,
    ) -> Result<Arc<dyn Store>, ApiError> {
        let (host, holder) = (Arc::clone(&self.host), Holder::from(peer));
        let (peer, workload) = (peer.clone(), workload.clone());
        let store = move || host.store(&peer, &workload, verb);
        self.blocking(&holder, store).await?.map_err(host_error)
    }

    /// Whether who asks may do that, before anything is looked at.
    fn permit(
        &self,
        certified: &Certified,
        headers: &HeaderMap,
        workload: &WorkloadName,
        verb: Verb,
        kind: Kind,
    ) -> Result<(), ApiError> {
        let asker = Asker::of(certified, headers);
        Ok(self.host.permit(asker, Action::Object { verb, kind }, workload)?)
    }

    /// Runs `call` for `holder` on a thread that may block, a bounded number at a time.
    async fn blocking<T: Send + 'static>(
        &self,
        holder: &Holder,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let slot = self.calls.take(holder, 1, QUEUE_TIMEOUT).await?;
        let done = tokio::task::spawn_blocking(move || {
            let result = call();
            drop(slot);
            result
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a call of a store panicked");
            let text = "the server failed at this request";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, text)
                .hint("the server's log tells more under this request's id")
        })
    }

    /// Waits until `holder` may have `bytes` more in memory. An object beyond all room waits for all
    /// of it.
    async fn room(&self, holder: &Holder, bytes: u64) -> Result<Share, ApiError> {
        let mib = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX).max(1);
        Ok(self.transit.take(holder, mib, QUEUE_TIMEOUT).await?)
    }
}

/// What is still to be read of an object.
struct Reading {
    store: Arc<dyn Store>,
    object: Object,
    offset: u64,
    end: u64,
}
