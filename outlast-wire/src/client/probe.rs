//! Why a server closes a connection.
//!
//! In TLS 1.3 a client is done with the handshake before the server has judged its certificate. The
//! alert that says why the server refuses it comes later, and whether an HTTP client sees it, or
//! only that its connection is gone, is chance. Here nothing is sent after the handshake, so that
//! the alert is all that can come.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::connector::Connector;
use super::trouble::tls_error;

/// How long the alert may take. A server that is content says nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connects once more, and waits for what the server has against us; `None` if it is content, or does
/// not say.
pub(super) async fn refusal(connector: &Connector) -> Option<rustls::Error> {
    let attempt = async { connector.secured().await?.read_u8().await };
    let failure = timeout(PATIENCE, attempt).await.ok()?.err()?;
    tls_error(&failure).cloned()
}
