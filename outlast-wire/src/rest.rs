//! The restic REST protocol, versions 1 and 2, as a server.
//!
//! <https://restic.readthedocs.io/en/stable/REST_backend.html>. Beyond the protocol: what a name
//! does not fit is not stored (the name is the SHA-256 of the content), nothing is ever replaced
//! (409), and the table in [`access`] decides before anything else (403).

mod body;
mod range;

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
use outlast_types::WorkloadName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Peer;
use crate::access;
use crate::api::ApiError;
use range::{Range, parse_range};

/// The media types of the two forms of a listing.
pub const LIST_V1: &str = "application/vnd.x.restic.rest.v1";
pub const LIST_V2: &str = "application/vnd.x.restic.rest.v2";

/// The largest object that is taken, in bytes. Stock restic makes packs of up to 128 MiB and may
/// overshoot by a blob.
pub const OBJECT_BYTES_MAX: u64 = 160 << 20;

/// The largest object of the kinds that are small by nature, in bytes.
const SMALL_BYTES_MAX: u64 = 4 << 20;

/// All objects that are on their way in or out at one time together, in MiB.
const TRANSIT_MIB_MAX: u32 = 512;

/// Calls of stores at one time; each holds a thread.
const STORE_CALLS_MAX: usize = 32;

/// How long a request waits for its share of memory before it is told to come back.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// Who keeps the repositories. Calls block; they run on threads for that.
pub trait RepositoryHost: Send + Sync + 'static {
    /// The store of a workload's repository for `peer`, who is about to do `verb`. The table in
    /// [`access`] has allowed it already; the host may know more reasons against it.
    fn store(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        verb: Verb,
    ) -> Result<Arc<dyn Store>, HostError>;

    /// Makes room for a new repository; harmless if there is one.
    fn create(&self, peer: &Peer, workload: &WorkloadName) -> Result<(), HostError>;

    /// Hears of each object that was created, after it is durable: for example a snapshot that
    /// stock restic made.
    fn created(&self, peer: &Peer, workload: &WorkloadName, object: &Object) {
        let _ = (peer, workload, object);
    }
}

/// Why a host gives no store.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("there is no repository of workload {workload}")]
    Unknown { workload: WorkloadName },
    #[error("{reason}")]
    Denied { reason: String },
    #[error("the repository of workload {workload} cannot be used now: {reason}")]
    Unable { workload: WorkloadName, reason: String },
}

/// The protocol below `/repo/{workload}/`, for [`server::serve`](crate::server::serve).
pub fn router(host: Arc<dyn RepositoryHost>) -> Router {
    let rest = Rest {
        host,
        calls: Arc::new(Semaphore::new(STORE_CALLS_MAX)),
        transit: Arc::new(Semaphore::new(TRANSIT_MIB_MAX as usize)),
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
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_request", text));
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
    let name = name
        .parse()
        .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "bad_name", format!("{error}")))?;
    rest.act(peer, workload, Object::new(kind, name), request).await
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
    let body = rest
        .blocking(move || store.list(kind).map(|objects| listing(objects, version_2)))
        .await?
        .map_err(store_error)?;
    Ok(([(CONTENT_TYPE, if version_2 { LIST_V2 } else { LIST_V1 })], body).into_response())
}

/// Objects as the protocol lists them: names with sizes in version 2, names alone in version 1.
fn listing(objects: Vec<(Object, u64)>, version_2: bool) -> String {
    let entries = objects.into_iter().filter_map(|(object, size)| {
        let name = object.name()?;
        Some(if version_2 {
            format!("{{\"name\":\"{name}\",\"size\":{size}}}")
        } else {
            format!("\"{name}\"")
        })
    });
    // Hex and numbers need no escaping, and a million of them no tree of values.
    format!("[{}]", entries.collect::<Vec<_>>().join(","))
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
                return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "bad_method", text));
            }
        };
        let store = match permit(&peer, verb, object.kind()) {
            Ok(()) => self.store(&peer, &workload, verb).await,
            Err(refused) => Err(refused),
        };
        let store = match store {
            Ok(store) => store,
            Err(refused) => {
                // A client that is still sending does not hear an answer.
                body::discard(request.into_body()).await;
                return Err(refused);
            }
        };
        match verb {
            Verb::Create => self.create(store, peer, workload, object, request).await,
            Verb::Read => self.read(store, object, request.headers()).await,
            Verb::Remove => {
                self.blocking(move || store.remove(&object)).await?.map_err(store_error)?;
                Ok(StatusCode::OK.into_response())
            }
            Verb::Size | Verb::List => {
                let size =
                    self.blocking(move || store.size(&object)).await?.map_err(store_error)?;
                Ok([(CONTENT_LENGTH, size.to_string())].into_response())
            }
        }
    }

    async fn create(
        &self,
        store: Arc<dyn Store>,
        peer: Peer,
        workload: WorkloadName,
        object: Object,
        request: Request,
    ) -> Result<Response, ApiError> {
        let bytes_max = match object.kind() {
            Kind::Data | Kind::Index => OBJECT_BYTES_MAX,
            Kind::Config | Kind::Key | Kind::Lock | Kind::Snapshot => SMALL_BYTES_MAX,
        };
        let announced = body::announced(request.headers(), bytes_max)?;
        let _room = self.room(announced.unwrap_or(bytes_max)).await?;
        let (content, hash) = body::receive(request.into_body(), announced, bytes_max).await?;
        if object.name().is_some_and(|name| name.0 != hash) {
            let text = format!("the content sent for {object} has another SHA-256");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "wrong_hash", text)
                .hint("it was damaged on the way or before; send it again"));
        }
        let host = Arc::clone(&self.host);
        self.blocking(move || {
            store.create(&object, content)?;
            host.created(&peer, &workload, &object);
            Ok(())
        })
        .await?
        .map_err(store_error)?;
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
                return Err(ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_range", text));
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
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
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
        let room = Arc::clone(&self.transit).acquire_many_owned(mib);
        match tokio::time::timeout(QUEUE_TIMEOUT, room).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "the server is busy")
                .hint("try again later")),
        }
    }
}

fn permit(peer: &Peer, verb: Verb, kind: Kind) -> Result<(), ApiError> {
    if access::allowed(peer.role(), verb, kind) {
        return Ok(());
    }
    let what = match verb {
        Verb::Size => "look at",
        other => other.as_str(),
    };
    let text = format!("{peer} may not {what} {kind}: its role does not allow it");
    Err(ApiError::new(StatusCode::FORBIDDEN, "refused", text))
}

fn workload_name(text: &str) -> Result<WorkloadName, ApiError> {
    let bad = |error| ApiError::new(StatusCode::BAD_REQUEST, "bad_name", format!("{error}"));
    WorkloadName::new(text).map_err(bad)
}

fn kind_of(segment: &str) -> Result<Kind, ApiError> {
    let kind = Kind::from_directory(segment).filter(|kind| *kind != Kind::Config);
    kind.ok_or_else(|| {
        let text = "there are keys, locks, snapshots, index and data, nothing else";
        ApiError::new(StatusCode::NOT_FOUND, "not_found", text)
    })
}

fn host_error(error: HostError) -> ApiError {
    let (status, code) = match error {
        HostError::Unknown { .. } => (StatusCode::NOT_FOUND, "unknown_workload"),
        HostError::Denied { .. } => (StatusCode::FORBIDDEN, "refused"),
        HostError::Unable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unable"),
    };
    ApiError::new(status, code, error.to_string())
}

fn store_error(error: StoreError) -> ApiError {
    let (status, code) = match error {
        StoreError::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
        StoreError::AlreadyExists { .. } | StoreError::OtherSize { .. } => {
            (StatusCode::CONFLICT, "already_exists")
        }
        StoreError::Full { .. } => (StatusCode::INSUFFICIENT_STORAGE, "full"),
        StoreError::Refused { .. }
        | StoreError::Io { .. }
        | StoreError::List { .. }
        | StoreError::Open { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "storage"),
    };
    ApiError::new(status, code, error.to_string())
}
