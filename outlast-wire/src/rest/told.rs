//! What of a request cannot be, and what of a host's errors is told, as answers.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use outlast_store::{Kind, Object, StoreError};
use outlast_types::WorkloadName;

use super::host::HostError;
use super::parts::NotNow;
use crate::api::ErrorCode;
use crate::protocol::OFFSET_HEADER;
use crate::server::ApiError;

pub(super) fn busy(text: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, text).hint("try again later")
}

pub(super) fn workload_name(text: &str) -> Result<WorkloadName, ApiError> {
    let bad =
        |error| ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadName, format!("{error}"));
    WorkloadName::new(text).map_err(bad)
}

pub(super) fn kind_of(segment: &str) -> Result<Kind, ApiError> {
    let kind = Kind::from_directory(segment).filter(|kind| *kind != Kind::Config);
    kind.ok_or_else(|| {
        let text = "there are keys, locks, snapshots, index and data, nothing else";
        ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, text)
    })
}

pub(super) fn host_error(error: HostError) -> ApiError {
    let text = error.to_string();
    let (status, code) = match error {
        HostError::Store(error) => return store_error(error),
        HostError::Busy { .. } => return busy(text),
        HostError::Unacceptable { hint, .. } => {
            return ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::Unacceptable, text)
                .hint(hint);
        }
        HostError::PackMissing { .. } => {
            return ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::PackMissing, text)
                .hint("packs come first: send this index again when they are there");
        }
        HostError::OverLimit { .. } => return ApiError::over_limit(text),
        HostError::Unknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::UnknownWorkload),
        HostError::Denied { .. } => (StatusCode::FORBIDDEN, ErrorCode::Refused),
        HostError::Unable { .. } => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unable),
    };
    ApiError::new(status, code, text)
}

pub(super) fn store_error(error: StoreError) -> ApiError {
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

/// That a part is not taken now; with where to go on, if it is about that.
pub(super) fn not_now(reason: NotNow) -> Response {
    let NotNow::At(offset) = reason else {
        let text = match reason {
            NotNow::InUse => "another part of this object is being taken",
            _ => "too many objects come in parts at once",
        };
        return busy(text.to_owned()).into_response();
    };
    let text = format!("this object goes on at byte {offset}");
    let error = ApiError::new(StatusCode::CONFLICT, ErrorCode::WrongOffset, text)
        .hint("send it from there on");
    goes_on(offset, error)
}

/// An answer with where an object that comes in parts goes on.
pub(super) fn goes_on(offset: u64, answer: impl IntoResponse) -> Response {
    let mut answer = answer.into_response();
    answer.headers_mut().insert(OFFSET_HEADER, HeaderValue::from(offset));
    answer
}

/// That a part is none that can be.
pub(super) fn bad_part(text: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text)
}

/// Refuses content of another hash than the object's name.
pub(super) fn fits(object: Object, hash: [u8; 32]) -> Result<(), ApiError> {
    if object.name().is_none_or(|name| name == hash) {
        return Ok(());
    }
    let text = format!("the content sent for {object} has another SHA-256");
    Err(ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::WrongHash, text)
        .hint("it was damaged on the way or before; send it again"))
}

/// That an object does not know a method.
pub(super) fn bad_method() -> ApiError {
    let text = "objects know GET, HEAD, POST and DELETE only";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadMethod, text)
}

/// A header as a text.
pub(super) fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
