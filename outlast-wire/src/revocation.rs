//! Certificates that do not count any more: a numbered list that never goes back, which a vault keeps,
//! and every tier asks at each request.

use std::collections::HashMap;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::{Certified, Fingerprint};
use crate::peer::{Peer, Role};

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Revoked {
    /// One certificate.
    Certificate { fingerprint: Fingerprint, serial: String, peer: Peer },
    /// All certificates of a holder that begin no later than this, whoever issued them.
    Holder { peer: Peer, begun_by: Timestamp },
}

impl Revoked {
    /// Whose certificates they are.
    pub fn peer(&self) -> &Peer {
        match self {
            Self::Certificate { peer, .. } | Self::Holder { peer, .. } => peer,
        }
    }
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    #[serde(flatten)]
    pub revoked: Revoked,
    /// By the vault's clock.
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The list. Its number grows with every change.
#[derive(Debug, Clone, Default)]
pub struct Revocations {
    number: u64,
    entries: Vec<Revocation>,
    certificates: HashMap<Fingerprint, usize>,
    holders: HashMap<Peer, usize>,
}

impl Revocations {
    pub fn new(number: u64, entries: Vec<Revocation>) -> Self {
        let (mut certificates, mut holders) = (HashMap::new(), HashMap::<Peer, usize>::new());
        for (index, entry) in entries.iter().enumerate() {
            match &entry.revoked {
                Revoked::Certificate { fingerprint, .. } => {
                    certificates.insert(*fingerprint, index);
                }
                Revoked::Holder { peer, begun_by } => {
                    let known = holders.get(peer).map(|known| &entries[*known].revoked);
                    let is_wider = |known: &Revoked| matches!(known, Revoked::Holder { begun_by: until, .. } if until >= begun_by);
                    if !known.is_some_and(is_wider) {
                        holders.insert(peer.clone(), index);
                    }
                }
            }
        }
        Self { number, entries, certificates, holders }
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn entries(&self) -> &[Revocation] {
        &self.entries
    }

    /// This list, and what is in an `older` one besides: what was revoked stays so.
    #[must_use]
    pub fn with(self, older: &Self) -> Self {
        let is_here = |revoked: &Revoked| match revoked {
            Revoked::Certificate { fingerprint, .. } => self.certificates.contains_key(fingerprint),
            Revoked::Holder { .. } => self.entries.iter().any(|entry| entry.revoked == *revoked),
        };
        let is_missing = |entry: &&Revocation| !is_here(&entry.revoked);
        let missing: Vec<_> = older.entries.iter().filter(is_missing).cloned().collect();
        let number = self.number.max(older.number);
        if missing.is_empty() && number == self.number {
            return self;
        }
        Self::new(number, self.entries.into_iter().chain(missing).collect())
    }

    /// What concerns holders of these roles.
    #[must_use]
    pub fn of_roles(&self, roles: &[Role]) -> Self {
        let concerns = |entry: &&Revocation| roles.contains(&entry.revoked.peer().role());
        Self::new(self.number, self.entries.iter().filter(concerns).cloned().collect())
    }

    /// Why the certificate does not count, if it does not. Costs two look-ups.
    pub fn of(&self, certified: &Certified) -> Option<&Revocation> {
        if let Some(index) = self.certificates.get(&certified.fingerprint) {
            return self.entries.get(*index);
        }
        let entry = self.entries.get(*self.holders.get(&certified.peer)?)?;
        match entry.revoked {
            Revoked::Holder { begun_by, .. } if certified.validity.from <= begun_by => Some(entry),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ca::tests::{authority, issue};
    use crate::identity::Identity;

    #[test]
    fn a_certificate_is_revoked_by_itself_or_with_its_holder_and_a_later_one_is_not() {
        let (_directory, authority) = authority();
        let [one, other] = ["eu-1", "eu-2"].map(|name| issue(&authority, Role::Agent, name));
        let list = |revoked: Vec<Revoked>| {
            let entry = |revoked| Revocation { revoked, at: Timestamp::EPOCH, reason: None };
            Revocations::new(7, revoked.into_iter().map(entry).collect())
        };
        let certificate = |of: &Identity| Revoked::Certificate {
            fingerprint: of.certified().fingerprint,
            serial: of.certified().serial.clone(),
            peer: of.peer().clone(),
        };
        let holder =
            |of: &Identity, begun_by| Revoked::Holder { peer: of.peer().clone(), begun_by };
        let begun = one.validity().from;
        let second = Duration::from_secs(1);
        for (revoked, is_revoked) in [
            (vec![], false),
            (vec![certificate(&one)], true),
            (vec![certificate(&other)], false),
            (vec![holder(&one, begun)], true),
            (vec![holder(&one, begun.saturating_sub(second))], false),
            (vec![holder(&one, begun), holder(&one, begun.saturating_sub(second))], true),
            (vec![holder(&other, begun)], false),
        ] {
            assert_eq!(list(revoked).of(one.certified()).is_some(), is_revoked);
        }
    }

    #[test]
    fn what_was_revoked_stays_so_under_every_later_list_and_roles_are_told_apart() {
        let entry = |role, name: &str| {
            let peer = Peer::new(role, name).unwrap();
            let revoked = Revoked::Holder { peer, begun_by: Timestamp::EPOCH };
            Revocation { revoked, at: Timestamp::EPOCH, reason: None }
        };
        let (old, new) = (entry(Role::Vault, "old"), entry(Role::Agent, "eu-1"));
        let known = Revocations::new(7, vec![old.clone()]);
        // A vault that was put back began to count anew.
        let both = Revocations::new(8, vec![new.clone()]).with(&known);
        assert_eq!((both.number(), both.entries()), (8, [new, old.clone()].as_slice()));
        assert_eq!(Revocations::default().with(&known).number(), 7);
        assert_eq!(both.clone().with(&both).entries().len(), 2, "nothing is there twice");
        let vaults = both.of_roles(&[Role::Vault, Role::Media]);
        assert_eq!((vaults.number(), vaults.entries()), (8, [old].as_slice()));
    }
}
