//! Bodies of calls: memory is charged before it is taken.
//!
//! Twice, because what arrives is not what it becomes. A body waits, unread, until there is room for
//! its length. When it is there, what its JSON will take as values is estimated, and it waits for
//! that. Slow senders hold the first kind of room only, and those who hold the second kind wait for
//! nothing that the first ones hold. Nobody gets all of the first kind.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use outlast_wire::Peer;
use outlast_wire::api::{BODY_BYTES_MAX, ErrorCode};
use outlast_wire::server::budget::{Bounds, Holder, Share, Shares};
use outlast_wire::server::{ApiError, is_too_slow};
use serde::de::DeserializeOwned;

/// Bodies as they came, in MiB: the longest one for each peer, or many short ones.
const RAW_MIB: Bounds = Bounds { total: 64, each: 16, kept: 4 };
/// What they become, in MiB. One body can take all but what is kept.
const UNFOLDED_MIB: Bounds =
    Bounds { total: UNFOLDED_MIB_MAX + 8, each: UNFOLDED_MIB_MAX, kept: 8 };
const UNFOLDED_MIB_MAX: u32 = 128;
/// What an object may take, in bytes, however short it is written: a node of a map has room for
/// eleven members.
const OBJECT_BYTES: u64 = 768;
/// What any other value may take, in bytes, in a list that grew by doubling.
const VALUE_BYTES: u64 = 96;
/// How long a body waits for room before its sender is told to come back.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(20);

/// Room for the bodies of all calls.
#[derive(Clone)]
pub(crate) struct Bodies {
    raw: Arc<Shares>,
    unfolded: Arc<Shares>,
}

/// The room that a body takes, to be held until its call is done.
pub(crate) struct Held {
    _raw: Share,
    _unfolded: Share,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        Self {
            raw: Shares::new("MiB for bodies", RAW_MIB),
            unfolded: Shares::new("MiB for what bodies hold", UNFOLDED_MIB),
        }
    }

    /// Reads the body of a call whose role was found right.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<(T, Held), ApiError> {
        let announced = request.headers().get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        // One that is longer is refused as soon as that shows.
        let length = announced.unwrap_or(u64::MAX).min(BODY_BYTES_MAX as u64);
        let holder = holder_of(&request);
        let raw = room(&self.raw, &holder, length).await?;
        let body = content(Bytes::from_request(request, &()).await)?;
        let unfolded = unfolded_bytes(&body);
        if unfolded > u64::from(UNFOLDED_MIB_MAX) << 20 {
            let text = "the body has more members than any that this call takes";
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BadBody, text));
        }
        let unfolded = room(&self.unfolded, &holder, unfolded).await?;
        let parsed = serde_json::from_slice(&body).map_err(|error| {
            let text = format!("the body is not the JSON that this call takes: {error}");
            ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text)
        })?;
        Ok((parsed, Held { _raw: raw, _unfolded: unfolded }))
    }
}

/// Who is charged for a request.
pub(crate) fn holder_of(request: &Request) -> Holder {
    let extensions = request.extensions();
    let holder = extensions.get::<Holder>().cloned();
    let holder = holder.or_else(|| extensions.get::<Peer>().map(Holder::from));
    // The server says it of every request.
    holder.unwrap_or(Holder::Address(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))
}

async fn room(room: &Arc<Shares>, holder: &Holder, bytes: u64) -> Result<Share, ApiError> {
    let mib = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX).max(1);
    Ok(room.take(holder, mib, QUEUE_TIMEOUT).await?)
}

fn content(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|error| {
        if is_too_slow(&error) {
            let text = format!("the body came too slowly: {error}");
            return ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::TooSlow, text)
                .hint("look for what slows the road, and send it again");
        }
        let text = format!("the body cannot be taken: {error}");
        ApiError::new(error.status(), ErrorCode::BadBody, text)
            .hint(format!("a body has at most {BODY_BYTES_MAX} bytes"))
    })
}

/// The most that a JSON text takes as values. What stands in texts is counted, too: it is an
/// estimate, and honest bodies are far below any limit.
fn unfolded_bytes(body: &[u8]) -> u64 {
    let (mut objects, mut values) = (0u64, 1u64);
    for byte in body {
        match byte {
            b'{' => objects += 1,
            b'[' | b',' => values += 1,
            _ => {}
        }
    }
    body.len() as u64 + objects * OBJECT_BYTES + values * VALUE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_of_a_hundred_thousand_objects_fits_and_a_body_made_to_unfold_does_not() {
        let mib = |text: &str| unfolded_bytes(text.as_bytes()) >> 20;
        let line = format!(r#"{{"kind":"data","name":"{}","size":16777216}},"#, "00".repeat(32));
        let bill = line.repeat(100_000);
        assert!(bill.len() < BODY_BYTES_MAX);
        assert!(mib(&bill) < u64::from(UNFOLDED_MIB_MAX), "{}", mib(&bill));
        for bomb in [r#"{"a":0},"#, "[],", "0,", r#"{"name":"a"},"#] {
            let body = bomb.repeat(BODY_BYTES_MAX / bomb.len());
            assert!(mib(&body) > u64::from(UNFOLDED_MIB_MAX), "{bomb}: {}", mib(&body));
        }
    }
}
