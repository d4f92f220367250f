//! What a request is called, here and at every tier on its way.

use axum::http::HeaderMap;

use crate::protocol::REQUEST_ID_HEADER;

/// The longest id that a client may give a request, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// The id of a request, as an extension of it, as `x-request-id` of its answer and in every error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

impl RequestId {
    /// What the client says that the request belongs to, if it says so in a few plain letters; else the
    /// number of its connection and its own on it. Nobody is believed for it: it only finds what
    /// belongs together.
    pub(super) fn of(headers: &HeaderMap, connection: u64, nth: u64) -> Self {
        let mut said = headers.get_all(REQUEST_ID_HEADER).iter();
        let is_plain = |id: &&str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
        };
        let id = match (said.next(), said.next()) {
            (Some(one), None) => one.to_str().ok().filter(is_plain),
            _ => None,
        };
        Self(id.map_or_else(|| format!("{connection:x}-{nth:x}"), str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_request_is_called_as_its_client_calls_it_if_that_is_plain_and_short() {
        let id = |said: &[&str]| {
            let mut headers = HeaderMap::new();
            for id in said {
                headers.append(REQUEST_ID_HEADER, HeaderValue::from_bytes(id.as_bytes()).unwrap());
            }
            RequestId::of(&headers, 31, 2).0
        };
        assert_eq!(id(&["0192-ab.c_D"]), "0192-ab.c_D");
        let longest = "a".repeat(64);
        assert_eq!(id(&[&longest]), longest);
        for other in
            [&[][..], &[""], &["a b"], &["a\"b"], &["\u{e9}"], &["a", "a"], &[&"a".repeat(65)]]
        {
            assert_eq!(id(other), "1f-2", "{other:?}");
        }
    }
}
