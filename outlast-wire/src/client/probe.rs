//! Why a server closes a connection.
//!
//! In TLS 1.3 a client is done with the handshake before the server has judged its certificate. The
//! alert that says why the server refuses it comes later, and whether an HTTP client sees it, or
//! only that its connection is gone, is chance. Here nothing is sent after the handshake, so that
//! the alert is all that can come.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::trouble::tls_error;

/// How long the alert may take. A server that is content says nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connects to the server of `url` once more, and waits for what it has against us; `None` if it is
/// content, or does not say.
pub(super) async fn refusal(tls: &Arc<ClientConfig>, url: &Url) -> Option<rustls::Error> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default()?;
    let attempt = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let mut stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
        stream.read_u8().await
    };
    let failure = timeout(PATIENCE, attempt).await.ok()?.err()?;
    tls_error(&failure).cloned()
}
