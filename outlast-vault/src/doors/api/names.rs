//! What an agent says of workloads by names that they had before: its share has both directories, and the vault
//! knows one workload.

use std::collections::{BTreeMap, BTreeSet};

use outlast_promise::{Event, Source};
use outlast_types::WorkloadName;
use outlast_wire::api::{AgentReport, WorkloadReport};

use crate::core::vault::Vault;

/// Lets a report speak of workloads by their present names, each of them once. What comes back are the former
/// names that are not accepted any more under which drops wait: nothing else that is said of those counts.
pub(super) fn translate(vault: &Vault, report: &mut AgentReport) -> BTreeSet<WorkloadName> {
    let mut over = BTreeSet::new();
    if vault.former.iter().next().is_none() {
        return over;
    }
    let is_former = |name: &WorkloadName| vault.former.get(name).is_some();
    let mut rows = Vec::with_capacity(report.workloads.len());
    let mut others = Vec::new();
    for row in std::mem::take(&mut report.workloads) {
        match vault.called(&row.name) {
            Ok(present) if present == row.name => rows.push(row),
            Ok(present) => others.push(WorkloadReport { name: present, ..row }),
            Err(_) if row.waiting > 0 => drop(over.insert(row.name)),
            Err(_) => {}
        }
    }
    let places: BTreeMap<WorkloadName, usize> =
        rows.iter().enumerate().map(|(place, row)| (row.name.clone(), place)).collect();
    for other in others {
        match places.get(&other.name) {
            Some(place) => join(&mut rows[*place], other),
            None => match rows[places.len()..].iter_mut().find(|row| row.name == other.name) {
                Some(row) => join(row, other),
                None => rows.push(other),
            },
        }
    }
    report.workloads = rows;
    report.details.retain(|it| {
        it.workload.as_ref().is_none_or(|name| !is_former(name) || vault.called(name).is_ok())
    });
    // The agent hears it from us at each try; one cause is one incident.
    let now = vault.environment.clock.now();
    let ended = vault.former.iter().filter(|(_, former)| former.until <= now);
    let words: Vec<String> = ended.map(|(name, former)| refusal(name, &former.present)).collect();
    let is_told = |text: &str| words.iter().any(|words| text.contains(words));
    report.details.retain(|it| !is_told(&it.text));
    report.problems.retain(|it| !is_told(it));
    for workload in report.details.iter_mut().filter_map(|it| it.workload.as_mut()) {
        *workload = vault.present(workload).clone();
    }
    over
}

/// How the refusal of a name begins that is not accepted any more, see `VaultError::FormerName`.
fn refusal(former: &WorkloadName, present: &WorkloadName) -> String {
    format!("{former} is called {present}: the name of before was accepted until")
}

/// What waits of both is more; what the directory of the present name declares counts first.
fn join(row: &mut WorkloadReport, other: WorkloadReport) {
    row.waiting = row.waiting.saturating_add(other.waiting);
    row.waiting_bytes = row.waiting_bytes.saturating_add(other.waiting_bytes);
    row.share_bytes =
        row.share_bytes.into_iter().chain(other.share_bytes).reduce(u64::saturating_add);
    row.rejected.extend(other.rejected);
    row.unconfirmed.extend(other.unconfirmed);
    row.stopped = row.stopped.take().or(other.stopped);
    if row.declared.is_none() {
        row.declared = other.declared;
    }
}

/// Whether drops wait under names that are not accepted any more, as far as the report can tell.
pub(super) fn told(
    vault: &Vault,
    source: &Source,
    report: &AgentReport,
    over: &BTreeSet<WorkloadName>,
) -> Vec<Event> {
    let now = vault.environment.clock.now();
    let is_whole = report.parts == 1 && report.share_usable == Some(true);
    let ended = vault.former.iter().filter(|(_, former)| former.until <= now);
    let concerned = ended.filter(|(name, _)| is_whole || over.contains(*name));
    let accepted = vault.former.iter().filter(|(_, former)| now < former.until);
    let of =
        |(name, former): (&WorkloadName, &crate::core::former::Former), waits| Event::FormerName {
            workload: former.present.clone(),
            former: name.clone(),
            source: source.clone(),
            until: former.until,
            waits,
        };
    let concerned = concerned.map(|(name, former)| of((name, former), over.contains(name)));
    concerned.chain(accepted.map(|it| of(it, false))).collect()
}

#[cfg(test)]
mod tests {
    use outlast_types::Timestamp;

    use super::*;
    use crate::core::error::VaultError;

    #[test]
    fn what_an_agent_was_told_of_a_former_name_is_known_by_its_words() {
        let [former, present] = ["shop-db", "web"].map(|name| WorkloadName::new(name).unwrap());
        let words = refusal(&former, &present);
        let error = VaultError::FormerName { former, present, until: Timestamp::EPOCH };
        assert!(error.to_string().starts_with(&words), "{error}");
    }
}
