//! A host's first certificate: from a token to an identity.

use std::time::Duration;

use outlast_types::{Clock, Timestamp};

use super::address::AddressError;
use super::calls::ApiClient;
use super::error::CallError;
use super::way::Credentials;
use crate::enrollment::{
    Anchor, EnrollmentRequest, GrantError, Keys, RequestError, SignedGrant, Token,
};
use crate::identity::{Identity, InvalidIdentity};
use crate::request::{PendingError, PendingIdentity};
use crate::road::Roads;

/// How far the clocks of both hosts may be apart: a new certificate begins this long before it is made.
const APART_MAX: Duration = Duration::from_secs(5 * 60);

/// Why a host did not enrol.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error(
        "{location} is not of the authority that the token names, so nothing was sent there: the \
         token is of another installation, or somebody else answers at this address"
    )]
    OtherAuthority { location: String },
    #[error(
        "the clocks are too far apart: here it is {here}, and at {location} it is {there}; nothing \
         was sent, and the token is as good as before"
    )]
    Clock { location: String, here: Timestamp, there: Timestamp },
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Pending(#[from] PendingError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the answer of {location} is not taken: {source}")]
    Grant { location: String, source: GrantError },
    #[error("the certificate is of no use: {0}")]
    Unusable(#[from] InvalidIdentity),
    #[error("the token names no address")]
    Nowhere,
}

impl EnrollError {
    /// Whether another address may do better.
    fn is_of_the_road(&self) -> bool {
        match self {
            Self::OtherAuthority { .. } => true,
            Self::Call(error) => error.is_passing() || error.certificate_trouble().is_some(),
            Self::Address(_) => true,
            _ => false,
        }
    }
}

/// Asks for a certificate for the keys that wait, at each of the token's addresses until one answers.
/// Nothing secret is sent; and nothing at all before the other side has shown the authority that the
/// token names. The same keys may ask again.
pub fn enroll(
    token: &Token,
    pending: PendingIdentity,
    clock: &dyn Clock,
    roads: &Roads,
) -> Result<Identity, EnrollError> {
    let keys = Keys::of_pending(&pending)?;
    let request = EnrollmentRequest::new(token, &pending)?;
    let mut failure = EnrollError::Nowhere;
    for address in token.addresses() {
        match ask(address, token, &request, clock, roads) {
            Ok(answer) => {
                let verified = answer.verify(&keys, Anchor::Fingerprint(token.authority()));
                let location = address.clone();
                let (granted, _) =
                    verified.map_err(|source| EnrollError::Grant { location, source })?;
                return Ok(pending.certified(&granted.certificate, granted.authorities)?);
            }
            Err(error) if error.is_of_the_road() => {
                tracing::debug!(address, %error, "no way to enrol there");
                failure = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

fn ask(
    address: &str,
    token: &Token,
    request: &EnrollmentRequest,
    clock: &dyn Clock,
    roads: &Roads,
) -> Result<SignedGrant, EnrollError> {
    // Whoever answers is not believed yet: of what it says, only what the fingerprint proves is used.
    let stranger = ApiClient::over(address, Credentials::Stranger, roads)?;
    let location = || stranger.location().to_owned();
    let introduction = stranger.introduction()?;
    let Some(authority) = introduction.authority(token.authority()) else {
        return Err(EnrollError::OtherAuthority { location: location() });
    };
    let (here, there) = (clock.now(), introduction.at);
    if here.since(there).max(there.since(here)) > APART_MAX {
        return Err(EnrollError::Clock { location: location(), here, there });
    }
    let vault = ApiClient::over(address, Credentials::Authority(&authority), roads)?;
    Ok(vault.enroll(request)?)
}
