//! A look at the whole way to a vault, step by step, for whoever wants to know where it ends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout};

use super::address::{Address, AddressError};
use super::connector::{CONNECT_TIMEOUT, Connector};
use super::trouble::io_error;
use crate::certificate::{self, Validity};
use crate::identity::Identity;
use crate::peer::Peer;
use crate::road::{Road, RoadError, Roads, Tried};
use crate::tls;

/// How long a server may take to refuse a certificate. One that is content says nothing.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// What was found on the way to a vault.
#[derive(Debug)]
pub struct Survey {
    /// Where it leads.
    pub host: String,
    /// The proxy through which it leads; then names and routes are of that.
    pub proxy: Option<String>,
    pub names: Result<Vec<IpAddr>, RoadError>,
    /// Each address by itself: how long a connection took, or why there was none.
    pub routes: Vec<(SocketAddr, Result<Duration, Tried>)>,
    /// Who is at its end; `None` if nobody could be asked.
    pub server: Option<io::Result<Server>>,
}

/// Whose certificate a server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `None` if the certificate is of our authority and names nobody.
    pub peer: Option<Peer>,
    pub certificate: Option<Validity>,
}

/// Goes the way to the vault at `address` as `identity`. Blocks, for at most some ten seconds for each
/// address that it has.
pub fn survey(address: &str, identity: &Identity, roads: &Roads) -> Result<Survey, AddressError> {
    let parsed = Address::parse(address)?;
    if !parsed.is_secure() {
        return Err(AddressError::NotEncrypted { address: parsed.shown });
    }
    let road = Arc::new(Road::to(&parsed.uri(), roads));
    let connector = Connector::new(Arc::clone(&road), Arc::new(tls::client_config(identity)?));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            AddressError::Client { address: parsed.shown.clone(), reason: error.to_string() }
        })?;
    let survey = runtime.block_on(async {
        let names = road.look_up(Instant::now() + CONNECT_TIMEOUT).await;
        let addresses = names.as_deref().unwrap_or_default();
        let routes = road.try_each(addresses, CONNECT_TIMEOUT).await;
        let server = match routes.iter().any(|(_, outcome)| outcome.is_ok()) {
            true => Some(server(&connector, identity).await),
            false => None,
        };
        let (host, proxy) = (road.host().to_owned(), road.proxy());
        Survey { host, proxy, names, routes, server }
    });
    // A name service that does not answer would hold it up.
    runtime.shutdown_background();
    Ok(survey)
}

async fn server(connector: &Connector, identity: &Identity) -> io::Result<Server> {
    let own = Some(identity.validity());
    let mut stream = connector.secured().await.map_err(|error| io_error(&error, own))?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let facts = shown.and_then(|shown| certificate::facts(shown).ok());
    if let Ok(Err(error)) = timeout(REFUSAL_PATIENCE, stream.read_u8()).await {
        return Err(io_error(&error, own));
    }
    Ok(Server {
        peer: facts.as_ref().map(|facts| facts.certified.peer.clone()),
        certificate: facts.map(|facts| facts.certified.validity),
    })
}
