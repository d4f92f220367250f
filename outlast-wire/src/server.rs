//! The server's side of the road: accepts, checks certificates, bounds everything, drains.

mod error;
mod stall;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use outlast_types::ShareId;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::api::{ErrorBody, ErrorCode};
use crate::certificate::{self, Validity};
use crate::peer::Peer;
use crate::protocol::SHARE_HEADER;
use stall::{Stalling, StallingBody};

pub use error::ApiError;

/// What one client may cost at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, the wait for it on an idle connection included.
    pub idle: Duration,
    /// For the client to take some more of an answer, or to send some more of a request.
    pub stall: Duration,
    /// For requests under way when the server is told to stop; then they are cut off.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// How long a client that failed the handshake may take to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// After an accept that failed because the host is out of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The id of a request, as an extension of it, as `x-request-id` of its answer and in every error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// What a request shows beside who it is from, as an extension of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// How long the client's certificate is valid.
    pub certificate: Validity,
    /// Of which share an agent speaks, if it says so.
    pub share: Option<ShareId>,
}

/// Serves `router` on `listener` until `shutdown` completes and requests under way have ended.
///
/// Every request carries its [`Peer`], [`Shown`] and [`RequestId`] as extensions; a client whose certificate
/// is from our authority but names no identity is answered 403. `tls` is asked for each connection, on
/// a thread that may wait.
pub async fn serve(
    listener: TcpListener,
    tls: impl Fn() -> Arc<ServerConfig> + Send + Sync + 'static,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let tls: TlsSource = Arc::new(tls);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut number = 0u64;
    tokio::pin!(shutdown);
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
        };
        while let Some(ended) = connections.try_join_next() {
            note_panic(ended);
        }
        let Ok(slot) = slot else { break };
        match accepted {
            Ok((stream, address)) => {
                number += 1;
                let (tls, router) = (Arc::clone(&tls), router.clone());
                let connection = Connection { number, address, limits, stopped: stopped.clone() };
                connections.spawn(async move {
                    connection.run(stream, tls, router).await;
                    drop(slot);
                });
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

struct Connection {
    number: u64,
    address: SocketAddr,
    limits: Limits,
    stopped: watch::Receiver<bool>,
}

impl Connection {
    async fn run(mut self, stream: TcpStream, tls: TlsSource, router: Router) {
        let address = self.address;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "the connection ended at once");
            return;
        }
        // It may look at a disk.
        let tls = match tokio::task::spawn_blocking(move || tls()).await {
            Ok(tls) => tls,
            Err(error) => {
                tracing::error!(%address, %error, "cannot set up TLS for a connection");
                return;
            }
        };
        let handshake = TlsAcceptor::from(tls).accept(stream).into_fallible();
        let stream = match timeout(self.limits.handshake, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                tracing::info!(%address, %error, "a TLS handshake failed");
                timeout(FAREWELL, farewell(stream)).await.ok();
                return;
            }
            Err(_) => {
                tracing::info!(%address, "a TLS handshake took too long");
                return;
            }
        };
        let client = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = match client.map(certificate::facts) {
            Some(Ok(facts)) => Ok((facts.certified.peer, facts.certified.validity)),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the client showed no certificate".to_owned()),
        };
        let requests = AtomicU64::new(0);
        let number = self.number;
        let service = service_fn(|request: Request<Incoming>| {
            let nth = requests.fetch_add(1, Ordering::Relaxed) + 1;
            let id = RequestId(format!("{number:x}-{nth:x}"));
            let request = request.map(|body| Body::new(StallingBody::new(body, self.limits.stall)));
            answer(request, router.clone(), peer.clone(), id)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_header_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(Stalling::new(stream, self.limits.stall)), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told_to_stop(&mut self.stopped) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%address, %error, "the connection broke");
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
    peer: Result<(Peer, Validity), String>,
    id: RequestId,
) -> Result<Response, std::convert::Infallible> {
    let line = format!("{} {}", request.method(), request.uri().path());
    let response = match peer {
        Ok((peer, certificate)) => {
            tracing::debug!(id = id.0, %peer, line, "request");
            let share = request.headers().get(SHARE_HEADER);
            let share = share.and_then(|share| share.to_str().ok()?.parse().ok());
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(Shown { certificate, share });
            request.extensions_mut().insert(id.clone());
            router.call(request).await?
        }
        Err(reason) => ApiError::new(StatusCode::FORBIDDEN, ErrorCode::NoIdentity, reason)
            .hint("use a certificate that this vault's authority issued")
            .into_response(),
    };
    Ok(identified(response, id, &line))
}

/// The response with the request's id in its head and, if it is an error of ours, in its body.
fn identified(mut response: Response, id: RequestId, line: &str) -> Response {
    let status = response.status();
    if let Some(mut body) = response.extensions_mut().remove::<ErrorBody>() {
        tracing::info!(id = id.0, line, %status, code = %body.code, body.message, "no success");
        body.request_id.clone_from(&id.0);
        response = (status, axum::Json(body)).into_response();
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
