//! Giving certificates: the first one, on the grounds of a token, and the next one, on the grounds of
//! the one before.

use std::sync::PoisonError;
use std::time::Duration;

use outlast_types::Timestamp;
use outlast_wire::ca::Request;
use outlast_wire::enrollment::{
    self, Asked, EnrollmentRequest, Granted, Introduction, Keys, LIFETIME, ProofKey,
    RenewalRequest, SignedGrant, Token, TokenId,
};
use outlast_wire::request::PendingIdentity;
use outlast_wire::{CertificateAuthority, Certified, Peer, Role, renewal};

use super::audit::{AuditAction, Event};
use super::error::VaultError;
use super::refusal::{Enrolling, TokenRefusal};
use super::tokens::{Answered, NewToken, TokenRecord, Verdict};
use super::vault::Vault;

/// So often a holder's certificate is renewed in a day, whatever goes wrong with the answers.
const RENEWALS_A_DAY: usize = 12;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The beginning of the grounds of a renewal.
const RENEWAL: &str = "renewal";

impl Vault {
    /// Makes a token. Its secret is in what is returned, and nowhere else.
    pub(crate) fn make_token(
        &self,
        by: &Peer,
        new: NewToken,
        addresses: Vec<String>,
    ) -> Result<(Token, TokenRecord), VaultError> {
        let authority = self.open_issuer()?.root_fingerprint().map_err(Enrolling::Authority)?;
        let environment = &self.environment;
        let token = Token::new(authority, addresses, &*environment.random);
        let now = environment.clock.now();
        let record = self.tokens.make(token.id(), token.proof_key(), &by.to_string(), now, new)?;
        let event = about(Event::by(by, AuditAction::TokenMade), &record)
            .detail("grants", &record.grants)
            .detail("until", record.until)
            .detail("reusable", record.is_reusable);
        self.audit.record(event)?;
        Ok((token, record))
    }

    /// Lets a token serve no more.
    pub(crate) fn revoke_token(&self, by: &Peer, id: TokenId) -> Result<TokenRecord, VaultError> {
        let revoked = self.tokens.revoke(id, self.environment.clock.now())?;
        let record = revoked.ok_or(Enrolling::UnknownToken { id })?;
        self.audit.record(about(Event::by(by, AuditAction::TokenRevoked), &record))?;
        Ok(record)
    }

    /// Lets the tokens of a holder serve no more whose certificates are revoked; how many that were.
    pub(crate) fn revoke_tokens_of(&self, by: &Peer, holder: &Peer) -> Result<usize, VaultError> {
        let now = self.environment.clock.now();
        let mut count = 0;
        for record in self.tokens.list() {
            if record.peer == *holder && record.revoked.is_none() && record.until >= now {
                self.revoke_token(by, record.id)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// What a host can learn before it believes anything.
    pub(crate) fn introduction(&self) -> Introduction {
        let authorities = self.identity.get().ca_pem().to_owned();
        Introduction { authorities, at: self.environment.clock.now() }
    }

    /// Gives the certificate of a token, or says why not; both are on record.
    pub(crate) fn enroll(&self, request: &EnrollmentRequest) -> Result<SignedGrant, VaultError> {
        self.redeem(request).inspect_err(|error| {
            // Who is refused chooses the id, so only one that proved itself is named.
            let event = Event::by_name("nobody".to_owned(), AuditAction::TokenRedeemed);
            let is_proved = !matches!(
                error,
                VaultError::Token(TokenRefusal::NotProved | TokenRefusal::TooManyFailures)
            );
            let event = if is_proved { event.object(request.token()) } else { event };
            self.note_failure(event, error);
        })
    }

    fn redeem(&self, request: &EnrollmentRequest) -> Result<SignedGrant, VaultError> {
        let now = self.environment.clock.now();
        let is_proved = |key: &ProofKey| request.is_proved_by(key);
        let give = |record: &TokenRecord| -> Result<_, VaultError> {
            let _nobody_else = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
            let issuer = self.open_issuer()?;
            if !issuer.is_believed_as(request.authority()) {
                return Err(Enrolling::OtherAuthority.into());
            }
            let asked = request.asked().map_err(Enrolling::Request)?;
            let answer = match record.judge(&asked.keys, now)? {
                Verdict::Again(answer) if self.is_good(&answer.certified) => {
                    // Of an issuer that was replaced, another one is given for the same keys.
                    issuer.has_issued(&answer.chain).then_some(*answer)
                }
                Verdict::Again(answer) => {
                    return Err(Enrolling::Revoked { peer: answer.certified.peer }.into());
                }
                Verdict::New => None,
            };
            let (answer, is_new) = match answer {
                Some(answer) => (answer, false),
                None => (self.serve(record, &asked)?, true),
            };
            let granted = signed(&issuer, asked.keys, now, &answer.chain)?;
            Ok((granted, is_new.then_some(answer)))
        };
        self.tokens.redeem(request.token(), now, is_proved, give)
    }

    /// A new certificate of what a token gives. The earlier ones of a reusable token's name are revoked.
    fn serve(&self, record: &TokenRecord, asked: &Asked) -> Result<Answered, VaultError> {
        let id = record.id;
        let grounds = format!("token {id}, keys {}", short(&asked.keys));
        if !record.is_reusable
            && let Some(at) = self.was_served_to_others(record, &grounds)
        {
            return Err(TokenRefusal::Used { id, at }.into());
        }
        let decision = Request {
            grants: record.grants.clone(),
            hosts: record.hosts.clone(),
            ..Request::new(record.peer.clone(), LIFETIME)
        };
        let by = format!("token {id}");
        let issued = self.issue_certificate(&asked.request, &decision, &by, &grounds)?;
        if record.is_reusable {
            let reason = format!("replaced by means of token {id}");
            let fingerprint = issued.certified.fingerprint;
            self.revoke_issued_before(&record.peer, Some(&fingerprint), &by, &reason)?;
        }
        tracing::info!(token = %id, peer = %record.peer, "a host has enrolled");
        let (certified, chain) = (issued.certified, issued.chain_pem);
        Ok(Answered { keys: asked.keys, certified, chain })
    }

    /// When a token that serves once has served other keys, by the record of certificates: its own record
    /// may be put back from an older copy.
    fn was_served_to_others(&self, record: &TokenRecord, grounds: &str) -> Option<Timestamp> {
        let of_token = format!("token {}, ", record.id);
        let issued = self.certificates.list();
        let mut issued = issued.into_iter().rev().filter(|known| known.at >= record.made);
        let is_other = |text: &String| text.starts_with(&of_token) && text != grounds;
        issued.find(|known| known.grounds.as_ref().is_some_and(is_other)).map(|known| known.at)
    }

    fn is_good(&self, certified: &Certified) -> bool {
        self.certificates.revocations().of(certified).is_none()
    }

    /// Gives a certificate in place of one that is good, or ended not long ago. `caller` is who carries
    /// the request.
    pub(crate) fn renew(
        &self,
        request: &RenewalRequest,
        caller: &Certified,
    ) -> Result<SignedGrant, VaultError> {
        let event = || Event::by(&caller.peer, AuditAction::CertificateIssued);
        self.renewed(request, caller).inspect_err(|error| self.note_failure(event(), error))
    }

    fn renewed(
        &self,
        request: &RenewalRequest,
        caller: &Certified,
    ) -> Result<SignedGrant, VaultError> {
        let _nobody_else = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.environment.clock.now();
        let (message, chain) = (request.message(), request.certificate_pem());
        let signer = self.trust.judge_signer(chain, &message, request.signature());
        let signer = signer.map_err(Enrolling::Signer)?;
        // Media servers carry the requests of others.
        if signer.peer != caller.peer && caller.peer.role() != Role::Media {
            return Err(Enrolling::OtherHolder { peer: signer.peer }.into());
        }
        let asked = request.asked().map_err(Enrolling::Request)?;
        let issuer = self.open_issuer()?;
        self.may_be_renewed(&issuer, chain, &signer, now)?;
        let by = signer.peer.to_string();
        let issued = self.issue_next(&asked, chain, &signer, &by)?;
        signed(&issuer, asked.keys, now, &issued)
    }

    /// Renews the vault's own certificate, if it is time and we are the ones who issued it.
    pub(crate) fn renew_own(&self) -> Result<String, VaultError> {
        let now = self.environment.clock.now();
        let own = self.identity.get();
        if !renewal::is_due(own.certified(), now) {
            let until = own.validity().until;
            return Ok(format!("the vault's certificate is valid until {until}"));
        }
        if self.issuer.is_none() {
            return Ok("this vault has no issuer: others renew its certificate".to_owned());
        }
        let (issuer, chain) = (self.open_issuer()?, own.certificate_pem());
        match self.may_be_renewed(&issuer, chain, own.certified(), now) {
            Err(VaultError::Enrolling(Enrolling::NotOurs { .. })) => {
                return Ok("others issued the vault's certificate, and renew it".to_owned());
            }
            other => other?,
        }
        let own_failed = |error: &dyn std::fmt::Display| Enrolling::Own(error.to_string());
        let pending = PendingIdentity::generate(&*self.environment.random);
        let pending = pending.map_err(|error| own_failed(&error))?;
        let asked = Asked::of_pending(&pending).map_err(Enrolling::Request)?;
        let chain = self.issue_next(&asked, chain, own.certified(), "vault")?;
        let new = pending.certified(&chain, issuer.authorities().clone());
        let new = new.map_err(Enrolling::Unusable)?;
        let until = new.validity().until;
        self.identity.replace(new).map_err(|error| own_failed(&error))?;
        Ok(format!("renewed the vault's certificate, until {until}"))
    }

    /// The chain of a certificate that says what `before` says.
    fn issue_next(
        &self,
        asked: &Asked,
        chain: &str,
        before: &Certified,
        by: &str,
    ) -> Result<String, VaultError> {
        let decision = Request {
            grants: before.grants.clone(),
            hosts: enrollment::hosts(chain).map_err(Enrolling::Authority)?,
            ..Request::new(before.peer.clone(), LIFETIME)
        };
        let grounds = format!("{RENEWAL} of {}", before.serial);
        Ok(self.issue_certificate(&asked.request, &decision, by, &grounds)?.chain_pem)
    }

    /// Whether a certificate is one of ours, and was not renewed too often.
    fn may_be_renewed(
        &self,
        issuer: &CertificateAuthority,
        chain: &str,
        certified: &Certified,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let known = self.certificates.list();
        let mut issued = known.iter().filter(|known| known.by.is_some());
        let is_recorded = issued.any(|it| it.certified.fingerprint == certified.fingerprint);
        if !is_recorded && !issuer.has_issued(chain) {
            return Err(Enrolling::NotOurs { peer: certified.peer.clone() }.into());
        }
        let is_renewal = |grounds: &String| grounds.starts_with(RENEWAL);
        let of_today = known.iter().rev().filter(|known| {
            known.certified.peer == certified.peer
                && now.since(known.at) < DAY
                && known.grounds.as_ref().is_some_and(is_renewal)
        });
        match of_today.count() < RENEWALS_A_DAY {
            true => Ok(()),
            false => Err(Enrolling::RenewedTooOften { peer: certified.peer.clone() }.into()),
        }
    }
}

fn about(event: Event, record: &TokenRecord) -> Event {
    event.object(record.id).detail("holder", &record.peer)
}

/// Enough of a digest to tell keys apart in a list.
fn short(keys: &Keys) -> String {
    keys.to_string().chars().take(16).collect()
}

fn signed(
    issuer: &CertificateAuthority,
    keys: Keys,
    at: Timestamp,
    chain: &str,
) -> Result<SignedGrant, VaultError> {
    let granted = Granted::new(keys, at, chain, issuer.authorities().clone());
    Ok(SignedGrant::sign(&granted, issuer).map_err(Enrolling::Sign)?)
}
