//! Telling something by HTTP.

use std::io;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use hyper::{Method, StatusCode};
use outlast_types::{Interrupt, Timestamp};
use url::Url;

use super::date::http_date;
use crate::believed::Believed;
use crate::client::{AddressError, Credentials, Http};
use crate::road::Roads;

/// How long a receiver may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// As much of what it says as a person reads.
const WORDS_MAX: usize = 200;
/// No receiver may ask for more patience.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// A receiver of requests.
pub struct Hook {
    http: Http,
    path: String,
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub status: u16,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
    /// What it says, short and on one line.
    pub words: String,
}

impl Said {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the same may have success later.
    pub fn may_be_tried_again(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..)
    }
}

impl Hook {
    /// The receiver at an address: `https://host/path?query`, or `http` where nothing that is secret goes.
    pub fn new(address: &str, believed: &Believed, roads: &Roads) -> Result<Self, AddressError> {
        // What it holds may be a secret, so what is wrong with it is all that is told.
        let invalid = |reason: &str| AddressError::Invalid {
            address: "what is configured".to_owned(),
            reason: reason.to_owned(),
        };
        let mut url = Url::parse(address).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid("it begins with neither http:// nor https://"));
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", url.path().trim_start_matches('/'));
        url.set_query(None);
        url.set_fragment(None);
        url.set_path("/");
        let http = Http::new(url.as_str(), Credentials::Believing(believed), roads)?;
        Ok(Self { http, path })
    }

    /// Lets `interrupt` break off what is under way.
    pub fn heed(&mut self, interrupt: &Interrupt) {
        self.http.heed(interrupt);
    }

    /// The host, as it may be shown.
    pub fn location(&self) -> &str {
        self.http.location()
    }

    /// The receiver of what lies below the address.
    pub fn post_below(&self, below: &str, body: &[u8], now: Timestamp) -> io::Result<Said> {
        let path = format!("{}/{below}", self.path.trim_end_matches('/'));
        self.send(Method::POST, path.trim_start_matches('/'), &[], body, now)
    }

    /// Posts JSON.
    pub fn post(
        &self,
        headers: &[(&'static str, String)],
        body: &[u8],
        now: Timestamp,
    ) -> io::Result<Said> {
        self.send(Method::POST, &self.path, headers, body, now)
    }

    /// Only goes there.
    pub fn get(&self, now: Timestamp) -> io::Result<Said> {
        self.send(Method::GET, &self.path, &[], &[], now)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
        now: Timestamp,
    ) -> io::Result<Said> {
        let mut call = self.http.request(method, path, 0).within(PATIENCE);
        if !body.is_empty() {
            call = call.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        for (name, value) in headers {
            call = call.header(HeaderName::from_static(name), value);
        }
        let answer = call.send(|_| false, 0)?;
        Ok(Said {
            status: answer.status.as_u16(),
            retry_after: retry_after(&answer.headers, now),
            words: words(answer.status, &answer.body),
        })
    }
}

/// How long to wait: so many seconds, or until a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(text)?.since(now),
    };
    Some(pause.min(RETRY_AFTER_MAX))
}

fn words(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default().trim();
    let clean: String = line.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
    if clean.is_empty() { status.to_string() } else { format!("{status}: {clean:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_given_in_seconds_or_as_a_date_and_has_an_end() {
        let now = Timestamp::from_unix(1_790_000_000, 0).unwrap();
        let asked = |text: &str| {
            let headers = [(RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
            retry_after(&headers, now).map(|pause| pause.as_secs())
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Mon, 21 Sep 2026 14:14:20 GMT"), Some(60));
        assert_eq!(asked("Mon, 21 Sep 2020 14:14:20 GMT"), Some(0), "that is over");
        assert_eq!(asked("99999999"), Some(3600));
        assert_eq!(asked("soon"), None);
    }
}
