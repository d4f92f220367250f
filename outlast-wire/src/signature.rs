//! Signatures that outlive their signers' certificates.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use crate::certificate::{self, InvalidCertificate};
use crate::peer::Peer;

/// Why a signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    #[error("the signature does not fit what is signed: it was changed, or signed by another key")]
    Mismatch,
}

/// Who signed `message`, if the certificate is from our authority, or one of those in `ca_pem`, and
/// the signature fits.
///
/// Whether the certificate is still valid *now* does not matter: a receipt is read years after
/// the certificate of its signer has ended, and the authority issued it all the same.
pub fn verify(
    certificate_pem: &str,
    ca_pem: &str,
    message: &[u8],
    signature: &[u8],
) -> Result<Peer, SignatureError> {
    let certificate = certificate::first(certificate_pem)?;
    certificate::check_issued_by_any(&certificate, ca_pem)?;
    let facts = certificate::facts(&certificate)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, facts.public_key)
        .verify(message, signature)
        .map_err(|_| SignatureError::Mismatch)?;
    Ok(facts.peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
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
            check(b"receipt", &signature, other.certificate_pem()),
            Err(SignatureError::Certificate(InvalidCertificate::Stranger))
        );
        let impostor = issue(&other, Role::Agent, "eu-1");
        let forged = impostor.sign(b"receipt");
        assert!(check(b"receipt", &forged, agent.ca_pem()).is_err());
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
