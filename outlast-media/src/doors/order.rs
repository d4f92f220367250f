//! The order of upgrades: vault, media servers, agents. Who is of a newer release than this media server is
//! told so, and may say what nobody here understands.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::USER_AGENT;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use outlast_wire::api::ErrorCode;
use outlast_wire::server::ApiError;

use crate::release::is_older;

const OURS: &str = env!("CARGO_PKG_VERSION");

/// Lets those in who are of no newer release.
pub(crate) async fn judge(request: Request, next: Next) -> Response {
    let shown = request.headers().get(USER_AGENT).and_then(|shown| shown.to_str().ok());
    match shown.and_then(|shown| newer(shown, OURS)) {
        // It may come again as it is when this host was upgraded.
        Some(theirs) => {
            let text = format!(
                "this client is of release {theirs}, and the media server of {OURS}, which is older"
            );
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::UpgradeFirst, text)
                .hint("upgrade the vault first, then media servers, then agents")
                .into_response()
        }
        None => next.run(request).await,
    }
}

/// The release of a client of ours, if it is newer than `ours`.
fn newer<'a>(shown: &'a str, ours: &str) -> Option<&'a str> {
    let theirs = shown.strip_prefix("outlast/")?;
    is_older(ours, theirs).then_some(theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_client_of_ours_is_known_and_others_are_nobodys_business() {
        assert_eq!(newer("outlast/0.2.0", "0.1.9"), Some("0.2.0"));
        for shown in ["outlast/0.1.9", "outlast/0.0.7", "restic/0.18.0", "outlast/next", ""] {
            assert_eq!(newer(shown, "0.1.0"), None, "{shown}");
        }
    }
}
