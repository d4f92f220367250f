//! The newest entry of a vault's audit log, as the vault signs it, for whoever keeps it elsewhere: a log that was
//! cut off or written anew does not contain it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate;
use crate::identity::Identity;
use crate::names::Names;
use crate::peer::{Peer, Role};
use crate::signature::{self, SignatureError};

/// Signed before the text, so that no other signature of a vault can pass for a receipt of a head.
const CONTEXT: &[u8] = b"outlast audit head 1\n";
const VERSION: u32 = 1;

/// The newest entry at a moment. It speaks for all before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadReceipt {
    pub version: u32,
    /// The vault's name.
    pub vault: String,
    pub number: u64,
    /// The SHA-256 of its line.
    pub hash: String,
    /// By the vault's clock.
    pub at: Timestamp,
}

/// A receipt that can be carried and kept by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// A [`HeadReceipt`] in JSON: these very bytes are signed.
    text: String,
    certificate: String,
    signature: String,
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum HeadReceiptError {
    #[error("this is no receipt of an audit log's head: {0}")]
    Malformed(String),
    #[error(
        "the receipt is of version {0}, which this program does not know: a newer one reads it"
    )]
    Newer(u32),
    #[error("the receipt is not signed rightly: {0}")]
    Signature(#[from] SignatureError),
    #[error("{signer} signed the receipt, which only the vault {vault} may do")]
    WrongSigner { signer: String, vault: String },
}

impl SignedHead {
    /// Signs the newest entry as `vault`.
    pub fn sign(
        number: u64,
        hash: &str,
        at: Timestamp,
        vault: &Identity,
    ) -> serde_json::Result<Self> {
        let name = vault.peer().name().to_owned();
        let receipt =
            HeadReceipt { version: VERSION, vault: name, number, hash: hash.to_owned(), at };
        let text = serde_json::to_string(&receipt)?;
        let signature = STANDARD.encode(vault.sign(&message(&text)));
        Ok(Self { text, certificate: vault.certificate_pem().to_owned(), signature })
    }

    /// What it says, if a vault of the authorities in `ca_pem` says so. Whether its certificate is valid
    /// still does not matter: a receipt is kept for years.
    pub fn verify(&self, ca_pem: &str) -> Result<HeadReceipt, HeadReceiptError> {
        let malformed =
            |error: &dyn std::fmt::Display| HeadReceiptError::Malformed(error.to_string());
        let proof = STANDARD.decode(&self.signature).map_err(|error| malformed(&error))?;
        let signer = signature::signer(
            &self.certificate,
            ca_pem,
            &Names::default(),
            &message(&self.text),
            &proof,
        )?;
        self.of(&signer.peer)
    }

    /// The same of whoever signed it, when nothing is at hand that says whom to believe: it shows that nothing
    /// of the receipt was changed by who has not the key, and no more.
    pub fn read(&self) -> Result<HeadReceipt, HeadReceiptError> {
        let malformed =
            |error: &dyn std::fmt::Display| HeadReceiptError::Malformed(error.to_string());
        let proof = STANDARD.decode(&self.signature).map_err(|error| malformed(&error))?;
        let chain = certificate::chain(&self.certificate).map_err(SignatureError::from)?;
        let first = chain.first().ok_or_else(|| malformed(&"it has no certificate"))?;
        let facts =
            certificate::facts_by(first, &Names::default()).map_err(SignatureError::from)?;
        if !facts.key.has_signed(&message(&self.text), &proof) {
            return Err(SignatureError::Mismatch.into());
        }
        self.of(&facts.certified.peer)
    }

    fn of(&self, signer: &Peer) -> Result<HeadReceipt, HeadReceiptError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let malformed = |error: serde_json::Error| HeadReceiptError::Malformed(error.to_string());
        let Versioned { version } = serde_json::from_str(&self.text).map_err(malformed)?;
        if version > VERSION {
            return Err(HeadReceiptError::Newer(version));
        }
        let receipt: HeadReceipt = serde_json::from_str(&self.text).map_err(malformed)?;
        if signer.role() != Role::Vault || signer.name() != receipt.vault {
            let (signer, vault) = (signer.to_string(), receipt.vault);
            return Err(HeadReceiptError::WrongSigner { signer, vault });
        }
        Ok(receipt)
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
    fn only_what_the_vault_itself_signed_and_nobody_changed_is_a_receipt() {
        let (_directory, authority) = authority();
        let vault = issue(&authority, Role::Vault, "hq");
        let agent = issue(&authority, Role::Agent, "hq");
        let signed = SignedHead::sign(7, "ab", Timestamp::EPOCH, &vault).unwrap();
        let ca = agent.ca_pem();
        let receipt = signed.verify(ca).unwrap();
        assert_eq!(
            (receipt.number, receipt.hash.as_str(), receipt.vault.as_str()),
            (7, "ab", "hq")
        );
        assert_eq!(signed.read().unwrap(), receipt);
        let mut changed = signed.clone();
        changed.text = changed.text.replace("\"number\":7", "\"number\":6");
        assert!(changed.verify(ca).is_err() && changed.read().is_err());
        let forged = SignedHead::sign(7, "ab", Timestamp::EPOCH, &agent).unwrap();
        assert!(matches!(forged.verify(ca), Err(HeadReceiptError::WrongSigner { .. })));
        let (_other, stranger) = crate::ca::tests::authority();
        let stranger = issue(&stranger, Role::Vault, "hq");
        let forged = SignedHead::sign(7, "ab", Timestamp::EPOCH, &stranger).unwrap();
        assert!(matches!(forged.verify(ca), Err(HeadReceiptError::Signature(_))));
        assert!(forged.read().is_ok(), "without an authority nobody can tell");
    }
}
