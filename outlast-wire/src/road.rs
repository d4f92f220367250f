//! The road to another host: its name becomes addresses, one of them a connection, perhaps through a
//! proxy.
//!
//! Each new connection asks for the name again, so whoever moves is found; connections are not used
//! for longer than a few minutes (`client`), so that is soon. Of several addresses the first that
//! answers is taken, and none that is dead holds up the others for long. While a name cannot be
//! looked up, the addresses that it had last are tried: TLS says whether it is still the right host.

mod dial;
mod error;
mod name;
mod proxy;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Uri;
use tokio::time::{Instant, timeout_at};

pub use error::{RoadError, Tried};
pub use name::{Resolve, SystemNames};
pub use proxy::{InvalidProxy, Proxies};

use dial::Opened;
use proxy::Via;

/// How a client finds its way: who knows names, and which proxies there are. By default the system
/// and none.
#[derive(Clone)]
pub struct Roads {
    names: Arc<dyn Resolve>,
    proxies: Proxies,
}

impl Default for Roads {
    fn default() -> Self {
        Self::through(Proxies::default())
    }
}

impl Roads {
    /// Through these proxies, as far as they are meant for an address.
    pub fn through(proxies: Proxies) -> Self {
        Self { names: Arc::new(SystemNames), proxies }
    }

    /// The same, by names that somebody else knows.
    #[must_use]
    pub fn asking(self, names: Arc<dyn Resolve>) -> Self {
        Self { names, ..self }
    }
}

/// The road to one host and port.
pub(crate) struct Road {
    names: Arc<dyn Resolve>,
    host: String,
    port: u16,
    via: Option<Via>,
    /// The addresses of the first hop that were known last; the one that answered comes first.
    known: Mutex<Vec<IpAddr>>,
}

impl Road {
    /// The road to the host of `uri`, which has one.
    pub(crate) fn to(uri: &Uri, roads: &Roads) -> Self {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(default);
        let via = roads.proxies.way(uri);
        Self { names: Arc::clone(&roads.names), host, port, via, known: Mutex::default() }
    }

    /// The host at its end.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The proxy on the way, without its password.
    pub(crate) fn proxy(&self) -> Option<String> {
        self.via.as_ref().map(Via::to_string)
    }

    /// Connects within `patience`.
    pub(crate) async fn open(&self, patience: Duration) -> Result<Opened, RoadError> {
        let deadline = Instant::now() + patience;
        let (host, port) = self.first_hop();
        let (addresses, unknown) = match self.look_up(deadline).await {
            Ok(addresses) => (addresses, None),
            Err(error) => match self.known() {
                known if known.is_empty() => return Err(error),
                known => (known, Some(error)),
            },
        };
        let sockets = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
        let opened = match dial::first(sockets, deadline).await {
            Ok(opened) => opened,
            // The addresses were old ones: that the name is not known is what is wrong.
            Err(tried) => {
                let route = RoadError::Route { host: host.to_owned(), port, tried };
                return Err(unknown.unwrap_or(route));
            }
        };
        self.remember(addresses, opened.address.ip());
        match &self.via {
            None => Ok(opened),
            Some(via) => {
                let through = via.through(opened.stream, &self.host, self.port);
                let stream = timeout_at(deadline, through).await;
                let stream = stream.unwrap_or_else(|_| Err(via.silent()))?;
                Ok(Opened { stream, ..opened })
            }
        }
    }

    /// The addresses of the first hop, the one that answered last first.
    pub(crate) async fn look_up(&self, deadline: Instant) -> Result<Vec<IpAddr>, RoadError> {
        let host = self.first_hop().0.to_owned();
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let failed = |reason: String| RoadError::Name { host: host.clone(), reason };
        let (names, asked) = (Arc::clone(&self.names), host.clone());
        let looked_up = tokio::task::spawn_blocking(move || names.resolve(&asked));
        let mut found = match timeout_at(deadline, looked_up).await {
            Ok(Ok(Ok(found))) => found,
            Ok(Ok(Err(error))) => return Err(failed(error.to_string())),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed("the name service does not answer".to_owned())),
        };
        if found.is_empty() {
            return Err(failed("it has no address".to_owned()));
        }
        if let Some(last) = self.known().first() {
            found.sort_by_key(|address| address != last);
        }
        Ok(found)
    }

    /// Connects to each address of the first hop by itself, to tell how each is doing.
    pub(crate) async fn try_each(
        &self,
        addresses: &[IpAddr],
        patience: Duration,
    ) -> Vec<(SocketAddr, Result<Duration, Tried>)> {
        let port = self.first_hop().1;
        let mut outcomes = Vec::new();
        for address in addresses {
            let socket = SocketAddr::new(*address, port);
            let began = Instant::now();
            let outcome = match dial::first(vec![socket], began + patience).await {
                Ok(_) => Ok(began.elapsed()),
                Err(tried) => match tried.into_iter().next() {
                    Some(tried) => Err(tried),
                    None => continue,
                },
            };
            outcomes.push((socket, outcome));
        }
        outcomes
    }

    fn first_hop(&self) -> (&str, u16) {
        match &self.via {
            Some(via) => via.place(),
            None => (&self.host, self.port),
        }
    }

    fn known(&self) -> Vec<IpAddr> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, mut addresses: Vec<IpAddr>, good: IpAddr) {
        addresses.sort_by_key(|address| *address != good);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}
