//! Statements: words that prove by themselves who said them, whoever carries them.
//!
//! A statement is a JSON document as a text, the certificates of its signer, and a signature over
//! these very bytes behind the name of their subject: a bill is no report, whatever else the two have
//! in common. Whoever carries one can read, withhold and repeat it, and change nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::certificate::{self, Certified};
use crate::identity::Identity;
use crate::peer::{Peer, Role};
use crate::signature::{self, SignatureError};

/// More than any chain of certificates needs, in bytes.
const CERTIFICATE_BYTES_MAX: usize = 64 << 10;

/// What a statement is about. Its name is signed before the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A bill of lading: [`Shipment`](crate::api::Shipment).
    Bill,
    /// A request for a repository: [`OpenRepository`](crate::api::OpenRepository).
    Open,
    /// The vault's answer to that: [`OpenedRepository`](crate::api::OpenedRepository).
    Opened,
    /// What a pass saw, or that the agent lives: [`SignedReport`](crate::api::SignedReport).
    Report,
    /// What a media server may do for an agent: [`Ticket`](crate::ticket::Ticket).
    Ticket,
    /// A question for a backup that instances want back: [`AskBackup`](crate::api::AskBackup).
    AskBackup,
    /// What was decided of that, for those instances: [`Decided`](crate::fetching::Decided).
    Decided,
    /// That a drop is about to be shipped: [`BeginShipment`](crate::api::BeginShipment).
    Begin,
    /// That it will not be: [`CancelShipment`](crate::api::CancelShipment).
    Cancel,
    /// Which drops the vault holds now: [`Question`](crate::holdings::Question).
    Holdings,
    /// That the repository of a retired workload was destroyed.
    Destroyed,
    /// That a backup product has a drop: [`Confirmation`](crate::confirmation::Confirmation).
    Confirmed,
}

impl Subject {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Bill => b"outlast bill v1\0",
            Self::Open => b"outlast open v1\0",
            Self::Opened => b"outlast opened v1\0",
            Self::Report => b"outlast report v1\0",
            Self::Ticket => b"outlast ticket v1\0",
            Self::AskBackup => b"outlast ask backup v1\0",
            Self::Decided => b"outlast decided v1\0",
            Self::Begin => b"outlast begin v1\0",
            Self::Cancel => b"outlast cancel v1\0",
            Self::Holdings => b"outlast holdings v1\0",
            Self::Destroyed => b"outlast destroyed v1\0",
            Self::Confirmed => b"outlast confirmed v1\0",
        }
    }
}

/// Words with their signature.
// A body without these members is one of a program that does not sign yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statement {
    /// The JSON document: these very bytes are signed.
    text: String,
    /// The signer's certificate and those between it and the authority, in PEM.
    certificate: String,
    /// In base64.
    signature: String,
}

/// Why words prove nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    #[error("it is not signed")]
    Unsigned,
    #[error("its signature proves nothing: {0}")]
    Signature(#[from] SignatureError),
    #[error("{signer} signed it, which only {} may do", wanted.as_str())]
    WrongRole { signer: Peer, wanted: Role },
    #[error("what was signed cannot be understood: {0}")]
    Content(String),
}

impl Statement {
    /// Signs `content` as `signer`.
    pub fn sign(
        subject: Subject,
        content: &impl Serialize,
        signer: &Identity,
    ) -> serde_json::Result<Self> {
        Self::sign_showing(subject, content, signer, signer.certificate_pem())
    }

    /// The same with the root among the certificates, for readers who know that by its fingerprint
    /// alone.
    pub fn sign_whole(
        subject: Subject,
        content: &impl Serialize,
        signer: &Identity,
    ) -> serde_json::Result<Self> {
        Self::sign_showing(subject, content, signer, signer.whole_chain_pem())
    }

    fn sign_showing(
        subject: Subject,
        content: &impl Serialize,
        signer: &Identity,
        chain_pem: &str,
    ) -> serde_json::Result<Self> {
        let text = serde_json::to_string(content)?;
        let signature = STANDARD.encode(signer.sign(&message(subject, &text)));
        Ok(Self { text, certificate: chain_pem.to_owned(), signature })
    }

    /// Who said it and what, if it is about `subject` and one of the authorities in `ca_pem`
    /// vouches for the signer. Whether the signer's certificate is valid at this moment, or revoked,
    /// is for who asks to judge.
    pub fn read<T: DeserializeOwned>(
        &self,
        subject: Subject,
        ca_pem: &str,
    ) -> Result<(Certified, T), StatementError> {
        self.read_by(subject, |chain_pem, message, signature| {
            signature::verify(chain_pem, ca_pem, message, signature)?;
            let facts = certificate::facts_of_pem(chain_pem).map_err(SignatureError::from)?;
            Ok(facts.certified)
        })
    }

    /// The same, where `judge` finds out who signed a message, given the signer's certificates and the
    /// signature.
    pub fn read_by<T: DeserializeOwned, E: From<StatementError>>(
        &self,
        subject: Subject,
        judge: impl FnOnce(&str, &[u8], &[u8]) -> Result<Certified, E>,
    ) -> Result<(Certified, T), E> {
        if self.signature.is_empty() {
            return Err(StatementError::Unsigned.into());
        }
        if self.certificate.len() > CERTIFICATE_BYTES_MAX {
            let text = "its certificates are too long".to_owned();
            return Err(StatementError::Content(text).into());
        }
        let signature = STANDARD.decode(&self.signature);
        let signature = signature.map_err(|_| StatementError::from(SignatureError::Mismatch))?;
        let signer = judge(&self.certificate, &message(subject, &self.text), &signature)?;
        let content = serde_json::from_str(&self.text);
        let content = content.map_err(|error| StatementError::Content(error.to_string()))?;
        Ok((signer, content))
    }
}

/// Whether what `signer` signed may come over a connection of `connection`: its own, or one of a media
/// server, which carries what others say.
pub fn may_carry(connection: &Peer, signer: &Peer) -> bool {
    connection == signer || connection.role() == Role::Media
}

fn message(subject: Subject, text: &str) -> Vec<u8> {
    [subject.prefix(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ca::tests::{authority, issue};

    const SUBJECTS: [Subject; 12] = [
        Subject::Bill,
        Subject::Open,
        Subject::Opened,
        Subject::Report,
        Subject::Ticket,
        Subject::AskBackup,
        Subject::Decided,
        Subject::Begin,
        Subject::Cancel,
        Subject::Holdings,
        Subject::Destroyed,
        Subject::Confirmed,
    ];

    #[test]
    fn words_prove_their_signer_their_subject_and_every_byte() {
        let (_directory, ours) = authority();
        let agent = issue(&ours, Role::Agent, "eu-1");
        let content = json!({ "drop": "one", "size": 7 });
        for subject in SUBJECTS {
            let signed = Statement::sign(subject, &content, &agent).unwrap();
            for other in SUBJECTS {
                let read = signed.read::<Value>(other, agent.ca_pem());
                assert_eq!(read.is_ok(), subject == other, "{subject:?} as {other:?}");
            }
            let (signer, read) = signed.read::<Value>(subject, agent.ca_pem()).unwrap();
            assert_eq!((&signer, read), (agent.certified(), content.clone()));
        }
        let signed = Statement::sign(Subject::Bill, &content, &agent).unwrap();
        let changed = Statement { text: signed.text.replace('7', "8"), ..signed.clone() };
        let mismatch = StatementError::Signature(SignatureError::Mismatch);
        let read = |statement: &Statement| statement.read::<Value>(Subject::Bill, agent.ca_pem());
        assert_eq!(read(&changed), Err(mismatch.clone()));
        // Another's certificate beside it does not make it that one's word.
        let other = issue(&ours, Role::Agent, "eu-2");
        let certificate = other.certificate_pem().to_owned();
        assert_eq!(read(&Statement { certificate, ..signed.clone() }), Err(mismatch));
        let (_other_directory, theirs) = authority();
        let stranger = issue(&theirs, Role::Agent, "eu-1");
        let forged = Statement::sign(Subject::Bill, &content, &stranger).unwrap();
        assert!(matches!(read(&forged), Err(StatementError::Signature(_))));
        // With the true chain behind its own.
        let certificate = forged.certificate.clone() + &signed.certificate;
        assert!(read(&Statement { certificate, ..forged }).is_err());
        let certificate = "x".repeat(CERTIFICATE_BYTES_MAX + 1);
        assert!(read(&Statement { certificate, ..signed }).is_err());
    }

    #[test]
    fn a_body_of_a_program_that_does_not_sign_is_told_apart() {
        let (_directory, ours) = authority();
        let agent = issue(&ours, Role::Agent, "eu-1");
        let old: Statement = serde_json::from_value(json!({ "box_public_key": "AAAA" })).unwrap();
        let read = old.read::<Value>(Subject::Open, agent.ca_pem());
        assert_eq!(read, Err(StatementError::Unsigned));
    }

    #[test]
    fn only_a_media_server_carries_what_others_say() {
        let peer = |role, name| Peer::new(role, name).unwrap();
        let agent = peer(Role::Agent, "eu-1");
        assert!(may_carry(&agent, &agent));
        assert!(may_carry(&peer(Role::Media, "eu"), &agent));
        assert!(!may_carry(&peer(Role::Agent, "eu-2"), &agent));
        for role in [Role::Vault, Role::Operator, Role::Reader] {
            assert!(!may_carry(&peer(role, "eu-1"), &agent), "{role}");
        }
    }
}
