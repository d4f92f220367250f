//! The server's side of the road: accepts, checks certificates, bounds everything, drains.

pub mod budget;
mod error;
mod gate;
mod lobby;
mod plain;
mod request_id;
mod stall;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower_service::Service as _;

use crate::api::ErrorBody;
use crate::protocol::REQUEST_ID_HEADER;
use crate::trust::{Caller, Presented};
use budget::{Bounds, Busy, Holder, Rates, Share, Shares};
use lobby::{Lobby, Visit};
use stall::{PacedBody, Stalling};

pub use error::{ApiError, code_of};
pub use gate::{ENROLLMENT, Gate, RENEWAL, TurnedAway};
pub use plain::serve_plain;
pub use request_id::RequestId;
pub use stall::{MinRate, TooSlow, is_too_slow};

/// What clients may cost at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections of those who have shown who they are.
    pub connections: Bounds,
    /// Connections at once of those who have not yet.
    pub strangers: usize,
    /// Handshakes in a second from one address.
    pub handshakes_per_second: u32,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, the wait for it on an idle connection included.
    pub idle: Duration,
    /// For the client to take some more of an answer.
    pub stall: Duration,
    /// What must come of a request's body.
    pub rate: MinRate,
    /// For requests under way when the server is told to stop; then they are cut off.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // With the strangers, and the files that are open meanwhile, below the 1024 descriptors
            // that a process usually has.
            connections: Bounds { total: 384, each: 64, kept: 16 },
            strangers: 128,
            handshakes_per_second: 100,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            // A quarter of what our own clients call a broken road, for several on one road.
            rate: MinRate { bytes: 30 * (8 << 10), window: Duration::from_secs(30) },
            drain: Duration::from_secs(10),
        }
    }
}

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// How long a client that failed the handshake may take to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// When to come again to a server that cannot now.
const RETRY_AFTER_SECONDS: &str = "10";

/// After an accept that failed because the host is out of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown` completes and requests under way have ended.
///
/// Every request carries its [`Caller`], [`RequestId`] and [`Holder`] as extensions, and that of a good
/// certificate its [`Peer`](crate::Peer) and all that the certificate says
/// ([`Certified`](crate::Certified)). What others ask is answered by the `gate`, but for the calls that are
/// there for them. `tls` is asked for each connection, on a thread that may wait.
pub async fn serve(
    listener: TcpListener,
    tls: impl Fn() -> Arc<ServerConfig> + Send + Sync + 'static,
    gate: Gate,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let doorway = Arc::new(Doorway::new(limits, Arc::new(tls)));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut number = 0u64;
    tokio::pin!(shutdown);
    loop {
        let next = async {
            let (stream, address) = listener.accept().await?;
            Ok((stream, address, doorway.admit(address).await))
        };
        let accepted: io::Result<_> = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
        };
        while let Some(ended) = connections.try_join_next() {
            note_panic(ended);
        }
        match accepted {
            Ok((stream, address, visit)) => {
                number += 1;
                let (doorway, gate, router) = (Arc::clone(&doorway), gate.clone(), router.clone());
                let connection = Connection { number, address, doorway, stopped: stopped.clone() };
                connections.spawn(connection.run(stream, visit, gate, router));
            }
            Err(error) if of_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying on");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = timeout(limits.drain, async {
        while let Some(ended) = connections.join_next().await {
            note_panic(ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(cut_off = connections.len(), "requests under way did not end in time");
        connections.shutdown().await;
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request's handler panicked; its connection was closed");
    }
}

fn of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Gives the configuration of each next connection.
type TlsSource = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// What all connections pass through.
struct Doorway {
    limits: Limits,
    tls: TlsSource,
    /// Since when time is counted here.
    begin: Instant,
    lobby: Arc<Lobby>,
    handshakes: Mutex<Rates>,
    seats: Arc<Shares>,
}

impl Doorway {
    fn new(limits: Limits, tls: TlsSource) -> Self {
        Self {
            limits,
            tls,
            begin: Instant::now(),
            lobby: Lobby::new(limits.strangers),
            handshakes: Mutex::default(),
            seats: Shares::new("connections", limits.connections),
        }
    }

    /// Lets a new connection into the lobby, as soon as there is room.
    async fn admit(&self, address: SocketAddr) -> Visit {
        loop {
            match self.lobby.enter(address.ip(), self.begin.elapsed()) {
                Ok(visit) => return visit,
                Err(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    /// How long a client from there has to wait for its handshake, which costs much more than to ask
    /// for one; `None` if that is too long.
    fn handshake_turn(&self, address: SocketAddr) -> Option<Duration> {
        let Limits { handshakes_per_second, handshake, .. } = self.limits;
        let mut rates = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = Holder::Address(lobby::place_of(address.ip()));
        rates.turn(&holder, handshakes_per_second, self.begin.elapsed(), handshake / 2)
    }
}

struct Connection {
    number: u64,
    address: SocketAddr,
    doorway: Arc<Doorway>,
    stopped: watch::Receiver<bool>,
}

impl Connection {
    async fn run(mut self, stream: TcpStream, mut visit: Visit, gate: Gate, router: Router) {
        let (address, limits) = (self.address, self.doorway.limits);
        let Some(stream) = self.shake_hands(stream, &mut visit).await else { return };
        let presented = Arc::new(gate.presented(stream.get_ref().1.peer_certificates()));
        let holder = match presented.caller() {
            Caller::Known(certified) | Caller::Lapsed(certified) => Holder::from(&certified.peer),
            // Who is refused has no share of those who bear the name.
            Caller::Anonymous | Caller::Refused(_) => {
                Holder::Address(lobby::place_of(address.ip()))
            }
        };
        let place = Place::of(self.doorway.seats.take_now(&holder, 1), visit);
        let requests = AtomicU64::new(0);
        let number = self.number;
        let busy = place.busy();
        let service = service_fn(|request: Request<Incoming>| {
            let nth = requests.fetch_add(1, Ordering::Relaxed) + 1;
            let id = RequestId::of(request.headers(), number, nth);
            let request = request.map(|body| Body::new(PacedBody::new(body, limits.rate)));
            let asker = (Arc::clone(&presented), holder.clone());
            answer(request, router.clone(), gate.clone(), asker, busy.clone(), id)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle)
            .max_header_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(Stalling::new(stream, limits.stall)), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = place.must_go() => return,
            () = told_to_stop(&mut self.stopped) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%address, %error, "the connection broke");
        }
    }

    /// Lets the client show who it is; `None` if it does not, or not in time.
    async fn shake_hands(
        &self,
        stream: TcpStream,
        visit: &mut Visit,
    ) -> Option<TlsStream<TcpStream>> {
        let (address, limits) = (self.address, self.doorway.limits);
        stream.set_nodelay(true).ok()?;
        // Before it says anything it costs a socket, and nothing more. Only a look at what came tells
        // that something did: a socket may be called readable before there is anything to read.
        let mut first = [0];
        let speaks = tokio::select! {
            said = timeout(limits.handshake, stream.peek(&mut first)) => matches!(said, Ok(Ok(1..))),
            () = visit.must_go() => false,
        };
        let turn = if speaks { self.doorway.handshake_turn(address) } else { None };
        let Some(turn) = turn else {
            tracing::debug!(%address, "a connection ended before its handshake");
            return None;
        };
        visit.spoke();
        let tls = Arc::clone(&self.doorway.tls);
        let handshake = async move {
            tokio::time::sleep(turn).await;
            // It may look at a disk.
            let tls = tokio::task::spawn_blocking(move || tls()).await.map_err(io::Error::other);
            match tls {
                Ok(tls) => TlsAcceptor::from(tls).accept(stream).into_fallible().await,
                Err(error) => Err((error, stream)),
            }
        };
        let shaken = tokio::select! {
            shaken = timeout(limits.handshake, handshake) => shaken,
            () = visit.must_go() => return None,
        };
        match shaken {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err((error, stream))) => {
                tracing::info!(%address, %error, "a TLS handshake failed");
                timeout(FAREWELL, farewell(stream)).await.ok();
                None
            }
            Err(_) => {
                tracing::info!(%address, "a TLS handshake took too long");
                None
            }
        }
    }
}

/// Where a connection is whose client has shown who it is.
enum Place {
    /// It has a seat of its own.
    Seat { _share: Share },
    /// There is none for it: it is told so in the lobby, for as long as there is room.
    Lobby(Visit, Busy),
}

impl Place {
    fn of(seat: Result<Share, Busy>, visit: Visit) -> Self {
        match seat {
            Ok(share) => Self::Seat { _share: share },
            Err(busy) => Self::Lobby(visit, busy),
        }
    }

    fn busy(&self) -> Option<Busy> {
        match self {
            Self::Seat { .. } => None,
            Self::Lobby(_, busy) => Some(busy.clone()),
        }
    }

    /// Completes when it has to make room for others; never for one that has a seat.
    async fn must_go(mut self) {
        match &mut self {
            Self::Seat { .. } => std::future::pending().await,
            Self::Lobby(visit, _) => visit.must_go().await,
        }
    }
}

/// Takes what a refused client has sent already: closing with bytes unread would reset the
/// connection, and the client might never see the alert that tells it why.
async fn farewell(mut stream: TcpStream) {
    stream.shutdown().await.ok();
    let mut taken = [0; 4096];
    let mut bytes = 0;
    while let Ok(read @ 1..) = stream.read(&mut taken).await {
        bytes += read;
        if bytes > HEAD_BYTES_MAX {
            return;
        }
    }
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // The sender is gone only when the server is: that means the same.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

async fn answer(
    mut request: Request<Body>,
    mut router: Router,
    gate: Gate,
    (presented, holder): (Arc<Presented>, Holder),
    busy: Option<Busy>,
    id: RequestId,
) -> Result<Response, std::convert::Infallible> {
    let line = format!("{} {}", request.method(), request.uri().path());
    if let Some(busy) = busy {
        let mut response = identified(ApiError::from(busy).into_response(), id, &line);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return Ok(response);
    }
    let caller = presented.caller();
    let response = match gate.admit(&caller, &request) {
        Ok(()) => {
            if let Caller::Known(certified) = &caller {
                tracing::debug!(id = id.0, peer = %certified.peer, line, "request");
                request.extensions_mut().insert(certified.peer.clone());
                request.extensions_mut().insert((**certified).clone());
            }
            request.extensions_mut().insert(holder);
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(id.clone());
            router.call(request).await?
        }
        Err(refused) => refused.into_response(),
    };
    Ok(identified(response, id, &line))
}

/// The response with the request's id in its head and, if it is an error of ours, in its body.
fn identified(mut response: Response, id: RequestId, line: &str) -> Response {
    let status = response.status();
    if let Some(mut body) = response.extensions_mut().remove::<ErrorBody>() {
        tracing::info!(id = id.0, line, %status, code = %body.code, body.message, "no success");
        body.request_id.clone_from(&id.0);
        let mut with_id = (status, axum::Json(body)).into_response();
        // What else its head says stays, such as a challenge.
        for (name, value) in response.headers() {
            if name != CONTENT_LENGTH && !with_id.headers().contains_key(name) {
                with_id.headers_mut().insert(name, value.clone());
            }
        }
        response = with_id;
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    response
}
