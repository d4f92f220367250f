//! Proxies: which addresses go through one, and how a tunnel is asked for.
//!
//! Only roads that are encrypted from end to end go through a proxy: it sees who talks to whom, and
//! nothing else.

use std::fmt;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::error::RoadError;

/// The longest head of a proxy's answer, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// The proxies of this host, as `HTTPS_PROXY` and `NO_PROXY` name them. By default none.
#[derive(Clone, Default)]
pub struct Proxies {
    /// As they were given, for comparison.
    given: (String, String),
    matcher: Option<Arc<Matcher>>,
}

/// A proxy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not a proxy such as http://proxy.example:3128")]
pub struct InvalidProxy {
    /// Without what may be a password.
    shown: String,
}

impl Proxies {
    /// The proxy at `https`, such as `http://user:password@proxy:3128`, for all hosts but those that
    /// `no` lists: names with all names below them, addresses, networks, or `*`. Empty texts mean none.
    pub fn new(https: &str, no: &str) -> Result<Self, InvalidProxy> {
        let https = https.trim();
        if https.is_empty() {
            return Ok(Self::default());
        }
        let shown = || https.rsplit('@').next().unwrap_or_default().chars().take(200).collect();
        let invalid = || InvalidProxy { shown: shown() };
        let any = Uri::from_static("https://any.invalid/");
        let alone = Matcher::builder().https(https).build();
        let found = alone.intercept(&any).ok_or_else(invalid)?;
        if found.uri().scheme_str() != Some("http") || found.uri().host().is_none() {
            return Err(invalid());
        }
        let matcher = Matcher::builder().https(https).no(no).build();
        let given = (https.to_owned(), no.to_owned());
        Ok(Self { given, matcher: Some(Arc::new(matcher)) })
    }

    /// The proxy through which the way to `uri` leads. What is on this host is reached without one.
    pub(super) fn way(&self, uri: &Uri) -> Option<Via> {
        let matcher = self.matcher.as_ref()?;
        if uri.scheme_str() != Some("https") || is_here(uri.host()?) {
            return None;
        }
        let proxy = matcher.intercept(uri)?;
        let host = proxy.uri().host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = proxy.uri().port_u16().unwrap_or(80);
        Some(Via { host, port, authorization: proxy.basic_auth().cloned() })
    }
}

fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    bare.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl PartialEq for Proxies {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

impl Eq for Proxies {}

/// Never with a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.given.0.rsplit('@').next().unwrap_or_default();
        write!(f, "Proxies({shown:?}, not for {:?})", self.given.1)
    }
}

/// A proxy on the way.
#[derive(Debug, Clone)]
pub(super) struct Via {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Via {
    pub(super) fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// It took our request, and nothing came back.
    pub(super) fn silent(&self) -> RoadError {
        self.refusal("its target", None, "it does not answer".to_owned())
    }

    /// Asks for a tunnel to `host`; what is sent from then on goes there.
    pub(super) async fn through(
        &self,
        mut stream: TcpStream,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, RoadError> {
        let target = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let target = format!("{target}:{port}");
        let broken = |error: std::io::Error| self.refusal(&target, None, error.to_string());
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(broken)?;
        let mut head = Vec::new();
        // Nothing follows the head before we speak to the target, which speaks second in TLS.
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await.map_err(broken)? == 0 {
                let reason = "it closed the connection".to_owned();
                return Err(self.refusal(&target, None, reason));
            }
            if head.len() > HEAD_BYTES_MAX {
                let reason = "its answer is not one of a proxy".to_owned();
                return Err(self.refusal(&target, None, reason));
            }
        }
        match status_of(&head) {
            Some(200..=299) => Ok(stream),
            status => {
                let reason = match status {
                    Some(407) => "it wants a user and a password (407)".to_owned(),
                    Some(status) => format!("it answered {status}"),
                    None => "its answer is not one of a proxy".to_owned(),
                };
                Err(self.refusal(&target, status, reason))
            }
        }
    }

    fn refusal(&self, target: &str, status: Option<u16>, reason: String) -> RoadError {
        let (proxy, target) = (self.to_string(), target.to_owned());
        RoadError::Proxy { proxy, target, status, reason }
    }
}

/// The number in `HTTP/1.1 200 OK`.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(https: &str, no: &str, uri: &str) -> Option<String> {
        let proxies = Proxies::new(https, no).unwrap();
        proxies.way(&uri.parse().unwrap()).map(|via| via.to_string())
    }

    #[test]
    fn a_proxy_is_for_whom_it_is_meant() {
        let proxy = "http://me:secret@proxy.example:3128";
        let through = Some("proxy.example:3128".to_owned());
        assert_eq!(way(proxy, "", "https://vault.example:8443/"), through);
        assert_eq!(way("proxy.example:3128", "", "https://vault.example/"), through);
        for direct in [
            ("", "", "https://vault.example/"),
            (proxy, "example", "https://vault.example/"),
            (proxy, "10.0.0.0/8", "https://10.1.2.3:8443/"),
            (proxy, "*", "https://vault.example/"),
            (proxy, "", "http://plain.example/"),
            (proxy, "", "https://localhost:8443/"),
            (proxy, "", "https://127.0.0.1:8443/"),
            (proxy, "", "https://[::1]:8443/"),
        ] {
            assert_eq!(way(direct.0, direct.1, direct.2), None, "{direct:?}");
        }
        assert_eq!(way(proxy, "other.example", "https://vault.example/"), through);
    }

    #[test]
    fn what_is_no_proxy_is_refused_and_no_password_is_shown() {
        for bad in ["socks5://h:1", "https://h:1", "http://", "http://me:secret@"] {
            let error = Proxies::new(bad, "").unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let proxies = Proxies::new("http://me:secret@h:1", "a").unwrap();
        assert!(!format!("{proxies:?}").contains("secret"), "{proxies:?}");
    }

    #[test]
    fn a_status_is_read_from_the_first_line_only() {
        assert_eq!(status_of(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status_of(b"HTTP/1.0 407\r\nX: 1\r\n\r\n"), Some(407));
        for bad in [&b"SSH-2.0-x\r\n\r\n"[..], b"HTTP/1.1 x\r\n\r\n", b"\r\n\r\n", b"\xff\r\n"] {
            assert_eq!(status_of(bad), None);
        }
    }
}
