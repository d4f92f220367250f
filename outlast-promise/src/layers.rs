//! Which promise holds of a workload: layers that are kept apart, and what follows from them.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_types::{ShareId, WorkloadName};

use crate::class::{Class, Freshness};
use crate::origin::Origin;
use crate::policy::{Policy, Ruled};
use crate::promise::{Declaration, Promise};

/// All that is said of one workload's promise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layers<'a> {
    pub(crate) policy: &'a Policy,
    /// What its team declares, on each share.
    pub(crate) shares: &'a BTreeMap<ShareId, Declaration>,
    /// What a ledger of version 1 held, which did not say who had said it.
    pub(crate) inherited: Option<&'a Declaration>,
}

/// The promise that holds, and where each part of it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    pub promise: Promise,
    pub rpo_from: Origin,
    pub owner_from: Origin,
    /// Whether policy or a team said anything of the workload.
    pub declared: bool,
}

impl Default for Effective {
    fn default() -> Self {
        let promise = Promise::default();
        let declared = false;
        Self { promise, rpo_from: Origin::Default, owner_from: Origin::Default, declared }
    }
}

impl Effective {
    /// What policy and the shares that speak of it promise of a workload.
    pub fn of(
        policy: &Policy,
        name: &WorkloadName,
        shares: &BTreeMap<ShareId, Declaration>,
    ) -> Self {
        Layers { policy, shares, inherited: None }.effective(name)
    }
}

impl Layers<'_> {
    /// What holds for the workload of that name. Policy sets the recovery point and the owner; a share may
    /// tighten the one and never loosen it (I4), of several shares the strictest counts, and it may name
    /// others who are told, too. Only where policy names nobody at all, its word for the owner is the word.
    pub(crate) fn effective(&self, name: &WorkloadName) -> Effective {
        let Ruled { class, point_from, owner_from } = self.policy.of(name);
        let rpo = self.declared().filter_map(|(said, from)| Some((said.rpo()?, from)));
        let strictest = rpo.reduce(stricter);
        let is_less = |rpo: Duration| match class.freshness {
            Freshness::Rpo(ruled) => rpo < ruled,
            Freshness::Schedule { .. } => true,
        };
        let tightened = strictest.filter(|(rpo, _)| is_less(*rpo));
        let rpo_from = tightened.as_ref().map_or(point_from, |(_, from)| from.clone());
        let is_owned = class.owner != Class::NOBODY;
        let promise = Promise::of(class).tightened(tightened.map(|(rpo, _)| rpo));

        // Who tightens most is named first.
        let mut named: Vec<_> =
            self.declared().filter(|(said, _)| said.owner().is_some()).collect();
        named.sort_by_key(|(said, _)| said.rpo().unwrap_or(Duration::MAX));
        let mut named = named.into_iter().filter_map(|(said, from)| Some((said.owner()?, from)));
        let first = if is_owned { None } else { named.next() };
        let (owner, owner_from) = match first {
            Some((owner, from)) => (owner.to_owned(), from),
            None => (promise.owner().to_owned(), owner_from),
        };
        let mut also: Vec<String> = Vec::new();
        for (name, _) in named {
            if name != owner && !also.iter().any(|known| known == name) {
                also.push(name.to_owned());
            }
        }
        let declared = self.policy.declares(name) || !self.is_silent();
        Effective { promise: promise.told(&owner, also), rpo_from, owner_from, declared }
    }

    /// Whether no team says anything.
    fn is_silent(&self) -> bool {
        self.shares.is_empty() && self.inherited.is_none()
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
