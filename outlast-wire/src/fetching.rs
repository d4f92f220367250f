//! What instances get back: decisions about their requests, and the keys of answers.
//!
//! An instance knows nothing but the authority that came with its image. So the vault signs for it what it
//! decided of its very request, and which tree of which drop that is; with this the content proves itself,
//! whoever brought it. An agent signs for itself only that it refuses. The key that opens an answer is sealed
//! to the key in the request, bound to both.

use outlast_types::{BlobId, DropId, RequestId, ShareId, SnapshotId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::api::{AskedRequest, ErrorCode, WantedBackup};
use crate::certificate::Certified;
use crate::identity::Identity;
use crate::peer::{Peer, Role};
use crate::signature::SignerRefused;
use crate::statement::{Statement, StatementError, Subject};

/// The answer to [`AskBackup`](crate::api::AskBackup).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupAnswer {
    /// For the instances: a [`Decided`], signed by the vault.
    pub decision: Statement,
    /// For the agent alone, if it was granted: leave to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Statement>,
}

/// What was decided of some requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// On which the requests lie.
    pub share: ShareId,
    pub workload: WorkloadName,
    /// What they want.
    pub wanted: WantedBackup,
    pub requests: Vec<AskedRequest>,
    /// By the clock of who signed.
    pub at: Timestamp,
    pub decision: Decision,
}

/// The decision itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// They get this backup.
    Granted(GrantedBackup),
    /// There is none such.
    None { reason: String },
    /// They do not get it.
    Refused { code: ErrorCode, reason: String },
}

/// A backup, as the vault knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedBackup {
    pub drop: DropId,
    pub snapshot: SnapshotId,
    /// The root tree, which proves the content.
    pub tree: BlobId,
    /// Bytes of content.
    pub size: u64,
    /// When it came, by the vault's clock.
    pub received: Timestamp,
    /// Whether it is a recovery point.
    pub counts: bool,
}

/// Why a decision is not believed.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    #[error("the decision cannot be believed: {0}")]
    Statement(#[from] StatementError),
    #[error("the decision cannot be believed: {0}")]
    Signer(SignerRefused),
    #[error("{signer} may not say that by itself: only a vault may")]
    NotItsWord { signer: Peer },
    #[error("the decision is about other requests: {0} is another")]
    Other(&'static str),
}

impl Decided {
    /// As `signer` says it, readable for who knows the authority by its fingerprint alone.
    pub fn sign(&self, signer: &Identity) -> serde_json::Result<Statement> {
        Statement::sign_whole(Subject::Decided, self, signer)
    }

    /// What `statement` says, where `judge` finds out who signed a message, given the signer's certificates
    /// and the signature. A vault decides; an agent may refuse, and no more.
    pub fn read(
        statement: &Statement,
        judge: impl FnOnce(&str, &[u8], &[u8]) -> Result<Certified, SignerRefused>,
    ) -> Result<Self, DecisionError> {
        let judge = |chain: &str, message: &[u8], proof: &[u8]| {
            judge(chain, message, proof).map_err(DecisionError::Signer)
        };
        let (signer, decided): (Certified, Self) = statement.read_by(Subject::Decided, judge)?;
        let said = (signer.peer.role(), &decided.decision);
        match matches!(said, (Role::Vault, _) | (Role::Agent, Decision::Refused { .. })) {
            true => Ok(decided),
            false => Err(DecisionError::NotItsWord { signer: signer.peer }),
        }
    }

    /// Checks that it is about this request, of now: nobody else has its id, and its file, with the key in
    /// it, is the one that was decided about.
    pub fn check(
        &self,
        share: ShareId,
        workload: &WorkloadName,
        wanted: WantedBackup,
        asked: AskedRequest,
    ) -> Result<(), DecisionError> {
        for (what, is_same) in [
            ("the share", self.share == share),
            ("the workload", self.workload == *workload),
            ("what is wanted", self.wanted == wanted),
            ("the request", self.requests.contains(&asked)),
        ] {
            if !is_same {
                return Err(DecisionError::Other(what));
            }
        }
        Ok(())
    }
}

/// The purpose for which the key of an answer is sealed to the key of a request.
pub fn purpose(
    share: ShareId,
    workload: &WorkloadName,
    request: RequestId,
    answer: &str,
) -> Vec<u8> {
    format!("outlast fetch answer 1 {share} {workload} {request} {answer}").into_bytes()
}

#[cfg(test)]
mod tests {
    use outlast_types::{ContentHash, SystemRandom};

    use super::*;
    use crate::ca::tests::{authority, issue};
    use crate::certificate;
    use crate::receipts::Authority;

    fn decided(decision: Decision) -> Decided {
        let asked =
            AskedRequest { request: RequestId::new(&SystemRandom), digest: ContentHash([7; 32]) };
        Decided {
            share: ShareId::new(&SystemRandom),
            workload: WorkloadName::new("shop-db").unwrap(),
            wanted: WantedBackup::Latest,
            requests: vec![asked],
            at: Timestamp::EPOCH,
            decision,
        }
    }

    fn granted() -> Decision {
        Decision::Granted(GrantedBackup {
            drop: "01a2066b-8649-78cb-a8bc-a5af0e952507".parse().unwrap(),
            snapshot: "02".repeat(32).parse().unwrap(),
            tree: "03".repeat(32).parse().unwrap(),
            size: 7,
            received: Timestamp::EPOCH,
            counts: true,
        })
    }

    fn refused() -> Decision {
        Decision::Refused { code: ErrorCode::FetchOff, reason: "no".to_owned() }
    }

    #[test]
    fn only_a_vault_grants_or_says_that_there_is_none_and_an_agent_may_refuse() {
        let (_directory, ours) = authority();
        let (_elsewhere, theirs) = authority();
        let named = Authority::named(certificate::fingerprint_of_pem(ours.ca_pem()).unwrap());
        let none = || Decision::None { reason: "there is none".to_owned() };
        for decision in [granted(), none(), refused()] {
            let is_refusal = matches!(decision, Decision::Refused { .. });
            let decided = decided(decision);
            for role in [Role::Vault, Role::Agent, Role::Media, Role::Operator] {
                let signer = issue(&ours, role, "it");
                let signed = decided.sign(&signer).unwrap();
                let may = role == Role::Vault || role == Role::Agent && is_refusal;
                for authority in [Authority::of(&signer), named.clone()] {
                    let read = Decided::read(&signed, |chain, message, proof| {
                        authority.signer(chain, message, proof)
                    });
                    assert_eq!(read.is_ok(), may, "{role} {decided:?}");
                    if may {
                        assert_eq!(read.unwrap(), decided);
                    }
                }
                let stranger = decided.sign(&issue(&theirs, role, "it")).unwrap();
                let read = Decided::read(&stranger, |chain, message, proof| {
                    named.signer(chain, message, proof)
                });
                assert!(read.is_err());
            }
        }
    }

    #[test]
    fn a_decision_is_about_one_request_and_no_other() {
        let decided = decided(granted());
        let asked = decided.requests[0];
        let check = |share, workload: &str, wanted, asked| {
            decided.check(share, &WorkloadName::new(workload).unwrap(), wanted, asked)
        };
        let (share, latest) = (decided.share, WantedBackup::Latest);
        check(share, "shop-db", latest, asked).unwrap();
        let other = ShareId::new(&SystemRandom);
        assert!(check(other, "shop-db", latest, asked).is_err());
        assert!(check(share, "crm-db", latest, asked).is_err());
        assert!(check(share, "shop-db", WantedBackup::At(Timestamp::EPOCH), asked).is_err());
        let request = RequestId::new(&SystemRandom);
        assert!(check(share, "shop-db", latest, AskedRequest { request, ..asked }).is_err());
        let digest = ContentHash([8; 32]);
        assert!(check(share, "shop-db", latest, AskedRequest { digest, ..asked }).is_err());
    }
}
