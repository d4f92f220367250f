//! A workload that gets another name: its account, what is open of it and what waits go along.

use std::collections::BTreeSet;

use outlast_types::WorkloadName;

use super::Ledger;
use crate::agenda::Matter;
use crate::incident::Change;
use crate::workload::{UnderFormer, Workload};

impl Ledger {
    /// Hears that `from` is called `to`.
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
        if self.rename(from, to) {
            // Seldom: what was worked out by names is worked out anew.
            (self.settled, self.flotsam) = (None, None);
            touched.extend(self.everything());
        }
    }

    /// Takes over what is known of `from` for `to`, unless that is known by drops of its own: then it is another
    /// workload. Else, what was known of `to` is what policy promised it. Says whether there was anything.
    pub(super) fn rename(&mut self, from: &WorkloadName, to: &WorkloadName) -> bool {
        let is_another = self.state.workloads.get(to).is_some_and(Workload::was_ever_safe);
        if is_another {
            return false;
        }
        let Some(mut account) = self.state.workloads.remove(from) else { return false };
        account.promise_anew(to, &self.settings.policy);
        self.state.workloads.insert(to.clone(), account);
        let is_its = |of: Option<&WorkloadName>| of == Some(from);
        let open = self.state.open.iter();
        let open = open.filter(|(_, incident)| is_its(incident.cause.workload()));
        for key in open.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            if let Some(mut incident) = self.state.open.remove(&key) {
                incident.cause = incident.cause.renamed(to);
                let key = incident.cause.key();
                // It was told that nothing ever came of `to`.
                self.superseded.extend(self.state.open.remove(&key));
                self.state.open.insert(key, incident);
            }
        }
        self.state.evidence.rename(from, to);
        for waiting in self.backlogs.values_mut() {
            if let Some(bytes) = waiting.remove(from) {
                waiting.insert(to.clone(), bytes);
            }
        }
        true
    }

    /// Resolves what was open of names that other workloads got.
    pub(super) fn tell_superseded(&mut self) -> Vec<Change> {
        let now = self.state.head.now;
        let told = self.superseded.drain(..).filter(|incident| incident.announced);
        told.map(|incident| Change::Resolved(incident.view(Some(now)))).collect()
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
