//! Ways to servers: how connections are made to one address, and who was met at its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use super::address::{Address, AddressError};
use super::connector::{Born, Connector, Met};
use super::probe;
use super::trouble::{io_error, tls_error, tls_trouble};
use crate::believed::Believed;
use crate::certificate::Validity;
use crate::identity::Identity;
use crate::identity_handle::{Derived, IdentityHandle};
use crate::road::{Road, RoadError, Roads};
use crate::tls::{self, TlsError};

/// Shorter than the server's patience, so that a reused connection is never just being closed; longer
/// than the pause between two reports.
const POOL_IDLE: Duration = Duration::from_secs(55);

/// An older connection is not used again: the name may be of another host by now.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);

/// Whom to trust and who to be.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    /// Show a certificate, and trust its authority.
    Identity(&'a Identity),
    /// The same, of the identity that is in force at each call.
    Handle(&'a IdentityHandle),
    /// Show none, and trust the authority in this PEM.
    Authority(&'a str),
    /// Show none, and trust any of these authorities: a server of others.
    Believing(&'a Believed),
    /// Show none, and believe nobody: what comes back must prove itself.
    Stranger,
    /// Plain http, with what the address itself carries (`http://user:password@host/`).
    None,
}

/// A way to a server.
pub(super) struct Way {
    making: Making,
    pub(super) met: Met,
}

/// How connections are made.
enum Making {
    Fixed(Connections),
    Following(Derived<Connections, AddressError>),
}

/// Connections with one certificate.
#[derive(Clone)]
pub(super) struct Connections {
    client: Client<Connector, Body>,
    connector: Connector,
    /// How long our own certificate is valid; `None` if we show none.
    certificate: Option<Validity>,
    is_secure: bool,
}

impl Way {
    pub(super) fn new(
        address: &Address,
        credentials: Credentials<'_>,
        roads: &Roads,
    ) -> Result<Self, AddressError> {
        let (road, met) = (Arc::new(Road::to(&address.uri(), roads)), Met::default());
        let shown = || address.shown.clone();
        let making = match (address.is_secure(), credentials) {
            (true, Credentials::Identity(identity)) => {
                Making::Fixed(Connections::of(identity, None, &road, &met)?)
            }
            (true, Credentials::Handle(identity)) => {
                let (handle, met) = (identity.clone(), met.clone());
                let make = move |it: &Identity| Connections::of(it, Some(&handle), &road, &met);
                Making::Following(Derived::new(identity, make)?)
            }
            (true, Credentials::Authority(ca_pem)) => {
                let tls = tls::anonymous_client_config(ca_pem)?;
                Making::Fixed(Connections::new(Some((tls, None)), &road, &met)?)
            }
            (true, Credentials::Believing(believed)) => {
                let tls = tls::believing_client_config(believed)?;
                Making::Fixed(Connections::new(Some((tls, None)), &road, &met)?)
            }
            (true, Credentials::Stranger) => {
                let tls = tls::stranger_client_config()?;
                Making::Fixed(Connections::new(Some((tls, None)), &road, &met)?)
            }
            (true, Credentials::None) => return Err(AddressError::NoTrust { address: shown() }),
            (false, Credentials::Identity(_) | Credentials::Handle(_) | Credentials::Stranger) => {
                return Err(AddressError::NotEncrypted { address: shown() });
            }
            (false, _) => Making::Fixed(Connections::new(None, &road, &met)?),
        };
        Ok(Self { making, met })
    }

    pub(super) fn connections(&self) -> Connections {
        match &self.making {
            Making::Fixed(connections) => connections.clone(),
            Making::Following(connections) => connections.get(),
        }
    }
}

impl Connections {
    fn of(
        identity: &Identity,
        handle: Option<&IdentityHandle>,
        road: &Arc<Road>,
        met: &Met,
    ) -> Result<Self, AddressError> {
        let tls = match handle {
            Some(handle) => tls::heeding_client_config(identity, handle)?,
            None => tls::client_config(identity)?,
        };
        Ok(Self::new(Some((tls, Some(identity.validity()))), road, met)?)
    }

    /// With TLS, or without.
    fn new(
        tls: Option<(ClientConfig, Option<Validity>)>,
        road: &Arc<Road>,
        met: &Met,
    ) -> Result<Self, TlsError> {
        let is_secure = tls.is_some();
        let (tls, certificate) = match tls {
            Some(tls) => tls,
            None => (tls::no_trust_config()?, None),
        };
        let connector = Connector::new(Arc::clone(road), Arc::new(tls)).noting(met);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector.clone());
        Ok(Self { client, connector, certificate, is_secure })
    }

    /// The head of the answer to `request`.
    pub(super) async fn answer(
        &self,
        mut request: Request<Body>,
    ) -> io::Result<Response<Incoming>> {
        let connection = capture_connection(&mut request);
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Err(self.failed(error).await),
        };
        let born = response.extensions().get::<Born>();
        if born.is_some_and(|born| born.0.elapsed() >= CONNECTION_AGE_MAX)
            && let Some(connection) = connection.connection_metadata().as_ref()
        {
            connection.poison();
        }
        Ok(response)
    }

    /// Why an exchange failed before there was an answer.
    async fn failed(&self, error: legacy::Error) -> io::Error {
        let told = tls_error(&error).is_some() || RoadError::find(&error).is_some();
        if told || !self.is_secure {
            return io_error(&error, self.certificate);
        }
        match probe::refusal(&self.connector).await {
            Some(refusal) => tls_trouble(&refusal, self.certificate),
            None => io_error(&error, self.certificate),
        }
    }
}
