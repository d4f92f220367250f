//! A workload that gets another name: its account, what is open of it and what waits go along.

use std::collections::BTreeSet;

use outlast_types::WorkloadName;

use super::Ledger;
use crate::agenda::Matter;
use crate::workload::UnderFormer;

impl Ledger {
    /// Takes over what is known of `from` for `to`. What was known of `to` before is what policy promised it,
    /// and an order is refused where it is more.
    pub(super) fn observe_renamed(
        &mut self,
        number: u64,
        from: &WorkloadName,
        to: &WorkloadName,
        touched: &mut BTreeSet<Matter>,
    ) {
        if number <= self.state.head.last_order {
            return;
        }
        self.state.head.last_order = number;
        let Some(mut account) = self.state.workloads.remove(from) else { return };
        account.promise_anew(to, &self.settings.policy);
        self.state.workloads.insert(to.clone(), account);
        let is_its = |of: Option<&WorkloadName>| of == Some(from);
        let open = self.state.open.iter();
        let open = open.filter(|(_, incident)| is_its(incident.cause.workload()));
        for key in open.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            if let Some(mut incident) = self.state.open.remove(&key) {
                incident.cause = incident.cause.renamed(to);
                self.state.open.insert(incident.cause.key(), incident);
            }
        }
        self.state.evidence.rename(from, to);
        for waiting in self.backlogs.values_mut() {
            if let Some(bytes) = waiting.remove(from) {
                waiting.insert(to.clone(), bytes);
            }
        }
        // Seldom: what was worked out by names is worked out anew.
        (self.settled, self.flotsam) = (None, None);
        touched.extend(self.everything());
    }

    /// Notes whether drops wait under a name that is not accepted any more.
    pub(super) fn observe_former_name(
        &mut self,
        name: &WorkloadName,
        found: UnderFormer,
        waits: bool,
    ) {
        let Some(known) = self.state.workloads.get(name) else { return };
        let is_same = |it: &UnderFormer| (&it.name, &it.source) == (&found.name, &found.source);
        let next = match (&known.under_former, waits) {
            (None, true) => Some(found),
            (Some(before), true) if is_same(before) => Some(found),
            (Some(before), false) if is_same(before) => None,
            // One of several is told, until it is over.
            _ => return,
        };
        if known.under_former != next
            && let Some(known) = self.state.workloads.get_mut(name)
        {
            known.under_former = next;
        }
    }
}
