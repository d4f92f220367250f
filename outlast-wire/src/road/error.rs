//! Why there is no way to a host.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What kept us from a host, before a word was said to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoadError {
    /// The host's name.
    #[error("the name {host} cannot be looked up: {reason}")]
    Name { host: String, reason: String },
    /// The addresses that it has.
    #[error("no connection to {host}, port {port}: {}", told(tried))]
    Route { host: String, port: u16, tried: Vec<Tried> },
    /// The proxy on the way was reached, and does not let us through.
    #[error("the proxy {proxy} does not connect us to {target}: {reason}")]
    Proxy { proxy: String, target: String, status: Option<u16>, reason: String },
    /// TLS was begun and did not end.
    #[error("{host} took the connection and did not finish the TLS handshake within {patience:?}")]
    Handshake { host: String, patience: Duration },
}

/// An address that was tried in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub address: SocketAddr,
    pub kind: io::ErrorKind,
    reason: String,
}

impl Tried {
    pub(super) fn new(address: SocketAddr, error: &io::Error) -> Self {
        Self { address, kind: error.kind(), reason: error.to_string() }
    }

    pub(super) fn unanswered(address: SocketAddr) -> Self {
        Self { address, kind: io::ErrorKind::TimedOut, reason: String::new() }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.ip();
        match self.kind {
            io::ErrorKind::ConnectionRefused => write!(f, "{address} refuses it"),
            io::ErrorKind::TimedOut => write!(f, "{address} does not answer"),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                write!(f, "there is no way to {address}")
            }
            _ => write!(f, "{address}: {}", self.reason),
        }
    }
}

fn told(tried: &[Tried]) -> String {
    let all: Vec<String> = tried.iter().map(Tried::to_string).collect();
    all.join(", ")
}

impl RoadError {
    /// The error somewhere below, if it is one of these.
    pub(crate) fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // An I/O error does not count what it wraps among its sources.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(wrapped) = wrapped
                && let Some(found) = Self::find(wrapped)
            {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// As an I/O error whose kind says that it may pass by itself.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Name { .. } => io::ErrorKind::HostUnreachable,
            Self::Route { tried, .. } => {
                tried.first().map_or(io::ErrorKind::HostUnreachable, |tried| match tried.kind {
                    kind @ (io::ErrorKind::TimedOut
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable) => kind,
                    _ => io::ErrorKind::ConnectionRefused,
                })
            }
            Self::Proxy { .. } => io::ErrorKind::ConnectionRefused,
            Self::Handshake { .. } => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, self)
    }
}
