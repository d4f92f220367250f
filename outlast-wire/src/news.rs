//! The news of trust: the list of revocations and the authorities, numbered and signed by a vault.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::authorities::Authorities;
use crate::certificate::Certified;
use crate::identity::Identity;
use crate::names::Names;
use crate::peer::{Peer, Role};
use crate::revocation::{Revocation, Revocations};
use crate::signature::{self, SignerRefused};

/// The version of the document.
const VERSION: u32 = 1;
/// Signed before the text, so that no other signature of a vault can pass for news.
const CONTEXT: &[u8] = b"outlast trust v1\0";

/// What a tier knows of trust, as a vault tells it: `GET /api/v1/trust`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustNews {
    pub version: u32,
    /// Of the list of revocations.
    pub number: u64,
    /// By the vault's clock.
    pub at: Timestamp,
    pub revocations: Vec<Revocation>,
    pub authorities: Authorities,
}

impl TrustNews {
    pub fn new(list: &Revocations, authorities: Authorities, at: Timestamp) -> Self {
        let (number, revocations) = (list.number(), list.entries().to_vec());
        Self { version: VERSION, number, at, revocations, authorities }
    }

    pub fn list(&self) -> Revocations {
        Revocations::new(self.number, self.revocations.clone())
    }
}

/// News that can be carried by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTrustNews {
    /// A [`TrustNews`] in JSON: these very bytes are signed.
    text: String,
    certificate: String,
    signature: String,
}

/// Why news are not believed.
#[derive(Debug, thiserror::Error)]
pub enum NewsError {
    #[error("the news of trust are not of the form that was agreed: {0}")]
    Malformed(String),
    #[error("the news of trust are of version {version}, which is newer than this program")]
    Newer { version: u32 },
    #[error("the news of trust are not signed rightly: {0}")]
    Signature(#[from] SignerRefused),
    #[error("{signer} signed the news of trust, which only a vault may do")]
    WrongRole { signer: Peer },
    #[error(
        "the list of revocations has number {number}, and number {known} is known: somebody shows \
         an old one, or the vault was put back"
    )]
    WentBack { number: u64, known: u64 },
}

impl SignedTrustNews {
    /// Signs `news` as `vault`.
    pub fn sign(news: &TrustNews, vault: &Identity) -> serde_json::Result<Self> {
        let text = serde_json::to_string(news)?;
        let signature = STANDARD.encode(vault.sign(&message(&text)));
        Ok(Self { text, certificate: vault.certificate_pem().to_owned(), signature })
    }

    /// The news, if a vault of one of the authorities in `ca_pem` tells them, and they are no older
    /// than list number `known`.
    pub fn verify(&self, ca_pem: &str, known: u64) -> Result<TrustNews, NewsError> {
        self.verify_by(known, |chain_pem, message, proof| {
            Ok(signature::signer(chain_pem, ca_pem, &Names::default(), message, proof)?)
        })
    }

    /// The same, where `judge` finds out who signed a message, given the signer's certificates and the
    /// signature.
    pub fn verify_by(
        &self,
        known: u64,
        judge: impl FnOnce(&str, &[u8], &[u8]) -> Result<Certified, SignerRefused>,
    ) -> Result<TrustNews, NewsError> {
        let malformed = |error: &dyn std::fmt::Display| NewsError::Malformed(error.to_string());
        let proof = STANDARD.decode(&self.signature).map_err(|error| malformed(&error))?;
        let signer = judge(&self.certificate, &message(&self.text), &proof)?.peer;
        if signer.role() != Role::Vault {
            return Err(NewsError::WrongRole { signer });
        }
        let news: TrustNews =
            serde_json::from_str(&self.text).map_err(|error| malformed(&error))?;
        if news.version > VERSION {
            return Err(NewsError::Newer { version: news.version });
        }
        if news.number < known {
            return Err(NewsError::WentBack { number: news.number, known });
        }
        Ok(news)
    }
}

fn message(text: &str) -> Vec<u8> {
    [CONTEXT, text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::tests::{authority, issue};

    #[test]
    fn news_are_a_vaults_and_never_go_back() {
        let (_directory, ours) = authority();
        let (_other_directory, theirs) = authority();
        let vault = issue(&ours, Role::Vault, "hq");
        let agent = issue(&ours, Role::Agent, "eu-1");
        let list = Revocations::new(7, Vec::new());
        let news = TrustNews::new(&list, ours.authorities().clone(), Timestamp::EPOCH);
        let signed = SignedTrustNews::sign(&news, &vault).unwrap();
        for known in [0, 7] {
            assert_eq!(signed.verify(agent.ca_pem(), known).unwrap(), news);
        }
        let back = signed.verify(agent.ca_pem(), 8);
        assert!(matches!(back, Err(NewsError::WentBack { number: 7, known: 8 })));
        let by_agent = SignedTrustNews::sign(&news, &agent).unwrap();
        let refused = by_agent.verify(agent.ca_pem(), 0);
        assert!(matches!(refused, Err(NewsError::WrongRole { .. })));
        let stranger = SignedTrustNews::sign(&news, &issue(&theirs, Role::Vault, "hq")).unwrap();
        assert!(matches!(stranger.verify(agent.ca_pem(), 0), Err(NewsError::Signature(_))));
        let mut changed = signed.clone();
        changed.text = changed.text.replace("\"number\":7", "\"number\":9");
        assert!(matches!(changed.verify(agent.ca_pem(), 0), Err(NewsError::Signature(_))));
        let newer = TrustNews { version: 2, ..news };
        let newer = SignedTrustNews::sign(&newer, &vault).unwrap().verify(agent.ca_pem(), 0);
        assert!(matches!(newer, Err(NewsError::Newer { version: 2 })));
    }
}
