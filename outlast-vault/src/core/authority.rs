//! The vault as the one who issues and revokes certificates, and tells others of both.

use std::sync::PoisonError;

use outlast_types::Timestamp;
use outlast_wire::ca::{Issued, Request};
use outlast_wire::news::{SignedTrustNews, TrustNews};
use outlast_wire::request::CertificateRequest;
use outlast_wire::revocation::Revoked;
use outlast_wire::{CertificateAuthority, Certified, Ended, Fingerprint, Identity, Peer, Role};

use super::certificates::{Known, What};
use super::error::VaultError;
use super::vault::Vault;

/// Whose certificates an operator revokes.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// All that a holder has now.
    Holder(Peer),
    /// The one with this serial number, or fingerprint.
    One(String),
}

impl Vault {
    /// The authority by which this vault issues certificates, as it lies there now.
    pub(crate) fn open_issuer(&self) -> Result<CertificateAuthority, VaultError> {
        let open = self.issuer.as_ref().ok_or(VaultError::NoIssuer)?;
        open().map_err(VaultError::Issuer)
    }

    /// Issues a certificate for the key of a request, by what `decision` says. It is on record before
    /// this returns; `by` is who ordered it, and `grounds` why: `token 7`, `renewal`.
    pub(crate) fn issue_certificate(
        &self,
        key: &CertificateRequest,
        decision: &Request,
        by: &str,
        grounds: &str,
    ) -> Result<Issued, VaultError> {
        let issuer = self.open_issuer()?;
        let environment = &self.environment;
        // Its holder's earlier ones may be revoked up to a moment; this one begins after it.
        let begins = self.certificates.holder_revoked(&decision.peer);
        let decision = Request { begins: begins.map(next_second), ..decision.clone() };
        let issued = issuer
            .sign_request(key, &decision, &*environment.clock, &*environment.random)
            .map_err(VaultError::Issuer)?;
        let what =
            What::Issued { certified: issued.certified.clone(), grounds: grounds.to_owned() };
        self.certificates.note(by, environment.clock.now(), what)?;
        Ok(issued)
    }

    /// Revokes certificates: in force at every request from now on, also on connections that are open.
    /// Which of those that are known it was.
    pub(crate) fn revoke(
        &self,
        target: &Target,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Vec<Known>, VaultError> {
        let _nobody_else = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.environment.clock.now();
        let (revoked, of): (Revoked, Vec<Known>) = match target {
            Target::Holder(peer) => {
                let known = self.certificates.list();
                let of = known.into_iter().filter(|known| known.certified.peer == *peer).collect();
                (Revoked::Holder { peer: peer.clone(), begun_by: now }, of)
            }
            Target::One(text) => {
                let mut found = self.certificates.list().into_iter().filter(|known| {
                    known.certified.serial == *text
                        || known.certified.fingerprint.to_string() == *text
                });
                let unknown = || VaultError::UnknownCertificate { text: text.clone() };
                let known = found.next().ok_or_else(unknown)?;
                if found.next().is_some() {
                    return Err(VaultError::AmbiguousCertificate { text: text.clone() });
                }
                (one(&known.certified), vec![known])
            }
        };
        let own = self.identity.get();
        let covers_own = match &revoked {
            Revoked::Certificate { fingerprint, .. } => *fingerprint == own.certified().fingerprint,
            Revoked::Holder { peer, .. } => peer == own.peer(),
        };
        if covers_own {
            // Nobody would believe that it is revoked: it is what says so.
            return Err(VaultError::OwnCertificate { peer: own.peer().clone() });
        }
        self.put_in_force(revoked, by, reason)?;
        Ok(of)
    }

    /// Revokes the certificates of a holder that are known here, one by one, all but `except`: for one
    /// that is given another certificate at once. How many that were.
    pub(crate) fn revoke_issued_before(
        &self,
        peer: &Peer,
        except: Option<&Fingerprint>,
        by: &str,
        reason: &str,
    ) -> Result<usize, VaultError> {
        let now = self.environment.clock.now();
        let list = self.certificates.revocations();
        let mut count = 0;
        for Known { certified, .. } in self.certificates.list() {
            if certified.peer == *peer
                && except != Some(&certified.fingerprint)
                && certified.validity.until.saturating_add(outlast_wire::trust::RENEWABLE) > now
                && list.of(&certified).is_none()
            {
                self.put_in_force(one(&certified), by, Some(reason))?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn put_in_force(
        &self,
        revoked: Revoked,
        by: &str,
        reason: Option<&str>,
    ) -> Result<(), VaultError> {
        tracing::warn!(by, reason, ?revoked, "certificates are revoked");
        let what = What::Revoked { revoked, reason: reason.map(str::to_owned) };
        self.certificates.note(by, self.environment.clock.now(), what)?;
        self.trust.learn(self.certificates.revocations());
        Ok(())
    }

    /// What a holder of `role` is told: the newest list, and the authorities. Agents and readers believe
    /// the words of vaults and media servers alone, and learn nothing of one another.
    pub(crate) fn trust_news(&self, role: Role) -> Result<SignedTrustNews, VaultError> {
        let identity = self.identity.get();
        let list = self.certificates.revocations();
        let list = match role {
            Role::Agent | Role::Reader => list.of_roles(&[Role::Vault, Role::Media]),
            Role::Media | Role::Operator | Role::Vault => list,
        };
        let authorities = self.certificates.with_ends(identity.authorities());
        let news = TrustNews::new(&list, authorities, self.environment.clock.now());
        SignedTrustNews::sign(&news, &identity)
            .map_err(|error| VaultError::SignAnswer { source: error.into() })
    }

    /// Writes down where in the audit log the authorities of the past ended that `identity` names, as
    /// far as that is news.
    pub(crate) fn note_past_authorities(&self, identity: &Identity) -> Result<(), VaultError> {
        for past in self.certificates.with_ends(identity.authorities()).past {
            if past.ended.is_some() {
                continue;
            }
            let Ok(fingerprint) = past.fingerprint() else { continue };
            let now = self.environment.clock.now();
            let ended = Ended { at: now, entry: self.audit.head().number };
            tracing::warn!(%fingerprint, after_entry = ended.entry, "an authority is of the past now");
            self.certificates.note("vault", now, What::AuthorityEnded { fingerprint, ended })?;
        }
        Ok(())
    }
}

fn one(certified: &Certified) -> Revoked {
    Revoked::Certificate {
        fingerprint: certified.fingerprint,
        serial: certified.serial.clone(),
        peer: certified.peer.clone(),
    }
}

/// Certificates know whole seconds.
fn next_second(at: Timestamp) -> Timestamp {
    Timestamp::from_unix(at.unix_seconds() + 1, 0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outlast_types::SystemRandom;
    use outlast_wire::Role;
    use outlast_wire::request::PendingIdentity;

    use super::*;
    use crate::core::audit::AuditAction;
    use crate::core::testing::World;

    fn peer(name: &str) -> Peer {
        Peer::new(Role::Agent, name).unwrap()
    }

    fn issue(vault: &Vault, name: &str) -> Certified {
        let pending = PendingIdentity::generate(&SystemRandom).unwrap();
        let request = CertificateRequest::from_pem(&pending.request_pem().unwrap()).unwrap();
        let decision = Request::new(peer(name), Duration::from_secs(3600));
        let issued = vault.issue_certificate(&request, &decision, "operator up", "token 7");
        let Issued { certified, chain_pem, authorities } = issued.unwrap();
        let identity = pending.certified(&chain_pem, authorities).unwrap();
        assert_eq!(*identity.certified(), certified, "the host has what the vault recorded");
        certified
    }

    fn is_revoked(vault: &Vault, certified: &Certified) -> bool {
        vault.trust.revocations().of(certified).is_some()
    }

    #[test]
    fn what_is_issued_is_on_record_and_a_name_that_was_revoked_can_be_given_anew() {
        let world = World::new();
        let vault = world.open();
        let first = issue(&vault, "eu-1");
        assert_eq!(world.entries(&AuditAction::CertificateIssued), 1);
        assert_eq!(vault.certificates.list()[0].certified, first);
        let of = vault.revoke(&Target::Holder(peer("eu-1")), "operator up", None).unwrap();
        assert_eq!(of.len(), 1);
        let second = issue(&vault, "eu-1");
        assert!(is_revoked(&vault, &first) && !is_revoked(&vault, &second));
        assert!(second.validity.from > vault.trust.revocations().entries()[0].at);
        drop(vault);
        let vault = world.open();
        assert!(is_revoked(&vault, &first) && !is_revoked(&vault, &second));
        assert_eq!(world.entries(&AuditAction::CertificateRevoked), 1);
    }

    #[test]
    fn one_that_is_replaced_is_revoked_by_itself_once() {
        let world = World::new();
        let vault = world.open();
        let (first, other) = (issue(&vault, "eu-1"), issue(&vault, "eu-2"));
        for revoked in [1, 0] {
            let count =
                vault.revoke_issued_before(&peer("eu-1"), None, "token 7", "replaced").unwrap();
            assert_eq!(count, revoked);
        }
        let second = issue(&vault, "eu-1");
        assert!(is_revoked(&vault, &first));
        assert!(!is_revoked(&vault, &second) && !is_revoked(&vault, &other));
    }
}
