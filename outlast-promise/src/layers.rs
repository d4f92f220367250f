//! Which promise holds of a workload: layers that are kept apart, and what follows from them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use outlast_types::ShareId;

use crate::promise::{Declaration, Promise};

/// All that is said of one workload's promise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layers<'a> {
    /// What holds for every workload of which nobody says more.
    pub(crate) default: &'a Promise,
    /// What policy says of this one.
    pub(crate) policy: Option<&'a Declaration>,
    /// What its team declares, on each share.
    pub(crate) shares: &'a BTreeMap<ShareId, Declaration>,
    /// What a ledger of version 1 held, which did not say who had said it.
    pub(crate) inherited: Option<&'a Declaration>,
}

/// The layer that a part of a promise comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Default,
    Policy,
    Share(ShareId),
    /// An older version, which did not note who said it.
    Inherited,
}

/// `default`, `policy`, `share <id>`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Policy => f.write_str("policy"),
            Self::Share(share) => write!(f, "share {share}"),
            Self::Inherited => f.write_str("an earlier version"),
        }
    }
}

/// The promise that holds, and where each part of it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effective {
    pub(crate) promise: Promise,
    pub(crate) rpo_from: Origin,
    pub(crate) owner_from: Origin,
}

impl Default for Effective {
    fn default() -> Self {
        let promise = Promise::default();
        Self { promise, rpo_from: Origin::Default, owner_from: Origin::Default }
    }
}

impl Layers<'_> {
    /// What holds. Policy, of which the default is the part for all, sets the recovery point; a share
    /// may tighten it and never loosens it (I4), and of several shares the strictest counts. The
    /// owner decides nothing, so there the layer that is nearest to policy and names one wins.
    pub(crate) fn effective(&self) -> Effective {
        let policy = self.policy.map(|declared| (declared, Origin::Policy));
        let default = (self.default.rpo(), Origin::Default);
        let ruled = policy.and_then(|(declared, from)| Some((declared.rpo()?, from)));
        let rpo = self.declared().filter_map(|(declared, from)| Some((declared.rpo()?, from)));
        let (rpo, rpo_from) = rpo.fold(ruled.unwrap_or(default), stricter);

        let named = self.declared().filter(|(declared, _)| declared.owner().is_some());
        let named = named.min_by_key(|(declared, _)| declared.rpo().unwrap_or(Duration::MAX));
        let ruled = policy.filter(|(declared, _)| declared.owner().is_some());
        let owner = ruled.or(named).and_then(|(declared, from)| Some((declared.owner()?, from)));
        let (owner, owner_from) = owner.unwrap_or((self.default.owner(), Origin::Default));
        Effective { promise: Promise::of_valid_parts(rpo, owner), rpo_from, owner_from }
    }

    /// What is declared beside policy, and may only tighten it.
    fn declared(&self) -> impl Iterator<Item = (&Declaration, Origin)> {
        let inherited = self.inherited.map(|declared| (declared, Origin::Inherited));
        let shares = self.shares.iter();
        shares.map(|(share, declared)| (declared, Origin::Share(*share))).chain(inherited)
    }
}

/// The shorter one; of two that are equal, the first.
fn stricter(one: (Duration, Origin), other: (Duration, Origin)) -> (Duration, Origin) {
    if other.0 < one.0 { other } else { one }
}
