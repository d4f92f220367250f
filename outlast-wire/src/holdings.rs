//! What a vault holds *now*: the question with a nonce, and the signed answer.
//!
//! A receipt records that a vault held a drop once. A vault whose disk was put back from an older
//! copy has signed receipts for drops that it does not know, and cannot know that by itself. So
//! whoever is about to free a drop's data asks, with a nonce of its own, and believes only an answer
//! that is signed by a vault and repeats that nonce: it was made after the question.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outlast_types::{BlobId, DropIdentity, Random, SnapshotId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::certificate::Certified;
use crate::identity::Identity;
use crate::names::Names;
use crate::peer::Role;
use crate::signature::{self, SignerRefused};
use crate::statement::Statement;

/// The most drops in one question.
pub const QUESTION_DROPS_MAX: usize = 1000;

const NONCE_BYTES: usize = 32;
/// Signed before the text, so that no other signature of a vault can pass for an answer.
const CONTEXT: &[u8] = b"outlast holdings 1\n";

/// Chosen by whoever asks, and repeated in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nonce(String);

impl Nonce {
    /// A new one, which nobody can have answered yet.
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; NONCE_BYTES];
        random.fill(&mut bytes);
        Self(STANDARD.encode(bytes))
    }
}

/// A drop and what it held, as a receipt says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldDrop {
    pub drop: DropIdentity,
    /// Bytes of content.
    pub size: u64,
    /// The root tree of its snapshot.
    pub tree: BlobId,
    pub snapshot: SnapshotId,
}

/// A drop that a backup product has, as its agent says: in which hand-over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HandedDrop {
    pub handover: String,
    pub drop: DropIdentity,
}

/// What a vault has heard of such a drop and believes now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedNow {
    #[serde(flatten)]
    pub handed: HandedDrop,
    /// The moment that it brings back, as the vault believes it.
    pub point: Timestamp,
    /// Whether the vault does not take it for a recovery point.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_doubtful: bool,
}

/// `POST /api/v1/holdings`: which of these does the vault hold now?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub nonce: Nonce,
    pub drops: Vec<HeldDrop>,
    /// The texts of receipts that a vault signed. One that it does not know proves to a vault that
    /// it went back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<String>,
    /// Drops that a vault need not hold, since a backup product has them: are they confirmed now, by all that
    /// it has heard?
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handed: Vec<HandedDrop>,
    /// Whether whoever asks heeds [`Answer::withheld`]. Who does not is not answered while releases are
    /// withheld.
    #[serde(default)]
    pub heeds_withheld: bool,
    /// The same, signed by who asks, about [`Subject::Holdings`](crate::statement::Subject::Holdings): what a
    /// media server hands on. It counts alone if it is there. Older agents do not sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Box<Statement>>,
}

/// What a vault holds, of what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub nonce: Nonce,
    /// By the vault's clock.
    pub at: Timestamp,
    /// Names the vault's process, as in [`Reported`](crate::api::Reported).
    pub run: String,
    /// How many receipts the vault has signed.
    pub sequence: u64,
    pub held: Vec<HeldDrop>,
    /// Of those that it does not hold, the ones of which it has the record all the same: they were vaulted, and their
    /// snapshots have gone since, as policy says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<HeldDrop>,
    /// Of those that a backup product is to have, the ones that are confirmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handed: Vec<HandedNow>,
    /// The workloads of these of which policy does not count a confirmation alone as safe: nothing of theirs may
    /// be let go for one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsafe_alone: Vec<WorkloadName>,
    /// The workloads of which the vault says nothing to who asks, since they are not granted: neither
    /// that a drop is held, nor that it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<WorkloadName>,
    /// Whether nothing of what is held may be let go for now: the vault was just brought back, and waits
    /// for its agents.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

/// An answer that can be carried by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAnswer {
    /// An [`Answer`] in JSON: these very bytes are signed.
    text: String,
    certificate: String,
    signature: String,
}

/// Why an answer proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the vault's answer is not of the form that was agreed: {0}")]
    Malformed(String),
    #[error("the vault's answer is not signed rightly: {0}")]
    Signature(#[from] SignerRefused),
    #[error("{signer} signed the answer, which only a vault may do")]
    WrongRole { signer: String },
    #[error("the answer is to another question: somebody repeats an old one")]
    WrongNonce,
}

impl SignedAnswer {
    /// Signs `answer` as `vault`.
    pub fn sign(answer: &Answer, vault: &Identity) -> serde_json::Result<Self> {
        let text = serde_json::to_string(answer)?;
        let signature = STANDARD.encode(vault.sign(&message(&text)));
        Ok(Self { text, certificate: vault.certificate_pem().to_owned(), signature })
    }

    /// The answer, if a vault of the authority `ca_pem` gave it to this `nonce`.
    pub fn verify(&self, ca_pem: &str, nonce: &Nonce) -> Result<Answer, AnswerError> {
        self.verify_by(nonce, |chain_pem, message, proof| {
            Ok(signature::signer(chain_pem, ca_pem, &Names::default(), message, proof)?)
        })
    }

    /// The same, where `judge` finds out who signed a message, given the signer's certificates and the
    /// signature.
    pub fn verify_by(
        &self,
        nonce: &Nonce,
        judge: impl FnOnce(&str, &[u8], &[u8]) -> Result<Certified, SignerRefused>,
    ) -> Result<Answer, AnswerError> {
        let malformed = |error: &dyn std::fmt::Display| AnswerError::Malformed(error.to_string());
        let signature = STANDARD.decode(&self.signature).map_err(|error| malformed(&error))?;
        let signer = judge(&self.certificate, &message(&self.text), &signature)?.peer;
        if signer.role() != Role::Vault {
            return Err(AnswerError::WrongRole { signer: signer.to_string() });
        }
        let answer: Answer = serde_json::from_str(&self.text).map_err(|error| malformed(&error))?;
        if answer.nonce != *nonce {
            return Err(AnswerError::WrongNonce);
        }
        Ok(answer)
    }
}

fn message(text: &str) -> Vec<u8> {
    [CONTEXT, text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;
    use crate::ca::tests::{authority, issue};

    #[test]
    fn only_a_vaults_answer_to_this_very_question_counts() {
        let (_directory, authority) = authority();
        let vault = issue(&authority, Role::Vault, "vault-1");
        let agent = issue(&authority, Role::Agent, "eu-1");
        let (mine, other) = (Nonce::new(&SystemRandom), Nonce::new(&SystemRandom));
        let answer = Answer {
            nonce: mine.clone(),
            at: Timestamp::EPOCH,
            run: "1".to_owned(),
            sequence: 7,
            held: Vec::new(),
            recorded: Vec::new(),
            handed: Vec::new(),
            unsafe_alone: Vec::new(),
            refused: Vec::new(),
            withheld: false,
        };
        let signed = SignedAnswer::sign(&answer, &vault).unwrap();
        let ca = agent.ca_pem();
        assert_eq!(signed.verify(ca, &mine).unwrap(), answer);
        assert!(matches!(signed.verify(ca, &other), Err(AnswerError::WrongNonce)));
        let forged = SignedAnswer::sign(&answer, &agent).unwrap();
        assert!(matches!(forged.verify(ca, &mine), Err(AnswerError::WrongRole { .. })));
        let mut changed = signed.clone();
        changed.text = changed.text.replace("\"sequence\":7", "\"sequence\":8");
        assert!(matches!(changed.verify(ca, &mine), Err(AnswerError::Signature(_))));
        // A signature of the vault under something else, such as a receipt, is no answer.
        let text = signed.text.clone();
        let signature = STANDARD.encode(vault.sign(text.as_bytes()));
        let other = SignedAnswer { text, signature, ..signed };
        assert!(matches!(other.verify(ca, &mine), Err(AnswerError::Signature(_))));
    }
}
