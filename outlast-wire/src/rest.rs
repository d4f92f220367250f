//! The restic REST protocol, versions 1 and 2, as a server.
//!
//! <https://restic.readthedocs.io/en/stable/REST_backend.html>. Beyond the protocol: what a name
//! does not fit is not stored (the name is the SHA-256 of the content), nothing is ever replaced
//! (409), and the table in [`access`] decides before anything else (403). What an object holds is
//! judged by the host before it is stored (422): a name proves that it came as it was sent, and
//! nothing else.
//!
//! Memory is charged before it is taken. Packs pass through in pieces, so that many slow senders
//! hold little; documents are small and held whole; listings are made one after another.

mod body;
mod host;
mod range;

use std::fmt::Write as _;
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
use outlast_store::{Kind, Object, Store, StoreError, Verb};
use outlast_types::{WorkloadName, hex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{self, Action};
use crate::api::ErrorCode;
use crate::peer::Peer;
use crate::protocol::{LIST_V1, LIST_V2, OBJECT_BYTES_MAX};
use crate::server::ApiError;
use range::{Range, parse_range};

pub use host::{HostError, Incoming, RepositoryHost, Whole};

/// The largest index, in bytes: four times as much as stock restic writes without compression.
const INDEX_BYTES_MAX: u64 = 32 << 20;

/// The largest object of the kinds that are small by nature, in bytes. Some snapshots name thousands
/// of paths.
const SMALL_BYTES_MAX: u64 = 4 << 20;

/// A pack is handed on in pieces of about so many bytes, and a second one may be waiting.
const PIECE_BYTES: usize = 1 << 20;

/// What all objects that are on their way in or out at one time together may hold, in MiB.
const TRANSIT_MIB_MAX: u32 = 512;

/// Listings that are made at one time. A store may hold a million objects.
const LISTINGS_MAX: usize = 2;

/// What an object takes in a listing at most, in bytes.
const LISTED_BYTES: usize = 112;

/// Calls of stores at one time; each holds a thread.
const STORE_CALLS_MAX: usize = 32;

/// How long a request waits for its share of memory before it is told to come back.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// The protocol below `/repo/{workload}/`, for [`server::serve`](crate::server::serve).
pub fn router(host: Arc<dyn RepositoryHost>) -> Router {
    let rest = Rest {
        host,
        calls: Arc::new(Semaphore::new(STORE_CALLS_MAX)),
        transit: Arc::new(Semaphore::new(TRANSIT_MIB_MAX as usize)),
        listings: Arc::new(Semaphore::new(LISTINGS_MAX)),
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
    calls: Arc<Semaphore>,
    transit: Arc<Semaphore>,
    listings: Arc<Semaphore>,
}

async fn create_repository(
    State(rest): State<Rest>,
    Extension(peer): Extension<Peer>,
    Path(workload): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, ApiError> {
    let workload = workload_name(&workload)?;
    if query.as_deref() != Some("create=true") {
        let text = "only ?create=true is known here";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text));
    }
    permit(&peer, Verb::Create, Kind::Config)?;
    let host = Arc::clone(&rest.host);
    rest.blocking(move || host.create(&peer, &workload)).await?.map_err(host_error)?;
    Ok(StatusCode::OK)
}

async fn config(
    State(rest): State<Rest>,
    Extension(peer): Extension<Peer>,
    Path(workload): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    rest.act(peer, workload_name(&workload)?, Object::Config, request).await
}

async fn object(
    State(rest): State<Rest>,
    Extension(peer): Extension<Peer>,
    Path((workload, kind, name)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let workload = workload_name(&workload)?;
    let kind = kind_of(&kind)?;
    let object = Object::parse(kind, &name).map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadName, error.to_string())
    })?;
    rest.act(peer, workload, object, request).await
}

async fn list(
    State(rest): State<Rest>,
    Extension(peer): Extension<Peer>,
    Path((workload, kind)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let workload = workload_name(&workload)?;
    let kind = kind_of(&kind)?;
    permit(&peer, Verb::List, kind)?;
    let store = rest.store(&peer, &workload, Verb::List).await?;
    let version_2 = headers.get_all(ACCEPT).iter().any(|accept| accept == LIST_V2);
    let _one_of_few = waited(Arc::clone(&rest.listings).acquire_owned()).await?;
    let objects = rest.blocking(move || store.list(kind)).await?.map_err(store_error)?;
    let room = rest.room((objects.len() * LISTED_BYTES) as u64).await?;
    let text = rest.blocking(move || listing(&objects, version_2)).await?;
    let body = Body::new(body::Held::new(text.into(), room));
    Ok(([(CONTENT_TYPE, if version_2 { LIST_V2 } else { LIST_V1 })], body).into_response())
}

/// Objects as the protocol lists them: names with sizes in version 2, names alone in version 1.
fn listing(objects: &[(Object, u64)], version_2: bool) -> String {
    // Hex and numbers need no escaping, and a million of them no tree of values.
    let mut text = String::with_capacity(objects.len() * LISTED_BYTES + 2);
    text.push('[');
    for (object, size) in objects {
        let Some(name) = object.name() else { continue };
        let name = hex::encode_32(&name);
        if text.len() > 1 {
            text.push(',');
        }
        // Writing to a text cannot fail.
        let _ = if version_2 {
            write!(text, "{{\"name\":\"{name}\",\"size\":{size}}}")
        } else {
            write!(text, "\"{name}\"")
        };
    }
    text.push(']');
    text
}

/// Waits for its turn, but not for ever.
async fn waited<T, E>(turn: impl Future<Output = Result<T, E>>) -> Result<T, ApiError> {
    match tokio::time::timeout(QUEUE_TIMEOUT, turn).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(busy("the server is busy".to_owned())),
    }
}

fn busy(text: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, text).hint("try again later")
}

impl Rest {
    /// Does to `object` what the request's method says.
    async fn act(
        &self,
        peer: Peer,
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
                let text = "objects know GET, HEAD, POST and DELETE only";
                return Err(ApiError::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    ErrorCode::BadMethod,
                    text,
                ));
            }
        };
        if let Err(refused) = permit(&peer, verb, object.kind()) {
            // A client that is still sending does not hear an answer.
            body::discard(request.into_body()).await;
            return Err(refused);
        }
        match verb {
            Verb::Create => self.create(peer, workload, object, request).await,
            Verb::Read => {
                let store = self.store(&peer, &workload, verb).await?;
                self.read(store, object, request.headers()).await
            }
            Verb::Remove => {
                let host = Arc::clone(&self.host);
                let removed = self.blocking(move || host.remove(&peer, &workload, &object)).await?;
                removed.map_err(host_error)?;
                Ok(StatusCode::OK.into_response())
            }
            Verb::Size | Verb::List => {
                let store = self.store(&peer, &workload, verb).await?;
                let size =
                    self.blocking(move || store.size(&object)).await?.map_err(store_error)?;
                Ok([(CONTENT_LENGTH, size.to_string())].into_response())
            }
        }
    }

    async fn create(
        &self,
        peer: Peer,
        workload: WorkloadName,
        object: Object,
        request: Request,
    ) -> Result<Response, ApiError> {
        let bytes_max = match object.kind() {
            Kind::Data => OBJECT_BYTES_MAX,
            Kind::Index => INDEX_BYTES_MAX,
            Kind::Config | Kind::Key | Kind::Lock | Kind::Snapshot => SMALL_BYTES_MAX,
        };
        let announced = body::announced(request.headers(), bytes_max)?;
        let bytes = match object.kind() {
            Kind::Data => 2 * PIECE_BYTES as u64,
            // Held as a whole, in a buffer that grew by doubling.
            _ => 2 * announced.unwrap_or(bytes_max),
        };
        let _room = self.room(bytes).await?;
        let host = Arc::clone(&self.host);
        let incoming = self.blocking(move || host.receive(&peer, &workload, &object)).await?;
        let incoming = match incoming.map_err(host_error) {
            Ok(incoming) => incoming,
            Err(refused) => {
                body::discard(request.into_body()).await;
                return Err(refused);
            }
        };
        let mut incoming = Ok(incoming);
        let mut body = body::Arriving::new(request.into_body(), announced, bytes_max);
        while let Some(piece) = body.piece(PIECE_BYTES).await? {
            // After a failure the rest is taken all the same: who still sends does not hear.
            let Ok(mut into) = incoming else { continue };
            incoming = self.blocking(move || into.take(&piece).map(|()| into)).await?;
        }
        let incoming = incoming.map_err(host_error)?;
        if object.name().is_some_and(|name| name != body.hash()) {
            let text = format!("the content sent for {object} has another SHA-256");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::WrongHash, text)
                .hint("it was damaged on the way or before; send it again"));
        }
        self.blocking(move || incoming.store()).await?.map_err(host_error)?;
        Ok(StatusCode::OK.into_response())
    }

    async fn read(
        &self,
        store: Arc<dyn Store>,
        object: Object,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let wanted = headers.get(RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
        let looked = Arc::clone(&store);
        let size = self.blocking(move || looked.size(&object)).await?.map_err(store_error)?;
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
        let bytes = range.map_or(size, |(_, length)| length);
        let room = self.room(bytes).await?;
        let content = self
            .blocking(move || match range {
                None => store.read(&object),
                // A length that memory cannot address does not fit in the room either.
                Some((offset, length)) => {
                    store.read_range(&object, offset, usize::try_from(length).unwrap_or(usize::MAX))
                }
            })
            .await?
            .map_err(store_error)?;
        let body = Body::new(body::Held::new(content, room));
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

    async fn store(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        verb: Verb,
    ) -> Result<Arc<dyn Store>, ApiError> {
        let (host, peer, workload) = (Arc::clone(&self.host), peer.clone(), workload.clone());
        self.blocking(move || host.store(&peer, &workload, verb)).await?.map_err(host_error)
    }

    /// Runs `call` on a thread that may block, a bounded number at a time.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let broken = |text: &str| {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, text)
                .hint("the server's log tells more under this request's id")
        };
        let slot = Arc::clone(&self.calls).acquire_owned().await;
        let slot = slot.map_err(|_| broken("the server is stopping"))?;
        let done = tokio::task::spawn_blocking(move || {
            let result = call();
            drop(slot);
            result
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a call of a store panicked");
            broken("the server failed at this request")
        })
    }

    /// Waits until `bytes` more may be in memory. An object beyond all room waits for all of it.
    async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit, ApiError> {
        let mib = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        let mib = mib.clamp(1, TRANSIT_MIB_MAX);
        waited(Arc::clone(&self.transit).acquire_many_owned(mib)).await
    }
}

fn permit(peer: &Peer, verb: Verb, kind: Kind) -> Result<(), ApiError> {
    access::check(peer, Action::Object { verb, kind }).map_err(ApiError::from)
}

fn workload_name(text: &str) -> Result<WorkloadName, ApiError> {
    let bad =
        |error| ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadName, format!("{error}"));
    WorkloadName::new(text).map_err(bad)
}

fn kind_of(segment: &str) -> Result<Kind, ApiError> {
    let kind = Kind::from_directory(segment).filter(|kind| *kind != Kind::Config);
    kind.ok_or_else(|| {
        let text = "there are keys, locks, snapshots, index and data, nothing else";
        ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, text)
    })
}

fn host_error(error: HostError) -> ApiError {
    let text = error.to_string();
    let (status, code) = match error {
        HostError::Store(error) => return store_error(error),
        HostError::Busy { .. } => return busy(text),
        HostError::Unacceptable { hint, .. } => {
            return ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::Unacceptable, text)
                .hint(hint);
        }
        HostError::Unknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::UnknownWorkload),
        HostError::Denied { .. } => (StatusCode::FORBIDDEN, ErrorCode::Refused),
        HostError::Unable { .. } => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unable),
    };
    ApiError::new(status, code, text)
}

fn store_error(error: StoreError) -> ApiError {
    let (status, code) = match error {
        StoreError::NotFound { .. } => (StatusCode::NOT_FOUND, ErrorCode::NotFound),
        StoreError::AlreadyExists { .. } | StoreError::OtherSize { .. } => {
            (StatusCode::CONFLICT, ErrorCode::AlreadyExists)
        }
        StoreError::Full { .. } => (StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Full),
        StoreError::Refused { .. }
        | StoreError::Io { .. }
        | StoreError::List { .. }
        | StoreError::Open { .. } => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Storage),
    };
    ApiError::new(status, code, error.to_string())
}
