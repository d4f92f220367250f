//! Signatures that outlive their signers' certificates.

use outlast_types::Timestamp;

use crate::certificate::{self, Certified, InvalidCertificate};
use crate::names::Names;
use crate::peer::Peer;

/// Why a signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    #[error("the signature does not fit what is signed: it was changed, or signed by another key")]
    Mismatch,
}

/// Why a signature does not count now, whatever it proved once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerRefused {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("the certificate of {peer}, who signed, is revoked since {at}")]
    Revoked { peer: Peer, at: Timestamp },
    #[error("the certificate of {peer}, who signed, ended at {until}, which is too long ago")]
    Ended { peer: Peer, until: Timestamp },
}

impl From<InvalidCertificate> for SignerRefused {
    fn from(error: InvalidCertificate) -> Self {
        Self::Signature(error.into())
    }
}

/// Who signed `message`, if the chain, which begins with the signer's certificate, leads to one of the
/// authorities in `ca_pem`, and the signature fits.
///
/// Whether the certificate is still valid *now* does not matter: a receipt is read years after
/// the certificate of its signer has ended, and the authority issued it all the same.
pub fn verify(
    chain_pem: &str,
    ca_pem: &str,
    message: &[u8],
    signature: &[u8],
) -> Result<Peer, SignatureError> {
    let signer = signer(chain_pem, ca_pem, &Names::default(), message, signature)?;
    Ok(signer.peer)
}

/// The same, with all that the signer's certificate says; one that names nobody of ours may mean somebody
/// by `names`.
pub fn signer(
    chain_pem: &str,
    ca_pem: &str,
    names: &Names,
    message: &[u8],
    signature: &[u8],
) -> Result<Certified, SignatureError> {
    let chain = certificate::chain(chain_pem)?;
    certificate::check_issued(&chain, ca_pem)?;
    let facts = certificate::facts_by(chain.first().ok_or(InvalidCertificate::NoPem)?, names)?;
    match facts.key.has_signed(message, signature) {
        true => Ok(facts.certified),
        false => Err(SignatureError::Mismatch),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outlast_types::{Clock, SystemClock, SystemRandom, Timestamp};

    use super::*;
    use crate::Role;
    use crate::ca::Request;
    use crate::ca::tests::{authority, issue};

    #[test]
    fn a_signature_proves_its_signer_and_every_byte() {
        let (_directory, authority) = authority();
        let agent = issue(&authority, Role::Agent, "eu-1");
        let signature = agent.sign(b"receipt");
        let check = |message: &[u8], signature: &[u8], ca: &str| {
            verify(agent.certificate_pem(), ca, message, signature)
        };
        assert_eq!(check(b"receipt", &signature, agent.ca_pem()), Ok(agent.peer().clone()));
        assert_eq!(check(b"Receipt", &signature, agent.ca_pem()), Err(SignatureError::Mismatch));
        assert!(check(b"receipt", &signature[1..], agent.ca_pem()).is_err());
        let (_other_directory, other) = crate::ca::tests::authority();
        assert_eq!(
            check(b"receipt", &signature, other.ca_pem()),
            Err(SignatureError::Certificate(InvalidCertificate::Stranger))
        );
        let impostor = issue(&other, Role::Agent, "eu-1");
        let forged = impostor.sign(b"receipt");
        assert!(check(b"receipt", &forged, agent.ca_pem()).is_err());
    }

    #[test]
    fn what_was_signed_counts_after_the_signers_certificate_has_ended() {
        let (_directory, authority) = authority();
        let peer = Peer::new(Role::Vault, "hq").unwrap();
        let lifetime = Duration::from_secs(60);
        let request = Request::new(peer.clone(), lifetime);
        let long_ago = Past(SystemClock.now().saturating_sub(Duration::from_secs(86_400)));
        let vault = authority.issue(&request, &long_ago, &SystemRandom).unwrap();
        assert!(vault.validity().trouble(SystemClock.now()).is_some());
        let signed = vault.sign(b"receipt");
        assert_eq!(verify(vault.certificate_pem(), vault.ca_pem(), b"receipt", &signed), Ok(peer));
    }

    struct Past(Timestamp);

    impl Clock for Past {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    #[test]
    fn an_authority_signs_no_receipts() {
        let (_directory, authority) = authority();
        let agent = issue(&authority, Role::Agent, "eu-1");
        let ca = agent.ca_pem();
        let result = verify(ca, ca, b"receipt", &agent.sign(b"receipt"));
        assert!(matches!(result, Err(SignatureError::Certificate(_))), "{result:?}");
    }

    #[test]
    fn an_agent_is_no_authority() {
        let (_directory, authority) = authority();
        let agent = issue(&authority, Role::Agent, "eu-1");
        let result =
            verify(agent.certificate_pem(), agent.certificate_pem(), b"", &agent.sign(b""));
        assert_eq!(result, Err(SignatureError::Certificate(InvalidCertificate::NoAuthority)));
    }
}
