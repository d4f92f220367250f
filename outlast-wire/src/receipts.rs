//! Receipts: signed by our identities, believed by our authorities.
//!
//! What a receipt says, its bytes and where it lies are `outlast-drop`'s; who may say it, and whether
//! somebody did, is decided here and nowhere else.

use std::io;
use std::path::{Path, PathBuf};

use outlast_drop::{
    HandedOver, PolicyWord, Receipt, ReceiptState, SignedReceipt, Signer, Verifier,
};
use outlast_fs::durable;

use crate::authorities::{Authorities, AuthoritiesError, past_beside};
use crate::certificate::{self, Certified, Fingerprint, InvalidCertificate};
use crate::confirmation::Confirmation;
use crate::identity::Identity;
use crate::identity_handle::IdentityHandle;
use crate::names::Names;
use crate::peer::{Peer, Role};
use crate::signature::{self, SignatureError, SignerRefused};

/// A longer file is no certificate.
const CERTIFICATE_BYTES_MAX: u64 = 1 << 20;

impl Signer for Identity {
    fn name(&self) -> String {
        self.peer().name().to_owned()
    }

    fn role(&self) -> String {
        self.peer().role().to_string()
    }

    fn certificate_pem(&self) -> String {
        self.whole_chain_pem().to_owned()
    }

    fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        Ok(Self::sign(self, message))
    }
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("{signer} signed it, which only {} may do", holders(*.state))]
    WrongRole { signer: Peer, state: ReceiptState },
    #[error("the receipt says that {claimed} signed it, and it was {signer}")]
    WrongSigner { signer: Peer, claimed: String },
}

/// As sentences say it: "a holder of the role vault".
fn holders(state: ReceiptState) -> String {
    let roles: Vec<&str> = may_say(state).iter().map(|role| role.as_str()).collect();
    format!("a holder of the role {}", roles.join(" or "))
}

/// Why an authority's certificate cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot read the authority's certificate {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not the certificate of an authority: {source}", path.display())]
    Certificate { path: PathBuf, source: InvalidCertificate },
    #[error(transparent)]
    Past(#[from] AuthoritiesError),
}

/// The authority whose receipts count.
#[derive(Debug, Clone)]
pub struct Authority(Trust);

/// Who signed a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub signer: Peer,
    /// Whether what is signed so would count if it were said now: the signer is not revoked, and of no
    /// authority of the past. If not, the receipt may have been signed long after that: it records what
    /// somebody else must say again before it counts for good.
    pub counts_now: bool,
}

#[derive(Debug, Clone)]
enum Trust {
    /// The authorities of signatures in this PEM.
    Fixed(String),
    /// The authority with this fingerprint, whose certificate comes with what is signed.
    Named(Fingerprint),
    /// Those that the identity in force trusts.
    Following(IdentityHandle),
}

impl Authority {
    /// The authorities that `identity` believes, those of the past with them: a receipt records.
    pub fn of(identity: &Identity) -> Self {
        Self(Trust::Fixed(identity.believed_pem().to_owned()))
    }

    /// The authorities that the identity in force believes, at any time.
    pub fn following(identity: &IdentityHandle) -> Self {
        Self(Trust::Following(identity.clone()))
    }

    /// The authority whose certificate, a root's or an issuer's, has this fingerprint: SHA-256, 64
    /// hexadecimal digits. Receipts of earlier releases do not bring their root along.
    pub fn named(fingerprint: Fingerprint) -> Self {
        Self(Trust::Named(fingerprint))
    }

    /// Reads the certificates of authorities, in PEM, and with them those of the past that lie beside
    /// that file.
    pub fn load(path: &Path) -> Result<Self, AuthorityError> {
        let read = |source| AuthorityError::Read { path: path.to_owned(), source };
        let content = durable::read_bounded(path, CERTIFICATE_BYTES_MAX).map_err(read)?;
        let invalid = |error| read(io::Error::new(io::ErrorKind::InvalidData, error));
        let ca_pem = String::from_utf8(content).map_err(invalid)?;
        let mut authorities = Authorities::new(&ca_pem)
            .map_err(|source| AuthorityError::Certificate { path: path.to_owned(), source })?;
        authorities.past = past_beside(path)?;
        Ok(Self(Trust::Fixed(authorities.of_signatures())))
    }

    /// Who signed `message`, given the signer's certificates and the signature; of what is of now and no
    /// record.
    pub fn signer(
        &self,
        chain_pem: &str,
        message: &[u8],
        proof: &[u8],
    ) -> Result<Certified, SignerRefused> {
        let names = Names::default();
        let signer = match &self.0 {
            Trust::Fixed(ca_pem) => signature::signer(chain_pem, ca_pem, &names, message, proof)?,
            Trust::Named(fingerprint) => {
                let authority = certificate::authority_by(chain_pem, fingerprint);
                let authority = authority.ok_or(InvalidCertificate::Stranger)?;
                signature::signer(chain_pem, &authority, &names, message, proof)?
            }
            Trust::Following(identity) => identity.judge(chain_pem, message, proof)?,
        };
        Ok(signer)
    }

    /// Who signed the receipt. Its own word about its signer must be right, too: people read it.
    fn signer_of(&self, signed: &SignedReceipt) -> Result<Judged, Unproven> {
        let judged = signed.verify(|chain, message, proof| match &self.0 {
            Trust::Fixed(ca_pem) => {
                let signer = signature::verify(chain, ca_pem, message, proof)?;
                Ok::<_, SignatureError>(Judged { signer, counts_now: true })
            }
            Trust::Named(fingerprint) => {
                let authority = certificate::authority_by(chain, fingerprint);
                let authority = authority.ok_or(InvalidCertificate::Stranger)?;
                let signer = signature::verify(chain, &authority, message, proof)?;
                Ok(Judged { signer, counts_now: true })
            }
            Trust::Following(identity) => {
                let (believed, names) = (identity.get(), identity.names());
                let ca_pem = believed.believed_pem();
                let signer = signature::signer(chain, ca_pem, names, message, proof)?.peer;
                let counts_now = identity.judge(chain, message, proof).is_ok();
                Ok(Judged { signer, counts_now })
            }
        })?;
        let (receipt, signer) = (signed.receipt(), &judged.signer);
        if receipt.by != signer.name() || receipt.role != signer.role().as_str() {
            let claimed = format!("{} {}", receipt.role, receipt.by);
            return Err(Unproven::WrongSigner { signer: judged.signer, claimed });
        }
        Ok(judged)
    }

    /// Checks that somebody signed the receipt who may say what it says, and tells who.
    pub fn check(&self, signed: &SignedReceipt) -> Result<Peer, Unproven> {
        Ok(self.judge(signed)?.signer)
    }

    /// The same, with whether the signer's word would count now.
    pub fn judge(&self, signed: &SignedReceipt) -> Result<Judged, Unproven> {
        let judged = self.signer_of(signed)?;
        let state = signed.receipt().state;
        match may_say(state).contains(&judged.signer.role()) {
            true => Ok(judged),
            false => Err(Unproven::WrongRole { signer: judged.signer, state }),
        }
    }
}

/// The roles whose word a state is.
pub fn may_say(state: ReceiptState) -> &'static [Role] {
    match state {
        ReceiptState::Vaulted | ReceiptState::Cleared => &[Role::Vault],
        ReceiptState::Shipped => &[Role::Media, Role::Agent],
        ReceiptState::Accepted
        | ReceiptState::Abandoned
        | ReceiptState::Rejected
        | ReceiptState::Released
        | ReceiptState::HandedOver
        | ReceiptState::Confirmed => &[Role::Agent],
    }
}

impl Verifier for Authority {
    fn check(&self, signed: &SignedReceipt) -> Result<(), String> {
        Self::check(self, signed).map(drop).map_err(|error| error.to_string())
    }
}

/// An authority for those who wait for a confirmation: of that the agent alone knows, so a `confirmed` receipt
/// counts only with the vault's word in it that it was told so of this very drop, and believes who told it.
#[derive(Debug, Clone)]
pub struct Countersigned(pub Authority);

impl Countersigned {
    /// The vault's words in a `confirmed` receipt about the drop of that receipt, for each hand-over that has one: at least
    /// one.
    ///
    /// # Errors
    /// Why there is none that counts now.
    pub fn words(&self, receipt: &Receipt) -> Result<Vec<Confirmation>, String> {
        let all = receipt.handover.iter().flat_map(HandedOver::all);
        let mut reason = "the vault has not signed that it was told so".to_owned();
        let mut words = Vec::new();
        for signed in all.filter_map(|handover| handover.countersigned.as_deref()) {
            match self.word(signed, receipt) {
                Ok(word) => words.push(word),
                Err(why) => reason = why,
            }
        }
        if words.is_empty() { Err(reason) } else { Ok(words) }
    }

    fn word(&self, signed: &str, receipt: &Receipt) -> Result<Confirmation, String> {
        let judged = Confirmation::read_by(signed, |chain_pem, message, proof| {
            let signer = self.0.signer(chain_pem, message, proof);
            signer.map_err(|error| Box::<dyn std::error::Error>::from(error.to_string()))
        });
        let confirmation = judged.map_err(|error| {
            format!("what the vault is to have signed in it proves nothing: {error}")
        })?;
        match receipt.identity().is_some_and(|drop| confirmation.is_about(&drop)) {
            true => Ok(confirmation),
            false => Err("what the vault signed in it is about another drop".to_owned()),
        }
    }
}

impl Verifier for Countersigned {
    fn check(&self, signed: &SignedReceipt) -> Result<(), String> {
        Verifier::check(&self.0, signed)?;
        match signed.receipt().state {
            ReceiptState::Confirmed => self.words(signed.receipt()).map(drop),
            _ => Ok(()),
        }
    }

    fn policy(&self, signed: &SignedReceipt) -> Option<PolicyWord> {
        if signed.receipt().state != ReceiptState::Confirmed {
            return self.0.policy(signed);
        }
        let newest = self.words(signed.receipt()).ok()?.into_iter().max_by_key(|word| word.at);
        let Confirmation { at, safe, verdict, .. } = newest?;
        Some(PolicyWord { at, safe: safe?, counts: verdict.counts() })
    }
}

#[cfg(test)]
mod tests {
    use outlast_drop::DropAddress;
    use outlast_types::{Clock, DropId, ShareId, SystemClock, SystemRandom, WorkloadName};

    use super::*;
    use crate::ca::tests::{authority, issue};

    fn receipt(state: ReceiptState) -> Receipt {
        let address = DropAddress {
            workload: WorkloadName::new("shop-db").unwrap(),
            day: SystemClock.now().day(),
            drop: DropId::new(&SystemClock, &SystemRandom),
        };
        Receipt::about(ShareId::new(&SystemRandom), &address, state, SystemClock.now())
    }

    #[test]
    fn a_receipt_counts_if_its_signer_may_say_what_it_says() {
        let (_directory, authority) = authority();
        let vault = issue(&authority, Role::Vault, "hq");
        let agent = issue(&authority, Role::Agent, "eu-1");
        let trusted = Authority::of(&agent);
        for state in [ReceiptState::Vaulted, ReceiptState::Released, ReceiptState::Rejected] {
            for signer in [&vault, &agent] {
                let checked = trusted.check(&receipt(state).sign(signer).unwrap());
                let is_vaulted = state == ReceiptState::Vaulted;
                let may = is_vaulted == (signer.peer().role() == Role::Vault);
                assert_eq!(checked.is_ok(), may, "{state} by {}", signer.peer());
                let wrong_role = matches!(checked, Err(Unproven::WrongRole { .. }));
                assert_eq!(wrong_role, !may);
            }
        }
    }

    #[test]
    fn a_confirmation_counts_with_the_vaults_word_about_this_very_drop_alone() {
        let (_directory, authority) = authority();
        let vault = issue(&authority, Role::Vault, "hq");
        let agent = issue(&authority, Role::Agent, "eu-1");
        let trusted = Countersigned(Authority::of(&agent));
        let drop = |seal: &str| Receipt {
            seal: Some(seal.repeat(32).parse().unwrap()),
            ..receipt(ReceiptState::Confirmed)
        };
        let said = |receipt: &Receipt, signer: &Identity| {
            let told = serde_json::json!({
                "agent": agent.peer(), "handover": "nbu", "at": receipt.at,
                "delivery": {
                    "drop": receipt.identity().unwrap(), "state": "confirmed", "at": receipt.at, "size": 7,
                },
            });
            let told: Confirmation = serde_json::from_value(told).unwrap();
            told.sign(signer).unwrap()
        };
        let with = |receipt: &Receipt, countersigned: Option<String>| {
            let (handover, stamp) = ("nbu".to_owned(), receipt.at);
            let handed =
                HandedOver { handover, stamp, jobs: Vec::new(), countersigned, others: Vec::new() };
            let receipt = Receipt { handover: Some(handed), ..receipt.clone() };
            Verifier::check(&trusted, &receipt.sign(&agent).unwrap())
        };
        let ours = drop("07");
        assert_eq!(with(&ours, Some(said(&ours, &vault))), Ok(()));
        assert!(with(&ours, None).unwrap_err().contains("has not signed"));
        assert!(with(&ours, Some(said(&ours, &agent))).unwrap_err().contains("proves nothing"));
        let other = said(&drop("08"), &vault);
        assert!(with(&ours, Some(other)).unwrap_err().contains("about another drop"));
        let vaulted = receipt(ReceiptState::Vaulted).sign(&vault).unwrap();
        assert_eq!(Verifier::check(&trusted, &vaulted), Ok(()), "all else is as it was");
    }

    #[test]
    fn a_fingerprint_alone_says_whom_to_believe() {
        let (_directory, ours) = authority();
        let (_other_directory, theirs) = authority();
        let named = |pem: &str| Authority::named(certificate::fingerprint_of_pem(pem).unwrap());
        let vault = issue(&ours, Role::Vault, "hq");
        let signed = receipt(ReceiptState::Vaulted).sign(&vault).unwrap();
        let signed = SignedReceipt::parse(signed.bytes()).unwrap();
        assert_eq!(named(ours.ca_pem()).check(&signed).unwrap(), *vault.peer());
        let issuer = certificate::each_pem(vault.certificate_pem()).pop().unwrap();
        assert_eq!(named(&issuer).check(&signed).unwrap(), *vault.peer());
        assert!(named(theirs.ca_pem()).check(&signed).is_err());
        // A signer is no authority, whoever shows its fingerprint.
        let own = certificate::each_pem(vault.certificate_pem()).remove(0);
        assert!(named(&own).check(&signed).is_err());
        // The root beside somebody else's certificate certifies nobody.
        struct Beside<'a>(&'a Identity, String);
        impl Signer for Beside<'_> {
            fn name(&self) -> String {
                self.0.peer().name().to_owned()
            }
            fn role(&self) -> String {
                "vault".to_owned()
            }
            fn certificate_pem(&self) -> String {
                format!("{}{}", self.0.certificate_pem(), self.1)
            }
            fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
                Ok(self.0.sign(message))
            }
        }
        let thief = Beside(&issue(&theirs, Role::Vault, "hq"), ours.ca_pem().to_owned());
        let forged = receipt(ReceiptState::Vaulted).sign(&thief).unwrap();
        assert!(named(ours.ca_pem()).check(&forged).is_err());
    }

    #[test]
    fn a_stranger_and_a_borrowed_name_prove_nothing() {
        struct Borrowed<'a>(&'a Identity);
        impl Signer for Borrowed<'_> {
            fn name(&self) -> String {
                "hq".to_owned()
            }
            fn role(&self) -> String {
                "vault".to_owned()
            }
            fn certificate_pem(&self) -> String {
                self.0.certificate_pem().to_owned()
            }
            fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
                Ok(self.0.sign(message))
            }
        }
        let (_directory, ours) = authority();
        let (_other_directory, theirs) = authority();
        let agent = issue(&ours, Role::Agent, "eu-1");
        let trusted = Authority::of(&agent);
        let stranger = issue(&theirs, Role::Vault, "hq");
        let forged = receipt(ReceiptState::Vaulted).sign(&stranger).unwrap();
        assert!(matches!(trusted.check(&forged), Err(Unproven::Signature(_))));
        let borrowed = receipt(ReceiptState::Released).sign(&Borrowed(&agent)).unwrap();
        assert!(matches!(trusted.check(&borrowed), Err(Unproven::WrongSigner { .. })));
    }
}
