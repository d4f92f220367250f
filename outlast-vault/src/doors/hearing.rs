//! Every request of an agent is a word of it, whatever comes of the request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use outlast_promise::Source;
use outlast_wire::server::Shown;
use outlast_wire::{Peer, Role};

use crate::core::vault::{Vault, validity};

/// Notes that an agent was heard, then lets the request go on.
pub(crate) async fn note(
    State(vault): State<Arc<Vault>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().filter(|peer| peer.role() == Role::Agent);
    let shown = request.extensions().get::<Shown>().copied();
    if let (Some(peer), Some(shown)) = (peer, shown) {
        let source = Source { agent: peer.name().to_owned(), share: shown.share };
        let certificate = Some(validity(shown.certificate));
        if vault.promises.is_news(&source, certificate) {
            let noted =
                tokio::task::spawn_blocking(move || vault.promises.heard(source, certificate));
            match noted.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "cannot note that an agent was heard"),
                Err(error) => {
                    tracing::error!(%error, "noting that an agent was heard failed badly")
                }
            }
        }
    }
    next.run(request).await
}
