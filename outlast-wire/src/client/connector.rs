//! Connections for the HTTP client: over the road, with TLS if the address asks for it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::certificate;
use crate::peer::Role;
use crate::road::{Road, RoadError};

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes connections to one address.
#[derive(Clone)]
pub(super) struct Connector {
    road: Arc<Road>,
    tls: Arc<ClientConfig>,
    met: Met,
}

/// The role of whoever was met last at the end of a road. A copy is the same one.
#[derive(Clone, Default)]
pub(super) struct Met(Arc<Mutex<Option<Role>>>);

impl Met {
    pub(super) fn get(&self) -> Option<Role> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes who shows this certificate. One that others named says nothing of a role: it is of a vault.
    fn note(&self, shown: Option<&CertificateDer<'_>>) {
        let facts = shown.and_then(|shown| certificate::facts(shown).ok());
        let role = facts.map_or(Role::Vault, |facts| facts.certified.peer.role());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(role);
    }
}

/// When a connection was made, as an extension of each answer that comes over it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Born(pub(super) Instant);

impl Connector {
    pub(super) fn new(road: Arc<Road>, tls: Arc<ClientConfig>) -> Self {
        Self { road, tls, met: Met::default() }
    }

    /// The same, which notes in `met` who is at the end of the road.
    pub(super) fn noting(self, met: &Met) -> Self {
        Self { met: met.clone(), ..self }
    }

    /// A connection without a word on it, and the whole of its handshake done.
    pub(super) async fn secured(&self) -> io::Result<TlsStream<tokio::net::TcpStream>> {
        let opened = self.road.open(CONNECT_TIMEOUT).await.map_err(RoadError::into_io)?;
        let host = self.road.host();
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let handshake = TlsConnector::from(Arc::clone(&self.tls)).connect(name, opened.stream);
        match timeout(CONNECT_TIMEOUT, handshake).await {
            Ok(done) => done,
            Err(_) => {
                let (host, patience) = (host.to_owned(), CONNECT_TIMEOUT);
                Err(RoadError::Handshake { host, patience }.into_io())
            }
        }
    }

    async fn connect(self, is_secure: bool) -> io::Result<Line> {
        let io: Box<dyn Io> = if is_secure {
            let stream = self.secured().await?;
            self.met.note(stream.get_ref().1.peer_certificates().and_then(<[_]>::first));
            Box::new(stream)
        } else {
            Box::new(self.road.open(CONNECT_TIMEOUT).await.map_err(RoadError::into_io)?.stream)
        };
        Ok(Line { io: TokioIo::new(io), born: Instant::now() })
    }
}

impl Service<Uri> for Connector {
    type Response = Line;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Line>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri.scheme_str() == Some("https")))
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection.
pub(super) struct Line {
    io: TokioIo<Box<dyn Io>>,
    born: Instant,
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new().extra(Born(self.born))
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
