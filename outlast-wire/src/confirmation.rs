//! The vault's word that it was told of a confirmation and believes who told it: what makes a `confirmed`
//! receipt count.
//!
//! The agent alone knows what the product has; the vault knows the agent, the drop and the time. What both sign
//! stands in the receipt on the share, and in the vault's audit log. It is a record of a moment: a confirmation may be
//! withdrawn later.

use outlast_types::{DropIdentity, Safe, Timestamp, Verdict};
use serde::{Deserialize, Serialize};

use crate::api::Delivery;
use crate::certificate::Certified;
use crate::identity::Identity;
use crate::peer::{Peer, Role};
use crate::statement::{Statement, StatementError, Subject};

/// Longest countersigned word, in bytes; a few certificates and a drop's jobs are far less.
pub const CONFIRMATION_BYTES_MAX: usize = 64 << 10;

/// What the vault signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Who told it.
    pub agent: Peer,
    pub handover: String,
    /// When the vault heard it first, by its own clock.
    pub at: Timestamp,
    /// What was told, all of it.
    pub delivery: Delivery,
    /// What the vault thinks of its content: what is in doubt is no recovery point, and takes no one's place.
    #[serde(default, skip_serializing_if = "Verdict::is_none")]
    pub verdict: Verdict,
    /// What makes it a recovery point, by policy, when this was signed. Older vaults do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<Safe>,
}

impl Confirmation {
    /// Signs it as `vault`, with all that a reader needs who knows the authority's fingerprint: a text that
    /// anybody may carry and keep.
    pub fn sign(&self, vault: &Identity) -> serde_json::Result<String> {
        let signed = Statement::sign_whole(Subject::Confirmed, self, vault)?;
        serde_json::to_string(&signed)
    }

    /// What a vault of the authorities in `ca_pem` signed.
    pub fn read(text: &str, ca_pem: &str) -> Result<Self, StatementError> {
        let (signer, confirmation) = parsed(text)?.read(Subject::Confirmed, ca_pem)?;
        Self::of_vault(&signer, confirmation)
    }

    /// The same, where `judge` finds out who signed a message, given the signer's certificates and the
    /// signature.
    pub fn read_by<E: From<StatementError>>(
        text: &str,
        judge: impl FnOnce(&str, &[u8], &[u8]) -> Result<Certified, E>,
    ) -> Result<Self, E> {
        let (signer, confirmation) = parsed(text)?.read_by(Subject::Confirmed, judge)?;
        Ok(Self::of_vault(&signer, confirmation)?)
    }

    fn of_vault(signer: &Certified, confirmation: Self) -> Result<Self, StatementError> {
        match signer.peer.role() {
            Role::Vault => Ok(confirmation),
            _ => {
                let (signer, wanted) = (signer.peer.clone(), Role::Vault);
                Err(StatementError::WrongRole { signer, wanted })
            }
        }
    }

    /// Whether it is about this very drop: an id alone names none.
    pub fn is_about(&self, drop: &DropIdentity) -> bool {
        self.delivery.drop == *drop
    }
}

fn parsed(text: &str) -> Result<Statement, StatementError> {
    if text.len() > CONFIRMATION_BYTES_MAX {
        return Err(StatementError::Content("it is too long".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| StatementError::Content(error.to_string()))
}

#[cfg(test)]
mod tests {
    use outlast_types::{Clock, DropId, ShareId, SystemClock, SystemRandom, WorkloadName};

    use super::*;
    use crate::api::DeliveryState;
    use crate::ca::tests::{authority, issue};

    fn confirmation(agent: &Identity) -> Confirmation {
        let now = SystemClock.now();
        let drop = DropIdentity {
            share: ShareId::new(&SystemRandom),
            workload: WorkloadName::new("shop-db").unwrap(),
            day: now.day(),
            drop: DropId::new(&SystemClock, &SystemRandom),
            seal: "07".repeat(32).parse().unwrap(),
        };
        let delivery = Delivery {
            drop,
            state: DeliveryState::Confirmed,
            at: now,
            size: 7,
            first_seen: None,
            sanity: None,
            sanity_rule: None,
            product: Some("NetBackup".to_owned()),
            jobs: Vec::new(),
            evidence: None,
            by: None,
            reason: None,
        };
        Confirmation {
            agent: agent.peer().clone(),
            handover: "nbu".to_owned(),
            at: now,
            delivery,
            verdict: Verdict::default(),
            safe: Some(Safe::Confirmed),
        }
    }

    #[test]
    fn only_a_vaults_word_about_this_very_drop_makes_a_confirmation_count() {
        let (_directory, ours) = authority();
        let (_other, theirs) = authority();
        let (vault, agent) = (issue(&ours, Role::Vault, "hq"), issue(&ours, Role::Agent, "eu-1"));
        let said = confirmation(&agent);
        let signed = said.sign(&vault).unwrap();
        assert!(signed.len() < CONFIRMATION_BYTES_MAX / 4);
        let read = Confirmation::read(&signed, vault.ca_pem()).unwrap();
        assert_eq!(read, said);
        assert!(read.is_about(&said.delivery.drop));
        let other =
            DropIdentity { seal: "08".repeat(32).parse().unwrap(), ..said.delivery.drop.clone() };
        assert!(!read.is_about(&other), "another content under the same id");
        let by_agent = said.sign(&agent).unwrap();
        let refused = Confirmation::read(&by_agent, vault.ca_pem());
        assert!(matches!(refused, Err(StatementError::WrongRole { .. })), "{refused:?}");
        let stranger = said.sign(&issue(&theirs, Role::Vault, "hq")).unwrap();
        assert!(Confirmation::read(&stranger, vault.ca_pem()).is_err());
        // Another word of the vault is none, though it has the same members.
        let other = Statement::sign(Subject::Decided, &said, &vault).unwrap();
        let other = serde_json::to_string(&other).unwrap();
        assert!(Confirmation::read(&other, vault.ca_pem()).is_err());
    }
}
