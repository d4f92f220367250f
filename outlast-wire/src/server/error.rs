//! How an answer that is no success is made.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use outlast_store::Object;

use crate::access::{Refused, Why};
use crate::api::{ErrorBody, ErrorCode};

/// An answer that is no success, as a handler returns it. The server loop adds the
/// request's id.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: StatusCode,
    pub body: Box<ErrorBody>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        let body = ErrorBody {
            code,
            message: message.into(),
            hint: String::new(),
            request_id: String::new(),
            missing: Vec::new(),
        };
        Self { status, body: Box::new(body) }
    }

    /// Policy allows whoever asks no more, for now.
    pub fn over_limit(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::OverLimit, message)
            .hint("try again later; who runs the vault can allow more")
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = hint.into();
        self
    }

    /// Adds the objects that are missing.
    #[must_use]
    pub fn missing(mut self, objects: &[Object]) -> Self {
        self.body.missing = objects.iter().map(Object::to_string).collect();
        self
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let code = code_of(&refused);
        Self::new(StatusCode::FORBIDDEN, code, refused.to_string()).hint(refused.hint())
    }
}

/// What a refusal is called by programs.
pub fn code_of(refused: &Refused) -> ErrorCode {
    match refused.why {
        Why::Role => ErrorCode::Refused,
        Why::Workload(_) | Why::NotAll => ErrorCode::NotGranted,
        Why::Behalf(_) | Why::NoGrant(_) => ErrorCode::NoTicket,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(&self.body)).into_response();
        // For the server loop, which writes the body again with the request's id in it.
        response.extensions_mut().insert(*self.body);
        response
    }
}
