//! What is promised of a workload beside its recovery point, as the vault keeps it: for people, and for reports.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use outlast_promise::{Safe, WorkloadStatus};
use outlast_types::{WorkloadName, human};

use super::month::InForce;
use super::vault::Vault;

impl Vault {
    /// By the keys of policy; what is as usual is left out.
    pub(crate) fn promised_terms(&self, status: &WorkloadStatus) -> BTreeMap<String, String> {
        let terms = status.promise.class().terms().into_iter();
        let mut terms: BTreeMap<String, String> =
            terms.map(|(key, words)| (key.to_owned(), words)).collect();
        let rule = self.policy().retention(&status.workload);
        if !rule.immutable_for.is_zero() {
            terms.insert("immutable_for".to_owned(), human::duration(rule.immutable_for));
        }
        if let Some(keep) = rule.keep {
            terms.insert("keep".to_owned(), keep.to_string());
        }
        terms
    }

    /// What is in force, as a report tells it.
    pub(crate) fn in_force(&self, status: &WorkloadStatus) -> InForce {
        let class = status.promise.class();
        let safe = match class.safe {
            Safe::Vaulted => "",
            Safe::Confirmed => ", of what a backup product has confirmed",
            Safe::Either => ", of what is vaulted or a backup product has confirmed",
            Safe::Both => ", of what is vaulted and a backup product has confirmed",
        };
        let mut promise = match &class.name {
            Some(name) => {
                format!("{}{safe}, by class {name} ({})", class.freshness, class.zone.name())
            }
            None => format!("{}{safe}", class.freshness),
        };
        let terms = self.promised_terms(status);
        for (key, words) in terms.iter().filter(|(key, _)| *key != "safe") {
            // Writing to a String cannot fail.
            let _ = write!(promise, "; {key} {words}");
        }
        InForce { owner: status.promise.owner().to_owned(), promise, safe: class.safe }
    }

    /// The holds on a workload's snapshots, in words.
    pub(crate) fn holds_of(&self, workload: &WorkloadName) -> Vec<String> {
        let keeping = match self.keepings.get(workload) {
            Ok(keeping) => keeping,
            Err(error) => return vec![format!("not known: {error}")],
        };
        let hold = |hold: &super::keepings::Hold| {
            let of = match hold.snapshots.len() {
                0 => "all snapshots".to_owned(),
                1 => "1 snapshot".to_owned(),
                count => format!("{count} snapshots"),
            };
            let until =
                hold.until.map_or_else(|| "without end".to_owned(), |at| format!("until {at}"));
            format!(
                "hold {} on {of}, {until}: {}, {} (by {}, {})",
                hold.id, hold.reason, hold.person, hold.by, hold.at
            )
        };
        let now = self.environment.clock.now();
        let holds = keeping.holds.iter().filter(|hold| hold.until.is_none_or(|end| end > now));
        holds.map(hold).collect()
    }
}
