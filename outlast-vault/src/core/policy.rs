//! Which workloads the vault leaves to which agents, whatever their certificates say.

use std::collections::BTreeMap;

use outlast_types::WorkloadName;
use outlast_wire::{Grants, Peer, Role};

/// The workloads that the vault's policy leaves to each agent that it names, of those that the
/// agent's certificate grants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy(BTreeMap<String, Grants>);

impl Policy {
    pub(crate) fn new(agents: BTreeMap<String, Grants>) -> Self {
        Self(agents)
    }

    pub(crate) fn allows(&self, peer: &Peer, workload: &WorkloadName) -> bool {
        let named = (peer.role() == Role::Agent).then(|| self.0.get(peer.name())).flatten();
        named.is_none_or(|grants| grants.allows(workload))
    }
}

#[cfg(test)]
mod tests {
    use outlast_wire::grants::WorkloadPattern;

    use super::*;

    #[test]
    fn policy_narrows_the_agents_that_it_names_and_nobody_else() {
        let shops = Grants::of([WorkloadPattern::new("shop-*").unwrap()]).unwrap();
        let policy = Policy::new(BTreeMap::from([("eu-1".to_owned(), shops)]));
        let [shop, crm] = ["shop-db", "crm-db"].map(|name| WorkloadName::new(name).unwrap());
        let peer = |role, name| Peer::new(role, name).unwrap();
        let named = peer(Role::Agent, "eu-1");
        assert!(policy.allows(&named, &shop) && !policy.allows(&named, &crm));
        for other in [peer(Role::Agent, "eu-2"), peer(Role::Operator, "eu-1")] {
            assert!(policy.allows(&other, &crm), "{other}");
        }
    }
}
