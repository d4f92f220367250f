//! Which workloads the vault leaves to which agents, whatever their certificates say; and what it asks
//! of the content of their drops.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_types::{SanityRule, WorkloadName};
use outlast_wire::{Grants, Peer, Role};

use super::former::FormerNames;
use super::retention::{RetentionPolicy, RetentionRule};

/// The workloads that the vault's policy leaves to each agent that it names, of those that the
/// agent's certificate grants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    agents: BTreeMap<String, Grants>,
    /// What is asked of content.
    pub(crate) sanity: SanityPolicy,
    /// The workloads whose instances may have their backups back over the share, and how old ones.
    fetch: BTreeMap<WorkloadName, Duration>,
    /// How long snapshots are kept.
    pub(crate) retention: RetentionPolicy,
}

impl Policy {
    pub(crate) fn new(agents: BTreeMap<String, Grants>, sanity: SanityPolicy) -> Self {
        Self { agents, sanity, ..Self::default() }
    }

    /// The same, which lets the instances of these workloads have backups back that are so old.
    pub(crate) fn letting_fetch(self, fetch: BTreeMap<WorkloadName, Duration>) -> Self {
        Self { fetch, ..self }
    }

    /// The same, which keeps snapshots for so long.
    pub(crate) fn keeping(self, retention: RetentionPolicy) -> Self {
        Self { retention, ..self }
    }

    /// What is said of workloads by former names is said of them by those of now.
    pub(crate) fn carry_over(&mut self, former: &FormerNames) {
        former.carry_over(&mut self.fetch);
        former.carry_over(&mut self.sanity.workloads);
    }

    /// How long snapshots of a workload are kept.
    pub(crate) fn retention(&self, workload: &WorkloadName) -> RetentionRule {
        self.retention.rule(workload)
    }

    /// How old a backup the instances of a workload may have back; `None` if they may have none.
    pub(crate) fn fetch(&self, workload: &WorkloadName) -> Option<Duration> {
        self.fetch.get(workload).copied()
    }

    pub(crate) fn allows(&self, peer: &Peer, workload: &WorkloadName) -> bool {
        let named = (peer.role() == Role::Agent).then(|| self.agents.get(peer.name())).flatten();
        named.is_none_or(|grants| grants.allows(workload))
    }
}

/// What policy asks of content. What a team declares for its workload may tighten it.
#[derive(Debug, Clone)]
pub struct SanityPolicy {
    /// Of all workloads of which policy says no more.
    pub default: SanityRule,
    /// Of single workloads.
    pub workloads: BTreeMap<WorkloadName, SanityRule>,
}

impl Default for SanityPolicy {
    fn default() -> Self {
        let nothing = SanityRule::default();
        Self { default: nothing.tightened(&nothing), workloads: BTreeMap::new() }
    }
}

impl SanityPolicy {
    /// What holds for a drop of a workload of which its team declares this.
    pub(crate) fn rule(
        &self,
        workload: &WorkloadName,
        declared: Option<&SanityRule>,
    ) -> SanityRule {
        let rule = self.workloads.get(workload).unwrap_or(&self.default);
        rule.tightened(declared.unwrap_or(&SanityRule::default()))
    }
}

#[cfg(test)]
mod tests {
    use outlast_wire::grants::WorkloadPattern;

    use super::*;

    #[test]
    fn policy_narrows_the_agents_that_it_names_and_nobody_else() {
        let shops = Grants::of([WorkloadPattern::new("shop-*").unwrap()]).unwrap();
        let agents = BTreeMap::from([("eu-1".to_owned(), shops)]);
        let policy = Policy::new(agents, SanityPolicy::default());
        let [shop, crm] = ["shop-db", "crm-db"].map(|name| WorkloadName::new(name).unwrap());
        let peer = |role, name| Peer::new(role, name).unwrap();
        let named = peer(Role::Agent, "eu-1");
        assert!(policy.allows(&named, &shop) && !policy.allows(&named, &crm));
        for other in [peer(Role::Agent, "eu-2"), peer(Role::Operator, "eu-1")] {
            assert!(policy.allows(&other, &crm), "{other}");
        }
    }
}
