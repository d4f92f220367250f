//! Who is at the other end of a connection, judged anew at each request; and whose signatures count.
//!
//! TLS judges a certificate once, when a connection begins. A connection may last for days, so what can
//! change meanwhile is asked at each request: whether the certificate has ended, whether it is revoked,
//! and whether its authority is still believed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outlast_types::{Clock, Timestamp};
use rustls::pki_types::CertificateDer;

use crate::api::ErrorCode;
use crate::certificate::{self, Certified, InvalidCertificate};
use crate::identity::Identity;
use crate::identity_handle::IdentityHandle;
use crate::names::Names;
use crate::peer::Peer;
use crate::revocation::Revocations;
pub use crate::signature::SignerRefused;

/// How long after its end a certificate may still be renewed, and its signatures under what waits be
/// believed: for hosts that were away.
pub const RENEWABLE: Duration = Duration::from_secs(90 * 24 * 3600);

/// Who asks, as an extension of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody without a certificate: may enrol, and nothing else.
    Anonymous,
    /// The holder of a certificate that has ended not long ago, and is good otherwise: may renew it,
    /// and nothing else.
    Lapsed(Arc<Certified>),
    /// The holder of a good certificate.
    Known(Arc<Certified>),
    /// The holder of a certificate that does not count.
    Refused(Refusal),
}

/// Why a certificate does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whom it names, if it names anybody.
    pub peer: Option<Peer>,
    pub code: ErrorCode,
    pub reason: String,
}

impl Caller {
    /// The peer, if the certificate is good for more than renewal.
    pub fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Known(certified) => Some(&certified.peer),
            Self::Anonymous | Self::Lapsed(_) | Self::Refused(_) => None,
        }
    }
}

/// Whom we believe: the authorities of an identity, but those whom a list revokes. A copy leads to the
/// same.
#[derive(Clone)]
pub struct Trust(Arc<Shared>);

struct Shared {
    identity: IdentityHandle,
    clock: Arc<dyn Clock>,
    names: Names,
}

impl Trust {
    /// Believes whom `identity` believes; nobody is revoked before [`learn`](Self::learn).
    pub fn new(identity: &IdentityHandle, clock: &Arc<dyn Clock>) -> Self {
        Self::by_names(identity, clock, identity.names().clone())
    }

    /// The same, where certificates that name nobody of ours may mean somebody by `names`.
    pub fn by_names(identity: &IdentityHandle, clock: &Arc<dyn Clock>, names: Names) -> Self {
        let (identity, clock) = (identity.clone(), Arc::clone(clock));
        Self(Arc::new(Shared { identity, clock, names }))
    }

    /// Takes over a list of revocations: in force at the next request of everybody. One that is older
    /// than what is known is not taken; the number that is in force.
    pub fn learn(&self, list: Revocations) -> u64 {
        self.0.identity.learn(list)
    }

    /// The list in force.
    pub fn revocations(&self) -> Arc<Revocations> {
        self.0.identity.revocations()
    }

    /// Who signed `message`, if the signer's chain leads to an authority for connections, the
    /// certificate is not revoked, and ended at most 90 days ago: the words of a signer may wait for
    /// days before they arrive. What the signer may say is for the caller to judge.
    pub fn judge_signer(
        &self,
        chain_pem: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Certified, SignerRefused> {
        let Shared { identity, clock, names } = &*self.0;
        let signer = identity.judge_by(names, chain_pem, message, signature)?;
        let until = signer.validity.until;
        if clock.now().since(until) > RENEWABLE {
            return Err(SignerRefused::Ended { peer: signer.peer, until });
        }
        Ok(signer)
    }

    /// What a client showed when its connection began, which TLS found good.
    pub(crate) fn presented(&self, chain: Option<&[CertificateDer<'static>]>) -> Presented {
        let chain = chain.unwrap_or_default().to_vec();
        let certified = chain.first().map(|holder| {
            certificate::facts_by(holder, &self.0.names).map(|facts| Arc::new(facts.certified))
        });
        Presented { trust: self.clone(), chain, certified, judged: Mutex::new(None) }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({:?}, revocations {})", self.0.identity, self.revocations().number())
    }
}

/// The chain of a connection, and the verdict about it.
pub(crate) struct Presented {
    trust: Trust,
    chain: Vec<CertificateDer<'static>>,
    certified: Option<Result<Arc<Certified>, InvalidCertificate>>,
    /// The verdict, and the identity by whose authorities it was found.
    judged: Mutex<Option<(Arc<Identity>, Verdict)>>,
}

type Verdict = Result<(), InvalidCertificate>;

impl Presented {
    /// Who that is now.
    pub(crate) fn caller(&self) -> Caller {
        let certified = match &self.certified {
            None => return Caller::Anonymous,
            Some(Ok(certified)) => certified,
            Some(Err(error)) => {
                let reason = error.to_string();
                return Caller::Refused(Refusal {
                    peer: None,
                    code: ErrorCode::NoIdentity,
                    reason,
                });
            }
        };
        let refused = |code, reason| {
            let peer = Some(certified.peer.clone());
            Caller::Refused(Refusal { peer, code, reason })
        };
        let now = self.trust.0.clock.now();
        let until = certified.validity.until;
        if let Some(revocation) = self.trust.revocations().of(certified) {
            let text =
                format!("the certificate of {} is revoked since {}", certified.peer, revocation.at);
            return refused(ErrorCode::CertificateRevoked, text);
        }
        if let Err(error) = self.verdict(now.min(until)) {
            return refused(ErrorCode::CertificateUntrusted, error.to_string());
        }
        if now <= until {
            Caller::Known(Arc::clone(certified))
        } else if now.since(until) <= RENEWABLE {
            Caller::Lapsed(Arc::clone(certified))
        } else {
            let text = format!("the certificate of {} was valid until {until}", certified.peer);
            refused(ErrorCode::CertificateEnded, text)
        }
    }

    /// Whether the authorities in force lead to it: found anew when they are others.
    fn verdict(&self, at: Timestamp) -> Verdict {
        // Not under the lock: this may look at a disk.
        let identity = self.trust.0.identity.get();
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        match &*judged {
            Some((by, verdict)) if Arc::ptr_eq(by, &identity) => verdict.clone(),
            _ => {
                let verdict = certificate::check_chain(&self.chain, identity.ca_pem(), at);
                *judged = Some((identity, verdict.clone()));
                verdict
            }
        }
    }
}

#[cfg(test)]
mod tests;
