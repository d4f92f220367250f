//! What policy says of how long snapshots are kept.

use std::time::Duration;

use outlast_civil::{Hours, Zone};
use outlast_promise::{Keep, Policy};
use outlast_types::WorkloadName;

/// Nothing is forgotten that came less than so long ago, if policy does not say otherwise.
const MIN_AGE: Duration = Duration::from_secs(7 * 86_400);

/// How long snapshots of one workload are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionRule {
    /// The class that says so, if one does.
    pub class: Option<String>,
    /// Without rules, nothing is ever forgotten.
    pub keep: Option<Keep>,
    /// Nobody removes what came less than so long ago; zero is never.
    pub immutable_for: Duration,
    /// Where days, weeks, months and years begin.
    pub zone: Zone,
}

/// How long snapshots are kept, and when the vault forgets.
#[derive(Debug, Clone)]
pub struct RetentionPolicy {
    /// Of all workloads of which policy says no more.
    pub default: RetentionRule,
    /// What is promised of single workloads, those that are called alike, and classes.
    pub policy: Policy,
    /// How long each snapshot stays after it came, whatever the rules.
    pub min_age: Duration,
    /// When the vault may forget and prune, in the zone of the default.
    pub hours: Hours,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        let default = RetentionRule::default();
        Self { default, policy: Policy::default(), min_age: MIN_AGE, hours: Hours::ALWAYS }
    }
}

impl RetentionPolicy {
    /// What holds for a workload.
    pub(crate) fn rule(&self, workload: &WorkloadName) -> RetentionRule {
        let class = self.policy.class(workload);
        let all = &self.default;
        RetentionRule {
            class: class.name.as_ref().map(ToString::to_string),
            keep: class.keep.clone().or_else(|| all.keep.clone()),
            immutable_for: class.immutable_for.unwrap_or(all.immutable_for),
            zone: all.zone.clone(),
        }
    }
}
