//! What is to be looked at, and when.

use std::collections::{BTreeMap, BTreeSet};

use outlast_types::{Timestamp, WorkloadName};

/// A thing that the ledger settles as one, in the order in which that is done: what explains before
/// what is explained.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Matter {
    /// The certificates that no agent shows.
    Certificates,
    /// What speaks against the vault's custody, and its own log.
    Evidence,
    /// The vault's own absence.
    Outage,
    Agent(String),
    Workload(WorkloadName),
}

/// The next moment of each matter at which time alone may change what is to be said of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agenda {
    of: BTreeMap<Matter, Timestamp>,
    in_order: BTreeSet<(Timestamp, Matter)>,
}

impl Agenda {
    /// Puts a matter down for the first of `moments` that is after `now`, and strikes it otherwise.
    pub(crate) fn put(
        &mut self,
        matter: &Matter,
        moments: impl Iterator<Item = Timestamp>,
        now: Timestamp,
    ) {
        let next = moments.filter(|moment| *moment > now).min();
        if self.of.get(matter).copied() == next {
            return;
        }
        if let Some(before) = self.of.remove(matter) {
            self.in_order.remove(&(before, matter.clone()));
        }
        if let Some(next) = next {
            self.of.insert(matter.clone(), next);
            self.in_order.insert((next, matter.clone()));
        }
    }

    /// The matters whose moment has come.
    pub(crate) fn due(&self, now: Timestamp) -> impl Iterator<Item = &Matter> {
        let due = self.in_order.iter().take_while(move |(moment, _)| *moment <= now);
        due.map(|(_, matter)| matter)
    }

    /// The first moment of all.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.in_order.first().map(|(moment, _)| *moment)
    }
}
